"""What a paired check can and cannot do on this machine: equal sides, a really heavier one, and the smallest change.

Two processes of the same code are compared again and again: whatever is found is a false alarm. Then a third one with a
larger input has to be found out. And every change from 1 % up is laid over the recorded equal turns, to see from which
size on the rule would have found it.
"""

import json
import math
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from greenpose.check.paired.interleaved import Clock, Interleaved, a_core
from greenpose.check.paired.revisions import this_side
from greenpose.check.paired.rule import RESTARTS, Rule, sequential_test
from greenpose.check.verdict import signed_percent
from greenpose.config import packaged_experiment
from greenpose.files import cache_folder, utc_now, write_text
from greenpose.metering import this_machine
from greenpose.subject import Network, read_networks

SECONDS = 60.0
"""How long it takes, about."""
FEWEST_MEETINGS = 2
"""Pairs of processes that are compared even if that takes longer."""
PAIRS = 40
"""Pairs of turns of equal sides in each meeting."""
STEP = 5
"""Every so many pairs a comparison is begun anew, to see what the rule makes of what follows."""
CHANGES = tuple(step / 200 for step in range(2, 61))
"""Changes that are tried: 1 % to 30 % in steps of half a percent."""
POWER = 0.95
"""A change counts as detectable if so many of the checks find it, all restarts included."""
WIDE = ("data.input_size=[256, 64]", "measure.batch=8")
"""What is run where nothing is named: the quick grid's network on wide images; the next wider takes 10 % longer."""
TILE = 32
"""A side of an image is a multiple of this many pixels."""


Meeting = tuple[Interleaved, Interleaved]
"""Running pairs of processes: twice the same, and the same with one that has a larger input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What a paired check can do on one machine."""

    comparisons: int
    """Comparisons of equal sides, each of one exit."""
    alarms: int
    """Those that found a difference."""
    meetings: int
    """Pairs of processes that were compared."""
    smallest_change: float | None
    """Smallest change that at least 95 % of checks would have found; None where none up to 30 % is."""
    heavier: tuple[float, ...] = ()
    """By how much a larger input really cost more, one for each comparison and exit, e.g. 0.12."""
    heavier_found: int = 0
    """In how many of these the rule said so."""
    pixels: float = 1.0
    """The larger input's pixels over the usual one's."""
    cpu_s: float
    """CPU time that a comparison takes each side, in seconds, in the median."""
    subject: str
    """What was run."""
    machine: str
    """Fingerprint of the machine."""
    date: str
    """Day of the test (UTC)."""
    seconds: float
    """How long it took."""

    @property
    def bound(self) -> float:
        """Return the false-alarm rate of a comparison that these counts exclude with 95 % confidence."""
        return upper_bound(self.alarms, self.comparisons)

    @property
    def fine(self) -> bool:
        """Return whether a check by the usual rule is worth its time here."""
        limit = Rule().pass_below
        return self.alarms == 0 and self.smallest_change is not None and self.smallest_change <= limit

    def __str__(self) -> str:
        """Return one line, to be quoted beside verdicts."""
        least = "no change up to +30 %" if self.smallest_change is None else f"{signed_percent(self.smallest_change)}"
        return (
            f"self-test of this machine, {self.date}: {self.alarms} false alarms in {self.comparisons} comparisons of "
            f"equal sides (below {100 * self.bound:.2g} %, before restarts); found in 95 % of checks: {least} or "
            "more"
        )


def self_test(candidate: Path | None = None, *, progress: Callable[[str], object] = lambda _: None) -> SelfTest:
    """Return what a paired check can do on this machine; a candidate's first network stands for all.

    Raises:
        GreenPoseError: if the candidate cannot be run.
    """
    file, settings = (packaged_experiment("quick"), WIDE) if candidate is None else (candidate, ())
    with tempfile.TemporaryDirectory() as folder:
        network = read_networks(file, Path(folder), settings=settings)[0]
        size = network.config.data.input_size
        larger, pixels = larger_input(size)
        bigger = (*settings, f"data.input_size={list(larger)}")
        return measure(
            lambda: _meet(network, settings, bigger),
            about={"subject": f"{file.name}, {'x'.join(map(str, size))}", "pixels": pixels},
            progress=progress,
        )


def measure(
    meet: Callable[[], AbstractContextManager[Meeting]],
    *,
    about: Mapping[str, Any],
    progress: Callable[[str], object],
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> SelfTest:
    """Return the test's result from meetings of equal sides and of a heavier one, as many as there is time for.

    `meet` starts them.
    """
    began, tally = clock(), _Tally()
    while tally.meetings < FEWEST_MEETINGS or (clock() - began) * (1 + 1 / tally.meetings) < seconds:
        with meet() as meeting:
            tally.add(*meeting)
        progress(f"{tally.meetings} pairs of processes, {tally.comparisons} comparisons, {tally.alarms} false alarms")
    return SelfTest(
        comparisons=tally.comparisons,
        alarms=tally.alarms,
        meetings=tally.meetings,
        smallest_change=tally.smallest_change(),
        heavier=tuple(tally.heavier),
        heavier_found=tally.heavier_found,
        cpu_s=median(tally.cpu_s) if tally.cpu_s else math.nan,
        machine=this_machine().fingerprint,
        date=utc_now().date().isoformat(),
        seconds=clock() - began,
        **about,
    )


def remember(result: SelfTest) -> Path:
    """Keep a result for later verdicts on this machine, and return its file."""
    file = _file(result.machine)
    write_text(file, json.dumps(asdict(result), indent=1) + "\n")
    return file


def recall() -> SelfTest | None:
    """Return this machine's last result, None where there is none that this version can read."""
    try:
        data = json.loads(_file(this_machine().fingerprint).read_text(encoding="utf-8"))
        return SelfTest(**data | {"heavier": tuple(data["heavier"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def upper_bound(events: int, trials: int, *, confidence: float = 0.95) -> float:
    """Return the largest rate under which no more than so many events are not yet too unlikely; 1 without trials.

    Source: Clopper & Pearson (1934), Biometrika 26, 404-413, one-sided; for no event about 3 / trials.
    """
    if events >= trials:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(events + 1, trials - events, confidence))


def larger_input(size: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Return the next larger input, width and height, and its pixels over the usual one's."""
    width, height = size
    larger = min((width + TILE, height), (width, height + TILE), key=math.prod)
    return larger, math.prod(larger) / math.prod(size)


def _file(machine: str) -> Path:
    return cache_folder() / "selftest" / f"{machine}.json"


@contextmanager
def _meet(network: Network, settings: Sequence[str], larger: Sequence[str]) -> Iterator[Meeting]:
    """Start three processes of the code that runs here: twice the same, and one with a larger input."""
    side, request = this_side("self-test"), {"core": a_core(), **network.request()}
    with ExitStack() as stack:
        one, two, third = (
            stack.enter_context(side.worker({**request, "settings": list(chosen)}))
            for chosen in (settings, settings, larger)
        )
        equal, heavier = (Interleaved(one, other, exits=one.hello["exits"]) for other in (two, third))
        for turns in (equal, heavier):
            turns.prepare()
        yield equal, heavier


class _Tally:
    """What was found so far."""

    def __init__(self) -> None:
        self._rule = Rule()
        self._equal: list[tuple[list[float], int]] = []
        self.meetings = self.comparisons = self.alarms = self.heavier_found = 0
        self.heavier: list[float] = []
        self.cpu_s: list[float] = []

    def add(self, equal: Interleaved, heavier: Interleaved) -> None:
        """Compare equal sides for a while, and the heavier one once."""
        self.meetings += 1
        equal.run_pairs(PAIRS)
        cpu_s = sum(window.cpu_s for window, _ in equal.windows()) / PAIRS
        for exit_ in equal.exits:
            self._add_equal(equal.differences(exit_, _clock(equal)), len(equal.exits), cpu_s)
        self._add_heavier(heavier)

    def smallest_change(self) -> float | None:
        """Return from which change on the rule would have found it, laid over the equal turns."""
        needed = POWER ** (1 / (1 + RESTARTS))
        place = bisect_left(CHANGES, needed, key=self._share_found)  # the larger a change, the more comparisons find it
        return CHANGES[place] if place < len(CHANGES) else None

    def _add_equal(self, differences: list[float], quantities: int, cpu_s: float) -> None:
        """Make one comparison after another, each of the pairs that the one before left."""
        self._equal.append((differences, quantities))
        place = 0
        while place + self._rule.batch <= len(differences):
            result = sequential_test(differences[place:], self._rule, quantities=quantities)
            if result.decision is None:
                break  # it would have gone on
            self.comparisons += 1
            self.alarms += result.decision != "ok"
            self.cpu_s.append(result.pairs * cpu_s)
            place += result.pairs

    def _add_heavier(self, turns: Interleaved) -> None:
        while len(turns.pairs) < self._rule.max_pairs:
            turns.run_pairs(self._rule.batch)
            found = [
                sequential_test(turns.differences(exit_, _clock(turns)), self._rule, quantities=len(turns.exits))
                for exit_ in turns.exits
            ]
            if all(result.decision for result in found):
                break
        self.heavier += [result.ratio.value - 1 for result in found]
        self.heavier_found += sum(result.decision == "regressed" for result in found)

    def _share_found(self, change: float) -> float:
        found = [
            sequential_test(
                [one + math.log1p(change) for one in differences[start:]], self._rule, quantities=quantities
            )
            for differences, quantities in self._equal
            for start in range(0, len(differences) - self._rule.batch + 1, STEP)
        ]
        return sum(result.decision == "regressed" for result in found) / len(found)


def _clock(turns: Interleaved) -> Clock:
    """Return what turns are judged by first."""
    base, _ = turns.pairs[0]
    return "gpu_s" if any(window.gpu_s is not None for window in base.values()) else "cpu_s"
