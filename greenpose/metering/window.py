"""One metered window, and how it is written to and read from `windows.jsonl`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from greenpose.errors import MeteringError
from greenpose.metering.contamination import Contamination
from greenpose.metering.crosscheck import CrossReading
from greenpose.metering.source import NO_ENERGY, Joules

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
    contamination: Contamination | None = None
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
_CONTAMINATION = ("foreign_cpu_share", "steal_share", "involuntary_switches", "minor_faults")


class Log(NamedTuple):
    """What a `windows.jsonl` holds."""

    windows: list[Window]
    """Windows of all attempts, each once, also where a line is there twice."""
    headers: dict[int, dict[str, Any]]
    """What the meter said of itself at the begin of each attempt."""
    faults: list[str]
    """Lines that are no windows and not torn, with their place and why; they are left out."""


def read_windows(path: Path) -> list[Window]:
    """Return all windows of all attempts in a `windows.jsonl`; lines that a kill or power cut tore are left out.

    A torn line can only be an attempt's last. Whoever needs to know how many were lost compares the window numbers.

    Raises:
        MeteringError: if there is no such file, or a line that is not torn is no window.
    """
    log = read_log(path)
    if log.faults:
        more = f" (and {len(log.faults) - 1} more lines)" if len(log.faults) > 1 else ""
        raise MeteringError(log.faults[0] + more)
    return log.windows


LARGEST = 1e15
"""No second, joule or count of a window comes near this."""


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
        if "schema" in data:
            if isinstance(attempt := data.get("attempt"), int):
                log.headers.setdefault(attempt, data)
            continue
        try:
            window = _window(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.faults.append(f"{path}:{number}: not a window: {type(error).__name__} {error}")
            continue
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


def _window(data: dict[str, Any]) -> Window:
    _require(data)
    plain = {name: data[name] for name in _PLAIN if name != "joules"}
    contamination, crosscheck = data.get("contamination"), data.get("crosscheck")
    return Window(
        **plain,
        joules={name: Joules(*energy) for name, energy in data["joules"].items()},
        contamination=Contamination(**contamination) if contamination else None,
        crosscheck=CrossReading(**crosscheck) if crosscheck else None,
        missing=data.get("missing", {}),
        doubts=data.get("doubts", {}),
        stretches=data.get("stretches", 1),
    )


def _require(data: Mapping[str, Any]) -> None:
    """Refuse a window whose numbers are none, or whose texts nobody could print.

    Raises:
        TypeError, ValueError: naming the first such field.
    """
    parts = {name: value for name in ("contamination", "crosscheck") for name, value in (data.get(name) or {}).items()}
    texts = ("tool", "mode", "missing")
    numbers = {name: data[name] for name in ("started_s", "seconds", "cpu_seconds")}
    numbers |= {name: value for name, value in parts.items() if name not in texts and value is not None}
    numbers |= {
        f"joules.{name} {at}": each for name, values in data["joules"].items() for at, each in enumerate(values)
    }
    counts = {name: data[name] for name in ("id", "attempt", "items")} | {"stretches": data.get("stretches", 1)}
    counts |= {} if data["parent"] is None else {"parent": data["parent"]}
    for name, value in (numbers | counts).items():
        if isinstance(value, bool) or not isinstance(value, int if name in counts else int | float):
            raise TypeError(f"{name} is {value!r}, and must be a number")
        if not abs(value) < LARGEST:
            raise ValueError(f"{name} is {value!r}: no run reaches that")
    if not isinstance(data["name"], str) or not isinstance(data["ok"], bool):
        raise TypeError("name must be text, and ok true or false")
    data["name"].encode()  # a half of a pair of surrogates could be printed nowhere
    if datetime.fromisoformat(data["started_at"]).tzinfo is None:
        raise ValueError(f"started_at is {data['started_at']!r}, without its offset from UTC")
