"""What follows from two values of one quantity: an outcome, and a sentence that says so."""

from collections.abc import Mapping

from greenpose.check.amounts import amount, both, change
from greenpose.check.verdict import Outcome
from greenpose.formatting import listed
from greenpose.record import Interval

MOST_OPERATORS = 8
"""Operators that a sentence names."""


def of_counts(base: float, head: float, unit: str) -> tuple[Outcome, str]:
    """Return what follows from two counts: fewer is better, and every one counts."""
    before, after = both(base, head, unit)
    if base == head:
        return "ok", f"{after}, as in the baseline"
    if head > base:
        return "regressed", f"rose from {before} to {after} ({change(base, head)})"
    return "improved", f"fell from {before} to {after} ({change(base, head)})"


def of_calls(base: Mapping[str, int], head: Mapping[str, int]) -> tuple[Outcome, str]:
    """Return what follows from the calls of operators: one that is called more often is a regression."""
    more = [name for name in sorted(head) if head[name] > base.get(name, 0)]
    fewer = [name for name in sorted(base) if head.get(name, 0) < base[name]]
    if not more and not fewer:
        return "ok", f"{amount(sum(head.values()), 'calls')} of {len(head)} operators, as in the baseline"
    changed = [f"{name} {base.get(name, 0)} → {head.get(name, 0)}" for name in [*more, *fewer]]
    says = f"operators are called otherwise: {few(changed, MOST_OPERATORS)}"
    return ("regressed" if more else "improved"), says


def of_accuracy(base: float, head: float, interval: Interval | None, *, margin: float) -> tuple[Outcome, str]:
    """Return what follows from an AP with its interval: regressed only where all of it lies below the floor.

    The floor is the baseline less the margin. A value below it whose interval reaches it is inconclusive.
    """
    floor = base - margin
    spread = "no interval" if interval is None else f"95 % {_percent(interval.low)} to {_percent(interval.high)}"
    said = f"AP {_percent(head)} ({spread}), floor {_percent(floor)}"
    if interval is not None and interval.high < floor:
        return "regressed", f"{said}: surely below it"
    if head < floor:
        return "inconclusive", f"{said}: below it, but perhaps by the test split's chance; evaluate more images"
    if interval is not None and interval.low > base:
        return "improved", f"{said}: surely above the baseline's {_percent(base)}"
    return "ok", f"{said}: not below it"


def few(parts: list[str], most: int = 3) -> str:
    """Return the first parts of a list, and how many more there are."""
    return listed(parts if len(parts) <= most else [*parts[:most], f"{len(parts) - most} more"])


def _percent(fraction: float) -> str:
    return amount(fraction, "fraction")
