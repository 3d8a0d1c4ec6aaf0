"""The meter: windows as differences of cumulative readings, and their sums."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, final

from greenpose.errors import MeteringError
from greenpose.files import utc_now
from greenpose.metering.active_window import (
    NO_COUNTERS,
    NO_FAULTS,
    NOTHING_MISSING,
    Fault,
    OpenWindow,
    Part,
    Reading,
    RunningTotal,
    Start,
)
from greenpose.metering.carbon.embodied import EmbodiedShare
from greenpose.metering.carbon.grid_intensity import CarbonAccounting
from greenpose.metering.doubts import Pulse, Trail, judged
from greenpose.metering.interference import LoadMonitor
from greenpose.metering.machine import this_machine
from greenpose.metering.sources.codecarbon import CodeCarbon, CrossReading
from greenpose.metering.sources.cpu_model import CpuClock
from greenpose.metering.sources.source import NO_ENERGY, ClockModel, CounterSource, Joules, Provenance, Source
from greenpose.metering.summary import MeterState, summarise, to_html
from greenpose.metering.window import Window, WindowLog, grade, windows_frame, worst_kind
from greenpose.notebook import html
from greenpose.quantity import Quantity

NOT_STARTED = "the meter has not started; use it as `with greenpose.meter() as m:`"
LONGEST_S = 1e9
"""No meter runs for as long, 30 years: a clock that says so is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSurroundings:
    """What a meter knows of the machine beside its sources."""

    load: LoadMonitor = field(default_factory=LoadMonitor)
    """Watches who else used the CPU."""
    not_covered: tuple[Provenance, ...] = ()
    """Components that exist but that nothing here can read."""
    embodied: EmbodiedShare | None = None
    """The hardware that the process holds, and what it took to make it; None where nobody asks for emissions."""
    between_runs: float = 0.0
    """Relative standard deviation between runs of the same work, of seconds and joules per item."""
    date: Callable[[], float] | None = None
    """UTC in seconds since 1970; None for the system's beside the system's clock, and for none beside another clock."""
    pulse: Pulse | None = None
    """Counts the seconds in which the process was stopped; None for one beside the system's clock only."""


@final
class Meter:
    """Meters a process from `with` to the end of the block, and any number of windows inside."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] | None = None,
        log: Path | None = None,
        synchronize: Callable[[], object] | None = None,
        crosscheck: CodeCarbon | None = None,
        carbon: CarbonAccounting | None = None,
        surroundings: MeterSurroundings | None = None,
    ) -> None:
        """Keep the parts; nothing is read before the `with` block.

        `synchronize` waits until a device has finished; it is called before every reading.
        """
        self.sources = tuple(sources)
        self._models = {source.component: source for source in sources if isinstance(source, ClockModel)}
        self._counters = tuple(source for source in sources if not isinstance(source, ClockModel))
        self._trails: dict[str, Trail] = {source.component: Trail(source.provenance) for source in self._counters}
        self._order: tuple[str, ...] = tuple(source.component for source in sources)
        self.clock = clock
        self.synchronize: Callable[[], object] = _nothing if synchronize is None else synchronize
        self.carbon = carbon
        self.windows: list[Window] = []
        self._surroundings = MeterSurroundings() if surroundings is None else surroundings
        real = clock is time.monotonic
        self._date = self._surroundings.date or (time.time if real else _no_date)
        self._slept: Callable[[], float] = _slept if real else _zero
        self._pulse = self._surroundings.pulse or (Pulse() if real else None)
        self._stopped: Callable[[], float] = _zero if self._pulse is None else self._pulse.stopped_s
        self._pid = os.getpid()
        self._cpu_clock = CpuClock() if cpu_clock is None else cpu_clock
        self._quick_cpu_clock = self._cpu_clock.quick if isinstance(self._cpu_clock, CpuClock) else self._cpu_clock
        self._log_path = log
        self._log: WindowLog | None = None
        self._crosscheck = crosscheck
        self._crosschecked: int | None = None
        self._open: list[int] = []
        self._opened = 0
        self._origin: Reading | None = None
        self._began = 0.0
        self._began_at: datetime | None = None
        self._final: Reading | None = None
        self._stack = ExitStack()

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Return where each component's energy comes from, those that nothing covers included."""
        return (*(source.provenance for source in self.sources), *self._surroundings.not_covered)

    @property
    def embodied(self) -> EmbodiedShare | None:
        """Return the hardware that the process holds, and what it took to make it; None where nobody asks."""
        return self._surroundings.embodied

    @property
    def between_runs(self) -> float:
        """Return the relative standard deviation between runs of the same work, of seconds and joules per item."""
        return self._surroundings.between_runs

    @property
    def began_at(self) -> datetime | None:
        """Return the UTC time of the start; None before it."""
        return self._began_at

    @property
    def now_at(self) -> datetime:
        """Return the UTC time by the date at the start and the clock since then, as windows are dated."""
        if self._began_at is None:
            raise MeteringError(NOT_STARTED)
        return self._began_at + self._since(self.clock(), self._slept())

    @property
    def attempt(self) -> int:
        """Return which start of the run this is, from 1: one more than the log already holds."""
        return 1 if self._log is None else self._log.attempt

    @property
    def waited_s(self) -> float:
        """Return the seconds spent so far in waiting for the disk to take the log."""
        return 0.0 if self._log is None else self._log.waited_s

    @property
    def fsyncs(self) -> int:
        """Return how often the log was put on disk so far."""
        return 0 if self._log is None else self._log.fsyncs

    @property
    def total(self) -> RunningTotal:
        """Return what was used since the start, up to now or to the end of the block."""
        if self._origin is None:
            raise MeteringError(NOT_STARTED)
        if self._final is None:
            self.synchronize()
        used, doubts = self._used((self._final or self._read()).since(self._origin))
        known: dict[str, Joules] = {**used.joules}
        known |= {component: trail.used for component, trail in self._trails.items() if trail.used is not None}
        joules = {component: known[component] for component in self._order if component in known}
        return RunningTotal(
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            joules=joules,
            co2eq_g=self._emitted(used, joules),
            embodied_co2eq_g=self._making(used.seconds),
            grade=grade(joules, self.provenances, short=used.missing),
            missing=used.missing,
            doubts=doubts,
        )

    def window(self, name: str, *, items: int = 0, crosscheck: bool = False) -> OpenWindow:
        """Return a context manager that meters its block; `items` is how many things it processes.

        Windows may nest and overlap. One that ends with an exception is recorded with `ok = false`. With `crosscheck`
        codecarbon is asked too: only for windows of seconds, since it costs milliseconds outside them.

        Raises:
            MeteringError: outside the meter's own `with` block.
        """
        if self._origin is None or self._final is not None:
            raise MeteringError(f"window {name!r}: open it inside `with greenpose.meter() as m:`")
        return OpenWindow(
            name,
            items=items,
            crosscheck=crosscheck,
            begin=self._start,
            read=self._read_quickly,
            record=self._record_part,
            end=self._finish,
            kind=lambda done: worst_kind(done.joules, self.provenances, short=done.missing),
        )

    def flush(self) -> None:
        """Put all recorded windows on disk: at the end of a phase."""
        if self._log is not None:
            self._log.sync()

    def __enter__(self) -> "Meter":
        """Open the log and take the first reading.

        Raises:
            MeteringError: the second time.
        """
        if self._origin is not None:
            raise MeteringError("a meter is used once: make another for another block")
        if self._log_path is not None:
            self._log = WindowLog(self._log_path, clock=self.clock)
            self._stack.callback(self._log.close)
            components = [provenance.as_dict() for provenance in self.provenances]
            self._log.begin({"started_at": _utc(), "host": this_machine().fingerprint, "components": components})
        for source in self.sources:
            if isinstance(source, CounterSource):
                self._stack.callback(source.close)
        self._surroundings.load.open()
        self._stack.callback(self._surroundings.load.close)
        if self._pulse is not None:
            self._pulse.start()
            self._stack.callback(self._pulse.stop)
        self.synchronize()
        self._origin = self._read()
        self._began = self._origin.seconds
        date_s = self._origin.date_s
        self._began_at = utc_now() if math.isnan(date_s) else datetime.fromtimestamp(date_s, UTC)
        return self

    def __exit__(self, *error: object) -> None:
        """Take the last reading and close the log; an exception goes on."""
        with self._stack:
            try:
                self.synchronize()
            finally:
                self._final = self._read()

    def start(self) -> "Meter":
        """Begin without a `with` block, as over several cells of a notebook; `stop` ends it."""
        return self.__enter__()

    def stop(self) -> None:
        """End what `start` began.

        Raises:
            MeteringError: if it has not begun, or has ended already.
        """
        if self._origin is None or self._final is not None:
            raise MeteringError(NOT_STARTED if self._origin is None else "the meter has ended already")
        self.__exit__(None, None, None)

    def __str__(self) -> str:
        """Return the readable summary."""
        return summarise(self._state)

    def _repr_html_(self) -> str:
        """Return the summary as a notebook shows it."""
        return html(None, [NOT_STARTED]) if self._origin is None else to_html(self._state)

    def to_frame(self) -> Any:
        """Return the windows as a pandas frame, a line each; `attrs["units"]` has the unit of each column.

        Raises:
            GreenPoseError: if pandas is not installed.
        """
        return windows_frame(self.windows)

    @property
    def _state(self) -> MeterState:
        return MeterState(self.windows, self.total, self.provenances, self.carbon, self._began_at)

    def _read(self) -> Reading:
        """Read counters first and the clocks last, always in this order, so that its own cost cancels."""
        raw, missing = self._raw() if self._counters else (NO_COUNTERS, NOTHING_MISSING)
        cpu_seconds, seconds = self._cpu_clock(), self.clock()
        blind = self._cpu_clock.blind if isinstance(self._cpu_clock, CpuClock) else None
        stopped_s, date_s, slept_s = self._stopped(), self._date(), self._slept()
        joules, faults = self._believed(raw, seconds) if raw else (NO_COUNTERS, NO_FAULTS)
        return Reading(seconds, cpu_seconds, joules, missing, stopped_s, faults, date_s, slept_s, blind)

    def _read_quickly(self) -> Reading:
        self.synchronize()
        raw, missing = self._raw() if self._counters else (NO_COUNTERS, NOTHING_MISSING)
        cpu_seconds, seconds = self._quick_cpu_clock(), self.clock()
        joules, faults = self._believed(raw, seconds) if raw else (NO_COUNTERS, NO_FAULTS)
        return Reading(seconds, cpu_seconds, joules, missing, self._stopped(), faults)

    def _raw(self) -> tuple[Mapping[str, Joules], dict[str, str]]:
        raw: dict[str, Joules] = {}
        missing: dict[str, str] = {}
        for source in self._counters:
            try:
                energy = source.read()
            except MeteringError as error:
                missing[source.component] = str(error)
                continue
            if math.isfinite(energy.low + energy.mid + energy.high):
                raw[source.component] = energy
            else:
                missing[source.component] = f"its counter shows {energy.mid} J"
        return raw, missing

    def _believed(self, raw: Mapping[str, Joules], seconds: float) -> tuple[Mapping[str, Joules], Mapping[str, Fault]]:
        """Return the counters without what is not believed of them, and the faults of each so far."""
        joules: dict[str, Joules] = {}
        for component, energy in raw.items():
            joules[component] = self._trails[component].follow(energy, seconds)
        return joules, {name: trail.fault for name, trail in self._trails.items() if trail.faults}

    def _used(self, raw: Reading, *, worked: bool = False) -> tuple[Reading, Mapping[str, str]]:
        """Return what a stretch used, all components in the sources' order, and what is wrong with its clocks.

        Models are worked out for whole stretches only: after a convolution, nothing of them is left in the CPU's
        caches, and a boundary between parts would take several times as long. Of clocks that are wrong there is none.
        """
        seconds, cpu_seconds, doubts = judged(raw, worked=worked)
        joules, missing = raw.joules, raw.missing
        if self._models:
            known = dict(joules)
            wrong = doubts and (doubts.get("clock") or doubts.get("cpu clock"))
            if wrong:
                missing = {**missing, **dict.fromkeys(self._models, wrong)}
            else:
                for component, model in self._models.items():
                    known[component] = model.over(seconds=seconds, cpu_seconds=cpu_seconds)
            joules = {component: known[component] for component in self._order if component in known}
        return Reading(seconds, cpu_seconds, joules, missing), doubts

    def _at(self, reading: Reading) -> str:
        """Return the UTC time of a reading by the clock since the start, which nobody sets, also across a sleep."""
        assert self._began_at is not None
        return _settings_text(self._began_at + self._since(reading.seconds, reading.slept_s))

    def _since(self, seconds: float, slept_s: float) -> timedelta:
        assert self._origin is not None
        since = seconds - self._origin.seconds + max(0.0, slept_s - self._origin.slept_s)
        return timedelta(seconds=since if 0 <= since < LONGEST_S else 0.0)

    def _emitted(self, used: Reading, joules: Mapping[str, Joules]) -> Quantity | None:
        if self.carbon is None:
            return None
        grams = self.carbon.grams(sum(joules.values(), NO_ENERGY), self._began_at, used.seconds)
        return replace(grams, kind=worst_kind(joules, self.provenances, short=used.missing))

    def _making(self, seconds: float) -> Quantity | None:
        making = None if self.embodied is None else self.embodied.grams(seconds)
        return making if making and making.value is not None else None

    def _start(self, opened: OpenWindow) -> Start:
        if opened.crosscheck and self._crosscheck is not None and self._crosschecked is None:
            self._crosscheck.start()
            self._crosschecked = self._opened + 1
        ticks = self._surroundings.load.read()
        self._opened += 1
        number, parent = self._opened, self._open[-1] if self._open else None
        self.synchronize()
        start = Start(id=number, parent=parent, ticks=ticks, reading=self._read())
        self._open.append(number)
        return start

    def _finish(self, opened: OpenWindow, start: Start, ok: bool) -> Window:
        """Read and record even if the device cannot be waited for, as after a fault of its own."""
        synchronized = False
        try:
            self.synchronize()
            synchronized = True
        finally:
            window = self._record(opened, start, ok=ok and synchronized)
        return window

    def _record(self, opened: OpenWindow, start: Start, *, ok: bool) -> Window:
        """Read, compare with the start, append to the list and to the log."""
        end = self._read()
        used, doubts = self._used(end.since(start.reading), worked=opened.items > 0)
        self._open.remove(start.id)
        window = Window(
            id=start.id,
            parent=start.parent,
            name=opened.name,
            attempt=self.attempt,
            started_at=self._at(start.reading),
            started_s=self._after(start.reading.seconds),
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            joules=used.joules,
            items=opened.items,
            ok=ok,
            contamination=self._surroundings.load.between(
                start.ticks, seconds=used.seconds, cpu_seconds=used.cpu_seconds
            ),
            crosscheck=self._second_opinion(start.id) if opened.crosscheck else None,
            missing=used.missing,
            doubts=doubts,
        )
        self._keep(window)
        return window

    def _record_part(self, opened: OpenWindow, start: Start, part: Part) -> None:
        self._opened += 1
        used, doubts = self._used(part.used)
        self._keep(
            Window(
                id=self._opened,
                parent=start.id,
                name=f"{opened.name}/{part.name}",
                attempt=self.attempt,
                started_at=self._at(start.reading._replace(seconds=part.since)),
                started_s=self._after(part.since),
                seconds=used.seconds,
                cpu_seconds=used.cpu_seconds,
                joules=used.joules,
                items=0,
                ok=True,
                stretches=part.stretches,
                missing=used.missing,
                doubts=doubts,
            )
        )

    def _after(self, seconds: float) -> float:
        """Return the seconds from the meter's start to a moment; zero where the clock shows no number."""
        since = seconds - self._began
        return since if math.isfinite(since) else 0.0

    def _keep(self, window: Window) -> None:
        """Keep a window; a forked child's is not logged: its parent's windows hold its time, under the same numbers."""
        self.windows.append(window)
        if self._log is not None and os.getpid() == self._pid:
            self._log.append(window)

    def _second_opinion(self, window: int) -> CrossReading:
        if self._crosscheck is None:
            return CrossReading(tool="codecarbon", missing="no country given, and its offline tracker needs one")
        if self._crosschecked != window:
            return CrossReading(tool="codecarbon", missing="it cannot nest: a window around this one is being checked")
        self._crosschecked = None
        return self._crosscheck.stop()


def _utc() -> str:
    return _settings_text(utc_now())


def _settings_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _nothing() -> Any:
    return None


def _zero() -> float:
    return 0.0


def _no_date() -> float:
    return math.nan


def _slept() -> float:
    """Return the seconds that the machine slept since it was started: its monotonic clock does not count them."""
    return time.clock_gettime(_ALL_TIME) - time.monotonic() if _ALL_TIME is not None else 0.0


_ALL_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
