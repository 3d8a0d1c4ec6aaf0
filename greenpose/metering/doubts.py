"""Doubts: counters and clocks held against one another, and processes that were stopped."""

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import final

from greenpose.metering.active_window import Fault, Reading
from greenpose.metering.sources.counters import SLACK_S, Periodic
from greenpose.metering.sources.source import NO_ENERGY, Joules, Provenance
from greenpose.metering.window import Window

PERIOD_S = 0.5
"""How often it is looked whether the process runs: 2 looks a second cost less than 0.01 % of a CPU."""
LEAST_S = 2.0
"""A process that runs is not silent for as long, however busy the machine."""
BUSY = 0.05
"""Part of a silence that a process which was stopped may have used the CPU; one that kept its thread from looking used
all of it."""


@final
class Pulse:
    """Counts the seconds in which this process was stopped.

    A thread looks at the clock twice a second, also while the rest of the process waits for a disk or a device. Where
    it did not for seconds, and the process used no CPU meanwhile, it was stopped.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Keep the clocks; `cpu_clock` is the process's own, without its children."""
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._stopped_s = 0.0
        self._looked_at, self._cpu_s = clock(), cpu_clock()
        self._periodic = Periodic(self.stopped_s, period_s=PERIOD_S)

    def start(self) -> None:
        """Begin to look."""
        self._looked_at, self._cpu_s = self._clock(), self._cpu_clock()
        self._periodic.start()

    def stop(self) -> None:
        """Look no more."""
        self._periodic.stop()

    def stopped_s(self) -> float:
        """Return the seconds so far in which the process was stopped; a forked child has no thread to see more."""
        if os.getpid() != self._pid:
            return self._stopped_s
        with self._lock:
            now, cpu_s = self._clock(), self._cpu_clock()
            silent_s = now - self._looked_at
            if silent_s >= LEAST_S and cpu_s - self._cpu_s < BUSY * silent_s:
                self._stopped_s += silent_s
            self._looked_at, self._cpu_s = now, cpu_s
            return self._stopped_s


MOST_WATTS = 30_000.0
"""No component draws more, where its source does not say less (`most_watts` among the provenance's parameters).

Source: twice what NVIDIA states for the largest machine with eight GPUs, 14.3 kW (2024).
"""
STILL_S = 1.0
"""A counter of unknown pace that has not moved for as long stands still: no part of a machine draws nothing."""
STOOD_STILL = "its counter stood still"
STILL_PERIODS, LEAST_STILL_S = 10, 0.1
"""The same of a counter whose pace is known: so many of its periods, and no less than this."""
STEP_S, STEP_SHARE = 1.0, 0.001
"""Clock and date may differ by this and by this part of the time: the date is slewed by up to 0.05 %, adjtimex(2)."""
NO_DOUBTS: Mapping[str, str] = MappingProxyType({})
CPUS = os.cpu_count() or 1
BUSY_S = 0.05
"""A clock that does not move while a process works for as long stands still."""
WORK_S = 1.0
"""A process that works uses some CPU: none at all in a longer time is the clock's fault."""


@final
class Trail:
    """One counter's readings, each held against the one before it."""

    def __init__(self, provenance: Provenance) -> None:
        """Keep how soon the counter ought to move, and how fast it may."""
        period = provenance.update_period_s
        self._watts = float(provenance.model_params.get("most_watts", MOST_WATTS))
        self._still_s = STILL_S if period is None else max(LEAST_STILL_S, STILL_PERIODS * period)
        self._first = self._last = self._taken_back = NO_ENERGY
        self._read_at: float | None = None
        self._moved_at = 0.0
        self.faults = 0
        """How often the counter did what no counter does."""
        self.why = ""
        """What it did last."""
        self.stands = False
        """Whether it stands still."""

    @property
    def fault(self) -> Fault:
        """Return how often it was at fault, why it was last, and whether it stands still."""
        return self.faults, self.why, self.stands

    @property
    def used(self) -> Joules | None:
        """Return the energy since the first reading without what is not believed; None where none could be read."""
        return None if self._read_at is None else self._last + self._taken_back - self._first

    def follow(self, now: Joules, at: float) -> Joules:
        """Return a reading without what is not believed of the steps up to it.

        A window lacks a counter that stands still when it ends, or that began to in it; not one that only stood still
        when it began.
        """
        if self._read_at is None:
            self._first = self._last = now
            self._moved_at = self._read_at = at
        rise, gap = now.mid - self._last.mid, at - self._read_at
        if rise:
            self._moved_at, self.stands = at, False
        if rise < 0:
            self._take_back(now, f"its counter went back by {-rise:.3g} J")
        elif rise > self._watts * (max(0.0, gap) + SLACK_S):
            most = f"more than the {self._watts:.3g} W that it may draw"
            self._take_back(now, f"its counter jumped by {rise:.3g} J within {gap:.3g} s, {most}")
        elif at - self._moved_at >= self._still_s:
            self.faults, self.stands = self.faults + (not self.stands), True
            self.why = f"{STOOD_STILL} for {at - self._moved_at:.3g} s"
        self._last, self._read_at = now, at
        return now if self._taken_back is NO_ENERGY else now + self._taken_back

    def _take_back(self, now: Joules, why: str) -> None:
        self._taken_back = self._taken_back + self._last - now
        self.faults, self.why = self.faults + 1, why


def remarks(windows: Sequence[Window]) -> list[str]:
    """Return what was found wrong with counters and clocks in the windows of all attempts, each kind of it once."""
    closed = {(window.attempt, window.id) for window in windows}
    outer = [window for window in windows if (window.attempt, window.parent) not in closed]
    found: dict[str, list[tuple[str, str]]] = {}
    for window in outer:
        for component, why in window.missing.items():
            found.setdefault(f"{component} energy is missing", []).append((window.name, why))
        for topic, why in window.doubts.items():
            found.setdefault(TOPICS.get(topic, topic), []).append((window.name, why))
    found_wrong = [
        f"{what} in {len(some)} of {len(outer)} windows ({_named([name for name, _ in some])}): {some[0][1]}"
        for what, some in found.items()
    ]
    return found_wrong + _turned_back(outer)


TOPICS = {
    "clock": "the clock was wrong",
    "date": "the date was set",
    "stopped": "the process was stopped",
    "slept": "the machine slept",
    "cpu clock": "the CPU clock was wrong",
    "children": "running children were not seen",
}
SHOWN = 3
"""Windows that are named; more are counted."""


def _named(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _turned_back(windows: Sequence[Window]) -> list[str]:
    """Return which attempts began, by their date, before an earlier one had ended."""
    ends: dict[int, datetime] = {}
    for window in windows:
        end = datetime.fromisoformat(window.started_at) + timedelta(seconds=window.seconds)
        ends[window.attempt] = max(end, ends.get(window.attempt, end))
    starts = {window.attempt: datetime.fromisoformat(window.started_at) for window in reversed(windows)}
    return [
        f"the date was set back: attempt {after} began {(ends[before] - starts[after]).total_seconds():.3g} s before"
        f" attempt {before} ended"
        for before, after in pairwise(sorted(ends))
        if starts[after] < ends[before] - timedelta(seconds=STEP_S)
    ]


def judged(used: Reading, *, worked: bool) -> tuple[float, float, Mapping[str, str]]:
    """Return the seconds and CPU-seconds of a stretch, and by topic what is wrong with them.

    `worked` tells a stretch in which something was processed from a wait. What nobody knows is zero, and time in which
    the process was stopped is no part of its seconds.
    """
    doubts: dict[str, str] = {}
    seconds, cpu_seconds = used.seconds, used.cpu_seconds
    if (wrong := _clock(used)) is not None:
        doubts["clock"], seconds = f"its seconds are not known: {wrong}", 0.0
    elif (moved := _date(used)) is not None:
        doubts["date"] = moved
    if used.stopped_s > 0:
        doubts["stopped"] = f"the process was stopped for {used.stopped_s:.3g} s, which its seconds leave out"
        seconds = max(0.0, seconds - used.stopped_s)
    if used.slept_s > STEP_S:
        doubts["slept"] = f"the machine slept for {used.slept_s:.3g} s, which its seconds leave out"
    if (wrong := _cpu_clock(used, seconds, worked=worked, known="clock" not in doubts)) is not None:
        doubts["cpu clock"], cpu_seconds = f"its CPU-seconds are not known: {wrong}", 0.0
    if used.blind:
        doubts["children"] = used.blind
    return seconds, cpu_seconds, doubts or NO_DOUBTS


def _clock(used: Reading) -> str | None:
    if not math.isfinite(used.seconds):
        return "the clock showed no number"
    if used.seconds < 0:
        return f"the clock went back by {-used.seconds:.3g} s"
    if used.seconds == 0 and (used.cpu_seconds > BUSY_S or used.date_s > STEP_S):
        return "the clock stood still"
    return None


def _date(used: Reading) -> str | None:
    """Return by how much the date moved against the clock, which it is not charged by; None without a date."""
    apart = used.date_s - used.seconds - used.slept_s
    if not abs(apart) > STEP_S + STEP_SHARE * used.seconds:
        return None
    way = "forward" if apart > 0 else "back"
    return f"the date was set {way} by {abs(apart):.3g} s, or the clock is wrong: it is dated from the meter's start"


def _cpu_clock(used: Reading, seconds: float, *, worked: bool, known: bool) -> str | None:
    if not math.isfinite(used.cpu_seconds):
        return "the CPU clock showed no number"
    if used.cpu_seconds < 0:
        return f"the CPU clock went back by {-used.cpu_seconds:.3g} s"
    if worked and used.cpu_seconds == 0 and seconds >= WORK_S:
        return "the CPU clock stood still"
    if known and used.cpu_seconds > CPUS * (seconds + used.stopped_s + SLACK_S):
        return f"the CPU clock rose by {used.cpu_seconds:.3g} s in {seconds:.3g} s"
    return None
