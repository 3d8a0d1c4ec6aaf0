"""Interleaved turns: two processes take them in one window after the other, so that what one meets the other meets.

In a round every exit, in an order drawn anew, runs a window of one side and then one of the other. Rounds go first,
second, second, first (ABBA), so that a steady drift hits both alike, and every window follows one of the other side, so
that all find the caches equally cold. The processes share a core, and only work when they are asked to.

Short windows in quick turns beat long ones: on a busy machine neighbours come and go within a tenth of a second, and
two windows only suffer alike if they are close. As many rounds as make it long enough are one pair.
"""

import itertools
import json
import math
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from greenpose.errors import CheckError, GreenPoseError, MeteringError
from greenpose.metering import Source
from greenpose.metering.inference import PERIODS_PER_WINDOW
from greenpose.schema import shown

Clock = Literal["cpu_s", "joules", "gpu_s", "seconds"]
SIDES = ("base", "head")
Piece = int | str
"""What is run: an exit by its number, or another work by its name."""

MIN_WINDOW_S = 0.005
"""No window is shorter than this by the clock that it is judged by."""
MIN_PAIR_S = 0.02
"""Nor are all windows that a side has of an exit in one pair."""
TICKS_PER_WINDOW = 50
"""Nor is a window shorter than this many steps of the CPU clock."""
TINY_S = 1e-6
"""A call that takes less than this is taken to take this."""
WARM_UP_CALLS = 10
"""Calls of each exit that are made before anything is timed, or fewer if they take long."""
WARM_UP_S = 0.2
"""How long is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWindow:
    """What some calls of one exit took."""

    calls: int
    """Calls in the window."""
    cpu_s: float
    """CPU time of the side's process, in seconds."""
    seconds: float
    """Wall time, in seconds."""
    gpu_s: float | None
    """Time between two events on the GPU, in seconds; None on a CPU."""
    joules: float | None
    """Energy by the machine's counters, in joules; None where there is none."""
    faults: int
    """Pages that the process had to fetch from the kernel."""
    switches: int
    """How often the process was taken off its CPU against its will."""

    def per_call(self, clock: Clock) -> float | None:
        """Return what one call took by a clock; None where that was not read."""
        spent: float | None = getattr(self, clock)
        return None if spent is None else spent / self.calls

    def plus(self, other: "TimedWindow") -> "TimedWindow":
        """Return both windows as one; what one of them has not read, both have not."""
        mine, theirs = asdict(self), asdict(other)
        both: dict[str, Any] = {
            name: None if None in (one, theirs[name]) else one + theirs[name] for name, one in mine.items()
        }
        return TimedWindow(**both)


Turn = Mapping[Piece, TimedWindow]
"""What a side took in one pair, exit by exit."""


def named(piece: Piece) -> str:
    """Return what a piece is called: `exit3`, `train`."""
    return f"exit{piece}" if isinstance(piece, int) else piece


class RefusalError(GreenPoseError):
    """A side has not got what it was asked for."""


class Worker:
    """A side's process, from `with` to the end of the block."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Keep what to start; nothing runs yet."""
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._hello: dict[str, Any] | None = None

    def __enter__(self) -> "Worker":
        """Start the process; it gets ready while others are started."""
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            process_group=0,  # Ctrl-C on the terminal reaches us alone
        )
        return self

    def __exit__(self, *error: object) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.communicate()
        self._complaints.close()

    @property
    def pid(self) -> int:
        """Return the process's number."""
        return self._process.pid

    @property
    def hello(self) -> Mapping[str, Any]:
        """Return what the side said when it was ready; waits for that.

        Raises:
            RefusalError: if it has no such network, in its own words.
            CheckError: if its code lacks what is to be run.
            GreenPoseError: if its process ended.
        """
        if self._hello is None:
            self._hello = self._answer()
        return self._hello

    def run(self, exit_: Piece, calls: int) -> dict[str, Any]:
        """Return what some calls of an exit took in the side's process.

        Raises:
            GreenPoseError: if the process ended, or something else in it wrote in the place of an answer.
        """
        _ = self.hello  # what it says of itself comes before any other answer
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"exit": exit_, "calls": calls}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GreenPoseError(self._last_words()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise GreenPoseError(self._last_words())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise GreenPoseError(
                f"{self.name}: its process answered {shown(line.strip())}; look at what else prints there"
            )
        if "lacks" in answer:
            raise CheckError([f"{self.name}: {answer['lacks']}"])
        if "error" in answer:
            raise RefusalError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._complaints.seek(0)
        lines = [line.strip() for line in self._complaints if line.strip()]
        how = f"signal {-code}" if code < 0 else f"code {code}"
        return f"{self.name}: its process ended with {how}" + (f": {lines[-1]}" if lines else "")


class Interleaved:
    """Turns of two running sides, and what they took."""

    def __init__(self, base: Worker, head: Worker, *, exits: Sequence[Piece], counters: Sequence[Source] = ()) -> None:
        """Keep the sides; `counters` are read around every window."""
        self.pairs: list[tuple[Turn, Turn]] = []
        self.exits = tuple(sorted(exits, key=str))
        self.calls: dict[Piece, int] = {}
        self._sides = (base, head)
        self._counters = tuple(counters)
        self.rounds = 1
        self._order = random.Random(0)
        self._num_rounds = 0

    def prepare(self) -> None:
        """Warm both sides up, and choose how many calls make a window and how many rounds a pair: the same for both."""
        paces = {exit_: self._pace(exit_) for exit_ in self.exits}
        self.rounds = max(1, math.ceil(MIN_PAIR_S / max(calls * seconds for calls, seconds in paces.values())))
        shortest = MIN_PAIR_S / self.rounds
        self.calls = {exit_: max(calls, math.ceil(shortest / seconds)) for exit_, (calls, seconds) in paces.items()}
        self._pair()

    def reset(self) -> None:
        """Drop all pairs so far."""
        self.pairs = []

    def run_pairs(self, pairs: int) -> None:
        """Let both sides take as many turns, one beside the other."""
        self.pairs += [self._pair() for _ in range(pairs)]

    def costs(self, exit_: Piece, clock: Clock) -> tuple[list[float], list[float]]:
        """Return what a call took the base and the head, in every pair in which that clock was read for both."""
        both = [(base[exit_].per_call(clock), head[exit_].per_call(clock)) for base, head in self.pairs]
        read = [(base, head) for base, head in both if base and head]
        return [base for base, _ in read], [head for _, head in read]

    def differences(self, exit_: Piece, clock: Clock) -> list[float]:
        """Return the logarithm of head over base, pair by pair."""
        return [math.log(head / base) for base, head in zip(*self.costs(exit_, clock), strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Return every turn as plain JSON data: for each side and exit, a list for each quantity."""
        return {
            name: {named(exit_): _columns([pair[side][exit_] for pair in self.pairs]) for exit_ in self.exits}
            for side, name in enumerate(SIDES)
        }

    def windows(self) -> Iterator[tuple[TimedWindow, TimedWindow]]:
        """Yield the base's and the head's window of every exit in every pair."""
        for base, head in self.pairs:
            yield from ((base[exit_], head[exit_]) for exit_ in self.exits)

    def _pair(self) -> tuple[Turn, Turn]:
        turns: list[dict[Piece, TimedWindow]] = [{}, {}]
        for _ in range(self.rounds):
            order = (0, 1) if self._num_rounds % 2 == 0 else (1, 0)
            self._sides[order[1]].run(self.exits[0], 1)  # not timed: the first window too follows the other side
            for exit_, side in itertools.product(self._order.sample(self.exits, k=len(self.exits)), order):
                window = self._metered(self._sides[side], exit_)
                before = turns[side].get(exit_)
                turns[side][exit_] = window if before is None else before.plus(window)
            self._num_rounds += 1
        return turns[0], turns[1]

    def _metered(self, worker: Worker, exit_: Piece) -> TimedWindow:
        before = self._joules()
        answer = worker.run(exit_, self.calls[exit_])
        after = self._joules()
        return _window(answer, None if before is None or after is None else after - before)

    def _pace(self, exit_: Piece) -> tuple[int, float]:
        """Return the fewest calls that make a window, and how long the faster side's call takes."""
        seen = []
        for worker in self._sides:
            fitting = WARM_UP_S / max(worker.run(exit_, 1)["seconds"], TINY_S)
            calls = min(WARM_UP_CALLS, math.ceil(fitting))
            worker.run(exit_, calls)
            seen.append((worker, _window(worker.run(exit_, calls))))
        periods = [source.provenance.update_period_s or 0.0 for source in self._counters]
        needs, seconds = [1], []
        for worker, window in seen:
            judged = window.cpu_s if window.gpu_s is None else window.gpu_s
            floors = [(MIN_WINDOW_S, judged), (TICKS_PER_WINDOW * worker.hello["tick_s"], window.cpu_s)]
            floors += [(PERIODS_PER_WINDOW * period, window.seconds) for period in periods]
            needs += [math.ceil(shortest * window.calls / max(took, TINY_S)) for shortest, took in floors]
            seconds.append(max(judged, TINY_S) / window.calls)
        return max(needs), min(seconds)

    def _joules(self) -> float | None:
        """Return the counters' energy so far, None where there are none or one cannot be read now."""
        try:
            return sum(source.read().mid for source in self._counters) if self._counters else None
        except MeteringError:
            return None


def _window(answer: Mapping[str, Any], joules: float | None = None) -> TimedWindow:
    return TimedWindow(**answer, joules=joules)


def _columns(windows: Sequence[TimedWindow]) -> dict[str, list[Any]]:
    rows = [asdict(window) for window in windows]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def a_core() -> int | None:
    """Return a core that both sides may share; None where processes cannot be tied to one."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
