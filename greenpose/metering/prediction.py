"""What a training will have cost in all, from the epochs that are done."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from greenpose.metering.statistics import CONFIDENCE, t_quantile

FIRST_GUESS = 1.5
"""Factor either way of a forecast from a single epoch, which shows no spread: a default, epochs of one run seldom
differ by more on a machine that others use too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """An expected total with its 95 % prediction interval, in the unit of the costs that it was made from."""

    low: float
    """Lower end."""
    value: float
    """Expected total."""
    high: float
    """Upper end."""
    basis: str
    """What it was made from, in words."""


def predict_total(costs: Sequence[float], *, remaining: int, spent: float) -> Prediction:
    """Return what all will have cost when `remaining` epochs like those of `costs` have followed what is `spent`.

    The first epoch warms up and is left out once there is another. The interval is that of a sum of `remaining` new
    values when a mean of n is known: t x s x sqrt(m + m^2 / n), plus nothing for what is spent, which is a fact.

    Source: Student's prediction interval; Hahn & Meeker (1991), Statistical Intervals, section 4.4.
    """
    settled = list(costs[1:] or costs)
    mean, count = statistics.fmean(settled), len(settled)
    if remaining == 0:
        return Prediction(low=spent, value=spent, high=spent, basis="all epochs are done")
    if count < 2:
        rest = remaining * mean
        return Prediction(
            low=spent + rest / FIRST_GUESS,
            value=spent + rest,
            high=spent + rest * FIRST_GUESS,
            basis=f"one epoch, a factor of {FIRST_GUESS:g} either way",
        )
    spread = statistics.stdev(settled) * math.sqrt(remaining + remaining**2 / count)
    half = t_quantile(1 - (1 - CONFIDENCE) / 2, count - 1) * spread
    value = spent + remaining * mean
    return Prediction(
        low=max(spent, value - half), value=value, high=value + half, basis=f"{count} epochs, the first left out"
    )
