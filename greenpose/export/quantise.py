"""int8: convolutions quantised after training, per channel, from the ranges that training crops show.

Source: Jacob et al. (2018), https://arxiv.org/abs/1712.05877; done by onnxruntime.quantization and by nncf.
"""

import copy
import importlib
import io
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from greenpose.artefact.card import CalibratedOn
from greenpose.artefact.runtime import load_openvino
from greenpose.data import Samples
from greenpose.data.crops import normalised
from greenpose.export.formats import INPUT, quietly

IMAGES = 128
"""Calibration crops where nobody asks for another number."""
IN_FLOAT = (0.0, 0.04, 0.13)
"""Shares of the convolutions, those that cost most, that stay in float: none, and more where validation wants it."""
RANKED_ON, PROBES, TOGETHER = 32, 4, 4
"""Crops, and random directions in the heatmaps of each, that tell what rounding a layer costs; crops at a time."""
LEVELS, GREATEST = 255, 127
"""Steps of an unsigned activation's range, and the greatest signed weight."""
Crops = Float32[np.ndarray, "image 3 height width"]


def calibration_indices(subjects: Sequence[str], number: int) -> list[int]:
    """Return which training samples, of whose patients, to calibrate on: of each patient one, then each one's next.

    Patients differ more than the frames of one; where none are named, the crops lie evenly over the split.
    """
    number = min(number, len(subjects))
    if len(set(subjects)) <= 1:
        return [int(index) for index in np.linspace(0, len(subjects) - 1, number)]
    of_patient: dict[str, list[int]] = defaultdict(list)
    for index, subject in enumerate(subjects):
        of_patient[subject].append(index)
    turns = [(turn, index) for indices in of_patient.values() for turn, index in enumerate(indices)]
    return [index for _, index in sorted(turns, key=lambda each: each[0])][:number]


def calibration_crops(samples: Samples, number: int) -> tuple[Crops, int]:
    """Return the crops to calibrate on, normalised, and how many patients they show."""
    indices = calibration_indices(samples.subjects, number)
    patients = {samples.subjects[index] for index in indices} - {""}
    return normalised(samples.crops(indices)), len(patients)


def costliest_layers(net: nn.Module, crops: Crops) -> list[str]:
    """Return the convolutions of a network without norms, first the one whose rounding to int8 moves heatmaps most.

    To first order: what rounding its input and its weights adds to its output, times the gradient of the heatmaps in
    random directions, whose mean square is the square of what all heatmaps move by. One forward pass for all layers.

    Source: Hutchinson (1990), https://doi.org/10.1080/03610919008812866
    """
    layers = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    costs = dict.fromkeys(layers, 0.0)
    hooks = [layer.register_forward_hook(_costed(name, layer, costs)) for name, layer in layers.items()]
    generator = torch.Generator().manual_seed(0)
    some = crops[:: max(1, len(crops) // RANKED_ON)]
    with torch.enable_grad():
        for part in np.array_split(some, math.ceil(len(some) / TOGETHER)):
            images = torch.from_numpy(part).requires_grad_()
            heatmaps = net(images)
            for _ in range(PROBES):
                direction = torch.randn(heatmaps.shape, generator=generator)
                torch.autograd.grad(heatmaps, images, direction, retain_graph=True)
    for hook in hooks:
        hook.remove()
    return sorted(costs, key=costs.__getitem__, reverse=True)


def _costed(name: str, layer: nn.Conv2d, costs: dict[str, float]) -> Callable[..., None]:
    """Return a hook that adds to the costs, as often as a gradient comes by, what rounding a convolution does."""
    twin = copy.deepcopy(layer)
    twin.weight.data = _rounded_weights(twin.weight.data)

    def hook(_: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        with torch.no_grad():
            error = twin(_rounded(given[0])) - output

        def add(gradient: Tensor) -> None:
            costs[name] += float((gradient * error).flatten(1).sum(1).square().sum())

        output.register_hook(add)  # type: ignore[no-untyped-call]  # torch's stubs

    return hook


def _rounded(values: Tensor) -> Tensor:
    step = (values.max().clamp_min(0) - values.min().clamp_max(0)).clamp_min(1e-12) / LEVELS
    return (values / step).round() * step


def _rounded_weights(weights: Tensor) -> Tensor:
    step = weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / GREATEST
    return (weights / step).round() * step


def quantised_onnx(onnx: bytes, crops: Crops, kept: Sequence[str], folder: Path) -> bytes:
    """Return an ONNX model whose convolutions, but for those of layers that are `kept`, compute in int8.

    Activations are unsigned: with signed ones onnxruntime's convolutions take four times as long on x86. Rectifiers
    behind convolutions become part of them. What is added up is not quantised for that alone.
    """
    quantization = importlib.import_module("onnxruntime.quantization")
    shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
    before, prepared, after = (folder / f"{name}.onnx" for name in ("before", "prepared", "after"))
    before.write_bytes(onnx)

    with quietly(), redirect_stdout(io.StringIO()):
        shapes.quant_pre_process(before, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            after,
            _Reader(crops),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_exclude=_in_float(prepared.read_bytes(), kept),
        )
    content = _fed_in_float(after.read_bytes(), kept)
    for path in (before, prepared, after):
        path.unlink()
    return content


class _Reader:
    """Gives onnxruntime's quantiser the crops, one by one."""

    def __init__(self, crops: Crops) -> None:
        self._left = iter(crops)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input by name; None at the end."""
        image = next(self._left, None)
        return None if image is None else {INPUT: image[None]}


def quantised_openvino(model: Any, crops: Crops, kept: Sequence[str]) -> Any:
    """Return an OpenVINO model whose convolutions, but for those of layers that are `kept`, compute in int8.

    Not by nncf's defaults, which cost peaks (docs/deploy.md). Sums stay in float: quantised anew at each block, they
    cost more than all convolutions together.
    """
    load_openvino()
    nncf = importlib.import_module("nncf")
    ranges = importlib.import_module("nncf.quantization.range_estimator")
    with quietly(), redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in crops]),
            subset_size=len(crops),
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MINMAX,
                disable_bias_correction=True,
            ),
            ignored_scope=nncf.IgnoredScope(names=_openvino_names(model, kept), types=["Add"], validate=False),
        )


def calibrated_on(format_: str, crops: Crops, patients: int, kept: Sequence[str]) -> CalibratedOn:
    """Return what an int8 file's card says of its making."""
    package, how = {
        "onnx": (
            "onnxruntime",
            "quantize_static, QDQ, convolutions and their outputs, lowest to highest value, sums in float",
        ),
        "openvino": ("nncf", "quantize, preset mixed, lowest to highest value, no bias correction, sums in float"),
    }[format_]
    method = f"{package} {version(package)}: {how}; int8 weights per channel, uint8 activations"
    return CalibratedOn(images=len(crops), patients=patients, method=method, kept_in_float=list(kept))


def _in_float(onnx: bytes, kept: Sequence[str]) -> list[str]:
    """Return the names of nodes to leave alone: kept layers, and rectifiers behind what is not quantised."""
    graph = importlib.import_module("onnx").load_from_string(onnx).graph
    layers = [node.name for node in graph.node if _is_kept(node, kept)]
    quantised = {node.output[0] for node in graph.node if node.op_type == "Conv" and node.name not in layers}
    return layers + [n.name for n in graph.node if n.op_type == "Relu" and n.input[0] not in quantised]


def _fed_in_float(onnx: bytes, kept: Sequence[str]) -> bytes:
    """Return a quantised model in which sums and kept layers take what others take in int8 as it was before.

    That exists unless a quantised layer puts it out. What a block adds its own output to would be rounded anew in each
    block otherwise, and kept layers between two quantised nodes onnxruntime would make int8 after all.
    """
    model = importlib.import_module("onnx").load_from_string(onnx)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"} or (
            node.op_type == "Conv" and not _is_kept(node, kept)
        ):
            continue
        for place, name in enumerate(node.input):
            rounded = makers.get(name)
            if rounded is None or rounded.op_type != "DequantizeLinear" or rounded.input[0] not in makers:
                continue
            source = makers[rounded.input[0]].input[0]
            maker = makers.get(source)
            behind = makers.get(maker.input[0]) if maker is not None and maker.op_type == "Relu" else maker
            if behind is None or behind.op_type != "Conv" or _is_kept(behind, kept):
                node.input[place] = source
    return bytes(model.SerializeToString())


def _is_kept(node: Any, kept: Sequence[str]) -> bool:
    """Return whether a node is the convolution of a layer that is kept: its weights carry the layer's name."""
    return node.op_type == "Conv" and node.input[1] in {f"{layer}.weight" for layer in kept}


def _openvino_names(model: Any, layers: Sequence[str]) -> list[str]:
    wanted = {f"{layer}.weight" for layer in layers}
    return [
        operator.get_friendly_name()
        for operator in model.get_ops()
        if operator.get_type_name() == "Convolution"
        and operator.input_value(1).get_node().get_friendly_name() in wanted
    ]
