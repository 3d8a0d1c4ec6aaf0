"""The alternating parts of an open window: one reading at each boundary, one line a part and second.

A training epoch goes through data, forward, backward and step hundreds of times. A window for each would cost two
readings and a line of the log; here a boundary costs one reading, and what a part used is summed until a second has
passed. So a process that is killed in the middle of an epoch loses a second of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from greenpose.metering.reading import Reading

EVERY_SECONDS = 1.0
"""How often the sums are handed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one part used in some stretches of its window."""

    name: str
    """The part."""
    since: float
    """The wall clock at the start of the first stretch."""
    used: Reading
    """Their sum."""
    stretches: int
    """How many there were."""

    def longer(self, used: Reading) -> "Part":
        """Return the part with one stretch more."""
        return Part(name=self.name, since=self.since, used=self.used.plus(used), stretches=self.stretches + 1)


@final
class Parts:
    """Tells the parts of one window apart."""

    def __init__(self, read: Callable[[], Reading], emit: Callable[[Part], None]) -> None:
        """Keep who reads the counters, and who is handed the sums."""
        self._read = read
        self._emit = emit
        self._sums: dict[str, Part] = {}
        self._running: tuple[str, Reading] | None = None
        self._emitted = -float("inf")

    def switch(self, name: str) -> None:
        """End the running part and begin another."""
        now = self._close()
        self._running = (name, now)
        if self._emitted == -float("inf"):
            self._emitted = now.seconds
        if now.seconds - self._emitted >= EVERY_SECONDS:
            self._hand_on()
            self._emitted = now.seconds

    def end(self) -> None:
        """End the running part and hand everything on."""
        self._close()
        self._running = None
        self._hand_on()

    def _close(self) -> Reading:
        now = self._read()
        if self._running is not None:
            name, start = self._running
            used, before = now.since(start), self._sums.get(name)
            fresh = Part(name=name, since=start.seconds, used=used, stretches=1)
            self._sums[name] = fresh if before is None else before.longer(used)
        return now

    def _hand_on(self) -> None:
        for part in self._sums.values():
            self._emit(part)
        self._sums.clear()
