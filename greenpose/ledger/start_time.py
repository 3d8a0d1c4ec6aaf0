"""When to start: the hours until a deadline in which the grid is cleanest, and what they are expected to save.

Between two runs work can be held back, within one it cannot: it is cut into blocks of whole runs, all expected to take
as long. Moments are counted in hours from the first of the file on. What a period emits per kWh is linear in its begin
between those moments at which it begins or ends with an hour, so that its least lies at one of them.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from greenpose.errors import GreenPoseError
from greenpose.formatting import lasting, significant
from greenpose.metering.carbon.hourly_intensity import HOUR, Hours

LEAST_BLOCK_HOURS = 0.25
"""Runs that are shorter are held back several together."""
BEYOND = timedelta(days=30)
"""So long after the file's end clean hours are looked for: from there on days repeat."""
ALIKE = 6
"""Decimals of g/kWh to which two starts are the same; the earlier is taken."""

ROUNDING_SECONDS = 1e-3
"""Moments have whole microseconds, and many runs follow one another."""


class Range(NamedTuple):
    """An expectation, and both ends of its interval."""

    low: float
    mid: float
    high: float

    def times(self, other: "Range") -> "Range":
        """Return the product with a range that is not negative, ends with the ends that make it widest."""
        low, high = (pick(end * by for end in (self.low, self.high) for by in other) for pick in (min, max))
        return Range(low, self.mid * other.mid, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Runs that are to be done, one after the other."""

    runs: int
    """How many."""
    seconds: Range
    """What all of them take; the deadline is kept with the upper end."""
    kwh: Range | None
    """What all of them draw, with the building's part (PUE); None where nobody knows."""


class Expected(NamedTuple):
    """What is expected of a choice; intervals hold for whatever the work may take and the file may be wrong by."""

    g_per_kwh: Range
    """The grid meanwhile."""
    at_once: Range
    """The grid if all began now, in g/kWh."""
    saved: Range
    """What that is more, in g/kWh."""
    part: Range
    """The same as a part of it."""
    guessed: float
    """Part of the work in hours that the file does not hold, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenStart:
    """When to do some work."""

    starts: tuple[datetime, ...]
    """When each block begins."""
    size: int
    """Runs of a block; the last has what is left."""
    expected: Expected
    """What that emits and saves."""
    is_clean: bool
    """Whether the grid is below the threshold during each block; True where none was given."""
    is_tight: bool
    """Whether the deadline is kept by what the work is expected to take, and not by the upper end of it."""


def choose(
    hours: Hours,
    work: Workload,
    now: datetime,
    *,
    deadline: datetime | None = None,
    below: float | None = None,
    pauses: bool = True,
) -> ChosenStart:
    """Return when to do work: as soon as the grid is below so many g/kWh, or with the least grams by a deadline.

    Where both are given, what cannot be done below the threshold in time is done with the least grams. The threshold
    is held against the mean over a block; without `pauses` all runs are one block.

    Raises:
        GreenPoseError: if the work takes longer than the deadline leaves, or the threshold alone is given and is never
            met.
    """
    assert deadline is not None or below is not None
    seconds, size = work.seconds, _runs_of_a_block(work) if pauses else work.runs
    blocks, begin = math.ceil(work.runs / size), (now - hours.first) / HOUR
    length = seconds.mid / 3600 / blocks
    last = max(now, hours.end) + BEYOND + timedelta(seconds=seconds.high)
    last = min(deadline, last) if deadline else last
    left = (last - now).total_seconds()
    if left < seconds.mid - ROUNDING_SECONDS:
        raise GreenPoseError(_too_near(last, left, work))
    end = begin + max(seconds.mid, left - (seconds.high - seconds.mid)) / 3600
    curve = _IntensityCurve(hours, math.floor(begin), math.ceil(end) + 2)
    starts = curve.below(begin, end, length, blocks, below) if below is not None else []
    is_clean = below is None or len(starts) == blocks
    if deadline is None and not is_clean:
        raise GreenPoseError(_never(curve, below or 0.0, _turns(begin, end - length, length), length, hours.first))
    if len(starts) < blocks:
        starts += curve.cleanest(starts[-1] + length if starts else begin, end, length, blocks - len(starts))
    moments = [now + (start - begin) * HOUR for start in starts]
    return ChosenStart(
        starts=tuple(moments),
        size=size,
        expected=_expected(hours, work, now, moments),
        is_clean=is_clean,
        is_tight=left < seconds.high - ROUNDING_SECONDS,
    )


def _runs_of_a_block(work: Workload) -> int:
    return max(1, min(work.runs, math.ceil(LEAST_BLOCK_HOURS * 3600 * work.runs / work.seconds.mid)))


class _IntensityCurve:
    """The grid from one hour to another."""

    def __init__(self, hours: Hours, first: int, last: int) -> None:
        self._first = first
        self._sums = [0.0, *accumulate(hours.hour(index).mid for index in range(first, last))]

    def _until(self, moment: float) -> float:
        whole = math.floor(moment)
        before, after = self._sums[whole - self._first : whole - self._first + 2]
        return before + (moment - whole) * (after - before)

    def mean(self, start: float, length: float) -> float:
        """Return the mean over so many hours, to as many decimals as tell starts apart."""
        return round((self._until(start + length) - self._until(start)) / length, ALIKE)

    def cleanest(self, begin: float, end: float, length: float, blocks: int) -> list[float]:
        """Return when each block is to begin so that they emit least, all done by `end`.

        Either all in one go, at the very best of all moments, or in the cleanest of slots as long as a block that
        follow each other to the end, from the best of all first moments on.
        """
        whole, last = blocks * length, max(begin, end - blocks * length)
        start = min(_turns(begin, last, whole), key=lambda start: (self.mean(start, whole), start))
        best = [start + number * length for number in range(blocks)]
        if blocks == 1:
            return best
        least = round(self.mean(start, whole) * blocks, ALIKE)
        for first in _turns(begin, min(last, begin + length), length):
            slots = [first + number * length for number in range(math.floor((end - first) / length + 1e-9))]
            chosen = heapq.nsmallest(blocks, ((self.mean(slot, length), slot) for slot in slots))
            grams = round(sum(mean for mean, _ in chosen), ALIKE)
            if len(chosen) == blocks and grams < least:
                least, best = grams, sorted(slot for _, slot in chosen)
        return best

    def below(self, begin: float, end: float, length: float, blocks: int, threshold: float) -> list[float]:
        """Return the first moments at which blocks below a threshold begin; fewer where it is not met in time."""
        starts: list[float] = []
        for left in range(blocks, 0, -1):
            turns = _turns(begin, max(begin, end - left * length), length)
            start = next((turn for turn in turns if self.mean(turn, length) < threshold), None)
            if start is None:
                break
            starts.append(start)
            begin = start + length
        return starts


def _turns(first: float, last: float, length: float) -> Iterator[float]:
    """Yield, in order, the moments between two at which so many hours begin or end with an hour, and these two."""
    begins = range(math.ceil(first), math.floor(last) + 1)
    ends = (hour - length for hour in range(math.ceil(first + length), math.floor(last + length) + 1))
    within = (min(max(first, turn), last) for turn in heapq.merge(begins, ends))
    yield from (first, *within, last)


def _expected(hours: Hours, work: Workload, now: datetime, starts: Sequence[datetime]) -> Expected:
    """Return what is expected of blocks at their starts, for all that they may take.

    What they have in common with beginning at once saves nothing; hours that they do not share with it are wrong
    independently of one another.
    """
    rows = [_compared(hours, now, starts, seconds / len(starts)) for seconds in work.seconds]
    then, once, saved, part = (
        Range(min(one.low for one in each), each[1].mid, max(one.high for one in each))
        for each in zip(*rows, strict=True)
    )
    parts = _parts(hours, starts, work.seconds.mid / len(starts))
    guessed = sum(share * hours.hour(hour).guessed for hour, share in parts.items())
    return Expected(g_per_kwh=then, at_once=once, saved=saved, part=part, guessed=guessed)


def _compared(
    hours: Hours, now: datetime, starts: Sequence[datetime], seconds: float
) -> tuple[Range, Range, Range, Range]:
    """Return the grid of blocks that take so long, at once, what that is more, and as a part of it."""
    length = timedelta(seconds=seconds)
    pushed = accumulate(starts, lambda before, start: max(start, before + length))
    then, once = _parts(hours, [*pushed], seconds), _parts(hours, [now], seconds * len(starts))
    both = {hour: min(then[hour], once[hour]) for hour in then.keys() & once.keys()}
    more, less = (_over(hours, {hour: each[hour] - both.get(hour, 0.0) for hour in each}) for each in (once, then))
    saved = Range(
        more.mid - less.mid - math.hypot(more.mid - more.low, less.high - less.mid),
        more.mid - less.mid,
        more.mid - less.mid + math.hypot(more.high - more.mid, less.mid - less.low),
    )
    whole = _over(hours, once)
    return _over(hours, then), whole, saved, Range(*(end / whole.mid if whole.mid else 0.0 for end in saved))


def _parts(hours: Hours, starts: Sequence[datetime], seconds: float) -> Mapping[int, float]:
    """Return which part of the work falls into each hour."""
    parts = defaultdict[int, float](float)
    for start in starts:
        for hour, share in hours.shares(start, seconds):
            parts[hour] += share / len(starts)
    return parts


def _over(hours: Hours, parts: Mapping[int, float]) -> Range:
    """Return the sum over hours, each by its part."""
    periods = [(part, hours.hour(hour)) for hour, part in parts.items()]
    return Range(*(sum(part * period[end] for part, period in periods) for end in range(3)))


def _too_near(deadline: datetime, left: float, work: Workload) -> str:
    if left <= 0:
        return f"--finish-by: {deadline:%Y-%m-%d %H:%M} UTC is over; give a time to come"
    took = lasting(work.seconds.mid) + (f", at most {lasting(work.seconds.high)}" if work.seconds.high > left else "")
    why = f"is in {lasting(left)}, and what is to be done takes {took}"
    return f"--finish-by: {deadline:%Y-%m-%d %H:%M} UTC {why}; give a later time, or leave it out to start at once"


def _never(curve: _IntensityCurve, threshold: float, turns: Iterator[float], length: float, first: datetime) -> str:
    least, turn = min((curve.mean(turn, length), turn) for turn in turns)
    when = f"{first + turn * HOUR:%Y-%m-%d %H:%M} UTC"
    often = "never" if least >= threshold else "too seldom"
    return (
        f"--start-below {threshold:g}: the grid is {often} below that for {lasting(length * 3600)}, as a run takes; "
        f"{significant(least)} g/kWh from {when} on is the least; give more, or --finish-by TIME as well"
    )
