"""The alternating parts of an open window: one reading at each boundary, one line a part and second.

A training epoch goes through data, forward, backward and step hundreds of times. A window for each would cost two
readings and a line of the log; here a boundary costs one reading, and what a part used is summed until a second has
passed. So a process that is killed in the middle of an epoch loses a second of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
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
        self._boundaries: list[tuple[str, Reading]] = []

    def switch(self, name: str) -> None:
        """End the running part and begin another.

        The reading is only kept: summing takes ten times as long between two convolutions, when nothing of it is in
        the CPU's caches, as it does for many boundaries at once.
        """
        now = self._read()
        self._boundaries.append((name, now))
        if now.seconds - self._boundaries[0][1].seconds >= EVERY_SECONDS:
            self._hand_on()

    def end(self) -> None:
        """End the running part and hand everything on."""
        self._boundaries.append(("", self._read()))
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on what lies between the boundaries, and keep the last of them."""
        sums: dict[str, Part] = {}
        for (name, start), (_, end) in pairwise(self._boundaries):
            used, before = end.since(start), sums.get(name)
            if before is None:
                sums[name] = Part(name=name, since=start.seconds, used=used, stretches=1)
            else:
                sums[name] = before.longer(used)
        del self._boundaries[:-1]
        for part in sums.values():
            self._emit(part)
