"""A window while its block runs."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import final

from greenpose.errors import MeteringError
from greenpose.metering.contamination import Ticks
from greenpose.metering.parts import Parts
from greenpose.metering.reading import Reading
from greenpose.metering.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
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
        divide: Callable[["OpenWindow", Start], Parts],
        end: Callable[["OpenWindow", Start, bool], Window],
    ) -> None:
        """Keep what is known before the start, and who takes the readings."""
        self.name = name
        self.items = items
        self.crosscheck = crosscheck
        self._result: Window | None = None
        self._begin = begin
        self._divide = divide
        self._end = end
        self._start: Start | None = None
        self._parts: Parts | None = None

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
            if self._parts is not None:
                self._parts.end()
        finally:
            self._result = self._end(self, self._start, kind is None)

    def part(self, name: str) -> None:
        """Begin a part of the block, ending the one before; what all stretches of a part used is summed.

        The sums become windows inside this one, named `WINDOW/PART`, once a second and at the end.

        Raises:
            MeteringError: outside the block.
        """
        if self._start is None or self._result is not None:
            raise MeteringError(f"window {self.name!r} is not open: begin its part {name!r} inside the `with` block")
        if self._parts is None:
            self._parts = self._divide(self, self._start)
        self._parts.switch(name)

    @property
    def result(self) -> Window:
        """Return the recorded window.

        Raises:
            MeteringError: while the block still runs.
        """
        if self._result is None:
            raise MeteringError(f"window {self.name!r} is still open: its result is there after the `with` block")
        return self._result
