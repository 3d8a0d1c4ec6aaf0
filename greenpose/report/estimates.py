"""Numbers as the page shows them: in display units, with both intervals; means over runs, ratios."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from greenpose.formatting import Text, number
from greenpose.record import Basis, Kind, Quantity
from greenpose.units import KINDS

ROUNDING = 1e-9
"""Runs that differ by less than this fraction are equal: sums of floating-point numbers, in another order."""
NO_SHARE_OF_ZERO = "nothing is a share of zero"
NOT_RECORDED = "not recorded"
FINAL_ITSELF, PAPER_ITSELF = "it is the final exit itself", "it is the paper’s recipe itself"
"""Why there can be no number that holds an exit or a recipe against another one."""
DISTURBED = "†"
"""Stands behind every number that was metered while others took much of the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One number in its display unit: how sure it is and how it was obtained."""

    value: float | None
    """The number; None where it was not obtained."""
    low: float | None = None
    """Lower end of the 95 % interval from repetition; None where nothing was repeated."""
    high: float | None = None
    """Upper end of the same."""
    systematic: tuple[float, float] | None = None
    """Interval of systematic error as factors of the value, e.g. (0.5, 2)."""
    kind: Kind = "not_covered"
    """How it was obtained."""
    method: str = ""
    """One sentence: source or estimator."""
    missing: str = ""
    """Why there is no number."""
    disturbed: bool = False
    """Whether it was metered while others took much of the CPU; wherever it is printed, it carries the mark of that."""

    def text(self, *, digits: int = 3, most_decimals: int | None = None) -> Text:
        """Return value and interval in words; the value must exist."""
        assert self.value is not None
        text = number(self.value, self.low, self.high, digits=digits, most_decimals=most_decimals)
        return replace(text, value=text.value + DISTURBED) if self.disturbed else text

    def times(self, factor: float) -> "Estimate":
        """Return the same number in a unit that is so many times smaller; a missing one stays missing."""
        value, low, high = (None if each is None else factor * each for each in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)


def estimate(quantity: Quantity, scale: float = 1.0) -> Estimate:
    """Return a record's number times `scale`, the factor from the record's unit to the page's."""
    return estimate_of(quantity.value, quantity.basis, scale)


def estimate_of(value: float | None, basis: Basis | None, scale: float = 1.0, *, disturbed: bool = False) -> Estimate:
    """Return the same of a number and its basis; a number that the record says nothing about is `not_covered`."""
    if basis is None:
        return Estimate(
            value=None if value is None else value * scale,
            missing="" if value is not None else NOT_RECORDED,
            disturbed=disturbed,
        )
    if value is None:
        return Estimate(value=None, method=basis.method, missing=basis.missing or "the record does not say why")
    a, b = basis.type_a, basis.type_b
    return Estimate(
        value=value * scale,
        low=a.low * scale if a else None,
        high=a.high * scale if a else None,
        systematic=(b.low / value, b.high / value) if b and value else None,
        kind=basis.kind,
        method=basis.method,
        disturbed=disturbed,
    )


def over_runs(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean over repeated runs.

    The interval is Student's t for three runs or more, the range for two, and the run's own for one. It tells how runs
    differ, not how far the test images or the systematic error could move all of them together. Runs without the
    number are left out; where none has it, the first reason stands for all.
    """
    from greenpose.metering.statistics import t_interval

    have = [each for each in estimates if each.value is not None]
    if len(have) <= 1:
        return have[0] if have else estimates[0]
    values = [each.value for each in have if each.value is not None]
    if max(values) - min(values) <= ROUNDING * abs(max(values, key=abs)):
        values = values[:1]
    low, high = t_interval(values) if len(values) > 2 else (min(values), max(values))
    return Estimate(
        value=statistics.fmean(values),
        low=low if high > low else None,
        high=high if high > low else None,
        systematic=_mean_factors(have),
        kind=worst([each.kind for each in have]),
        method=have[0].method,
        disturbed=any(each.disturbed for each in have),
    )


def ratio(part: Estimate, whole: Estimate) -> Estimate:
    """Return part / whole; relative intervals add in quadrature, systematic errors cancel (one machine, one method)."""
    if part.value is None or not whole.value:
        return Estimate(value=None, missing=part.missing or whole.missing or NO_SHARE_OF_ZERO)
    value = part.value / whole.value
    spread = math.hypot(_relative_half(part), _relative_half(whole))
    return Estimate(
        value=value,
        low=value * (1 - spread) if spread and value else None,
        high=value * (1 + spread) if spread and value else None,
        kind=worst([part.kind, whole.kind]),
        method="ratio of two numbers of one machine",
        disturbed=part.disturbed or whole.disturbed,
    )


def worst(kinds: Sequence[Kind]) -> Kind:
    """Return the least trustworthy of the given kinds."""
    return max(kinds, key=KINDS.index)


def _mean_factors(estimates: Sequence[Estimate]) -> tuple[float, float] | None:
    factors = [each.systematic for each in estimates if each.systematic]
    if not factors:
        return None
    return statistics.fmean(low for low, _ in factors), statistics.fmean(high for _, high in factors)


def _relative_half(each: Estimate) -> float:
    if each.low is None or each.high is None or not each.value:
        return 0.0
    return (each.high - each.low) / 2 / abs(each.value)
