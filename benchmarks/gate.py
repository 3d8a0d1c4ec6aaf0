"""Does the paired gate cry wolf, and does it hear the wolf? `python -m benchmarks.gate [--train] [--load N] [--quick]`.

Processes are started again and again. Each time, two equal sides and two really heavier heads (an eighth and a quarter
more pixels, which take about 10 % and 20 % more CPU time) are compared, many times, by the rule of `greenpose check
--against`; what sees a difference is looked at again when processes are started the next times, as that rule wants it.
The times that this recorded are then given to the rules of other tools, in the order in which those tools would have
taken them. `--load N` puts N busy neighbours beside everything. With `--train` it is a step of a training that is
compared, and what is counted of it has to be the same in every process.
"""

import argparse
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from benchmarks import conclude
from benchmarks.rules import RULES, SlowerRule
from greenpose.check.paired.against import finding_of
from greenpose.check.paired.interleaved import Clock, Interleaved, Piece, Worker, a_core, named
from greenpose.check.paired.revisions import this_side
from greenpose.check.paired.rule import RESTARTS, Decision, PairedQuantity, PairedTrial, Rule, run_trial
from greenpose.check.paired.selftest import upper_bound
from greenpose.config import packaged_experiment

TRAINED = "HRNet2"
"""The experiment of the quick grid whose training is compared, unless another is named."""
WIDTHS = {"wide": 256, "wider": 288, "widest": 320}
"""The same network on wider images, the next wider of which take 10 % longer: sides are multiples of 32."""
EQUAL, TENTH, FIFTH = "equal sides", "12.5 % wider", "25 % wider"
DUELS = {EQUAL: ("quick", "again"), TENTH: ("wide", "wider"), FIFTH: ("wide", "widest")}
NEIGHBOUR = """
import random, sys, time
import numpy as np
order = random.Random(int(sys.argv[1]))
large = np.ones(8_000_000)
while True:
    until, streams = time.monotonic() + order.uniform(0.01, 0.5), order.random() < 0.5
    while time.monotonic() < until:
        if streams:
            large *= 1.0000001
        else:
            sum(range(20_000))
    if order.random() < 0.2:
        time.sleep(order.uniform(0.01, 0.3))
"""
"""A neighbour that is a nuisance on purpose: it computes, streams through memory, and pauses, at random."""
RULE = Rule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is compared."""

    pieces: tuple[Piece, ...] = (2, 3, 4)
    """Exits, or the training's step."""
    batch: str = "measure.batch=8"
    """How many wide images are run at once: pixels are as many as of the usual images, or twice as many."""
    asked: Mapping[str, Any] = field(default_factory=lambda: {"exits": (2, 3, 4)})
    """What the processes are asked for besides."""

    @property
    def quantities(self) -> tuple[PairedQuantity, ...]:
        """Return what is judged."""
        return tuple(PairedQuantity(piece, "cpu_s") for piece in self.pieces)

    @property
    def sides(self) -> dict[str, tuple[str, ...]]:
        """Return the settings of each process."""
        sides: dict[str, tuple[str, ...]] = {"quick": (), "again": ()}
        return sides | {name: (self.batch, f"data.input_size=[{width}, 64]") for name, width in WIDTHS.items()}


def training(experiment: str) -> Subject:
    """Return a training's step as what is compared."""
    asked = {"work": "train", "only": [experiment], "exits": (), "images": 128}
    return Subject(pieces=("train",), batch="train.batch=4", asked=asked)


COMPARISONS, TRIALS, POWER = 400, 60, 0.95
"""What is promised: no alarm in so many comparisons of equal exits, and this share of so many trials found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    starts: int
    """Times that all processes are started, at most."""
    trials: Mapping[str, int]
    """Trials that begin with each start, by kind."""
    seconds: float = math.inf
    """No trials begin after so long; those that are open are ended."""


FULL = Size(starts=40, trials={EQUAL: 10, TENTH: 2, FIFTH: 1})
SHORT = Size(starts=5, trials={EQUAL: 4, TENTH: 2, FIFTH: 1})
FULL_TRAIN = Size(starts=16, trials={EQUAL: 30, TENTH: 4})


@dataclass(slots=True, kw_only=True)
class Trial:
    """One comparison as a check makes it: an attempt, and restarts while they agree."""

    quantities: tuple[PairedQuantity, ...]
    """What is judged."""
    attempts: list[PairedTrial] = field(default_factory=list)
    """Attempts so far."""
    claims: dict[PairedQuantity, Decision] = field(default_factory=dict)
    """Differences that all of them saw."""

    def go_on(self, turns: Interleaved) -> PairedTrial:
        """Make the next attempt."""
        claims = self.claims if self.attempts else None
        self.attempts.append(run_trial(turns, self.quantities, rule=RULE, suspected=claims))
        last = self.attempts[-1]
        asked = self.quantities if claims is None else tuple(claims)
        seen = {one: suspected for one in asked if (suspected := last.suspected(one))}
        self.claims = (
            seen if claims is None else {one: suspected for one, suspected in seen.items() if claims[one] == suspected}
        )
        return last

    @property
    def done(self) -> bool:
        """Return whether nothing is left to be confirmed."""
        return bool(self.attempts) and (not self.claims or len(self.attempts) > RESTARTS)

    def outcome(self, quantity: PairedQuantity) -> str:
        """Return what the check says of a quantity."""
        return finding_of(quantity, self.attempts, rule=RULE, batch=1, restarts=RESTARTS).outcome


@dataclass(slots=True, kw_only=True)
class Recorded:
    """All trials of one kind."""

    quantities: tuple[PairedQuantity, ...]
    """What is judged in each."""
    trials: list[Trial] = field(default_factory=list)
    """In the order in which they began."""
    starts: list[list[PairedTrial]] = field(default_factory=list)
    """Every attempt, by the start of processes in which it was made."""


def main() -> int:
    options = _options()
    subject = training(options.only) if options.train else Subject()
    size = SHORT if options.quick else FULL_TRAIN if options.train else FULL
    size = replace(size, starts=options.starts or size.starts, seconds=60 * options.minutes)
    began, counted = time.monotonic(), set[str]()
    with neighbours(options.load):
        recorded = record(subject, size, counted)
    loads = [one.surroundings.load or 0.0 for attempts in recorded[EQUAL].starts for one in attempts]
    print(
        f"{len(recorded[EQUAL].starts)} starts of all processes, {options.load} neighbours of our own, "
        f"load {min(loads):.1f} to {max(loads):.1f}, {time.monotonic() - began:.0f} s\n"
    )
    faults = report_equal(recorded[EQUAL])
    faults += [fault for kind in recorded if kind != EQUAL for fault in report_heavier(recorded, kind)]
    faults += report_cost(recorded[EQUAL])
    if options.train:
        print(f"counts of the equal sides' step: {len(counted)} kinds in {2 * len(recorded[EQUAL].starts)} processes")
        faults += [f"{len(counted)} kinds of counts, 1 wanted"] if len(counted) != 1 else []
    else:
        report_rules(recorded)
    return conclude([] if options.quick else faults)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Let so many processes be busy beside the block."""
    processes = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(number)]) for number in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Count the paired gate's false alarms, and what it finds.")
    parser.add_argument("--load", type=int, default=0, help="busy neighbours beside everything")
    parser.add_argument("--quick", action="store_true", help="a few minutes; too few comparisons for a promise")
    parser.add_argument("--train", action="store_true", help="compare a step of a training instead of exits")
    parser.add_argument("--only", default=TRAINED, help=f"of which experiment of the quick grid; {TRAINED} by default")
    parser.add_argument("--starts", type=int, help="times that all processes are started")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no trials after so long")
    return parser.parse_args()


# Recording


def record(subject: Subject, size: Size, counted: set[str]) -> dict[str, Recorded]:
    """Return all trials; those that are open after the last start get as many starts as they need.

    What the equal sides counted is noted, as text.
    """
    recorded = {kind: Recorded(quantities=subject.quantities) for kind in size.trials}
    number, began = 0, time.monotonic()
    while (more := number < size.starts and time.monotonic() - began < size.seconds) or any(
        not trial.done for one in recorded.values() for trial in one.trials
    ):
        number += 1
        with ExitStack() as stack:
            named_sides = {name for kind in size.trials for name in DUELS[kind]}
            workers = {
                name: stack.enter_context(_worker(subject, settings))
                for name, settings in subject.sides.items()
                if name in named_sides
            }
            counted |= {str([workers[side].hello.get(key) for key in ("counts", "calls")]) for side in DUELS[EQUAL]}
            for kind in size.trials:
                base, head = DUELS[kind]
                turns = Interleaved(workers[base], workers[head], exits=subject.pieces)
                turns.prepare()
                _play(turns, recorded[kind], size.trials[kind] if more else 0)
        claims = sum(len(trial.attempts) > 1 for trial in recorded[EQUAL].trials)
        print(
            f"start {number}: {claims} of {len(recorded[EQUAL].trials)} equal pairs told apart at first",
            file=sys.stderr,
        )
    return recorded


def _play(turns: Interleaved, recorded: Recorded, new: int) -> None:
    """Go on with open trials and begin new ones."""
    waiting = [trial for trial in recorded.trials if not trial.done]
    begun = [Trial(quantities=recorded.quantities) for _ in range(new)]
    recorded.trials += begun
    recorded.starts.append([trial.go_on(turns) for trial in (*waiting, *begun)])


def _worker(subject: Subject, settings: Sequence[str]) -> Worker:
    request = {"file": str(packaged_experiment("quick").absolute()), "core": a_core(), **subject.asked}
    return this_side("benchmark").worker({**request, "settings": list(settings)})


# What the gate made of it


def report_equal(recorded: Recorded) -> list[str]:
    """Print what the gate said of equal sides; return what was not reached."""
    trials = recorded.trials
    counts = Counter(trial.outcome(quantity) for trial in trials for quantity in recorded.quantities)
    first = sum(bool(trial.attempts[0].suspected(quantity)) for trial in trials for quantity in recorded.quantities)
    unstable = sum(len(attempt.unstable) for trial in trials for attempt in trial.attempts)
    false, exits = counts["regressed"] + counts["improved"], len(trials) * len(recorded.quantities)
    print(f"equal sides: {len(trials)} comparisons of {_pieces(recorded)}: {_counted(counts)}")
    print(f"  false alarms: {false} of {exits}, below {_bound(false, exits)} (95 %)")
    print(f"  before restarts: {first} of {exits}, below {_bound(first, exits)}")
    controls = len(recorded.quantities) * sum(len(trial.attempts) for trial in trials)
    print(f"  controls: {unstable} of {controls} told apart from themselves, below {_bound(unstable, controls)} (95 %)")
    faults = [f"{false} false alarms of {exits}"] if false else []
    return faults + ([f"{exits} comparisons of equal exits, {COMPARISONS} wanted"] if exits < COMPARISONS else [])


def report_heavier(recorded: Mapping[str, Recorded], kind: str) -> list[str]:
    """Print what the gate said of a heavier head; return what was not reached."""
    trials, quantities = recorded[kind].trials, recorded[kind].quantities
    outcomes = {quantity: Counter(trial.outcome(quantity) for trial in trials) for quantity in quantities}
    total = sum(outcomes.values(), Counter())
    failing = sum(any(trial.outcome(quantity) == "regressed" for quantity in quantities) for trial in trials)
    missed = _bound(len(trials) - failing, len(trials))
    print(
        f"input {kind}, as many more MACs: the check of {_pieces(recorded[kind])} fails in {failing} of {len(trials)} "
        f"trials, misses below {missed} (95 %); by exits, which share processes: {_counted(total)}"
    )
    for quantity, counts in outcomes.items():
        ratios = [one.results[quantity].ratio.value for start in recorded[kind].starts for one in start]
        print(
            f"  {named(quantity.exit)}: CPU time {100 * (median(ratios) - 1):+.1f} % in the median; {_counted(counts)}"
        )
    wanted = POWER if kind == TENTH else 1.0
    shares = {"exits": total["regressed"] / total.total(), "checks": failing / len(trials)}
    faults = [f"{kind}: called improved"] if total["improved"] else []
    faults += [
        f"{kind}: {share:.1%} of {what}, {wanted:.0%} wanted" for what, share in shares.items() if share < wanted
    ]
    few = kind == TENTH and total.total() < TRIALS
    return faults + ([f"{kind}: {total.total()} trials of an exit, {TRIALS} wanted"] if few else [])


def report_cost(recorded: Recorded) -> list[str]:
    """Print what a comparison takes; return what was not reached."""
    costs = [sum(map(_cpu_s, trial.attempts)) for trial in recorded.trials]
    pairs = [result.pairs for trial in recorded.trials for result in trial.attempts[0].results.values()]
    print(
        f"cost of a comparison of {_pieces(recorded)}: {median(costs):.2g} s of CPU a side in the median, "
        f"{max(costs):.2g} s at most; {median(pairs):.0f} pairs in the median, {max(pairs)} at most\n"
    )
    return [f"{median(costs):.2g} s of CPU a side, 5 s allowed"] if median(costs) > 5 else []


def _pieces(recorded: Recorded) -> str:
    return "a step" if recorded.quantities[0].exit == "train" else f"{len(recorded.quantities)} exits"


def _bound(hits: int, total: int) -> str:
    return f"{100 * upper_bound(hits, total):.2g} %"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda item: -item[1]))


def _cpu_s(one: PairedTrial) -> float:
    return sum(sum(columns["cpu_s"]) for columns in one.samples["base"].values())


# What other tools would have made of it


def report_rules(recorded: Mapping[str, Recorded]) -> None:
    """Print one table: every rule's false alarms and power, in three ways of taking the same times."""
    print("| rule | times | equal sides told apart | 12.5 % wider found | 25 % wider found |")
    print("|---|---|--:|--:|--:|")
    print(f"| **greenpose**, restarts included | in turns, CPU | {' | '.join(map(_own, recorded.items()))} |")
    for name, rule in RULES.items():
        for way, (taken, clock) in WAYS.items():
            shares = [_share(rule, taken(one.starts), clock, both=kind == EQUAL) for kind, one in recorded.items()]
            print(f"| {name} | {way} | {' | '.join(shares)} |")


def _own(item: tuple[str, Recorded]) -> str:
    """Return the gate's own cell, by exits."""
    kind, recorded = item
    counts = Counter(trial.outcome(quantity) for trial in recorded.trials for quantity in recorded.quantities)
    return _cell(counts["regressed"] + (counts["improved"] if kind == EQUAL else 0), counts.total())


Taken = Iterator[tuple[PairedTrial, PairedTrial]]
"""The attempts that base's and head's times come from."""


def in_turns(starts: Sequence[Sequence[PairedTrial]]) -> Taken:
    """Yield both sides of the same attempts: base and head took turns."""
    yield from ((one, one) for attempts in starts for one in attempts)


def one_after_the_other(starts: Sequence[Sequence[PairedTrial]]) -> Taken:
    """Yield the base of an attempt and the head of the next: first all of the one, then all of the other."""
    yield from (pair for attempts in starts for pair in pairwise(attempts))


def from_a_file(starts: Sequence[Sequence[PairedTrial]]) -> Taken:
    """Yield a base whose processes had ended before the head's began, minutes ago on the same machine."""
    for stored, fresh in pairwise(starts):
        yield from zip(stored, fresh, strict=False)


WAYS: Mapping[str, tuple[Callable[[Sequence[Sequence[PairedTrial]]], Taken], Clock]] = {
    "stored run, wall": (from_a_file, "seconds"),
    "one after the other, wall": (one_after_the_other, "seconds"),
    "in turns, CPU": (in_turns, "cpu_s"),
}


def _share(rule: SlowerRule, taken: Taken, clock: Clock, *, both: bool) -> str:
    """Return in how many comparisons of an exit a rule calls the head slower; with `both`, or the base."""
    verdicts = []
    for base, head in taken:
        for exit_ in Subject().pieces:
            times = _times(base, "base", exit_, clock), _times(head, "head", exit_, clock)
            verdicts.append(rule(*times) or (both and rule(*reversed(times))))
    return _cell(sum(verdicts), len(verdicts))


def _times(one: PairedTrial, side: str, exit_: Piece, clock: Clock) -> list[float]:
    columns = one.samples[side][named(exit_)]
    return [spent / calls for spent, calls in zip(columns[clock], columns["calls"], strict=True)]


def _cell(hits: int, total: int) -> str:
    return f"{hits} of {total} ({100 * hits / total:.1f} %)" if total else "-"


if __name__ == "__main__":
    sys.exit(main())
