"""Exported models: from a finished run's exit to files in each format, tried out, and their card."""

import hashlib
import importlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from greenpose.artefact.card import Card, CardFile
from greenpose.artefact.folder import RUNTIMES
from greenpose.config import Experiment
from greenpose.data import load_profile
from greenpose.data.splits import SYNTHETIC_WINDOW_MM
from greenpose.errors import ExportError
from greenpose.export.card import card_text, make_card
from greenpose.files import write_parts, write_text
from greenpose.metering import software_versions
from greenpose.model import SubNetwork, fold_batchnorm
from greenpose.record import dumps
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network
from greenpose.schema import near
from greenpose.store import RunFolder, read_record

NEEDED = MappingProxyType({"onnx": ("onnx", "onnxscript")})
"""Packages that a format takes beside torch; GreenPose does not install them."""
INPUT, OUTPUT = "images", "heatmaps"
"""Names of the network's input and output."""
OPSET = 20
RUNTIME = "onnxruntime"
"""Package that runs ONNX files."""
Program = Callable[[Tensor], Tensor]
"""From images to heatmaps."""


def to_safetensors(net: SubNetwork, images: Tensor, path: Path) -> None:
    """Write the tensors by name, and in the file's own header what network they fill."""
    del images
    header = {"architecture": json.dumps(net.architecture.keywords), "folded": json.dumps(is_folded(net))}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, metadata=header))


def to_pt2(net: SubNetwork, images: Tensor, path: Path) -> None:
    """Write the program that torch.export traces, for batches of any size; torch.export.load reads it back."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (images,), dynamic_shapes={INPUT: {0: batch}})
    program.example_inputs = None  # they would be pickled, and nothing is
    torch.export.save(program, path)


def to_onnx(net: SubNetwork, images: Tensor, path: Path) -> None:
    """Write an ONNX model for batches of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of its own internals
        torch.onnx.export(
            net,
            (images,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1, max=4096)}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


def read_pt2(path: Path) -> Program:
    """Return the program in a file."""
    program: Program = torch.export.load(path).module()
    return program


def read_onnx(path: Path) -> Program | None:
    """Return the program in a file; None where onnxruntime, which GreenPose does not install, is not there."""
    if importlib.util.find_spec(RUNTIME) is None:
        return None
    session = importlib.import_module(RUNTIME).InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return run


READERS: Mapping[str, Callable[[Path], Program | None]] = MappingProxyType({"pt2": read_pt2, "onnx": read_onnx})
"""What runs a file of each format that holds a program."""
Writer = Callable[[SubNetwork, Tensor, Path], None]
WRITERS: Mapping[str, Writer] = MappingProxyType({"safetensors": to_safetensors, "pt2": to_pt2, "onnx": to_onnx})
"""By the name of a format, which is also its file's ending."""


def chosen_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a comma-separated list.

    Raises:
        ExportError: with every one that is unknown, or whose packages are not installed.
    """
    formats = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    faults = [f"--to {part}: unknown; {near(part, list(WRITERS))}" for part in formats if part not in WRITERS]
    faults += [_lacking(part, absent) for part in formats if (absent := absent_packages(part))]
    if faults or not formats:
        raise ExportError(faults or [f"--to: name at least one of {', '.join(WRITERS)}"])
    return formats


def absent_packages(format_: str) -> list[str]:
    """Return the packages that a format needs and that are not installed."""
    return [package for package in NEEDED.get(format_, ()) if importlib.util.find_spec(package) is None]


def is_folded(net: SubNetwork) -> bool:
    """Return whether the network's norms are part of its convolutions."""
    return not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


def _lacking(format_: str, absent: Sequence[str]) -> str:
    rest = ",".join(name for name in WRITERS if name not in NEEDED)
    return (
        f"--to {format_}: {' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; "
        f"pip install {' '.join(NEEDED[format_])}, or leave it out: --to {rest}"
    )


TOLERANCE = 1e-5
"""Largest change of an output that folding or a format may make, over the largest output."""


def export_exit(
    config: Experiment, folder: RunFolder, exit_: int, *, formats: Sequence[str], output: Path, folded: bool
) -> Card:
    """Return the card of one exit's network after writing it, and the card, into a folder.

    Every file that can be run here is loaded again, and must say the same of a noise image; the card says of the others
    that they are not verified.

    Raises:
        ExportError: if a file says something else than the network.
        GreenPoseError: if the weights cannot be read.
    """
    record = read_record(folder.record)
    trained = _plain_layout(trained_networks(build_network(config)[0], folder, [exit_])[exit_].cpu())
    images = _noise(config)
    net = fold_batchnorm(trained) if folded else trained
    error = difference(net, trained, images) if folded else None
    if error is not None and error > TOLERANCE:
        raise ExportError(
            [f"exit {exit_}: folding changes its output by {error:.1g} of the largest: export without it"]
        )
    output.mkdir(parents=True, exist_ok=True)
    files = [_write(net, images, format_, output, f"exit{exit_}") for format_ in formats]
    profile, window = load_profile(config.data.profile), config.data.depth_window_mm
    if config.data.source == "synthetic":
        window = window or SYNTHETIC_WINDOW_MM
    card = make_card(
        record,
        exit_,
        profile=profile,
        window=window,
        files=files,
        folding_error=error,
        software=software_versions(),
    )
    write_text(output / "card.json", dumps(card))
    write_text(output / "card.md", card_text(card))
    return card


def difference(net: Any, other: Any, images: Tensor) -> float:
    """Return the largest difference of two networks' outputs over the largest output of the second."""
    with torch.inference_mode():
        ours, theirs = net(images), other(images)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _write(net: SubNetwork, images: Tensor, format_: str, output: Path, name: str) -> CardFile:
    """Write one file in one step, after it was tried out."""
    path = output / f"{name}.{format_}"
    with TemporaryDirectory(dir=output, prefix=".") as folder:
        unsure = Path(folder) / path.name
        WRITERS[format_](net, images, unsure)
        wrong = error_of(net, images, format_, unsure)
        if wrong is not None and not wrong <= TOLERANCE:
            raise ExportError([f"{path}: the {format_} file differs from the network by {wrong:.1g} of its output"])
        content = unsure.read_bytes()
    write_parts(path, [content])
    digest = hashlib.sha256(content).hexdigest()
    return CardFile(
        file=path.name,
        format=format_,
        precision="fp32",
        runtime=RUNTIMES[format_],
        bytes=len(content),
        sha256=digest,
        error=wrong,
        accuracy={},
        accuracy_change={},
    )


def error_of(net: SubNetwork, images: Tensor, format_: str, path: Path) -> float | None:
    """Return how far a file's output is from the network's, over the largest; None where nothing here can run it."""
    if format_ == "safetensors":
        written, mine = load_file(path), net.state_dict()
        return float(any(not torch.equal(written[name], entry) for name, entry in mine.items()))
    program = READERS[format_](path)
    return None if program is None else difference(program, net, images)


def _plain_layout(net: SubNetwork) -> SubNetwork:
    """Return the network in the layout that every format knows; whoever loads it may choose another."""
    return net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]  # torch's stubs


def _noise(config: Experiment) -> Tensor:
    """Return two noise images: a batch of one would be traced as such."""
    width, height = config.data.input_size
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
