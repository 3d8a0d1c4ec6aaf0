"""The history of past checks: rows appended after each, and each quantity's course with its changes of level."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenpose.check.amounts import TIMES
from greenpose.check.selection import Selection
from greenpose.check.steps import Step, steps
from greenpose.check.verdict import Finding, Verdict
from greenpose.errors import CheckError
from greenpose.store import append_line, read_lines

SCHEMA = "greenpose.history/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One check of one quantity."""

    at: str
    """UTC time of the check, ISO 8601."""
    commit: str | None
    """What was checked out; None outside a repository."""
    value: float
    """The candidate's value, or its ratio to the base where it was measured in pairs."""
    outcome: str
    """What the check said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One quantity over its checks."""

    check: str
    """Name of the check."""
    quantity: str
    """Name of the quantity."""
    unit: str
    """Unit of the values."""
    points: tuple[Point, ...]
    """Its checks, oldest first."""
    steps: tuple[Step, ...]
    """Where its level changed."""


def remember(folder: Path, verdict: Verdict, *, name: str, at: str, commit: str | None) -> None:
    """Append a row for each finding that has a value to the history of the check `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    for finding in verdict.findings:
        value = _value(finding)
        if value is not None and math.isfinite(value):
            append_line(folder / f"{name}.jsonl", _row(finding, value, name=name, at=at, commit=commit))


def read_courses(folder: Path, *, only: Selection) -> list[Course]:
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
    return [_course(check, quantity, unit, theirs) for (check, quantity, _, unit), theirs in sorted(found.items())]


def _value(finding: Finding) -> float | None:
    """Return what is kept: of a pair its ratio, since times of different days do not belong on one line."""
    return finding.ratio.value if finding.ratio is not None else finding.head


def _row(finding: Finding, value: float, *, name: str, at: str, commit: str | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "at": at,
        "commit": commit,
        "check": name,
        "quantity": finding.name,
        "way": finding.way,
        "unit": TIMES if finding.ratio is not None else finding.unit,
        "value": value,
        "base": finding.base,
        "outcome": finding.outcome,
    }


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that this version understands; lines torn or of another kind are passed over."""
    words = ("at", "check", "quantity", "way", "unit", "outcome")
    for row in read_lines(file):
        said = all(isinstance(row.get(key), str) for key in words) and isinstance(row.get("commit", 0), str | None)
        if row.get("schema") == SCHEMA and said and _is_finite(row.get("value")):
            yield row


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _course(check: str, quantity: str, unit: str, rows: Iterable[Mapping[str, Any]]) -> Course:
    ordered = sorted(rows, key=lambda row: str(row["at"]))
    points = tuple(
        Point(at=row["at"], commit=row["commit"], value=float(row["value"]), outcome=row["outcome"]) for row in ordered
    )
    changed = steps([point.value for point in points])
    return Course(check=check, quantity=quantity, unit=unit, points=points, steps=changed)
