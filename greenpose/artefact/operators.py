"""Operators: how often each stands in a model file, read without running it and without its runtime."""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from greenpose.artefact.folder import Artefact
from greenpose.artefact.onnx_file import read_onnx_file
from greenpose.errors import ArtefactError, said

_LAYER = re.compile(rb'<layer\b[^>]*?\btype="([^"]+)"')
"""A layer of OpenVINO's XML; what is in quotes there holds neither quotes nor brackets as such."""
_MODEL = "/models/model.json"
"""Where torch.export keeps a program's graph."""


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
