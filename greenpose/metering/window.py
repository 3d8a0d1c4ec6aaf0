"""Windows, metered and written to `windows.jsonl`, and the grade that their kinds add up to."""

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from greenpose.errors import MeteringError
from greenpose.formatting import significant
from greenpose.metering.interference import Interference
from greenpose.metering.sources.codecarbon import CrossReading
from greenpose.metering.sources.source import NO_ENERGY, Joules, Provenance
from greenpose.notebook import frame, html
from greenpose.quantity import Grade, Kind, kind_mark, worst
from greenpose.tables import Column, Table, TableCell, table_of

SCHEMA = "greenpose.windows/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What happened between two readings."""

    id: int
    """Number of the window inside its attempt, from 1, in the order in which windows were opened."""
    parent: int | None
    """Innermost window that was open when this one was opened; None for an outermost one."""
    name: str
    """What was done."""
    attempt: int
    """Which start of the run it belongs to, from 1."""
    started_at: str
    """UTC time of its start, ISO 8601."""
    started_s: float
    """Seconds from the meter's start to the window's."""
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of this process and its children."""
    joules: Mapping[str, Joules]
    """Energy per component."""
    items: int
    """Things processed in it, e.g. images; 0 where nothing was counted."""
    ok: bool
    """Whether it ended without an exception."""
    contamination: Interference | None = None
    """What disturbed it; None for a short window or where the kernel does not say."""
    crosscheck: CrossReading | None = None
    """Another tool's figures; None where none were asked for."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Components that could not be read, and why."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with its clocks, by topic: `clock`, `date`, `stopped`, `slept`, `cpu clock`, `children`."""
    stretches: int = 1
    """How many stretches of time it is the sum of: more than one for the part of a window that comes and goes."""

    @property
    def sound(self) -> bool:
        """Return whether all of it could be read, by counters and clocks that may be believed: means are over such."""
        return not self.missing and not self.doubts

    @property
    def energy(self) -> Joules:
        """Return the energy of all components that were read."""
        return sum(self.joules.values(), NO_ENERGY)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        return window_to_html(self)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data; an energy is [low, mid, high]."""
        data = {name: getattr(self, name) for name in _PLAIN}
        data["joules"] = {name: [energy.low, energy.mid, energy.high] for name, energy in self.joules.items()}
        if self.contamination is not None:
            data["contamination"] = {name: getattr(self.contamination, name) for name in _CONTAMINATION}
        if self.crosscheck is not None:
            data["crosscheck"] = self.crosscheck.as_dict()
        if self.missing:
            data["missing"] = dict(self.missing)
        if self.doubts:
            data["doubts"] = dict(self.doubts)
        if self.stretches != 1:
            data["stretches"] = self.stretches
        return data


_PLAIN = (
    *("id", "parent", "name", "attempt", "started_at", "started_s", "seconds", "cpu_seconds"),
    *("joules", "items", "ok"),
)
_CONTAMINATION = tuple(field.name for field in fields(Interference))


class Log(NamedTuple):
    """What a `windows.jsonl` holds."""

    windows: list[Window]
    """Windows of all attempts, each once, also where a line is there twice."""
    headers: dict[int, dict[str, Any]]
    """What the meter said of itself at the begin of each attempt."""
    faults: list[str]
    """Lines that are no windows and not torn, with their place and why; they are left out."""


def read_windows(path: Path) -> list[Window]:
    """Return all windows of all attempts in a `windows.jsonl`; lines that are no JSON are left out.

    A kill or a power cut leaves such a line at an attempt's end. Whoever needs to know how many were lost compares the
    window numbers.

    Raises:
        MeteringError: if there is no such file, or naming every line that is JSON and no window.
    """
    log = read_log(path)
    if log.faults:
        more = len(log.faults) - MOST_FAULTS
        counted = [f"{path}: and {more} lines more"] if more > 0 else []
        raise MeteringError("\n".join(log.faults[:MOST_FAULTS] + counted))
    return log.windows


def read_log(path: Path) -> Log:
    """Return all that can be read of a `windows.jsonl`, and what cannot.

    Raises:
        MeteringError: if there is no such file.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MeteringError(f"{path}: cannot be read: {error.strerror}") from None
    log = Log([], {}, [])
    known: dict[tuple[int, int], Window] = {}
    for number, line in enumerate(lines, start=1):
        data = _parsed(line)
        if data is None:
            continue
        if data.get("schema") == SCHEMA:
            if isinstance(attempt := data.get("attempt"), int):
                log.headers.setdefault(attempt, data)
            continue
        if wrong := _wrong(data):
            log.faults.append(f"{path}:{number}: not a window: {'; '.join(wrong)}")
            continue
        window = _window(data)
        if (
            known.setdefault((window.attempt, window.id), window) is window
            or known[window.attempt, window.id] != window
        ):
            log.windows.append(window)
    return log


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _wrong(data: Mapping[str, Any]) -> list[str]:
    """Return what of a line is not as a window has it."""
    if "schema" in data:
        return [f"schema is {_shown(data['schema'])}; must be {SCHEMA}, or the line a window"]
    return [
        f"{name} is {_shown(data[name])}; must be {said}" if name in data else f"{name} is missing"
        for name, (required, check, said) in _FIELDS.items()
        if (name in data or required) and not (name in data and check(data[name]))
    ]


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST  # type: ignore[arg-type]


def _is_amount(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_text(value: object) -> bool:
    """Return whether it is text that can be written: half of a surrogate pair cannot."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_energies(value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and isinstance(energy, list) and len(energy) == 3 and all(map(_is_amount, energy))
        for name, energy in value.items()
    )


def _is_reasons(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(name) and _is_text(why) for name, why in value.items())


def _is_contamination(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and value.keys() == {*_CONTAMINATION} and all(map(_is_number, value.values()))
    )


def _is_crosscheck(value: object) -> bool:
    texts, names = ("tool", "mode", "missing"), {field.name for field in fields(CrossReading)}
    return value is None or (
        isinstance(value, dict)
        and "tool" in value
        and value.keys() <= names
        and _is_amount(value.get("seconds", 0.0))
        and all(each is None or (_is_text if name in texts else _is_number)(each) for name, each in value.items())
        and None not in (value["tool"], value.get("mode", ""))
    )


LARGEST = 1e18
"""No number of a log is as large: the seconds since the Big Bang are fewer."""
MOST_FAULTS = 20
"""Faulty lines that are listed; more are counted."""
_FIELDS: Mapping[str, tuple[bool, Callable[[object], bool], str]] = {
    "id": (True, _is_count, "a whole number"),
    "parent": (True, lambda value: value is None or _is_count(value), "a whole number or null"),
    "name": (True, _is_text, "text"),
    "attempt": (True, _is_count, "a whole number"),
    "started_at": (True, _is_moment, "a time with its zone, ISO 8601"),
    "started_s": (True, _is_number, "a number of seconds"),
    "seconds": (True, _is_amount, "a number of seconds, zero or more"),
    "cpu_seconds": (True, _is_amount, "a number of seconds, zero or more"),
    "joules": (True, _is_energies, "three numbers of joules for each component, zero or more"),
    "items": (True, _is_count, "a whole number"),
    "ok": (True, lambda value: isinstance(value, bool), "true or false"),
    "contamination": (False, _is_contamination, f"numbers of {', '.join(_CONTAMINATION)}"),
    "crosscheck": (False, _is_crosscheck, "another tool's figures"),
    "missing": (False, _is_reasons, "a reason for each component"),
    "doubts": (False, _is_reasons, "a reason for each topic"),
    "stretches": (False, _is_count, "a whole number"),
}


def _window(data: dict[str, Any]) -> Window:
    plain = {name: data[name] for name in _PLAIN if name != "joules"}
    contamination, crosscheck = data.get("contamination"), data.get("crosscheck")
    return Window(
        **plain,
        joules={name: Joules(*energy) for name, energy in data["joules"].items()},
        contamination=Interference(**contamination) if contamination else None,
        crosscheck=CrossReading(**crosscheck) if crosscheck else None,
        missing=data.get("missing", {}),
        doubts=data.get("doubts", {}),
        stretches=data.get("stretches", 1),
    )


SYNC_SECONDS = 1.0
SYNC_SHARE = 0.001
"""Part of the time that may be spent waiting for a disk: one that takes longer than 1 ms is waited for less often."""


class WindowLog:
    """Appends windows to `windows.jsonl`; every line reaches the kernel at once, the disk at most once a second.

    A process that is killed loses no closed window. A power cut costs what was written since the last fsync: a second's
    worth while windows follow one another, 1000 times as much as the disk takes if that is more, and nothing after
    `sync()`.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        """Open the file for appending; a line that an earlier attempt left torn is ended."""
        self._path, self._clock, self._fsync = path, clock, fsync
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise MeteringError(f"{path}: cannot be written: {error.strerror}") from None
        self.attempt = 1 + _attempts(path)
        self._sync_at = clock() + SYNC_SECONDS
        self._dirty = False
        self.waited_s, self.fsyncs = 0.0, 0
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n")

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the line that opens an attempt: layout version, attempt number and what the meter says of itself."""
        self._append({"schema": SCHEMA, "attempt": self.attempt} | dict(header))
        self.sync()

    def append(self, window: Window) -> None:
        """Write one window; to disk if it is time for that."""
        self._append(window.as_dict())
        if self._clock() >= self._sync_at:
            self.sync()

    def sync(self) -> None:
        """Put everything on disk."""
        began, took = self._clock(), 0.0
        if self._dirty:
            try:
                self._fsync(self._file)
            except OSError as error:
                raise MeteringError(f"{self._path}: cannot be written: {error.strerror}") from error
            self._dirty = False
            took = self._clock() - began
            self.fsyncs += 1
        self.waited_s += took
        self._sync_at = began + took + max(SYNC_SECONDS, took / SYNC_SHARE)

    def close(self) -> None:
        """Put everything on disk and close the file."""
        try:
            self.sync()
        finally:
            os.close(self._file)

    def _append(self, data: dict[str, Any]) -> None:
        self._write(_ENCODE(data).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise MeteringError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._dirty = True


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _attempts(path: Path) -> int:
    """Return the highest number of an attempt that left a header or a window, whichever lines are gone or doubled."""
    return max((int(number) for number in re.findall(rb'"attempt":([0-9]{1,9})[,}]', path.read_bytes())), default=0)


MATERIAL = 0.10
"""A component is material above this share of the total."""


def worst_kind(joules: Mapping[str, Joules], provenances: Sequence[Provenance], *, short: Collection[str] = ()) -> Kind:
    """Return the worst kind of any material part that was read: that of the total; `not_covered` where none was.

    The total is a number, so it has the kind of what is in it. What is not in it is named by `gaps` and lowers `grade`.
    A counter that was read for a part of the time only, as of those components that are `short`, is an estimate.
    """
    kinds: set[Kind] = {*_material(joules, provenances)}
    if kinds and short:
        kinds.add("estimated")
    return worst(kinds)


def gaps(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> tuple[Provenance, ...]:
    """Return the components that exist and are not in the total: nobody knows how large they are."""
    return tuple(provenance for provenance in provenances if provenance.component not in joules)


def short_of(windows: Iterable[Window]) -> frozenset[str]:
    """Return the components that some of the windows lack."""
    return frozenset(component for window in windows for component in window.missing)


def grade(joules: Mapping[str, Joules], provenances: Sequence[Provenance], *, short: Collection[str] = ()) -> Grade:
    """Return A if every material part was measured and none is missing, C if all are models, B for anything between.

    `short` are components that could be read for a part of the time only.
    """
    kinds = _material(joules, provenances)
    if kinds == {"measured"} and not gaps(joules, provenances) and not short:
        return "A"
    return "B" if kinds & {"measured", "estimated"} else "C"


def _material(joules: Mapping[str, Joules], provenances: Sequence[Provenance]) -> set[Kind]:
    """Return the kinds of all parts above a tenth of what was read."""
    total = sum(energy.mid for energy in joules.values())
    return {
        provenance.kind
        for provenance in provenances
        if provenance.component in joules and joules[provenance.component].mid > MATERIAL * total
    }


MEANING: Mapping[Grade, str] = {
    "A": "every material component was read from a hardware counter",
    "B": "part of the energy was read from hardware; the rest is an estimate, a model, or missing",
    "C": "all energy is a model of CPU time and memory: compare runs on one machine, do not quote absolute joules",
}


def window_to_html(window: Window, kind: Kind | None = None) -> str:
    """Return one window as a table of a notebook; how its energy was obtained only its meter knows."""
    told = BOUNDS if kind else f"{BOUNDS}; how it was obtained, its meter says"
    cells = window_cells(window.seconds, window.cpu_seconds, window.energy, window.items, kind)
    table = window_table([window.name], [cells])
    return html(table, [told, *window.missing.values(), *window.doubts.values()])


def windows_frame(windows: Iterable[Window]) -> Any:
    """Return windows as a pandas frame with the unit of each column in `attrs["units"]`.

    Raises:
        GreenPoseError: if pandas is not installed.
    """
    rows = [
        {
            "name": window.name,
            "started_at": window.started_at,
            "seconds": window.seconds,
            "cpu_seconds": window.cpu_seconds,
            "energy": window.energy.mid,
            "energy_low": window.energy.low,
            "energy_high": window.energy.high,
            "items": window.items,
            "ok": window.ok,
            "parent": window.parent,
        }
        for window in windows
    ]
    return frame(rows, UNITS)


UNITS = {
    "seconds": "s", "cpu_seconds": "s", "energy": "J", "energy_low": "J", "energy_high": "J", "items": "count",
}  # fmt: skip
"""Units of the frame's columns."""
BOUNDS = "in brackets: systematic interval of energy"
_HEADS = (
    Column(head="Wall time", unit="s"),
    Column(head="CPU time", unit="s"),
    Column(head="Energy", unit="J"),
    Column(head="Energy an item", unit="J"),
)


def window_table(names: list[str], rows: list[list[TableCell]]) -> Table:
    """Return windows as a table, a line each."""
    columns = [(head, [row[place] for row in rows]) for place, head in enumerate(_HEADS)]
    return table_of("meter", "", ("Window",), names, columns)


def window_cells(seconds: float, cpu_seconds: float, energy: Joules, items: int, kind: Kind | None) -> list[TableCell]:
    """Return what a window used as cells of that table, energy with its systematic interval and kind."""
    mark = kind_mark(kind) if kind else ""
    each = [TableCell(value=significant(number)) for number in (seconds, cpu_seconds)]
    bounds = f"({significant(energy.low, 2)} to {significant(energy.high, 2)})"
    each.append(TableCell(value=f"{mark}{significant(energy.mid)}", interval=f"{bounds} {kind or ''}".strip()))
    per = f"{mark}{significant(energy.mid / items, 2)}" if items else "–"
    return [*each, TableCell(value=per)]
