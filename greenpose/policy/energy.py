"""Joules of every way through the network, of every exit alone and of the policy itself, in the same blocks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from greenpose.config import MeasureConfig
from greenpose.metering import Bounds, Estimate, ExitMeasurement, Meter, Plan, measure_exits
from greenpose.policy.cascade import EVER, NEVER, Cascade, Thresholds
from greenpose.policy.confidence import Confidence
from greenpose.policy.shared import Shared

Runner = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """What an image costs; ratios are to the deepest exit's own network."""

    alone: Mapping[int, ExitMeasurement]
    """In each exit's minimal sub-network."""
    on_way: Mapping[int, ExitMeasurement]
    """Asked at every exit up to this one, where it leaves."""
    policy: ExitMeasurement
    """Under the chosen thresholds: wherever each image leaves."""

    def of_point(self, left: Mapping[int, float], thresholds: Thresholds) -> Estimate | None:
        """Return the mean of the ways, weighted by the part of the images that takes each; None where one is unknown.

        Asking takes the same at every exit: of what a way with all of them takes more than the exit alone, an image is
        charged for those that it is asked at. Ends of intervals are weighted too, as if all ways erred together.
        """
        parts: list[tuple[float, Estimate | None]] = []
        for exit_, part in left.items():
            asked = _asked_part(exit_, thresholds)
            parts += [(part * (1 - asked), self.alone[exit_].energy_j_per_item)]
            parts += [(part * asked, self.on_way[exit_].energy_j_per_item)]
        return mix([each for each in parts if each[0] > 0])


def mix(parts: Sequence[tuple[float, Estimate | None]]) -> Estimate | None:
    """Return the weighted sum of numbers whose errors move together; None where one of them is not known."""
    known = [(part, each) for part, each in parts if each is not None]
    if len(known) < len(parts) or not known:
        return None
    return Estimate(
        value=sum(part * each.value for part, each in known),
        blocks=min(each.blocks for _, each in known),
        type_a=_ends([(part, each.type_a) for part, each in known]),
        type_b=_ends([(part, each.type_b) for part, each in known]),
    )


def measure_ways(
    shared: Shared,
    batches: Sequence[Tensor],
    meter: Meter,
    *,
    thresholds: Thresholds,
    confidence: Confidence,
    plan: MeasureConfig,
    seed: int,
) -> Energies:
    """Return what an image of some batches costs, whichever way it takes; every block holds all of them once."""
    exits = shared.net.exits
    cascades = {exit_: Cascade(shared.net, _until(exits, exit_), confidence=confidence) for exit_ in exits}
    policy = Cascade(shared.net, thresholds, confidence=confidence)
    calls: list[Callable[[Tensor], object]] = [policy, *cascades.values(), *(shared.subs[exit_] for exit_ in exits)]
    runners = {number: _Runner(call, batches) for number, call in enumerate(calls, start=1)}
    with torch.inference_mode():
        found = measure_exits(
            runners,
            meter,
            items_per_call=sum(len(images) for images in batches),
            plan=Plan(
                min_window_seconds=plan.min_window_seconds,
                rel_ci=plan.rel_ci,
                max_blocks=plan.max_blocks,
                max_seconds=plan.max_seconds,
            ),
            seed=seed,
        )
    measured = list(found.values())
    return Energies(
        policy=measured[0],
        on_way=dict(zip(exits, measured[1 : 1 + len(exits)], strict=True)),
        alone=dict(zip(exits, measured[1 + len(exits) :], strict=True)),
    )


def _until(exits: Sequence[int], last: int) -> dict[int, float | None]:
    """Return thresholds that ask every image at every exit up to one, where all of them leave."""
    return {exit_: EVER if exit_ == last else NEVER if exit_ < last else None for exit_ in exits[:-1]}


def _asked_part(exit_: int, thresholds: Thresholds) -> float:
    """Return the part of the exits up to one, the deepest left out, at which images are asked."""
    before = [threshold for each, threshold in thresholds.items() if each <= exit_]
    return sum(1 for threshold in before if threshold) / len(before)


@dataclass(frozen=True, slots=True)
class _Runner:
    """One call: every batch once."""

    call: Callable[[Tensor], object]
    batches: Sequence[Tensor]

    def __call__(self) -> object:
        for images in self.batches:
            self.call(images)
        return None


def _ends(parts: Sequence[tuple[float, Bounds | None]]) -> Bounds | None:
    known = [(part, bounds) for part, bounds in parts if bounds is not None]
    if len(known) < len(parts):
        return None
    return Bounds(sum(part * each.low for part, each in known), sum(part * each.high for part, each in known))
