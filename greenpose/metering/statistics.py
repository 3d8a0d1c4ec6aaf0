"""Intervals from repetition (GUM Type A), for few and for many blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
ENOUGH_FOR_BOOTSTRAP = 8
"""Fewer blocks than this have too few distinct resamples; Student's t on logarithms is used for them."""


class Bounds(NamedTuple):
    """An interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number over repeated blocks with both kinds of uncertainty, all in one unit."""

    value: float
    """Median over the blocks."""
    blocks: int
    """Blocks that it is over."""
    type_a: Bounds | None
    """95 % interval from repetition; None for a single block."""
    type_b: Bounds | None = None
    """Interval of systematic error, k about 2; None where there is none or nobody knows it."""

    @property
    def relative_half_width(self) -> float:
        """Return half the Type A interval over the value; infinite for a single block."""
        return relative_half_width(self.value, self.type_a)


def estimate(values: Sequence[float], *, seed: int = 0, type_b: Bounds | None = None) -> Estimate:
    """Return the median over blocks with its 95 % interval."""
    middle = float(np.median(values))
    return Estimate(value=middle, blocks=len(values), type_a=interval(values, seed=seed), type_b=type_b)


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0) -> Bounds | None:
    """Return the interval of the median: percentile bootstrap from 8 values, else t on logarithms; None for one value.

    Values that are zero or below, as net energies can be, have no logarithm; t is then used on them as they are.
    """
    if len(values) < 2:
        return None
    if len(values) >= ENOUGH_FOR_BOOTSTRAP:
        return bootstrap_interval(values, confidence=confidence, seed=seed)
    if min(values) > 0:
        low, high = t_interval([math.log(value) for value in values], confidence=confidence)
        return Bounds(math.exp(low), math.exp(high))
    return t_interval(values, confidence=confidence)


def relative_half_width(value: float, bounds: Bounds | None) -> float:
    """Return half an interval's width over the value; 0 for an interval without width, infinite without interval."""
    if bounds is None:
        return math.inf
    half = (bounds.high - bounds.low) / 2
    if half == 0:
        return 0.0
    return half / abs(value) if value else math.inf


def bootstrap_interval(values: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0) -> Bounds:
    """Return the percentile bootstrap interval of the median.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    sample = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(sample), size=(RESAMPLES, len(sample)))
    medians = np.median(sample[picks], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Bounds(float(low), float(high))


def t_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Bounds:
    """Return Student's interval of the mean."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(1 - (1 - confidence) / 2, count - 1) * math.sqrt(variance / count)
    return Bounds(mean - half, mean + half)


def t_quantile(probability: float, degrees: int) -> float:
    """Return the value that Student's t stays below with `probability`, which lies above one half and below 1.

    Found by bisection to 1e-12 of its size.
    """
    high = 1.0
    while t_probability(high, degrees) < probability:
        high *= 2
    low = 0.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if t_probability(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def t_probability(value: float, degrees: int) -> float:
    """Return the probability that Student's t with whole degrees of freedom stays below `value`.

    Source: Abramowitz & Stegun (1964), 26.7.3 and 26.7.4, finite sums.
    """
    angle = math.atan(value / math.sqrt(degrees))
    cosine = math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    inside = term if degrees > 1 else 0.0
    for power in range(3 if degrees % 2 else 2, degrees, 2):
        term *= (power - 1) / power * cosine**2
        inside += term
    inside *= math.sin(angle)
    both_tails = 2 / math.pi * (angle + inside) if degrees % 2 else inside
    return 0.5 + both_tails / 2
