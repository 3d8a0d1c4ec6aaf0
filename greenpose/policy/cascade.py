"""The cascade at work: confidence, a batch through the network exit by exit, and who is sure enough leaves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from greenpose.config.experiment import STRIDE
from greenpose.counting import census
from greenpose.counting.counts import num_tiles
from greenpose.errors import ModelError
from greenpose.model import SIZE_MULTIPLE, IncrementalForward, PoseNetwork, SubNetwork

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
    confidences: Tensor = (1 - spread).clamp(min=0).mean(-1)
    return confidences


CONFIDENCES: Mapping[Confidence, Callable[[Tensor], Tensor]] = MappingProxyType({"peak": peak, "entropy": entropy})
"""By name; none is ever below 0, so that a threshold of 0 lets every image leave."""


Thresholds = Mapping[int, float | None]
"""Least confidence with which an image leaves, for every exit but the deepest; None: the exit is not even read, 0: all
images leave there without being asked."""
NEVER, EVER = 1e30, -1.0
"""Thresholds that are asked for and never reached, or always."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exited:
    """Where the images of a batch left, and what they left with."""

    exits: Int[Tensor, " batch"]
    """Exit of each image."""
    heatmaps: Float[Tensor, "batch keypoint height width"]
    """Its heatmaps there."""


class Cascade:
    """A network that computes of each image no more than its confidence asks for."""

    def __init__(self, net: PoseNetwork, thresholds: Thresholds, *, confidence: Confidence = "peak") -> None:
        """Keep the network, which should be in eval mode, and the thresholds."""
        *early, deepest = net.exits
        if sorted(thresholds) != early:
            raise ModelError([f"thresholds for exits {sorted(thresholds)}: this network needs them for exits {early}"])
        asked = {exit_: threshold for exit_ in early if (threshold := thresholds[exit_]) is not None}
        self._net, self._asked = net, {**asked, deepest: 0.0}
        self._confidence = CONFIDENCES[confidence]

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Exited:
        """Return where each image leaves; deeper stages are computed only for those that are still there."""
        forward = IncrementalForward(self._net, images)
        here = torch.arange(len(images), device=images.device)
        exits = torch.zeros_like(here)
        found: list[tuple[Tensor, Tensor]] = []
        for exit_, threshold in self._asked.items():
            heatmaps = forward.read(exit_)
            leaving = self._leaving(exit_, heatmaps, threshold)
            found.append((here[leaving], heatmaps[leaving]))
            exits[here[leaving]] = exit_
            staying = (~leaving).nonzero()[:, 0]
            if not len(staying):
                break
            if len(staying) < len(here):
                forward.keep(staying)
            here = here[staying]
        return Exited(exits=exits, heatmaps=_put_back(found))

    def _leaving(self, exit_: int, heatmaps: Tensor, threshold: float) -> Tensor:
        """Return which of the images here leave; where all do, nobody is asked."""
        if exit_ == self._net.depth or threshold == 0:
            return torch.ones(len(heatmaps), dtype=torch.bool, device=heatmaps.device)
        return self._confidence(heatmaps) >= threshold


def _put_back(found: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return heatmaps in the order of their images, from those of each exit with the numbers of theirs."""
    if len(found) == 1:
        return found[0][1]
    places, heatmaps = (torch.cat(parts) for parts in zip(*found, strict=True))
    return torch.empty_like(heatmaps).index_copy_(0, places, heatmaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCosts:
    """Multiply-accumulates of one image."""

    alone: Mapping[int, int]
    """Of each exit's minimal sub-network, shallow to deep."""
    head: int
    """Of one head; all are alike."""

    def macs(self, exit_: int, thresholds: Thresholds) -> int:
        """Return what an image costs that leaves at an exit: its minimal sub-network and every head on the way.

        Nothing else: what a stage hands on is computed only for who goes on, and is part of every deeper network.
        """
        passed = sum(1 for each, threshold in thresholds.items() if threshold is not None and each < exit_)
        return self.alone[exit_] + passed * self.head

    def of_each(self, exited: Int[np.ndarray, " sample"], thresholds: Thresholds) -> Float[np.ndarray, " sample"]:
        """Return what each image costs."""
        costs = {exit_: self.macs(exit_, thresholds) for exit_ in self.alone}
        return np.array([costs[int(exit_)] for exit_ in exited], dtype=np.float64)


def path_costs(subs: Mapping[int, SubNetwork], input_size: tuple[int, int]) -> PathCosts:
    """Return what images of (width, height) cost, counted on the exits' own networks."""
    width, height = input_size
    tiles = num_tiles(input_size)
    shape = next(iter(subs.values())).architecture
    return PathCosts(
        alone={exit_: census(sub, _smallest(sub)).conv_macs * tiles for exit_, sub in sorted(subs.items())},
        head=shape.width * shape.num_joints * (width // STRIDE) * (height // STRIDE),
    )


def _smallest(sub: SubNetwork) -> torch.Tensor:
    return torch.zeros(1, 3, SIZE_MULTIPLE, SIZE_MULTIPLE, device=next(sub.parameters()).device)
