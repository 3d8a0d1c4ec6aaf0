"""The 95th percentile of calls and how well it is known, from blocks whose calls resemble one another."""

import math
import statistics
from collections.abc import Sequence

from greenpose.metering.statistics import CONFIDENCE, Bounds, Estimate, interval

PERCENTILE = 0.95
FEWEST_CALLS = 72
"""All of fewer calls lie below their law's 95th percentile more often than an end may be wrong: 0.95^71 > 0.025."""


def percentile(blocks: Sequence[Sequence[float]]) -> Estimate:
    """Return the 95th percentile over the calls of all blocks, with its 95 % interval; none where calls are too few.

    The ends are calls, between which the percentile of independent ones lies by the binomial law, whatever their own
    law. Calls of a block are alike where a machine is slower in one block than in another: how well the level of the
    machine is known, by the medians of the blocks, joins the ends in quadrature.

    Source: Hahn & Meeker (1991), Statistical Intervals, chapter 5, for the ends.
    """
    calls = sorted(call for block in blocks for call in block)
    value = calls[math.ceil(PERCENTILE * len(calls)) - 1]
    medians = [statistics.median(block) for block in blocks]
    ranks, level = _ranks(len(calls)), interval(medians)
    if ranks is None or level is None:
        return Estimate(value=value, blocks=len(blocks), type_a=None)
    low, high = (calls[rank - 1] for rank in ranks)
    middle = statistics.median(medians)
    slower = value / middle if middle else 1.0
    down = math.hypot(value - low, slower * (middle - level.low))
    up = math.hypot(high - value, slower * (level.high - middle))
    return Estimate(value=value, blocks=len(blocks), type_a=Bounds(value - down, value + up))


def _ranks(count: int) -> tuple[int, int] | None:
    """Return which of so many independent calls, from 1 for the quickest, are the interval's ends; None for too few.

    How many of them lie above the percentile is binomial: each end leaves out what happens less often than 2.5 %.
    """
    if count < FEWEST_CALLS:
        return None
    rarely, above, fewest = (1 - CONFIDENCE) / 2, 0.0, 0
    while above + (more := _probability(fewest, count)) <= rarely:
        above, fewest = above + more, fewest + 1
    most = fewest
    while above < 1 - rarely:
        above, most = above + _probability(most, count), most + 1
    return count - most + 1, count - fewest + 1


def _probability(above: int, count: int) -> float:
    """Return the probability that so many of `count` calls lie above the percentile."""
    ways = math.lgamma(count + 1) - math.lgamma(above + 1) - math.lgamma(count - above + 1)
    return math.exp(ways + above * math.log(1 - PERCENTILE) + (count - above) * math.log(PERCENTILE))
