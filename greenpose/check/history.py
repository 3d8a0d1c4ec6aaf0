"""The history of past checks: rows appended after each, and each quantity's trend with its changes of level.

Source: the idea of airspeed velocity's step detection (asv, `asv/step_detect.py`, described in its documentation): the
piecewise constant function with the least sum of absolute deviations, as many pieces as an information criterion pays
for. Absolute deviations let single outliers pass. The fit is exact, by the dynamic programming of ruptures (Truong et
al., 2020, Signal Processing 167), an extra without which no changes are marked.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.check.baseline import Selection
from greenpose.check.verdict import TIMES, CheckVerdict, both, signed_percent
from greenpose.errors import CheckError
from greenpose.store import append_line, read_lines

FEWEST = 10
"""Values that it takes before anything is said."""
SHORTEST = 3
"""Values that a level must have: fewer could be outliers."""
MOST_VALUES = 200
"""Newest values that are looked at."""
MOST_STEPS = 9
PENALTY = 5.0
"""What a step must pay, in units of log(n) of twice the log-likelihood.

A place and a level are 2 parameters, and the best of all places is chosen, which costs more. By simulation (normal,
Laplace, Student t3; 300 series each) noise alone shows a step in up to 3 % of series of 10 values, 1 % of 20 or more; a
step of three standard deviations in the middle is found, one value off at most, in 77 % of series of 10 values, 93-98 %
of 20 or more.
"""
RESOLUTION = 1e-9
"""Deviation, relative to the values, below which nothing counts as noise: counted quantities have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """A change of level."""

    index: int
    """Place of the first value of the new level."""
    before: float
    """Level before: a median."""
    after: float
    """Level from there on."""


def changes_are_marked() -> bool:
    """Return whether the library is installed that finds changes of level."""
    return find_spec("ruptures") is not None


def steps(values: Sequence[float]) -> tuple[LevelChange, ...]:
    """Return where the newest values change their level, in order; none where there are too few, or is no ruptures."""
    skipped = max(0, len(values) - MOST_VALUES)
    newest = values[skipped:]
    if len(newest) < FEWEST or min(newest) == max(newest) or not changes_are_marked():
        return ()
    edges = _best_edges(newest)
    levels = [statistics.median(newest[start:stop]) for start, stop in itertools.pairwise(edges)]
    return tuple(
        LevelChange(index=skipped + edge, before=before, after=after)
        for edge, (before, after) in zip(edges[1:], itertools.pairwise(levels), strict=False)
    )


def _best_edges(values: Sequence[float]) -> list[int]:
    """Return the edges of the pieces that the criterion likes best: 2 n log(deviation) + what the steps pay."""
    from ruptures import Dynp

    count, most = len(values), min(MOST_STEPS, len(values) // SHORTEST - 1)
    noise_free = RESOLUTION * (statistics.median(map(abs, values)) or max(map(abs, values)) or 1.0) * count
    search = Dynp(model="l1", min_size=SHORTEST, jump=1).fit(np.asarray(values))
    fits = [search.predict(number) if number else [count] for number in range(most + 1)]
    costs = [search.cost.sum_of_costs(ends) for ends in fits]
    scores = [
        2 * count * math.log(max(cost, noise_free)) + PENALTY * number * math.log(count)
        for number, cost in enumerate(costs)
    ]
    return [0, *fits[scores.index(min(scores))]]


SCHEMA = "greenpose.history/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One check of one quantity."""

    at: str
    """UTC time of the check, ISO 8601."""
    commit: str | None
    """What was checked out; None outside a repository."""
    value: float
    """The candidate's value, or its ratio to the base where it was measured in pairs."""
    outcome: str
    """What the check said."""
    base: float | None = None
    """What it was held against: the accepted value, or the budget's limit; None for a ratio."""
    reason: str = ""
    """Why that was accepted last, as the baseline said then; empty where it did not, or no baseline was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityTrend:
    """One quantity over its checks."""

    check: str
    """Name of the check."""
    quantity: str
    """Name of the quantity."""
    unit: str
    """Unit of the values."""
    points: tuple[HistoryPoint, ...]
    """Its checks, oldest first."""
    steps: tuple[LevelChange, ...]
    """Where its level changed."""

    @property
    def accepted(self) -> list[int]:
        """Return the places of the checks that were the first against another accepted value, or another limit."""
        bases = [point.base for point in self.points]
        return [k for k in range(1, len(bases)) if None not in bases[k - 1 : k + 1] and bases[k - 1] != bases[k]]


def remember(folder: Path, verdict: CheckVerdict, *, name: str, at: str, commit: str | None, reason: str = "") -> None:
    """Append a row for each finding that has a value to the history of the check `name`.

    Of a pair its ratio is kept, since times of different days do not belong on one line. Of what a baseline holds, the
    baseline's `reason` is kept: what it says when a value changes is why that was accepted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for finding in verdict.findings:
        value = finding.ratio.value if finding.ratio is not None else finding.head
        if value is None or not math.isfinite(value):
            continue
        held = finding.way == "exact" and finding.file is not None  # what another revision counted nobody accepted
        row = {
            "schema": SCHEMA,
            "at": at,
            "commit": commit,
            "check": name,
            "quantity": finding.name,
            "way": finding.way,
            "unit": TIMES if finding.ratio is not None else finding.unit,
            "value": value,
            "base": finding.base if held or finding.way != "exact" else None,
            "outcome": finding.outcome,
        } | ({"reason": reason} if reason and held else {})
        append_line(folder / f"{name}.jsonl", row)


def read_trends(folder: Path, *, only: Selection) -> list[QuantityTrend]:
    """Return the selected quantities of every check with a history in a folder, sorted by name.

    Raises:
        CheckError: if there is no history, or nothing selected in it.
    """
    files = sorted(folder.glob("*.jsonl"))
    rows = [row for file in files for row in _rows(file)]
    if files and not rows:
        raise CheckError([f"{file}: not a line in it is the row of a check, of schema {SCHEMA}" for file in files])
    if not rows:
        raise CheckError([f"{folder}: holds no history; greenpose check CANDIDATE --history {folder} begins one"])
    only.require(row["quantity"] for row in rows)
    found: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["quantity"] in only:
            found.setdefault((row["check"], row["quantity"], row["way"], row["unit"]), []).append(row)
    return [_trend(check, quantity, unit, theirs) for (check, quantity, _, unit), theirs in sorted(found.items())]


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that this version understands; lines torn or of another kind are passed over."""
    words = ("at", "check", "quantity", "way", "unit", "outcome")
    for row in read_lines(file):
        said = all(isinstance(row.get(key), str) for key in words) and isinstance(row.get("commit", 0), str | None)
        said = said and isinstance(row.get("reason", ""), str)
        if row.get("schema") == SCHEMA and said and _is_finite(row.get("value")):
            yield row


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _trend(check: str, quantity: str, unit: str, rows: Iterable[Mapping[str, Any]]) -> QuantityTrend:
    points = tuple(
        HistoryPoint(
            at=row["at"],
            commit=row["commit"],
            value=float(row["value"]),
            outcome=row["outcome"],
            base=float(row["base"]) if row["way"] != "paired" and _is_finite(row.get("base")) else None,
            reason=row.get("reason", ""),
        )
        for row in sorted(rows, key=lambda row: str(row["at"]))
    )
    found = steps([point.value for point in points])
    return QuantityTrend(check=check, quantity=quantity, unit=unit, points=points, steps=found)


def level_sentence(trend: QuantityTrend, step: LevelChange) -> str:
    """Return when a level changed and by how much."""
    point = trend.points[step.index]
    commit = f", commit {point.commit[:10]}" if point.commit else ""
    before, after = both(step.before, step.after, trend.unit)
    by = f" ({signed_percent(step.after / step.before - 1)})" if step.before else ""
    return f"{before} → {after}{by} since {point.at}{commit}, check {step.index + 1} of {len(trend.points)}"


def trend_name(trend: QuantityTrend, trends: Sequence[QuantityTrend]) -> str:
    """Return the quantity, after its check where there are several."""
    several = len({one.check for one in trends}) > 1
    return f"{trend.check} {trend.quantity}" if several else trend.quantity


def first_and_last(trend: QuantityTrend) -> tuple[str, str]:
    """Return the oldest and the newest value with as many digits as it takes to tell them apart."""
    return both(trend.points[0].value, trend.points[-1].value, trend.unit)


def remark_on(trends: Sequence[QuantityTrend]) -> str:
    """Return what is to be known of changes of level."""
    if not changes_are_marked():
        return "To mark changes of level, install ruptures: pip install 'greenpose[history]'."
    short = any(len(trend.points) < FEWEST for trend in trends)
    return f"Changes of level are information, not a verdict{f', and take {FEWEST} checks' if short else ''}."
