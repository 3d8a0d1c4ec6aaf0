"""Arithmetic: what each installed runtime computes in on this CPU, asked of it and seen in sums that tell.

Each gets a small convolution. In float32 a value comes through that bfloat16, float16 or TF32 would round; in int8 a
sum is exact where products are added up in 32 bits, and cut off where it is 16, as on x86 CPUs without VNNI.
"""

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from greenpose.artefact.folder import has_bf16_units, is_installed
from greenpose.artefact.runtime import SHOWN, load_openvino, onnx_options, openvino_convolutions, openvino_settings
from greenpose.errors import said
from greenpose.metering.sources.source import MachineFinding

CHANNELS, SIDE = 64, 8
FINE = 1 + 2**-12
"""A number that float32 holds, and nothing shorter."""
GREATEST, HEAVIEST = 255, 127
"""The greatest activation and weight in int8; 16 bits do not hold the sum of two of their products."""
SUM = GREATEST * HEAVIEST * CHANNELS
FLOAT, UINT8, INT8, INT32 = 1, 2, 3, 6
"""Types of numbers in an ONNX file. Source: onnx/onnx.proto, https://github.com/onnx/onnx."""


def arithmetic_findings() -> list[MachineFinding]:
    """Return what each runtime computes in here, or that it is not installed; what is gets loaded, some 3 s."""
    return [_finding(runtime, probe) for runtime, probe in PROBES.items()]


def _finding(runtime: str, probe: Callable[[], tuple[str, bool]]) -> MachineFinding:
    if not is_installed(runtime):
        return MachineFinding(runtime, "note", "not installed", f"pip install {runtime}")
    try:
        says, is_exact = probe()
    except (ImportError, OSError, RuntimeError) as error:
        return MachineFinding(runtime, "warning", f"does not run here: {said(error):.200}")
    if is_exact:
        return MachineFinding(runtime, "good", says)
    says += "; it adds up int8 in 16 bits, which cuts off great sums"
    return MachineFinding(runtime, "warning", says, "export on this CPU, and go by the accuracy on that card")


def _openvino() -> tuple[str, bool]:
    openvino = load_openvino()
    core = openvino.Core()
    precisions = ("fp32", "bf16", "int8") if has_bf16_units() else ("fp32", "int8")
    models = {
        each: core.compile_model(_openvino_model(openvino, each == "int8"), "CPU", openvino_settings(each, 1))
        for each in precisions
    }
    kinds = [(each, kind) for each, model in models.items() for kind in openvino_convolutions(model)]
    told = ", ".join(f"{each} files in {computed} ({by})" for each, (computed, by) in kinds)
    alone = core.get_property("CPU", "INFERENCE_PRECISION_HINT").to_string()
    says = f"{openvino.__version__.partition('-')[0]}: {told}; fp32 in {SHOWN.get(alone, alone)} unless told otherwise"
    return says, _is(models["int8"]([_images(GREATEST)])[0], SUM)


def _openvino_model(openvino: Any, in_int8: bool) -> Any:
    """Return a convolution as it stands in GreenPose's float files, or as nncf quantises it."""
    operators = importlib.import_module("openvino.opset13")
    images = inputs = operators.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    weights: Any = operators.constant(_weights(np.float32, 1))
    if in_int8:
        inputs = operators.fake_quantize(images, *(np.float32(each) for each in (0, GREATEST) * 2), GREATEST + 1)
        weights = operators.convert(operators.constant(_weights(np.int8, HEAVIEST)), "f32")
        weights = operators.multiply(weights, np.ones((CHANNELS, 1, 1, 1), np.float32))
    return openvino.Model([operators.convolution(inputs, weights, [1, 1], [0, 0], [0, 0], [1, 1])], [images])


def _onnxruntime() -> tuple[str, bool]:
    onnxruntime = importlib.import_module("onnxruntime")
    onnxruntime.disable_telemetry_events()

    def run(model: bytes, images: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(model, onnx_options(onnxruntime, 1), providers=["CPUExecutionProvider"])
        sums: np.ndarray = session.run(None, {"images": images})[0]
        return sums

    fine = run(_onnx_model("Conv", FLOAT, FLOAT, _weights(np.float32, 1)), _images(FINE))
    great = _images(GREATEST).astype(np.uint8)
    sums = run(_onnx_model("ConvInteger", UINT8, INT32, _weights(np.int8, HEAVIEST)), great)
    says = f"{onnxruntime.__version__}: fp32 files in {_shown(fine)}, int8 files in int8; it has no bf16 convolutions"
    return says, _is(sums, SUM)


def _onnx_model(kind: str, takes: int, gives: int, weights: np.ndarray) -> bytes:
    """Return an ONNX file of one convolution, written without the package onnx, which `predict` does without."""
    node = _message((1, b"images"), (1, b"weights"), (2, b"sums"), (4, kind.encode()))
    shape = [(1, size) for size in weights.shape]
    number = FLOAT if weights.dtype == np.float32 else INT8
    kept = _message(*shape, (2, number), (8, b"weights"), (9, weights.tobytes()))
    graph = _message((1, node), (2, b"graph"), (5, kept), (11, _value(b"images", takes)), (12, _value(b"sums", gives)))
    return _message((1, 8), (8, _message((2, 13))), (7, graph))


def _value(name: bytes, kind: int) -> bytes:
    sizes = _message(*((1, _message((1, size))) for size in (1, CHANNELS, SIDE, SIDE)))
    return _message((1, name), (2, _message((1, _message((1, kind), (2, sizes))))))


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """Return numbered fields as a protocol buffer has them. Source: https://protobuf.dev/programming-guides/encoding/."""
    return b"".join(
        _varint(number << 3) + _varint(value)
        if isinstance(value, int)
        else _varint(number << 3 | 2) + _varint(len(value)) + value
        for number, value in fields
    )


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def _torch() -> tuple[str, bool]:
    import torch

    with torch.inference_mode():
        fine = torch.nn.functional.conv2d(torch.from_numpy(_images(FINE)), torch.from_numpy(_weights(np.float32, 1)))
    by = "oneDNN" if torch.backends.mkldnn.is_available() else "its own code"  # type: ignore[no-untyped-call]  # torch's stubs
    half = "by the CPU's units" if has_bf16_units() else "emulated"
    kernels = torch.backends.cpu.get_cpu_capability()
    says = f"fp32 in {_shown(fine.numpy())}, bf16 {half}; convolutions by {by}, kernels for {kernels}"
    return f"{torch.__version__}: {says}", True


def _images(value: float) -> np.ndarray:
    return np.full((1, CHANNELS, SIDE, SIDE), value, np.float32)


def _weights(kind: type[np.generic], value: int) -> np.ndarray:
    return np.full((CHANNELS, CHANNELS, 1, 1), value, kind)


def _is(sums: np.ndarray, right: float) -> bool:
    return bool((sums == right).all())


def _shown(sums: np.ndarray) -> str:
    return "float32" if _is(sums, FINE * CHANNELS) else "less than float32"


PROBES: Mapping[str, Callable[[], tuple[str, bool]]] = MappingProxyType(
    {"openvino": _openvino, "onnxruntime": _onnxruntime, "torch": _torch}
)
"""Each runtime, and what says in which arithmetic it computes, and whether its sums of int8 are exact."""
