"""Does the paired gate cry wolf, and does it hear the wolf? `python -m benchmarks.gate [--load N] [--quick]`.

Processes are started again and again. Each time, two equal sides and two really heavier heads (an eighth and a quarter
more pixels, which take about 10 % and 20 % more CPU time) are compared, many times, by the rule of `greenpose check
--against`; what sees a difference is looked at again when processes are started the next times, as that rule wants it.
The times that this recorded are then given to the rules of other tools, in the order in which those tools would have
taken them. `--load N` puts N busy neighbours beside everything.
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from benchmarks import conclude
from benchmarks.rules import RULES, SlowerRule
from greenpose.check.against import finding_of
from greenpose.check.interleaved import Clock, Interleaved, Worker, a_core
from greenpose.check.paired import RESTARTS, Decision, PairedQuantity, PairedTrial, Rule, run_trial
from greenpose.check.revisions import this_side
from greenpose.check.selftest import upper_bound
from greenpose.config import packaged_experiment

EXITS = (2, 3, 4)
QUANTITIES = tuple(PairedQuantity(exit_, "cpu_s") for exit_ in EXITS)
QUICK: tuple[str, ...] = ()
"""The quick grid's network on its own images."""
WIDE, WIDE_10, WIDE_20 = (("measure.batch=8", f"data.input_size=[{width}, 64]") for width in (256, 288, 320))
"""The same network on wider images, whose next wider one takes 10 % longer: sides are multiples of 32."""
SIDES = {"quick": QUICK, "again": QUICK, "wide": WIDE, "wider": WIDE_10, "widest": WIDE_20}
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
COMPARISONS, TRIALS, POWER = 400, 60, 0.95
"""What is promised: no alarm in so many comparisons of equal exits, and this share of so many trials found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    starts: int
    """Times that all processes are started."""
    trials: Mapping[str, int]
    """Trials that begin with each start, by kind."""


FULL = Size(starts=40, trials={EQUAL: 10, TENTH: 2, FIFTH: 1})
SHORT = Size(starts=5, trials={EQUAL: 4, TENTH: 2, FIFTH: 1})


@dataclass(slots=True, kw_only=True)
class Trial:
    """One comparison as a check makes it: an attempt, and restarts while they agree."""

    attempts: list[PairedTrial] = field(default_factory=list)
    """Attempts so far."""
    claims: dict[PairedQuantity, Decision] = field(default_factory=dict)
    """Differences that all of them saw."""

    def go_on(self, turns: Interleaved) -> PairedTrial:
        """Make the next attempt."""
        claims = self.claims if self.attempts else None
        self.attempts.append(run_trial(turns, QUANTITIES, rule=RULE, suspected=claims))
        last = self.attempts[-1]
        asked = QUANTITIES if claims is None else tuple(claims)
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

    trials: list[Trial] = field(default_factory=list)
    """In the order in which they began."""
    starts: list[list[PairedTrial]] = field(default_factory=list)
    """Every attempt, by the start of processes in which it was made."""


def main() -> int:
    options = _options()
    size = SHORT if options.quick else FULL
    size = Size(starts=options.starts or size.starts, trials=size.trials)
    began = time.monotonic()
    with neighbours(options.load):
        recorded = record(size)
    loads = [one.surroundings.load or 0.0 for attempts in recorded[EQUAL].starts for one in attempts]
    print(
        f"{size.starts} starts of all processes, {options.load} neighbours of our own, load {min(loads):.1f} to "
        f"{max(loads):.1f}, {time.monotonic() - began:.0f} s\n"
    )
    faults = [*report_equal(recorded[EQUAL]), *report_heavier(recorded, TENTH), *report_heavier(recorded, FIFTH)]
    faults += report_cost(recorded[EQUAL])
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
    parser.add_argument("--starts", type=int, help="times that all processes are started")
    return parser.parse_args()


# Recording


def record(size: Size) -> dict[str, Recorded]:
    """Return all trials; those that are open after the last start get as many starts as they need."""
    recorded = {kind: Recorded() for kind in DUELS}
    number = 0
    while number < size.starts or any(not trial.done for one in recorded.values() for trial in one.trials):
        number += 1
        with ExitStack() as stack:
            workers = {name: stack.enter_context(_worker(settings)) for name, settings in SIDES.items()}
            for kind, (base, head) in DUELS.items():
                turns = Interleaved(workers[base], workers[head], exits=EXITS)
                turns.prepare()
                _play(turns, recorded[kind], size.trials[kind] if number <= size.starts else 0)
        claims = sum(len(trial.attempts) > 1 for trial in recorded[EQUAL].trials)
        print(
            f"start {number}: {claims} of {len(recorded[EQUAL].trials)} equal pairs told apart at first",
            file=sys.stderr,
        )
    return recorded


def _play(turns: Interleaved, recorded: Recorded, new: int) -> None:
    """Go on with open trials and begin new ones."""
    waiting = [trial for trial in recorded.trials if not trial.done]
    begun = [Trial() for _ in range(new)]
    recorded.trials += begun
    recorded.starts.append([trial.go_on(turns) for trial in (*waiting, *begun)])


def _worker(settings: Sequence[str]) -> Worker:
    request = {"file": str(packaged_experiment("quick").absolute()), "exits": EXITS, "core": a_core()}
    return this_side("benchmark").worker({**request, "settings": list(settings)})


# What the gate made of it


def report_equal(recorded: Recorded) -> list[str]:
    """Print what the gate said of equal sides; return what was not reached."""
    trials = recorded.trials
    counts = Counter(trial.outcome(quantity) for trial in trials for quantity in QUANTITIES)
    first = sum(bool(trial.attempts[0].suspected(quantity)) for trial in trials for quantity in QUANTITIES)
    unstable = sum(len(attempt.unstable) for trial in trials for attempt in trial.attempts)
    false, exits = counts["regressed"] + counts["improved"], len(trials) * len(EXITS)
    print(f"equal sides: {len(trials)} comparisons of {len(EXITS)} exits: {_counted(counts)}")
    print(f"  false alarms: {false} of {exits}, below {_bound(false, exits)} (95 %)")
    print(f"  before restarts: {first} of {exits}, below {_bound(first, exits)}")
    controls = len(QUANTITIES) * sum(len(trial.attempts) for trial in trials)
    print(f"  controls: {unstable} of {controls} told apart from themselves, below {_bound(unstable, controls)} (95 %)")
    faults = [f"{false} false alarms of {exits}"] if false else []
    return faults + ([f"{exits} comparisons of equal exits, {COMPARISONS} wanted"] if exits < COMPARISONS else [])


def report_heavier(recorded: Mapping[str, Recorded], kind: str) -> list[str]:
    """Print what the gate said of a heavier head; return what was not reached."""
    trials = recorded[kind].trials
    outcomes = {quantity: Counter(trial.outcome(quantity) for trial in trials) for quantity in QUANTITIES}
    total = sum(outcomes.values(), Counter())
    failing = sum(any(trial.outcome(quantity) == "regressed" for quantity in QUANTITIES) for trial in trials)
    missed = _bound(len(trials) - failing, len(trials))
    print(
        f"input {kind}, as many more MACs: the check of {len(EXITS)} exits fails in {failing} of {len(trials)} trials, "
        f"misses below {missed} (95 %); by exits, which share processes: {_counted(total)}"
    )
    for quantity, counts in outcomes.items():
        ratios = [one.results[quantity].ratio.value for start in recorded[kind].starts for one in start]
        print(f"  exit {quantity.exit}: CPU time {100 * (median(ratios) - 1):+.1f} % in the median; {_counted(counts)}")
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
        f"cost of a comparison of {len(EXITS)} exits: {median(costs):.2g} s of CPU a side in the median, "
        f"{max(costs):.2g} s at most; {median(pairs):.0f} pairs in the median, {max(pairs)} at most\n"
    )
    return [f"{median(costs):.2g} s of CPU a side, 5 s allowed"] if median(costs) > 5 else []


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
    counts = Counter(trial.outcome(quantity) for trial in recorded.trials for quantity in QUANTITIES)
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
        for exit_ in EXITS:
            times = _times(base, "base", exit_, clock), _times(head, "head", exit_, clock)
            verdicts.append(rule(*times) or (both and rule(*reversed(times))))
    return _cell(sum(verdicts), len(verdicts))


def _times(one: PairedTrial, side: str, exit_: int, clock: Clock) -> list[float]:
    columns = one.samples[side][f"exit{exit_}"]
    return [spent / calls for spent, calls in zip(columns[clock], columns["calls"], strict=True)]


def _cell(hits: int, total: int) -> str:
    return f"{hits} of {total} ({100 * hits / total:.1f} %)" if total else "-"


if __name__ == "__main__":
    sys.exit(main())
