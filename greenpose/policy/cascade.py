"""The cascade at work: confidence, a batch through the network exit by exit, and who is sure enough leaves."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from greenpose.errors import ModelError
from greenpose.model import Passage, PoseNetwork
from greenpose.policy.confidence import CONFIDENCES, Confidence

Thresholds = Mapping[int, float | None]
"""Least confidence with which an image leaves, for every exit but the deepest; None: the exit is not even read, 0: all
images leave there without being asked."""
NEVER, EVER = 1e30, -1.0
"""Thresholds that are asked for and never reached, or always."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Left:
    """Where the images of a batch left, and what they left with."""

    exits: Int[Tensor, " batch"]
    """Exit of each image."""
    heatmaps: Float[Tensor, "batch keypoint height width"]
    """Its heatmaps there."""


class Cascade:
    """A network that computes of each image no more than its confidence asks for."""

    def __init__(self, net: PoseNetwork, thresholds: Thresholds, *, confidence: Confidence = "peak") -> None:
        """Keep the network, which should be in eval mode, and the thresholds.

        Raises:
            ModelError: an exit has no threshold, or a threshold no exit.
        """
        *early, deepest = net.exits
        if sorted(thresholds) != early:
            raise ModelError([f"thresholds for exits {sorted(thresholds)}: this network needs them for exits {early}"])
        asked = {exit_: threshold for exit_ in early if (threshold := thresholds[exit_]) is not None}
        self._net, self._asked = net, {**asked, deepest: 0.0}
        self._confidence = CONFIDENCES[confidence]

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Left:
        """Return where each image leaves; deeper stages are computed only for those that are still there."""
        passage = Passage(self._net, images)
        here = torch.arange(len(images), device=images.device)
        exits = torch.zeros_like(here)
        found: list[tuple[Tensor, Tensor]] = []
        for exit_, threshold in self._asked.items():
            heatmaps = passage.read(exit_)
            leaving = self._leaving(exit_, heatmaps, threshold)
            found.append((here[leaving], heatmaps[leaving]))
            exits[here[leaving]] = exit_
            staying = (~leaving).nonzero()[:, 0]
            if not len(staying):
                break
            if len(staying) < len(here):
                passage.keep(staying)
            here = here[staying]
        return Left(exits=exits, heatmaps=_put_back(found))

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
