"""One metered window, and how it is written to and read from `windows.jsonl`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    stretches: int = 1
    """How many stretches of time it is the sum of: more than one for the part of a window that comes and goes."""

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
        if self.stretches != 1:
            data["stretches"] = self.stretches
        return data


_PLAIN = (
    *("id", "parent", "name", "attempt", "started_at", "started_s", "seconds", "cpu_seconds"),
    *("joules", "items", "ok"),
)
_CONTAMINATION = ("foreign_cpu_share", "steal_share", "involuntary_switches", "minor_faults")


def read_windows(path: Path) -> list[Window]:
    """Return all windows of all attempts in a `windows.jsonl`; lines that a kill or power cut tore are left out.

    A torn line can only be an attempt's last. Whoever needs to know how many were lost compares the window numbers.

    Raises:
        MeteringError: if there is no such file, or a line that is not torn is no window.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MeteringError(f"{path}: cannot be read: {error.strerror}") from None
    windows = []
    for number, line in enumerate(lines, start=1):
        data = _parsed(line)
        if data is None or "schema" in data:
            continue
        try:
            windows.append(_window(data))
        except (KeyError, TypeError, ValueError) as error:
            raise MeteringError(f"{path}:{number}: not a window: {type(error).__name__} {error}") from None
    return windows


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _window(data: dict[str, Any]) -> Window:
    plain = {name: data[name] for name in _PLAIN if name != "joules"}
    contamination, crosscheck = data.get("contamination"), data.get("crosscheck")
    return Window(
        **plain,
        joules={name: Joules(*energy) for name, energy in data["joules"].items()},
        contamination=Contamination(**contamination) if contamination else None,
        crosscheck=CrossReading(**crosscheck) if crosscheck else None,
        missing=data.get("missing", {}),
        stretches=data.get("stretches", 1),
    )
