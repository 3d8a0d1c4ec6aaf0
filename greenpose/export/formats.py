"""Formats: an exit's network as files that a runtime, or GreenPose itself, reads; which exist, and what they take.

With decoding inside, places and confidences come out of a model, not heatmaps, so that nobody can decode wrongly.
"""

import importlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import torch
from safetensors.torch import save
from torch import Tensor, nn

from greenpose.artefact.card import Format
from greenpose.artefact.folder import RUNTIMES
from greenpose.artefact.runtime import load_openvino
from greenpose.config.experiment import STRIDE
from greenpose.errors import ExportError
from greenpose.model import ExitNetwork
from greenpose.record.artefacts import Arithmetic
from greenpose.schema import near

INPUT, OUTPUT = "images", "heatmaps"
"""Names of the network's input and output."""
KEYPOINTS = "keypoints"
"""Name of the decoder's output: for each keypoint x and y in pixels of the crop, and its confidence."""
OPSET = 20
ENDINGS: Mapping[Format, str] = MappingProxyType(
    {"openvino": "xml", "onnx": "onnx", "pt2": "pt2", "safetensors": "safetensors"}
)
EXISTING: Mapping[Format, tuple[Arithmetic, ...]] = MappingProxyType(
    {
        "openvino": ("fp32", "bf16", "int8"),
        "onnx": ("fp32", "int8"),
        "pt2": ("fp32", "bf16"),
        "safetensors": ("fp32", "bf16"),
    }
)
"""Precisions of each format: onnxruntime has no bf16 convolutions on CPUs, int8 is quantised for two runtimes only."""
_CONVERTERS = ("onnx", "onnxscript")
NEEDED: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {"openvino": (*_CONVERTERS, "openvino"), "onnx": (*_CONVERTERS, "onnxruntime"), "pt2": (), "safetensors": ()}
)
"""Packages beside torch that write a format, and run what was written."""
INT8_NEEDED: Mapping[Format, tuple[str, ...]] = MappingProxyType({"openvino": ("nncf",)})
"""Packages that int8 takes beside those."""


class Kind(NamedTuple):
    """A model file that may be asked for."""

    format: Format
    precision: Arithmetic

    def name(self, exit_: int) -> str:
        """Return the name of its file."""
        suffix = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"exit{exit_}{suffix}.{ENDINGS[self.format]}"

    @property
    def runtime(self) -> str:
        """Return the package that runs it; empty where none does."""
        return RUNTIMES[self.format]


def chosen_kinds(formats: str, precisions: str = "fp32") -> tuple[list[Kind], list[str]]:
    """Return the kinds of files that two comma-separated lists cross to, and what of the cross does not exist.

    Raises:
        ExportError: with every word that is unknown, and every package that is not installed; or nothing is left.
    """
    to, unknown = _words(formats, "--to", get_args(Format))
    at, strange = _words(precisions, "--precision", get_args(Arithmetic))
    faults = [*unknown, *strange]
    crossed = [Kind(format_, precision) for format_ in to for precision in at]
    kinds = [kind for kind in crossed if kind.precision in EXISTING[kind.format]]
    left_out = [
        f"{kind.format} at {kind.precision} does not exist; it is written at {', '.join(EXISTING[kind.format])}"
        for kind in crossed
        if kind not in kinds
    ]
    faults += dict.fromkeys(fault for kind in kinds for fault in _lacking(kind))
    if not faults and not kinds:
        faults = left_out
    if faults:
        raise ExportError(faults)
    return kinds, left_out


def _words(text: str, option: str, known: Sequence[Any]) -> tuple[list[Any], list[str]]:
    words = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not words:
        return [], [f"{option}: name at least one of {', '.join(known)}"]
    faults = [f"{option} {word}: unknown; {near(word, list(known))}" for word in words if word not in known]
    return [word for word in words if word in known], faults


def _lacking(kind: Kind) -> list[str]:
    """Return which packages of a kind are not installed, with how to get them."""
    wanted = NEEDED[kind.format] + (INT8_NEEDED.get(kind.format, ()) if kind.precision == "int8" else ())
    absent = [package for package in wanted if importlib.util.find_spec(package) is None]
    if not absent:
        return []
    said = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
    precision = " --precision int8" if kind.precision == "int8" else ""
    return [f"--to {kind.format}{precision}: {said}; pip install 'greenpose[deploy]', or leave it out"]


def is_folded(net: ExitNetwork) -> bool:
    """Return whether the network's norms are part of its convolutions."""
    return not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def to_safetensors(net: ExitNetwork, kind: Kind, path: Path) -> None:
    """Write the tensors by name, and in the file's own header what network they fill."""
    header = {"architecture": json.dumps(net.architecture.keywords), "folded": json.dumps(is_folded(net))}
    dtype = torch.bfloat16 if kind.precision == "bf16" else torch.float32
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in net.state_dict().items()
    }
    path.write_bytes(save(tensors, metadata=header))


def to_pt2(net: nn.Module, images: Tensor, path: Path) -> None:
    """Write the program that torch.export traces, for batches of any size; torch.export.load reads it back."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (images,), dynamic_shapes={INPUT: {0: batch}})
    program.example_inputs = None  # they would be pickled, and nothing is
    torch.export.save(program, path)


def onnx_model(net: nn.Module, images: Tensor, *, input_: str = INPUT, output: str = OUTPUT) -> bytes:
    """Return a network as an ONNX model for batches of any size."""
    with quietly():
        program = torch.onnx.export(
            net,
            (images,),
            input_names=[input_],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None, "the exporter that traces returns its program"
    return bytes(program.model_proto.SerializeToString())


def openvino_model(onnx: bytes, folder: Path) -> Any:
    """Return OpenVINO's model of an ONNX one; `folder` holds a file meanwhile."""
    path = folder / "model.onnx"
    path.write_bytes(onnx)
    model = load_openvino().convert_model(path)
    path.unlink()
    return model


def to_openvino(model: Any, kind: Kind, path: Path) -> None:
    """Write a model and its weights, in float16 where it is for bf16: half the bytes, more digits than bf16."""
    load_openvino().save_model(model, path, compress_to_fp16=kind.precision == "bf16")


@contextmanager
def quietly() -> Iterator[None]:
    """Leave out what exporters and quantisers say of their own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class Decoder(nn.Module):
    """From heatmaps to places by the same rule as `data.decode_heatmaps`; it has no weights."""

    def forward(self, heatmaps: Tensor) -> Tensor:
        """Return [batch, keypoint, 3]: x and y in pixels of the crop, and the value of the highest pixel."""
        height, width = heatmaps.shape[-2:]
        flat = heatmaps.flatten(2)
        index = flat.argmax(-1, keepdim=True)
        value = flat.gather(-1, index)
        index = torch.where(value > 0, index, 0)
        x, y = index % width, index // width
        inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)

        def slope(step: int) -> Tensor:
            beside = [flat.gather(-1, (index + side).clamp(0, height * width - 1)) for side in (step, -step)]
            return torch.where(inner, torch.sign(beside[0] - beside[1]), 0.0)

        places = [(place + 0.25 * slope(step)) * STRIDE for place, step in ((x, 1), (y, width))]
        return torch.cat([*places, value], -1)


def decoded_onnx(onnx: bytes, decoder_onnx: bytes) -> bytes:
    """Return an ONNX model that ends in the decoder; whatever was quantised in it stays so, the decoder is in float."""
    package = importlib.import_module("onnx")
    model, decoder = (package.load_from_string(each) for each in (onnx, decoder_onnx))
    decoder.ir_version = model.ir_version
    for opset in model.opset_import:  # the same version of the plain operators, which is all that the decoder uses
        if opset.domain not in {each.domain for each in decoder.opset_import}:
            decoder.opset_import.append(opset)
    joined = package.compose.merge_models(model, decoder, io_map=[(OUTPUT, OUTPUT)], prefix2="decode/", outputs=None)
    return bytes(joined.SerializeToString())


def decoded_openvino(model: Any, decoder_onnx: bytes, folder: Path) -> Any:
    """Return an OpenVINO model that ends in the decoder."""
    decoder = openvino_model(decoder_onnx, folder)
    source = model.output(0).get_node().input_value(0)
    decoder.input(0).get_node().output(0).replace(source)
    package = importlib.import_module("openvino")
    return package.Model(decoder.get_results(), model.get_parameters())


def decoder_model(heatmaps: Tensor) -> bytes:
    """Return the decoder of a network with such heatmaps as an ONNX model."""
    return onnx_model(Decoder(), heatmaps, input_=OUTPUT, output=KEYPOINTS)
