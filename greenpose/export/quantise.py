"""int8: convolutions quantised after training, per channel, from the ranges that training crops show.

Source: Jacob et al. (2018), https://arxiv.org/abs/1712.05877; done by onnxruntime.quantization and by nncf.
"""

import importlib
import io
from collections import defaultdict
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from greenpose.artefact.card import CalibratedOn
from greenpose.artefact.runtime import load_openvino
from greenpose.data import Samples
from greenpose.data.crops import normalised
from greenpose.export.formats import INPUT, quietly

IMAGES = 128
"""Calibration crops where nobody asks for another number."""
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


def sensitive_layers(onnx: bytes) -> list[str]:
    """Return the layers to keep in float where int8 costs too much: the stem's two convolutions and the head.

    What comes first sees images, whose range is wide; the head makes the heatmaps, of which the highest pixel counts.
    """
    names = [node.input[1].removesuffix(".weight") for node in _convolutions(onnx)]
    return [*names[:2], names[-1]]


def quantised_onnx(onnx: bytes, crops: Crops, kept: Sequence[str], folder: Path) -> bytes:
    """Return an ONNX model whose convolutions, but for those of layers that are `kept`, compute in int8.

    Activations are unsigned: with signed ones onnxruntime's convolutions take four times as long on x86.
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
            nodes_to_exclude=[node.name for node in _convolutions(prepared.read_bytes(), kept)],
        )
    content = after.read_bytes()
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

    Not by nncf's defaults: on a trained quick run they left 88 % of peaks at their pixel, and these settings 94 %.
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
            ignored_scope=nncf.IgnoredScope(names=_openvino_names(model, kept), validate=False),
        )


def calibrated_on(format_: str, crops: Crops, patients: int, kept: Sequence[str]) -> CalibratedOn:
    """Return what an int8 file's card says of its making."""
    package, how = {
        "onnx": ("onnxruntime", "quantize_static, QDQ, lowest to highest value"),
        "openvino": ("nncf", "quantize, preset mixed, lowest to highest value, no bias correction"),
    }[format_]
    method = f"{package} {version(package)}: {how}; int8 weights per channel, uint8 activations"
    return CalibratedOn(images=len(crops), patients=patients, method=method, kept_in_float=list(kept))


def _convolutions(onnx: bytes, layers: Sequence[str] | None = None) -> list[Any]:
    """Return the convolutions of a model in order, or those of some layers: whose weights carry their names."""
    graph = importlib.import_module("onnx").load_from_string(onnx).graph
    found = [node for node in graph.node if node.op_type == "Conv"]
    wanted = None if layers is None else {f"{layer}.weight" for layer in layers}
    return [node for node in found if wanted is None or node.input[1] in wanted]


def _openvino_names(model: Any, layers: Sequence[str]) -> list[str]:
    wanted = {f"{layer}.weight" for layer in layers}
    return [
        operator.get_friendly_name()
        for operator in model.get_ops()
        if operator.get_type_name() == "Convolution"
        and operator.input_value(1).get_node().get_friendly_name() in wanted
    ]
