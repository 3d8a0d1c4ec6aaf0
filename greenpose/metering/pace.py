"""How a counter moves: found by looking at it again and again, where `Provenance` can only say what is assumed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from greenpose.metering.inference import PERIODS_PER_WINDOW
from greenpose.metering.source import Source

LOOK_EVERY_S = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a counter was seen to move."""

    resolution_j: float
    """Smallest rise, in joules: its steps are this small or smaller."""
    update_period_s: float
    """Median time between two rises, in seconds; no shorter than a reading takes."""
    rises: int
    """How many rises were seen."""

    @property
    def shortest_window_s(self) -> float:
        """Return the length from which on a window's energy does not hang on when it began, in seconds."""
        return PERIODS_PER_WINDOW * self.update_period_s


def probe(
    source: Source,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Pace | None:
    """Return how a counter moves, watched for that long; None if it rose less than three times.

    Raises:
        MeteringError: if it cannot be read.
    """
    end = clock() + seconds
    seen = [source.read().mid]
    moments: list[float] = []
    while (now := clock()) < end:
        joules = source.read().mid
        if joules != seen[-1]:
            seen.append(joules)
            moments.append(now)
        sleep(LOOK_EVERY_S)
    if len(moments) < 3:
        return None
    return Pace(
        resolution_j=min(after - before for before, after in pairwise(seen)),
        update_period_s=statistics.median(after - before for before, after in pairwise(moments)),
        rises=len(moments),
    )
