"""How sure an exit is of an image, from its heatmaps alone."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Confidence = Literal["peak", "entropy"]


def peak(heatmaps: Float[Tensor, "batch keypoint height width"]) -> Float[Tensor, " batch"]:
    """Return the mean of each image's heatmap maxima, none below 0; a perfect heatmap peaks at 1."""
    return heatmaps.flatten(2).amax(-1).clamp(min=0).mean(-1)


def entropy(heatmaps: Float[Tensor, "batch keypoint height width"]) -> Float[Tensor, " batch"]:
    """Return 1 less the mean entropy of each image's heatmaps over its largest value, the logarithm of the pixels.

    A heatmap without what is below zero, over its sum, is read as a distribution over pixels: 1 is a single pixel, 0 is
    all pixels alike, and also a map with nothing above zero.
    """
    mass = heatmaps.flatten(2).clamp(min=0)
    total = mass.sum(-1, keepdim=True)
    shares = torch.where(total > 0, mass / total, 1 / mass.shape[-1])
    spread = torch.special.entr(shares).sum(-1) / math.log(mass.shape[-1])
    sure: Tensor = (1 - spread).clamp(min=0).mean(-1)
    return sure


CONFIDENCES: Mapping[Confidence, Callable[[Tensor], Tensor]] = MappingProxyType({"peak": peak, "entropy": entropy})
"""By name; none is ever below 0, so that a threshold of 0 lets every image leave."""
