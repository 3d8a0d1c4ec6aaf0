"""What an image costs by the way that it takes: to an exit, past the heads of the exits that were asked before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from greenpose.counting import census
from greenpose.counting.counts import num_tiles
from greenpose.model import SIZE_MULTIPLE, STRIDE, SubNetwork
from greenpose.policy.cascade import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
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

    def of_each(self, left: Int[np.ndarray, " sample"], thresholds: Thresholds) -> Float[np.ndarray, " sample"]:
        """Return what each image costs."""
        costs = {exit_: self.macs(exit_, thresholds) for exit_ in self.alone}
        return np.array([costs[int(exit_)] for exit_ in left], dtype=np.float64)


def ways_of(subs: Mapping[int, SubNetwork], input_size: tuple[int, int]) -> Ways:
    """Return what images of (width, height) cost, counted on the exits' own networks."""
    width, height = input_size
    tiles = num_tiles(input_size)
    shape = next(iter(subs.values())).architecture
    return Ways(
        alone={exit_: census(sub, _smallest(sub)).conv_macs * tiles for exit_, sub in sorted(subs.items())},
        head=shape.width * shape.num_joints * (width // STRIDE) * (height // STRIDE),
    )


def _smallest(sub: SubNetwork) -> torch.Tensor:
    return torch.zeros(1, 3, SIZE_MULTIPLE, SIZE_MULTIPLE, device=next(sub.parameters()).device)
