"""One network in the formats that others load: safetensors and pt2 by torch alone, ONNX by its own packages."""

import importlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import save
from torch import Tensor

from greenpose.errors import ExportError
from greenpose.model import SubNetwork
from greenpose.schema import near

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
    header = {"architecture": json.dumps(asdict(net.architecture)), "folded": json.dumps(is_folded(net))}
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, metadata=header))


def to_pt2(net: SubNetwork, images: Tensor, path: Path) -> None:
    """Write the program that torch.export traces, for batches of any size; torch.export.load reads it back."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (images,), dynamic_shapes={INPUT: {0: batch}})
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
