"""What thresholds come to on a split: accuracy with intervals over patients, its loss, compute, who leaves where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from greenpose import accuracy
from greenpose.metering import Bounds
from greenpose.policy.cascade import Thresholds
from greenpose.policy.seen import Seen
from greenpose.policy.ways import Ways
from greenpose.training.evaluate import detections, oks

RESAMPLES = 1000
LEVEL = (0.025, 0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Some thresholds on a split."""

    left: Mapping[int, float]
    """Part of the images that leaves at each exit."""
    ap: float
    """AP."""
    ap_interval: Bounds | None
    """Its 95 % interval over patients; None where a single group leaves nothing to resample."""
    less_final: float
    """AP less that of the deepest exit for every image."""
    less_final_interval: Bounds | None
    """Its interval, both judged on the same resamples."""
    macs: float
    """Mean multiply-accumulates of an image."""
    macs_interval: Bounds | None
    """Its interval: other patients would leave elsewhere."""


def judge(seen: Seen, thresholds: Thresholds, ways: Ways) -> Judged:
    """Return what thresholds come to on a split."""
    left = seen.leave(thresholds)
    ours, finals = (detections(seen.samples, seen.at(each)) for each in (left, np.full_like(left, seen.exits[-1])))
    given = (seen.samples.ground_truth, seen.samples.profile.sigmas)
    ap, final = (accuracy.oks_ap(given[0], found, given[1])["ap"] for found in (ours, finals))
    groups = seen.group_of_image
    costs = ways.of_each(left, thresholds)
    interval = accuracy.oks_ap_interval(given[0], ours, given[1], groups=groups, resamples=RESAMPLES)
    lost = accuracy.oks_ap_difference_interval(given[0], finals, ours, given[1], groups=groups, resamples=RESAMPLES)
    return Judged(
        left=parts_of(left, seen.exits),
        ap=ap,
        ap_interval=_known(interval["ap"]),
        less_final=ap - final,
        less_final_interval=_known(lost["ap"]),
        macs=float(costs.mean()),
        macs_interval=mean_interval(costs, seen.groups),
    )


def exit_ap(seen: Seen, exit_: int) -> float:
    """Return the AP of a split whose images all leave at one exit."""
    return oks(seen.samples, seen.said[exit_])["ap"]


def exit_interval(seen: Seen, exit_: int) -> Bounds | None:
    """Return the interval of that AP over patients."""
    found = detections(seen.samples, seen.said[exit_])
    sigmas = seen.samples.profile.sigmas
    return _known(
        accuracy.oks_ap_interval(
            seen.samples.ground_truth, found, sigmas, groups=seen.group_of_image, resamples=RESAMPLES
        )["ap"]
    )


def parts_of(left: Int[np.ndarray, " sample"], exits: Sequence[int]) -> dict[int, float]:
    """Return the part of the images that leaves at each exit."""
    return {exit_: float(np.mean(left == exit_)) for exit_ in exits}


def mean_interval(values: Float[np.ndarray, " sample"], groups: Sequence[str]) -> Bounds | None:
    """Return the 95 % percentile bootstrap interval of a mean, whole groups drawn with replacement; None for one group.

    A mean without any spread is its own interval.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    if np.ptp(values) == 0:
        return Bounds(float(values[0]), float(values[0]))
    shares = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(0).multinomial(len(names), shares, size=RESAMPLES)
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), LEVEL)
    return Bounds(float(low), float(high))


def _known(ends: tuple[float, float]) -> Bounds | None:
    return None if np.isnan(ends[0]) else Bounds(*ends)
