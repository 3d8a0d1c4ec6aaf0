"""One number: its unit, how it was obtained, both of its intervals, and why it is missing where it is.

Every room passes numbers around as a `Quantity`, from the meter's estimate over the record to the cell of a table. What
is made of several is as good as the worst of them.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

from greenpose.formatting import Text, number
from greenpose.intervals import CONFIDENCE, Bounds, interval, percentile, relative_half_width, t_interval

Kind = Literal["measured", "estimated", "modelled", "sourced", "counted", "computed", "not_covered"]
"""How a number was obtained.

measured: a hardware counter or a clock; estimated: samples of one; modelled: coefficients times something measured;
sourced: taken from a published table; counted: exact by construction; computed: from evaluated predictions;
not_covered: not available here.
"""
KINDS: tuple[Kind, ...] = ("counted", "computed", "measured", "sourced", "estimated", "modelled", "not_covered")
"""Most trustworthy first. A published figure stands before an estimate and a model, whose marks a sum with it must not
lose."""
Grade = Literal["A", "B", "C"]
"""How far a whole energy can be trusted: every material component of it measured (A), mixed (B), or modelled (C)."""
MARKS: dict[Kind, tuple[str, str]] = {
    "modelled": ("≈", "modelled: coefficients times something measured"),
    "estimated": ("∼", "estimated: samples of a counter or clock"),
}
"""Symbol in front of a number that was not measured, counted or computed, and what it says."""
DISTURBED = "†"
"""Stands behind every number that was metered while others took much of the CPU."""
ROUNDING = 1e-9
"""Numbers that differ by less than this fraction are equal: sums of floating-point numbers, in another order."""
NO_SHARE_OF_ZERO = "nothing is a share of zero"


def worst(kinds: Iterable[Kind]) -> Kind:
    """Return the least trustworthy of the given kinds; `not_covered` for none."""
    return max(kinds, key=KINDS.index, default="not_covered")


def kind_mark(kind: Kind) -> str:
    """Return the symbol of a number of this kind; empty for measured, counted, computed and sourced ones."""
    return MARKS[kind][0] if kind in MARKS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number with everything that must be known before it is believed."""

    value: float | None
    """The number; None where it was not obtained."""
    unit: str = ""
    """Unit of the number and of both intervals."""
    kind: Kind = "not_covered"
    """How it was obtained."""
    method: str = ""
    """One sentence: source or estimator, and what the number covers."""
    type_a: Bounds | None = None
    """95 % interval from repetition (GUM Type A); None where nothing was repeated."""
    type_b: Bounds | None = None
    """Interval of systematic error (GUM Type B, k about 2); None where the number is exact or the error unknown."""
    repeats: int = 0
    """Blocks or runs that it is over; 0 where that is not said."""
    missing: str = ""
    """Why there is no number; empty where there is one."""
    disturbed: bool = False
    """Whether it was metered while others took much of the CPU; wherever it is printed, it carries the mark of that."""

    @property
    def known(self) -> float:
        """Return the number.

        Raises:
            ValueError: if there is none, with the reason.
        """
        if self.value is None:
            raise ValueError(f"there is no such number: {self.missing or 'nobody says why'}")
        return self.value

    @property
    def factors(self) -> tuple[float, float] | None:
        """Return the interval of systematic error as factors of the value, e.g. (0.5, 2); None without, or of zero."""
        return (self.type_b.low / self.value, self.type_b.high / self.value) if self.type_b and self.value else None

    @property
    def half_width(self) -> float:
        """Return half the Type A interval; 0 where nothing was repeated."""
        return (self.type_a.high - self.type_a.low) / 2 if self.type_a else 0.0

    @property
    def relative_half_width(self) -> float:
        """Return half the Type A interval over the value; infinite where nothing was repeated."""
        return relative_half_width(self.known, self.type_a)

    def text(self, *, digits: int = 3, most_decimals: int | None = None) -> Text:
        """Return value and Type A interval in words, none where nothing but rounding varied; the value must exist."""
        low, high = self.type_a or (None, None)
        if low is not None and high is not None and high - low <= ROUNDING * abs(high):
            low = high = None
        text = number(self.known, low, high, digits=digits, most_decimals=most_decimals)
        return replace(text, value=text.value + DISTURBED) if self.disturbed else text

    def __mul__(self, factor: float) -> "Quantity":
        """Return the number times one without uncertainty; what is missing stays missing."""
        return replace(
            self,
            value=None if self.value is None else self.value * factor,
            type_a=scaled(self.type_a, factor),
            type_b=scaled(self.type_b, factor),
        )

    def __add__(self, other: "Quantity") -> "Quantity":
        """Return the sum, interval ends added to ends: what moves one of the two moves the other too.

        An interval that one of them lacks is not known of the sum either; where a number is missing, so is the sum.
        """
        reasons = [each.missing for each in (self, other) if each.value is None]
        if self.value is None or other.value is None:
            return replace(self, value=None, kind="not_covered", type_a=None, type_b=None, missing="; ".join(reasons))
        return replace(
            self,
            value=self.value + other.value,
            kind=worst((self.kind, other.kind)),
            type_a=_ends((self.type_a, other.type_a)),
            type_b=_ends((self.type_b, other.type_b)),
            repeats=min(self.repeats, other.repeats),
            disturbed=self.disturbed or other.disturbed,
        )

    def widened(self, deviation: float) -> "Quantity":
        """Return the number with a Type A interval that holds for the next run too, not only for further blocks.

        `deviation` is the relative standard deviation between runs. The two half-widths are independent and join in
        quadrature, as factors where the interval is above zero.
        """
        if self.type_a is None or not deviation:
            return self
        value, (low, high) = self.known, self.type_a
        apart = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2) * deviation
        if low > 0:
            down, up = (math.exp(math.hypot(math.log(end / value), apart)) for end in (low, high))
            return replace(self, type_a=Bounds(value / down, value * up))
        down, up = (math.hypot(end - value, apart * value) for end in (low, high))
        return replace(self, type_a=Bounds(value - down, value + up))


def missing(reason: str, *, unit: str = "", method: str = "") -> Quantity:
    """Return a number that was not obtained, with the reason."""
    return Quantity(value=None, unit=unit, method=method, missing=reason)


def median(values: Sequence[float], *, type_b: Bounds | None = None) -> Quantity:
    """Return the median over blocks, given in the order in which they were measured, with its 95 % interval."""
    middle = float(statistics.median(values))
    return Quantity(value=middle, kind="measured", repeats=len(values), type_a=interval(values), type_b=type_b)


def high_percentile(blocks: Sequence[Sequence[float]]) -> Quantity:
    """Return the 95th percentile over the calls of all blocks, with its 95 % interval, none where calls are too few."""
    value, ends = percentile(blocks)
    return Quantity(value=value, kind="measured", repeats=len(blocks), type_a=ends)


def over_runs(runs: Sequence[Quantity]) -> Quantity:
    """Return the mean over repeated runs.

    The interval is Student's t for three runs or more, the range for two, and the run's own for one. It tells how runs
    differ, not how far the test images or the systematic error could move all of them together. Runs without the
    number are left out; where none has it, the first reason stands for all. The value of a quantity may be that of
    several runs, as an array; where there are many, its interval of systematic error is one, too.
    """
    have = [each for each in runs if each.value is not None]
    values = [value for each in have for value in _each(each.value)]
    if len(values) <= 1:
        return have[0] if have else runs[0]
    mean, factors = mean_of(values), [ends for each in have for ends in _factors(each)]
    wrong = Bounds(*(mean.known * statistics.fmean(ends) for ends in zip(*factors, strict=True))) if factors else None
    return replace(
        mean,
        unit=have[0].unit,
        kind=worst({each.kind for each in have}),
        method=have[0].method,
        type_b=wrong,
        disturbed=any(disturbed for each in have for disturbed in _each(each.disturbed)),
    )


def mean_of(values: Sequence[float], *, kind: Kind = "computed") -> Quantity:
    """Return the mean over repeated runs of bare numbers of a kind, with the same interval."""
    if len(values) == 1:
        return Quantity(value=values[0], kind=kind)
    low, high = min(values), max(values)
    some = values[:1] if high - low <= ROUNDING * max(abs(low), abs(high)) else values
    low, high = t_interval(some) if len(some) > 2 else (min(some), max(some))
    ends = Bounds(low, high) if high > low else None
    return Quantity(value=statistics.fmean(some), kind=kind, type_a=ends, repeats=len(values))


def amount(each: Quantity, most: float = math.inf) -> Quantity:
    """Return a number that cannot be negative, nor above `most`: its Type A interval ends there."""
    if each.type_a is None or (each.type_a.low >= 0 and each.type_a.high <= most):
        return each
    return replace(each, type_a=Bounds(max(0.0, each.type_a.low), min(most, each.type_a.high)))


def _each(value: Any) -> list[Any]:
    """Return the values of several runs, or the one of one."""
    return value.tolist() if hasattr(value, "tolist") else [value]


def _factors(each: Quantity) -> list[tuple[float, float]]:
    """Return the interval of systematic error as factors, of every run that has one."""
    if each.type_b is None:
        return []
    values = _each(each.value)
    lows, highs = (_each(end) if hasattr(end, "tolist") else [end] * len(values) for end in each.type_b)
    return [(low / value, high / value) for value, low, high in zip(values, lows, highs, strict=True) if value]


def ratio(part: Quantity, whole: Quantity) -> Quantity:
    """Return part / whole; relative intervals add in quadrature, systematic errors cancel (one machine, one method)."""
    if part.value is None or not whole.value:
        return missing(part.missing or whole.missing or NO_SHARE_OF_ZERO)
    value = part.value / whole.value
    spread = math.hypot(*(each.relative_half_width if each.type_a and each.value else 0.0 for each in (part, whole)))
    return Quantity(
        value=value,
        unit="fraction",
        kind=worst((part.kind, whole.kind)),
        method="ratio of two numbers of one machine",
        type_a=Bounds(value * (1 - spread), value * (1 + spread)) if spread and value else None,
        disturbed=part.disturbed or whole.disturbed,
    )


def scaled(bounds: Bounds | None, factor: float) -> Bounds | None:
    """Return an interval in a unit that is so many times smaller; None stays None."""
    return None if bounds is None else Bounds(bounds.low * factor, bounds.high * factor)


def _ends(intervals: Sequence[Bounds | None]) -> Bounds | None:
    """Return the sums of the ends; None where one of the intervals is not known."""
    known = [each for each in intervals if each is not None]
    return Bounds(*map(sum, zip(*known, strict=True))) if len(known) == len(intervals) else None
