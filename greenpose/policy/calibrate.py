"""Thresholds from the validation split: what every exit says of it, which no others beat, the cheapest."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from greenpose.errors import GreenPoseError
from greenpose.policy.cascade import Thresholds
from greenpose.policy.seen import Seen
from greenpose.policy.ways import Ways
from greenpose.training.evaluate import oks

GRADES = {1: 41, 2: 15, 3: 8}
"""Thresholds that are tried at an exit, by how many exits have one: all together are tried, at most some 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Some thresholds, and what they come to on the validation split."""

    thresholds: Thresholds
    """For every exit but the deepest."""
    ap: float
    """AP."""
    macs: float
    """Mean multiply-accumulates of an image."""


def calibrate(seen: Seen, ways: Ways) -> tuple[Setting, ...]:
    """Return the settings that no other beats, cheapest first: with each, AP rises.

    Every combination of thresholds at evenly spaced parts of the images is tried, so that among those the result is
    exact; settings under which every image leaves at the same exit as under another one are tried once.
    """
    tried: dict[bytes, Setting] = {}
    for thresholds in _combinations(seen):
        left = seen.leave(thresholds)
        if left.tobytes() not in tried:
            macs = float(ways.of_each(left, thresholds).mean())
            tried[left.tobytes()] = Setting(thresholds=thresholds, ap=oks(seen.samples, seen.at(left))["ap"], macs=macs)
    return _unbeaten(list(tried.values()))


def cheapest(settings: Sequence[Setting], wanted: float) -> int:
    """Return the place of the cheapest setting whose AP is `wanted` or more.

    Raises:
        GreenPoseError: none is.
    """
    for place, setting in enumerate(settings):
        if setting.ap >= wanted:
            return place
    most = max(setting.ap for setting in settings)
    raise GreenPoseError(
        f"an AP of {wanted:g} is out of reach: on the validation split the most is {most:.4f}, whichever exits images "
        f"leave at; ask for {np.floor(1000 * most) / 1000:g} or less"
    )


def _combinations(seen: Seen) -> Iterator[Thresholds]:
    """Yield every combination, those that read fewer exits first."""
    early = seen.exits[:-1]
    for values in itertools.product(*(_candidates(seen.sure[exit_], GRADES[len(early)]) for exit_ in early)):
        yield dict(zip(early, values, strict=True))


def _candidates(sure: np.ndarray, grades: int) -> list[float | None]:
    """Return thresholds from never to always: such that evenly spaced parts of the images are sure enough."""
    ranked = np.sort(sure)[::-1]
    counts = np.unique(np.round(np.linspace(0, len(ranked), grades)).astype(int))[1:-1]
    return [None, *dict.fromkeys(float(ranked[count - 1]) for count in counts), 0.0]


def _unbeaten(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    kept: list[Setting] = []
    for setting in sorted(settings, key=lambda each: (each.macs, -each.ap)):
        if not kept or setting.ap > kept[-1].ap:
            kept.append(setting)
    return tuple(kept)
