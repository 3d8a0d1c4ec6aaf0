"""Decoding inside a model: places and confidences come out of it, not heatmaps, so that nobody can decode wrongly."""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from greenpose.artefact.card import STRIDE
from greenpose.export.formats import OUTPUT, onnx_model, openvino_model

KEYPOINTS = "keypoints"
"""Name of the output: for each keypoint x and y in pixels of the crop, and its confidence."""


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
