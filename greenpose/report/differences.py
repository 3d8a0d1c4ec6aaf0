"""The difference of two numbers: in points or as a percentage of the first, with its interval and what it shows."""

import math
from dataclasses import dataclass
from typing import Literal

from greenpose.formatting import MINUS, NBSP
from greenpose.report.estimates import Estimate, overlap, ratio, worst
from greenpose.report.figures import PERCENT, mark
from greenpose.report.layout import Cell, missing_cell

Verdict = Literal["same", "alike", "differs", "bare", ""]
"""same: equal to the last digit; alike: intervals overlap; differs: they do not; bare: no intervals; empty: missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second less first."""

    change: Estimate
    """The difference with its interval; missing where one of the two is."""
    verdict: Verdict
    """What it shows."""

    @property
    def value(self) -> float | None:
        """Return the difference; None where it is not known."""
        return self.change.value

    @property
    def cell(self) -> Cell:
        """Return it as a cell: the difference with its sign, or in words that there is none to be seen."""
        if self.change.value is None:
            return missing_cell(self.change.missing)
        if self.verdict == "same":
            return Cell(value="same")
        text = self.change.text(digits=2)
        signed = f"{mark(self.change.kind)}{'' if text.value.startswith(MINUS) else '+'}{text.value}"
        if self.verdict == "alike":
            return Cell(value="not distinguishable", interval=f"{signed}{NBSP}{text.interval}".strip(NBSP))
        if self.verdict == "bare":
            return Cell(value=signed, interval="no interval")
        return Cell(value=signed, interval=text.interval)


def difference(first: Estimate, second: Estimate, *, points: bool = False) -> Difference:
    """Return second less first: in their own unit where `points`, else as a percentage of the first.

    The two are taken as independent: their intervals add in quadrature. Systematic errors are not in it; whoever asks
    has made sure that both sides share them.
    """
    for side, each in (("first", first), ("second", second)):
        if each.value is None:
            return Difference(change=Estimate(value=None, missing=f"on the {side} side: {each.missing}"), verdict="")
    change = _less(first, second) if points else _relative(first, second)
    if change.value is None:
        return Difference(change=change, verdict="")
    return Difference(change=change, verdict=_verdict(first, second))


def _verdict(first: Estimate, second: Estimate) -> Verdict:
    if first.value == second.value:
        return "same"
    if {first.kind, second.kind} == {"counted"}:
        return "differs"
    ends = [each.low is not None for each in (first, second)]
    if overlap(first, second):
        return "alike"
    return "differs" if all(ends) else "bare"


def _less(first: Estimate, second: Estimate) -> Estimate:
    assert first.value is not None
    assert second.value is not None
    value, half = second.value - first.value, math.hypot(_half(first), _half(second))
    kind = worst([first.kind, second.kind])
    return Estimate(value=value, low=value - half if half else None, high=value + half if half else None, kind=kind)


def _relative(first: Estimate, second: Estimate) -> Estimate:
    whole = ratio(second, first)
    if whole.value is None:
        return whole
    low, high = (None if end is None else PERCENT * (end - 1) for end in (whole.low, whole.high))
    return Estimate(value=PERCENT * (whole.value - 1), low=low, high=high, kind=whole.kind)


def _half(each: Estimate) -> float:
    return 0.0 if each.low is None or each.high is None else (each.high - each.low) / 2
