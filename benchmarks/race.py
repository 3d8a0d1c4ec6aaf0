"""Sides that take turns: how many times as fast one is, with an interval, and whether that was promised."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from greenpose.quantity import Quantity, median

Side = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How many times as fast something is."""

    what: str
    """What was compared."""
    ratio: Quantity
    """The reference's time over ours."""
    promised: float | None = None
    """At least this; None: only told."""

    @property
    def fault(self) -> str | None:
        """Return what was not reached."""
        if self.promised is None or self.ratio.known >= self.promised:
            return None
        return f"{self.what}: {self.ratio.value:.2f} times as fast, promised {self.promised:g}"

    def __str__(self) -> str:
        """Return one line."""
        assert self.ratio.type_a is not None
        low, high = self.ratio.type_a
        text = f"{self.what}: {self.ratio.value:.2f}x [{low:.2f}, {high:.2f}], {self.ratio.repeats} rounds"
        if self.promised is None:
            return text
        return f"{text}; promised {self.promised:g}x: {'not reached' if self.fault else 'reached'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What each side took, round by round."""

    times: Mapping[str, list[float]]
    """CPU-seconds by side."""

    def claim(self, what: str, slower: str, faster: str, promised: float | None = None) -> Claim:
        """Return how many times as fast one side is."""
        pairs = zip(self.times[slower], self.times[faster], strict=True)
        return Claim(what=what, ratio=median([a / b for a, b in pairs]), promised=promised)

    def show(self, items: int) -> None:
        """Print each side's median time for an item."""
        for name, times in self.times.items():
            print(f"  {name}: {1e3 * statistics.median(times) / items:.4g} ms")


def race(sides: Mapping[str, Side], *, seconds: float, seed: int = 0, fewest: int = 6) -> Race:
    """Run the sides in rounds, in random order, until the time is up; a first round warms up and is left out."""
    order, chosen = list(sides), random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or len(times[order[0]]) < fewest:
        chosen.shuffle(order)
        for name in order:
            began = time.process_time()
            sides[name]()
            times[name].append(time.process_time() - began)
    return Race(times=times)
