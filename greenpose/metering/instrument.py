"""The meter: windows as differences of cumulative readings."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, final

from greenpose.errors import MeteringError
from greenpose.metering.carbon import Carbon, Grams
from greenpose.metering.clock import CpuClock
from greenpose.metering.contamination import Witness
from greenpose.metering.crosscheck import Crosscheck, CrossReading
from greenpose.metering.embodied import Embodied
from greenpose.metering.grading import grade
from greenpose.metering.log import WindowLog
from greenpose.metering.machine import this_machine
from greenpose.metering.opened import OpenWindow, Start
from greenpose.metering.parts import Part, Parts
from greenpose.metering.reading import NO_COUNTERS, NOTHING_MISSING, Reading
from greenpose.metering.source import NO_ENERGY, ClockModel, CounterSource, Joules, Provenance, Source
from greenpose.metering.total import Total
from greenpose.metering.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a meter knows of the machine beside its sources."""

    witness: Witness = field(default_factory=Witness)
    """Watches who else used the CPU."""
    not_covered: tuple[Provenance, ...] = ()
    """Components that exist but that nothing here can read."""
    embodied: Embodied | None = None
    """The hardware that the process holds, and what it took to make it; None where nobody asks for emissions."""
    between_runs: float = 0.0
    """Relative standard deviation between runs of the same work, of seconds and joules per item."""


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
        crosscheck: Crosscheck | None = None,
        carbon: Carbon | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Keep the parts; nothing is read before the `with` block.

        `synchronize` waits until a device has finished; it is called before every reading.
        """
        self.sources = tuple(sources)
        self._models = {source.component: source for source in sources if isinstance(source, ClockModel)}
        self._counters = tuple(source for source in sources if not isinstance(source, ClockModel))
        self._order = tuple(source.component for source in sources)
        self.clock = clock
        self.synchronize: Callable[[], object] = _nothing if synchronize is None else synchronize
        self.carbon = carbon
        self.windows: list[Window] = []
        self._surroundings = Surroundings() if surroundings is None else surroundings
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
        self._held = ExitStack()

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Return where each component's energy comes from, those that nothing covers included."""
        return (*(source.provenance for source in self.sources), *self._surroundings.not_covered)

    @property
    def embodied(self) -> Embodied | None:
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
    def attempt(self) -> int:
        """Return which start of the run this is, from 1: one more than the log already holds."""
        return 1 if self._log is None else self._log.attempt

    @property
    def waited_s(self) -> float:
        """Return the seconds spent so far in waiting for the disk to take the log."""
        return 0.0 if self._log is None else self._log.waited_s

    @property
    def total(self) -> Total:
        """Return what was used since the start, up to now or to the end of the block."""
        if self._origin is None:
            raise MeteringError("the meter has not started; use it as `with greenpose.meter() as m:`")
        if self._final is None:
            self.synchronize()
        used = self._modelled((self._final or self._read()).since(self._origin))
        joules = used.joules
        energy = sum(joules.values(), NO_ENERGY)
        return Total(
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            joules=joules,
            co2eq_g=None if self.carbon is None else self.carbon.grams(energy, self._began_at, used.seconds),
            embodied_co2eq_g=self._making(used.seconds),
            grade=grade(joules, self.provenances),
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
            name, items=items, crosscheck=crosscheck, begin=self._start, divide=self._divide, end=self._finish
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
            self._held.callback(self._log.close)
            components = [provenance.as_dict() for provenance in self.provenances]
            self._log.begin({"started_at": _utc(), "host": this_machine().fingerprint, "components": components})
        for source in self.sources:
            if isinstance(source, CounterSource):
                self._held.callback(source.close)
        self._surroundings.witness.open()
        self._held.callback(self._surroundings.witness.close)
        self.synchronize()
        self._origin = self._read()
        self._began = self._origin.seconds
        self._began_at = datetime.now(UTC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the last reading and close the log; an exception goes on."""
        with self._held:
            try:
                self.synchronize()
            finally:
                self._final = self._read()

    def __str__(self) -> str:
        """Return the readable summary."""
        from greenpose.metering.summary import summarise

        return summarise(self)

    def _read(self) -> Reading:
        return self._read_with(self._cpu_clock)

    def _read_with(self, cpu_clock: Callable[[], float]) -> Reading:
        """Read counters first and the clocks last, always in this order, so that its own cost cancels."""
        joules: dict[str, Joules] = {}
        missing: dict[str, str] = {}
        for source in self._counters:
            try:
                joules[source.component] = source.read()
            except MeteringError as error:
                missing[source.component] = str(error)
        return Reading(cpu_seconds=cpu_clock(), seconds=self.clock(), joules=joules, missing=missing)

    def _modelled(self, used: Reading) -> Reading:
        """Return what a stretch used with what models make of its clocks, all components in the sources' order.

        Models are worked out for whole stretches only: after a convolution, nothing of them is left in the CPU's
        caches, and a boundary between parts would take several times as long.
        """
        if not self._models:
            return used
        joules = dict(used.joules)
        for component, model in self._models.items():
            joules[component] = model.over(seconds=used.seconds, cpu_seconds=used.cpu_seconds)
        return Reading(
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            joules={component: joules[component] for component in self._order if component in joules},
            missing=used.missing,
        )

    def _making(self, seconds: float) -> Grams | None:
        embodied = self.embodied
        return None if embodied is None or embodied.kind == "excluded" else embodied.grams(seconds)

    def _read_quickly(self) -> Reading:
        self.synchronize()
        if self._counters:
            return self._read_with(self._quick_cpu_clock)
        return Reading(self.clock(), self._quick_cpu_clock(), NO_COUNTERS, NOTHING_MISSING)

    def _start(self, opened: OpenWindow) -> Start:
        if opened.crosscheck and self._crosscheck is not None and self._crosschecked is None:
            self._crosscheck.start()
            self._crosschecked = self._opened + 1
        ticks = self._surroundings.witness.read()
        self._opened += 1
        number, parent, at = self._opened, self._open[-1] if self._open else None, _utc()
        self.synchronize()
        start = Start(id=number, parent=parent, at=at, ticks=ticks, reading=self._read())
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
        used = self._modelled(end.since(start.reading))
        self._open.remove(start.id)
        window = Window(
            id=start.id,
            parent=start.parent,
            name=opened.name,
            attempt=self.attempt,
            started_at=start.at,
            started_s=start.reading.seconds - self._began,
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            joules=used.joules,
            items=opened.items,
            ok=ok,
            contamination=self._surroundings.witness.between(
                start.ticks, seconds=used.seconds, cpu_seconds=used.cpu_seconds
            ),
            crosscheck=self._second_opinion(start.id) if opened.crosscheck else None,
            missing=used.missing,
        )
        self._keep(window)
        return window

    def _divide(self, opened: OpenWindow, start: Start) -> Parts:
        """Return what tells the parts of a window apart."""
        return Parts(self._read_quickly, lambda part: self._record_part(opened, start, part))

    def _record_part(self, opened: OpenWindow, start: Start, part: Part) -> None:
        self._opened += 1
        began = datetime.now(UTC) - timedelta(seconds=self.clock() - part.since)
        used = self._modelled(part.used)
        self._keep(
            Window(
                id=self._opened,
                parent=start.id,
                name=f"{opened.name}/{part.name}",
                attempt=self.attempt,
                started_at=_text(began),
                started_s=part.since - self._began,
                seconds=used.seconds,
                cpu_seconds=used.cpu_seconds,
                joules=used.joules,
                items=0,
                ok=True,
                stretches=part.stretches,
                missing=used.missing,
            )
        )

    def _keep(self, window: Window) -> None:
        self.windows.append(window)
        if self._log is not None:
            self._log.append(window)

    def _second_opinion(self, window: int) -> CrossReading:
        if self._crosscheck is None:
            return CrossReading(tool="codecarbon", missing="no country given, and its offline tracker needs one")
        if self._crosschecked != window:
            return CrossReading(tool="codecarbon", missing="it cannot nest: a window around this one is being checked")
        self._crosschecked = None
        return self._crosscheck.stop()


def _utc() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _nothing() -> Any:
    return None
