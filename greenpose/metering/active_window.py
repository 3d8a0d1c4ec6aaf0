"""A window that is open: all counters at one moment, its parts, and what lies between two moments.

A training epoch goes through data, forward, backward and step hundreds of times. A window for each would cost two
readings and a line of the log; here a boundary costs one reading, and what a part used is summed until a second has
passed. So a process that is killed in the middle of an epoch loses a second of it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from itertools import pairwise
from types import MappingProxyType, TracebackType
from typing import NamedTuple, ParamSpec, TypeVar, final

from greenpose.errors import MeteringError
from greenpose.metering.interference import Ticks
from greenpose.metering.sources.source import NO_ENERGY, Joules
from greenpose.metering.window import Window, window_to_html
from greenpose.quantity import Grade, Kind, Quantity

P = ParamSpec("P")
T = TypeVar("T")
NO_COUNTERS: Mapping[str, Joules] = MappingProxyType({})
NOTHING_MISSING: Mapping[str, str] = MappingProxyType({})
Fault = tuple[int, str, bool]
"""How often a counter did what no counter does, what it did last, and whether it stands still."""
NO_FAULTS: Mapping[str, Fault] = MappingProxyType({})


class Reading(NamedTuple):
    """All counters at one moment, or what they rose by between two; a tuple, since it is made at every boundary."""

    seconds: float
    """The wall clock, from an arbitrary origin."""
    cpu_seconds: float
    """CPU time of this process and its children, from an arbitrary origin."""
    joules: Mapping[str, Joules]
    """Energy per component that could be read, from an arbitrary origin."""
    missing: Mapping[str, str]
    """Components that could not be read, and why."""
    stopped_s: float = 0.0
    """Seconds of the wall clock in which the process was stopped."""
    faults: Mapping[str, Fault] = NO_FAULTS
    """Faults so far of each component's counter that had any."""
    date_s: float = math.nan
    """The date, in seconds; NaN where nobody looked."""
    slept_s: float = 0.0
    """Seconds in which the machine slept, which the wall clock does not count."""
    blind: str | None = None
    """Why the CPU time of running children is not in it; None where it is."""

    def since(self, start: "Reading") -> "Reading":
        """Return what was used from `start` to this reading.

        A component that one of them lacks, or whose counter is not believed in between, is missing.
        """
        joules = {name: self.joules[name] - start.joules[name] for name in self.joules if name in start.joules}
        missing = {**start.missing, **self.missing}
        if self.faults is not start.faults:
            for name, (count, why, stands) in self.faults.items():
                if stands or count != start.faults.get(name, (0,))[0]:
                    missing[name] = why
                    joules.pop(name, None)
        return Reading(
            seconds=self.seconds - start.seconds,
            cpu_seconds=self.cpu_seconds - start.cpu_seconds,
            joules=joules,
            missing=missing,
            stopped_s=self.stopped_s - start.stopped_s,
            date_s=self.date_s - start.date_s,
            slept_s=self.slept_s - start.slept_s,
            blind=self.blind or start.blind,
        )

    def plus(self, other: "Reading") -> "Reading":
        """Return what two stretches used together; a component that one of them lacks is missing."""
        return Reading(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            joules={name: self.joules[name] + other.joules[name] for name in self.joules if name in other.joules},
            missing={**self.missing, **other.missing},
            stopped_s=self.stopped_s + other.stopped_s,
        )


EVERY_SECONDS = 1.0
"""How often the sums are handed on."""


class Part(NamedTuple):
    """What one part of a window used."""

    name: str
    """The part."""
    since: float
    """The wall clock at the start of its first stretch."""
    used: Reading
    """Sum of its stretches."""
    stretches: int
    """How many there were."""


class Start(NamedTuple):
    """What is known when a window opens."""

    id: int
    """Number of the window."""
    parent: int | None
    """Window around it; None for an outermost one."""
    ticks: Ticks | None
    """The kernel's ledger; None where there is none."""
    reading: Reading
    """The counters."""


@final
class OpenWindow:
    """A window while its block runs; `items` may be set before the end, `result` is there after it."""

    def __init__(
        self,
        name: str,
        *,
        items: int,
        crosscheck: bool,
        begin: Callable[["OpenWindow"], Start],
        read: Callable[[], Reading],
        record: Callable[["OpenWindow", Start, Part], None],
        end: Callable[["OpenWindow", Start, bool], Window],
        kind: Callable[[Window], Kind] | None = None,
    ) -> None:
        """Keep what is known before the start, who takes the readings, and who is handed the parts' sums.

        `kind` says how the energy of what was recorded was obtained.
        """
        self.name = name
        self.items = items
        self.crosscheck = crosscheck
        self._result: Window | None = None
        self._begin, self._read, self._record, self._end = begin, read, record, end
        self._kind = kind
        self._start: Start | None = None
        self._boundaries: list[tuple[str, Reading]] = []

    def __enter__(self) -> "OpenWindow":
        """Take the first reading."""
        self._start = self._begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the second reading and record; an exception goes on."""
        if self._start is None:
            return
        try:
            if self._boundaries:
                self._boundaries.append(("", self._read()))
                self._hand_on(self._start)
        finally:
            self._result = self._end(self, self._start, kind is None)

    @property
    def is_open(self) -> bool:
        """Return whether it has begun and not ended."""
        return self._start is not None and self._result is None

    def start(self) -> "OpenWindow":
        """Begin without a `with` block, as over several cells of a notebook; `stop` ends it.

        Raises:
            MeteringError: the second time.
        """
        if self._start is not None:
            raise MeteringError(f"window {self.name!r} has begun already; open another one for another stretch")
        return self.__enter__()

    def stop(self) -> Window:
        """End what `start` began, and return what was recorded.

        Raises:
            MeteringError: if it is not open.
        """
        if not self.is_open:
            said = "has ended already" if self._start else "has not begun: call its start()"
            raise MeteringError(f"window {self.name!r} {said}")
        self.__exit__(None, None, None)
        return self.result

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function: each of its calls is a window of its own, with this one's name and items."""

        @wraps(function)
        def metered(*args: P.args, **named: P.kwargs) -> T:
            with self._again():
                return function(*args, **named)

        return metered

    def _again(self) -> "OpenWindow":
        """Return another window like this one."""
        return OpenWindow(
            self.name,
            items=self.items,
            crosscheck=self.crosscheck,
            begin=self._begin,
            read=self._read,
            record=self._record,
            end=self._end,
            kind=self._kind,
        )

    def _repr_html_(self) -> str:
        """Return what was recorded as a notebook shows it, or that it is still open."""
        if self._result is None:
            return f"<div>window {escape(self.name)}: {'open' if self.is_open else 'not begun'}</div>"
        return window_to_html(self._result, self._kind(self._result) if self._kind else None)

    def part(self, name: str) -> None:
        """Begin a part of the block, ending the one before; what all stretches of a part used is summed.

        The sums become windows inside this one, named `WINDOW/PART`, once a second and at the end. Here the reading is
        only kept: summing takes ten times as long between two convolutions, when nothing of it is in the CPU's caches,
        as it does for many boundaries at once.

        Raises:
            MeteringError: outside the block.
        """
        if self._start is None or self._result is not None:
            raise MeteringError(f"window {self.name!r} is not open: begin its part {name!r} inside the `with` block")
        now = self._read()
        self._boundaries.append((name, now))
        if now.seconds - self._boundaries[0][1].seconds >= EVERY_SECONDS:
            self._hand_on(self._start)

    def _hand_on(self, opened: Start) -> None:
        """Hand on what lies between the boundaries, and keep the last of them."""
        sums: dict[str, Part] = {}
        for (name, start), (_, end) in pairwise(self._boundaries):
            used, before = end.since(start), sums.get(name)
            sums[name] = (
                Part(name, start.seconds, used, 1)
                if before is None
                else before._replace(used=before.used.plus(used), stretches=before.stretches + 1)
            )
        del self._boundaries[:-1]
        for part in sums.values():
            self._record(self, opened, part)

    @property
    def result(self) -> Window:
        """Return the recorded window.

        Raises:
            MeteringError: while the block still runs.
        """
        if self._result is None:
            raise MeteringError(f"window {self.name!r} is still open: its result is there after the `with` block")
        return self._result


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTotal:
    """What was used since the meter's start."""

    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of this process and its children."""
    joules: Mapping[str, Joules]
    """Energy per component."""
    co2eq_g: Quantity | None
    """Operational emissions in grams (interval ends of energy and grid multiplied); None without a grid."""
    embodied_co2eq_g: Quantity | None
    """What making the hardware costs for the wall time; None without a grid, or where it was left out."""
    grade: Grade
    """A measured, B mixed, C modelled."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Components of which some or all is not in it, and why."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with the clocks, by topic."""

    @property
    def energy(self) -> Joules:
        """Return the energy of all components."""
        return sum(self.joules.values(), NO_ENERGY)

    @property
    def sci_g(self) -> Quantity | None:
        """Return operational and embodied emissions together: the Software Carbon Intensity per metered block."""
        if self.co2eq_g is None or self.embodied_co2eq_g is None:
            return None
        return self.co2eq_g + self.embodied_co2eq_g
