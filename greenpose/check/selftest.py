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
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from greenpose.check.footprint import Network, find_networks
from greenpose.check.interleaved import Clock, Duel, a_core
from greenpose.check.paired import RESTARTS, Rule, weigh
from greenpose.check.revisions import this_side
from greenpose.check.verdict import signed_percent
from greenpose.config import packaged_experiment
from greenpose.files import cache_folder, write_text
from greenpose.metering import this_machine

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


class Meeting(NamedTuple):
    """Running pairs of processes."""

    equal: Duel
    """Twice the same."""
    heavier: Duel
    """The same, and one with a larger input."""


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


def self_test(
    candidate: Path | None = None,
    *,
    seconds: float = SECONDS,
    rule: Rule | None = None,
    heard: Callable[[str], object] = lambda _: None,
) -> SelfTest:
    """Return what a paired check can do on this machine; a candidate's first network stands for all.

    Raises:
        GreenPoseError: if the candidate cannot be run.
    """
    file, settings = (packaged_experiment("quick"), WIDE) if candidate is None else (candidate, ())
    with tempfile.TemporaryDirectory() as folder:
        network = find_networks(file, Path(folder), settings=settings)[0]
        larger, pixels = larger_input(network.input_size)
        bigger = (*settings, f"data.input_size={list(larger)}")
        return measure(
            lambda: _meet(network, settings, bigger),
            rule=Rule() if rule is None else rule,
            seconds=seconds,
            about={"subject": f"{file.name}, {'x'.join(map(str, network.input_size))}", "pixels": pixels},
            heard=heard,
        )


def measure(
    meet: Callable[[], AbstractContextManager[Meeting]],
    *,
    rule: Rule,
    seconds: float,
    about: Mapping[str, Any],
    heard: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
) -> SelfTest:
    """Return the test's result from meetings of equal sides and of a heavier one, as many as there is time for.

    `meet` starts them.
    """
    began, notes = clock(), _Notes(rule)
    while notes.meetings < FEWEST_MEETINGS or (clock() - began) * (1 + 1 / notes.meetings) < seconds:
        with meet() as meeting:
            notes.add(meeting)
        heard(f"{notes.meetings} pairs of processes, {notes.comparisons} comparisons, {notes.alarms} false alarms")
    return SelfTest(
        comparisons=notes.comparisons,
        alarms=notes.alarms,
        meetings=notes.meetings,
        smallest_change=notes.smallest_change(),
        heavier=tuple(notes.heavier),
        heavier_found=notes.heavier_found,
        cpu_s=median(notes.cpu_s) if notes.cpu_s else math.nan,
        machine=this_machine().fingerprint,
        date=datetime.now(UTC).date().isoformat(),
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
        duels = Duel(one, two, exits=one.hello["exits"]), Duel(one, third, exits=one.hello["exits"])
        for duel in duels:
            duel.prepare()
        yield Meeting(*duels)


class _Notes:
    """What was seen so far."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._equal: list[tuple[list[float], int]] = []
        self.meetings = 0
        self.comparisons = 0
        self.alarms = 0
        self.heavier: list[float] = []
        self.heavier_found = 0
        self.cpu_s: list[float] = []

    def add(self, meeting: Meeting) -> None:
        """Compare equal sides for a while, and the heavier one once."""
        self.meetings += 1
        equal, clock = meeting.equal, _clock(meeting.equal)
        equal.fight(PAIRS)
        cpu_s = sum(window.cpu_s for window, _ in equal.windows()) / PAIRS
        for exit_ in equal.exits:
            self._take(equal.differences(exit_, clock), len(equal.exits), cpu_s)
        self._find(meeting.heavier)

    def smallest_change(self) -> float | None:
        """Return from which change on the rule would have found it, laid over the equal turns."""
        needed = POWER ** (1 / (1 + RESTARTS))
        place = bisect_left(CHANGES, needed, key=self._share_found)  # the larger a change, the more comparisons find it
        return CHANGES[place] if place < len(CHANGES) else None

    def _take(self, differences: list[float], quantities: int, cpu_s: float) -> None:
        """Judge one comparison after another, each of the pairs that the one before left."""
        self._equal.append((differences, quantities))
        place = 0
        while place + self._rule.batch <= len(differences):
            judgement = weigh(differences[place:], self._rule, quantities=quantities)
            if judgement.decision is None:
                break  # it would have gone on
            self.comparisons += 1
            self.alarms += judgement.decision != "ok"
            self.cpu_s.append(judgement.pairs * cpu_s)
            place += judgement.pairs

    def _find(self, heavier: Duel) -> None:
        clock = _clock(heavier)
        while len(heavier.pairs) < self._rule.max_pairs:
            heavier.fight(self._rule.batch)
            judged = [
                weigh(heavier.differences(exit_, clock), self._rule, quantities=len(heavier.exits))
                for exit_ in heavier.exits
            ]
            if all(judgement.decision for judgement in judged):
                break
        self.heavier += [judgement.ratio.value - 1 for judgement in judged]
        self.heavier_found += sum(judgement.decision == "regressed" for judgement in judged)

    def _share_found(self, change: float) -> float:
        found = [
            weigh([one + math.log1p(change) for one in differences[start:]], self._rule, quantities=quantities).decision
            == "regressed"
            for differences, quantities in self._equal
            for start in range(0, len(differences) - self._rule.batch + 1, STEP)
        ]
        return sum(found) / len(found)


def _clock(duel: Duel) -> Clock:
    """Return what a duel is judged by first."""
    base, _ = duel.pairs[0] if duel.pairs else ({}, {})
    return "gpu_s" if any(window.gpu_s is not None for window in base.values()) else "cpu_s"
