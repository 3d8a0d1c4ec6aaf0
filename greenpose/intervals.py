"""Intervals from repetition (GUM Type A): of medians and of percentiles, and Student's t."""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

CONFIDENCE = 0.95
FEWEST = 6
"""Fewer values than this bracket their law's median less often than `CONFIDENCE`, even by their extremes."""
MOST_LIKENESS = 0.8
"""Correlation of neighbours beyond which short series tell nothing more: intervals are widened threefold at most."""


class Bounds(NamedTuple):
    """An interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""


def interval(values: Sequence[float]) -> Bounds | None:
    """Return the 95 % interval of the median of the law that the values, in order of time, come from.

    From six values it lies between two of them and assumes no law, but is wider where neighbours resemble one another.
    Two to five use Student's t on logarithms; values that are zero or below, as net energies can be, have none, and t
    is used on them as they are. A single value has no interval. How often each holds the truth, for which laws and
    while one looks again and again, is what benchmarks/intervals.py counts.
    """
    if len(values) < 2:
        return None
    if len(values) >= FEWEST:
        return _widened(order_interval(values), statistics.median(values), widening(values))
    if min(values) > 0:
        low, high = t_interval([math.log(value) for value in values])
        return Bounds(math.exp(low), math.exp(high))
    return t_interval(values)


def relative_half_width(value: float, bounds: Bounds | None) -> float:
    """Return half an interval's width over the value; 0 for an interval without width, infinite without interval."""
    if bounds is None:
        return math.inf
    half = (bounds.high - bounds.low) / 2
    if half == 0:
        return 0.0
    return half / abs(value) if value else math.inf


def order_interval(values: Sequence[float]) -> Bounds:
    """Return the interval of the median between two of six or more values, interpolated to 95 %.

    It assumes independent values of one continuous law, whichever.

    Source: Hettmansperger & Sheather (1986), Statistics & Probability Letters 4(2), 75-79.
    """
    depth, part = _depth(len(values))
    ranked = sorted(values)
    outer_low, inner_low = ranked[depth - 1 : depth + 1]
    inner_high, outer_high = ranked[-depth - 1 : len(ranked) - depth + 1]
    return Bounds(outer_low + part * (inner_low - outer_low), outer_high - part * (outer_high - inner_high))


def widening(values: Sequence[float]) -> float:
    """Return the factor, 1 to 3, by which an interval grows where neighbours in time resemble one another.

    n values with correlation r between neighbours are worth n (1 - r) / (1 + r) independent ones. r is that of the
    ranks, so that no outlier hides it, and is corrected for the bias -(1 + 3 r) / n that it has in short series. Blocks
    are alike where a machine's speed drifts, as it does beside neighbours, and two runs then differ by more than the
    blocks of either.

    Source: Bayley & Hammersley (1946), Supplement to the JRSS 8(2), 184-197; Kendall (1954), Biometrika 41, 403-404.
    """
    count, ranked = len(values), sorted(values)
    ranks = [bisect_left(ranked, value) + bisect_right(ranked, value) - count for value in values]
    squares = sum(rank * rank for rank in ranks)
    raw = sum(before * after for before, after in pairwise(ranks)) / squares if squares else 0.0
    likeness = min(MOST_LIKENESS, max(0.0, (count * raw + 1) / (count - 3)))
    return math.sqrt((1 + likeness) / (1 - likeness))


def t_interval(values: Sequence[float]) -> Bounds:
    """Return Student's 95 % interval of the mean."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(1 - (1 - CONFIDENCE) / 2, count - 1) * math.sqrt(variance / count)
    return Bounds(mean - half, mean + half)


@cache
def t_quantile(probability: float, degrees: int) -> float:
    """Return the value that Student's t stays below with `probability`."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _widened(bounds: Bounds, middle: float, factor: float) -> Bounds:
    return Bounds(middle - factor * (middle - bounds.low), middle + factor * (bounds.high - middle))


@cache
def _depth(count: int) -> tuple[int, float]:
    """Return which value from either end the interval begins at, and how far from there to the next one inside.

    The `depth`-th values from either end fail to bracket the median if fewer than `depth` of `count` tossed coins show
    heads, or tails.
    """
    depth, missed = 0, 0.0
    while (more := missed + 2 * math.comb(count, depth) / 2**count) <= 1 - CONFIDENCE:
        depth, missed = depth + 1, more
    surplus = (1 - CONFIDENCE - missed) / (more - missed)
    return depth, (count - depth) * surplus / (depth + (count - 2 * depth) * surplus)


PERCENTILE = 0.95
FEWEST_CALLS = 72
"""All of fewer calls lie below their law's 95th percentile more often than an end may be wrong: 0.95^71 > 0.025."""


def percentile(blocks: Sequence[Sequence[float]]) -> tuple[float, Bounds | None]:
    """Return the 95th percentile over the calls of all blocks, with its 95 % interval; None where calls are too few.

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
        return value, None
    low, high = (calls[rank - 1] for rank in ranks)
    middle = statistics.median(medians)
    slower = value / middle if middle else 1.0
    down = math.hypot(value - low, slower * (middle - level.low))
    up = math.hypot(high - value, slower * (level.high - middle))
    return value, Bounds(value - down, value + up)


def _ranks(count: int) -> tuple[int, int] | None:
    """Return which of so many independent calls, from 1 for the quickest, are the interval's ends; None for too few.

    How many of them lie above the percentile is binomial: each end leaves out what happens less often than 2.5 %.
    """
    if count < FEWEST_CALLS:
        return None
    from scipy.special import bdtr

    rarely = (1 - CONFIDENCE) / 2
    below = bdtr(range(count + 1), count, 1 - PERCENTILE)
    fewest, most = int((below <= rarely).sum()), int((below < 1 - rarely).sum()) + 1
    return count - most + 1, count - fewest + 1
