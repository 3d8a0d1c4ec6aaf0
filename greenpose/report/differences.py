"""The difference of two numbers: in points or as a percentage of the first, with its interval and what it shows."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from greenpose.formatting import MINUS, NBSP
from greenpose.intervals import Bounds, t_quantile
from greenpose.metrics import COMPARED, PERCENT, Metric
from greenpose.quantity import ROUNDING, Kind, Quantity, kind_mark, mean_of, missing, over_runs, ratio, worst
from greenpose.record import Record
from greenpose.report.quantities import of_exit, of_record
from greenpose.report.study import Point
from greenpose.tables import TableCell, missing_cell

Verdict = Literal["same", "alike", "differs", "bare", ""]
"""same: equal to the last digit; alike: the difference's interval holds zero; differs: it does not; bare: no interval
speaks for it; empty: missing."""
NonInferiority = Literal["within", "beyond", "open"]
"""Whether an exit keeps within a margin of another one: shown, shown not to, or neither."""
FEWEST_PAIRS = 3
"""Seeds in common from which on two exits are compared seed by seed: the first number with a Student's t interval."""
NORMAL = 1.96
"""Standard deviations within which 95 % of a normal law lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second less first."""

    change: Quantity
    """The difference with its interval; missing where one of the two is."""
    verdict: Verdict
    """What it shows."""

    @property
    def value(self) -> float | None:
        """Return the difference; None where it is not known."""
        return self.change.value

    @property
    def cell(self) -> TableCell:
        """Return it as a cell: the difference with its sign, or in words that there is none to be seen."""
        if self.change.value is None:
            return missing_cell(self.change.missing)
        if self.verdict == "same":
            return TableCell(value="same")
        text = self.change.text(digits=2)
        signed = f"{kind_mark(self.change.kind)}{'' if text.value.startswith(MINUS) else '+'}{text.value}"
        if self.verdict == "alike":
            return TableCell(value="not distinguishable", interval=f"{signed}{NBSP}{text.interval}".strip(NBSP))
        if self.verdict == "bare":
            return TableCell(value=signed, interval="no interval")
        return TableCell(value=signed, interval=text.interval)


def difference(first: Quantity, second: Quantity, *, points: bool = False) -> Difference:
    """Return second less first: in their own unit where `points`, else as a percentage of the first.

    The two are taken as independent: their intervals add in quadrature. Systematic errors are not in it; whoever asks
    has made sure that both sides share them.
    """
    for side, each in (("first", first), ("second", second)):
        if each.value is None:
            return Difference(change=missing(f"on the {side} side: {each.missing}"), verdict="")
    change = _less(first, second) if points else _relative(first, second)
    if change.value is None:
        return Difference(change=change, verdict="")
    return Difference(change=change, verdict=_verdict(first, second, change))


def contrast(first: Point, second: Point, figure: Metric, *, points: bool = False) -> Difference:
    """Return the same of two exits: seed by seed where both ran with the same seeds, three or more of them.

    What a seed does to both of them alike is then no part of the interval.
    """
    each, other = first.figure(figure), second.figure(figure)
    pairs, kind = seed_by_seed(first, second, figure)
    changes = [then - one if points else PERCENT * (then / one - 1) for one, then in pairs if points or one]
    if not changes:
        return difference(each, other, points=points)
    change = mean_of(changes, kind=kind)
    return Difference(change=change, verdict=_verdict(each, other, change, exact=True))


def interval_of(first: Point, second: Point, figure: Metric) -> tuple[float, float] | None:
    """Return the 95 % interval of second less first, in the figure's unit, as gains; None where there is none.

    Two seeds have a range, which is none. Three or more that differ by the same have an interval without width.
    """
    change = contrast(first, second, figure, points=True).change
    counts = [len(point.group.runs) for point in (first, second)]
    bare = any(n == 1 and point.figure(figure).type_a is None for n, point in zip(counts, (first, second), strict=True))
    if change.value is None or bare or FEWEST_PAIRS - 1 in counts:
        return None
    low, high = change.type_a or (change.value, change.value)
    return (-high, -low) if figure.lower else (low, high)


def non_inferiority(first: Point, second: Point, figure: Metric, *, margin: float) -> NonInferiority:
    """Return whether second keeps within `margin` below first: by the whole interval of the difference, or not at all.

    What is not known well is open, so that knowing less never makes for a bolder answer.

    Source: Piaggio et al. (2012), Reporting of noninferiority and equivalence randomized trials, JAMA 308(24), 2594.
    """
    low, high = interval_of(first, second, figure) or (-math.inf, math.inf)
    return "within" if low > ROUNDING - margin else "beyond" if high < -margin - ROUNDING else "open"


def more_to_settle(first: Point, second: Point, figure: Metric, *, margin: float) -> tuple[str, int] | None:
    """Return of what, and about how many more, an interval on one side of the margin needs; None if none are enough.

    That the difference stays as it is, and that its interval shrinks with the square root of its seeds (by Student's t)
    or of its test subjects, whichever make it wide. An exit that has no interval must not be asked for.
    """
    ends = interval_of(first, second, figure)
    assert ends is not None
    half, gap = (ends[1] - ends[0]) / 2, abs(sum(ends) / 2 + margin)
    if gap <= max(half, 1.0) * ROUNDING:
        return None
    wide = max(first, second, key=lambda point: point.figure(figure).half_width)
    seeds, run = len(wide.group.runs), wide.group.runs[0]
    if seeds < FEWEST_PAIRS:
        unit = "test image" if run.own or run.dataset.get("resampled") == "images" else "test subject"
        known = int(run.dataset.get("resampled_groups") or run.subjects.get("test") or run.images.get("test") or 1)
        return unit, max(1, math.ceil(known * (half / gap) ** 2) - known)
    spread = half * math.sqrt(seeds) / t_quantile(0.975, seeds - 1)
    needed = max(seeds + 1, math.ceil((NORMAL * spread / gap) ** 2))
    while t_quantile(0.975, needed - 1) * spread / math.sqrt(needed) > gap:
        needed += 1
    return "seed", needed - seeds


def seed_by_seed(first: Point, second: Point, figure: Metric) -> tuple[list[tuple[float, float]], Kind]:
    """Return the two numbers of each seed, none where seeds or numbers do not match, and their worse kind."""
    (one, how), (other, else_) = (_by_seed(point, figure) for point in (first, second))
    alike = one.keys() == other.keys() and len(one) >= FEWEST_PAIRS
    return [(value, other[seed]) for seed, value in one.items()] if alike else [], worst((how, else_))


def _by_seed(point: Point, figure: Metric) -> tuple[dict[int, float], Kind]:
    """Return the numbers by seed, none where one is missing or a seed ran twice, and how the worst was obtained."""
    known, asked = point.group.known, (f"{figure.name} in {figure.unit} by seed", point.exit)
    if asked not in known:

        def told(run: Record) -> tuple[int, float | None, Kind]:
            each = of_record(run, figure) if figure.of_run else of_exit(run.exit(point.exit), figure)
            return run.seed, each.value, each.kind

        found = point.group.together.each(told)
        values = {seed: value for seed, value, _ in found if value is not None}
        known[asked] = values if len(values) == len(found) else {}, worst({kind for *_, kind in found})
    by_seed: tuple[dict[int, float], Kind] = known[asked]
    return by_seed


def _verdict(first: Quantity, second: Quantity, change: Quantity, *, exact: bool = False) -> Verdict:
    """Return what the interval of the difference says; `exact` where it is known though neither number has one."""
    if first.value == second.value:
        return "same"
    if {first.kind, second.kind} == {"counted"}:
        return "differs"
    if change.type_a is None:
        return "differs" if exact else "bare"  # by the same in every seed
    if change.type_a.low <= 0 <= change.type_a.high:
        return "alike"
    return "differs" if exact or all(each.type_a is not None for each in (first, second)) else "bare"


def _less(first: Quantity, second: Quantity) -> Quantity:
    value, half = second.known - first.known, math.hypot(first.half_width, second.half_width)
    kind = worst([first.kind, second.kind])
    return Quantity(value=value, type_a=Bounds(value - half, value + half) if half else None, kind=kind)


def _relative(first: Quantity, second: Quantity) -> Quantity:
    return less_one(ratio(second, first))


def less_one(each: Quantity) -> Quantity:
    """Return by how many percent a ratio is above one."""
    if each.value is None:
        return each
    ends = Bounds(*(PERCENT * (end - 1) for end in each.type_a)) if each.type_a else None
    return replace(each, value=PERCENT * (each.value - 1), type_a=ends, type_b=None)


def share(point: Point, figure: Metric) -> Quantity:
    """Return one number of an exit over that of the final exit of the same run, mean over the runs.

    For time and energy the record's within-block ratios are taken; where it has none, there is no share.
    """
    known, asked = point.group.known, (f"share of {figure.name}", point.exit)
    if asked not in known:
        known[asked] = over_runs(point.group.together.quantities(lambda run: _run_share(run, point.exit, figure)))
    found: Quantity = known[asked]
    return found


def _run_share(run: Record, number_: int, figure: Metric) -> Quantity:
    entry, final = run.exit(number_), run.final_exit
    if figure not in COMPARED:
        # both exits are evaluated on the same images, so their intervals do not add up: none is claimed
        return ratio(*(replace(of_exit(each, figure), type_a=None) for each in (entry, final)))
    if figure.name not in entry.relative_to_final:
        reason = entry.basis.get(f"relative_to_final.{figure.name}")
        why = reason.missing if reason and reason.missing else of_exit(entry, figure).missing
        return missing(why or "no within-block ratio was recorded")
    found = entry.quantity(f"relative_to_final.{figure.name}")
    return replace(found, kind=worst([found.kind, of_exit(entry, figure).kind]))  # of modelled joules: modelled
