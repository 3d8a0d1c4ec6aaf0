"""Artefact folders: a card and the model files that it names, checked, and their operators read, before any is run."""

import hashlib
import importlib.util
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from greenpose.artefact.card import CARD_SCHEMA, Card, CardFile
from greenpose.artefact.onnx_file import read_onnx_file
from greenpose.data.heatmaps import SCALE_UNIT_PX
from greenpose.errors import ArtefactError, said
from greenpose.metering.machine import this_machine
from greenpose.schema import from_json, near, parsed

CARD = "card.json"
RUN_AS_THEY_ARE = (".xml", ".onnx", ".pt2")
ENDINGS = (*RUN_AS_THEY_ARE, ".bin", ".safetensors")
"""What model files end in; a run's own folder holds some of the last kind."""
PREFERRED = ("openvino", "onnx", "pt2")
"""Formats that have a runtime, the fastest on a CPU first."""
FASTEST = ("int8", "bf16", "fp32")
WITHOUT_BF16 = ("int8", "fp32", "bf16")
"""Precisions in the same order; a CPU without units for bf16 emulates it, and is faster in float32."""
OWN_OPERATORS = ("", "ai.onnx")
"""Domains of the operators that every runtime of ONNX has."""
_LAYER = re.compile(rb'<layer\b[^>]*?\btype="([^"]+)"')
"""A layer of OpenVINO's XML; what is in quotes there holds neither quotes nor brackets as such."""
_MODEL = "/models/model.json"
"""Where torch.export keeps a program's graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One model file of a folder, with its card."""

    folder: Path
    """Where it lies."""
    card: Card
    """The folder's card."""
    file: CardFile
    """What the card says of this file."""

    @property
    def path(self) -> Path:
        """Return the path of the model file."""
        return self.folder / self.file.file

    def places(
        self, outputs: Float32[np.ndarray, "batch keypoint *rest"], centers: Any, scales: Any
    ) -> tuple[Float[np.ndarray, "batch keypoint 2"], Float[np.ndarray, "batch keypoint"]]:
        """Return each keypoint's place in image pixels, and its confidence, from what the model put out.

        `centers` [batch, 2] in image pixels and `scales` [batch, 2] = (width, height) / 200 are those of the crops.
        """
        if self.file.outputs == "heatmaps":
            return self.card.framing.places(outputs, centers, scales)
        size = np.array(self.card.framing.input_size)
        zoom = np.asarray(scales, dtype=np.float64)[:, :1] * SCALE_UNIT_PX / size[0]
        offset = (outputs[..., :2] - size / 2) * zoom[:, None]
        return np.asarray(centers, dtype=np.float64)[:, None] + offset, outputs[..., 2].astype(np.float64)


def is_artefact(path: Path) -> bool:
    """Return whether a path is meant for an artefact: a model file, or a folder with a card or such files.

    Where the card is lacking, reading it says so.
    """
    if path.is_dir():
        return (path / CARD).is_file() or any(each.suffix in RUN_AS_THEY_ARE for each in path.iterdir())
    return path.suffix in ENDINGS


def read_artefact(path: Path, *, file: str | None = None) -> list[Artefact]:
    """Return the models of a folder that can be run here, the one to prefer first; or the one model of a file.

    Raises:
        ArtefactError: the card is damaged, a file is not the one that it names, or nothing here runs what is meant.
    """
    folder, wanted = (path, file) if path.is_dir() else (path.parent, path.name)
    if not path.exists():
        raise ArtefactError([f"{path}: there is no such file or folder"])
    card = read_card(folder / CARD)
    chosen = [_named(card, wanted, folder)] if wanted else _in_order(card.files)
    runnable = [each for each in chosen if each.runtime and is_installed(each.runtime)]
    if not runnable:
        raise ArtefactError(_why_none(folder, chosen))
    found = [Artefact(folder=folder, card=card, file=each) for each in runnable]
    faults = [fault for artefact in found for fault in check_file(artefact)]
    if faults:
        raise ArtefactError(faults)
    return found


def read_card(path: Path) -> Card:
    """Return the card in a file.

    Raises:
        ArtefactError: with every fault of it.
    """
    try:
        data = from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ArtefactError([f"{path}: cannot be read: {what}; an artefact is a folder with a {CARD}"]) from None
    except ValueError as error:
        raise ArtefactError([f"{path}: {error}"]) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != CARD_SCHEMA:
        said = f"says schema {schema!r:.60}, where {CARD_SCHEMA!r} is read; export the run again"
        raise ArtefactError([f"{path}: {said}"])
    return parsed(Card, data, where=str(path), error=ArtefactError)


def check_file(artefact: Artefact) -> list[str]:
    """Return what is wrong with a model's files: outside their folder, gone, replaced, or of a kind that is not run."""
    about = artefact.file
    named = [(about.file, about.sha256)]
    if about.format == "openvino":
        named.append((about.weights or "", about.weights_sha256 or ""))
        if about.weights != Path(about.file).with_suffix(".bin").name:
            return [f"{artefact.folder / CARD}: the weights of {about.file} are named {about.weights!r:.60}"]
    faults = [fault for name, digest in named for fault in _file_faults(artefact.folder, name, digest)]
    return faults or (_onnx_faults(artefact.path) if about.format == "onnx" else [])


def is_installed(runtime: str) -> bool:
    """Return whether the package that runs a model is there; it is not loaded for that."""
    return runtime in RUNTIMES.values() and importlib.util.find_spec(runtime) is not None


def has_bf16_units() -> bool:
    """Return whether this CPU computes in bf16; others emulate it."""
    return not {"BF16", "AMX"}.isdisjoint(this_machine().instruction_sets)


RUNTIMES = {"openvino": "openvino", "onnx": "onnxruntime", "pt2": "torch", "safetensors": ""}
"""The package that runs each format."""


def _in_order(files: Iterable[CardFile]) -> list[CardFile]:
    with_runtime = [each for each in files if each.format in PREFERRED]
    precisions = FASTEST if has_bf16_units() else WITHOUT_BF16
    return sorted(with_runtime, key=lambda each: (PREFERRED.index(each.format), precisions.index(each.precision)))


def _named(card: Card, wanted: str, folder: Path) -> CardFile:
    names = {name: each for each in card.files for name in (each.file, each.weights) if name}
    if wanted not in names:
        raise ArtefactError([f"{folder / wanted}: {folder / CARD} names no such file; {near(wanted, list(names))}"])
    return names[wanted]


def _why_none(folder: Path, chosen: Sequence[CardFile]) -> list[str]:
    lacking = dict.fromkeys(each.runtime for each in chosen if each.runtime in RUNTIMES.values() and each.runtime)
    if not lacking:
        said = "holds weights only, which GreenPose's own network is filled from; export it as openvino or onnx"
        return [f"{folder / each.file}: {said}" for each in chosen] or [f"{folder}: no file of it can be run; {said}"]
    names = " or ".join(lacking)
    return [
        f"{folder}: {names} {'is' if len(lacking) == 1 else 'are'} not installed; pip install {next(iter(lacking))}"
    ]


def _file_faults(folder: Path, name: str, digest: str) -> list[str]:
    path = folder / name
    if name != Path(name).name or "\\" in name or "\0" in name:
        return [f"{folder / CARD}: names {name!r:.80}, which is no file of its own folder"]
    if path.resolve().parent != folder.resolve():
        return [f"{path}: leads out of its folder, to {path.resolve()}"]
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}; {folder / CARD} names it"]
    if found != digest:
        said = f"its SHA-256 is {found[:12]}..., the card says {digest[:12]}..."
        return [f"{path}: is not the file that was exported: {said}; export the run again"]
    return []


def _onnx_faults(path: Path) -> list[str]:
    try:
        model = read_onnx_file(path.read_bytes())
    except ValueError as error:
        return [f"{path}: {error}"]
    foreign = sorted({f"{domain}:{kind}" for domain, kind in model.operators if domain not in OWN_OPERATORS})
    faults = [f"{path}: has custom operators, which are not run: {', '.join(foreign[:5])}"] if foreign else []
    if model.is_external:
        faults.append(f"{path}: keeps its weights in other files, which are not read; export the run again")
    return faults


def operators_of(artefact: Artefact) -> dict[str, int]:
    """Return how often each operator stands in a model file's graph, by name, sorted.

    Raises:
        ArtefactError: if none can be read in it.
    """
    try:
        found = READERS[artefact.file.format](artefact.path)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, StopIteration) as error:
        raise ArtefactError([f"{artefact.path}: its operators cannot be read: {said(error)}"]) from None
    if not found:
        raise ArtefactError([f"{artefact.path}: its operators cannot be read: there is none"])
    return dict(sorted(found.items()))


def _of_onnx(path: Path) -> Counter[str]:
    """Count the nodes; those of other domains than ONNX's own bear the name of theirs."""
    counts: Counter[str] = Counter()
    for (domain, kind), number in read_onnx_file(path.read_bytes()).operators.items():
        counts[f"{domain}.{kind}" if domain else kind] += number
    return counts


def _of_openvino(path: Path) -> Counter[str]:
    return Counter(kind.decode() for kind in _LAYER.findall(path.read_bytes()))


def _of_pt2(path: Path) -> Counter[str]:
    with zipfile.ZipFile(path) as archive:
        name = next(each for each in archive.namelist() if each.endswith(_MODEL))
        model: dict[str, Any] = json.loads(archive.read(name))
    nodes = model["graph_module"]["graph"]["nodes"]
    return Counter(node["target"].removeprefix("torch.ops.") for node in nodes)


READERS: Mapping[str, Callable[[Path], Counter[str]]] = MappingProxyType(
    {"onnx": _of_onnx, "openvino": _of_openvino, "pt2": _of_pt2}
)
"""How operators are read, by format."""
