"""Paired comparison with restarts: what pairs of measurements say of a ratio, and when that is enough.

A pair is one turn of the base and one of the head, close in time. Its logarithm of head over base is one difference;
what both turns met alike (frequency, temperature, neighbours) is gone from it.

What a process costs depends a little on how its memory happens to lie, for as long as it lives. So a difference counts
only if fresh processes show it again, every time.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np

from greenpose.check.paired.interleaved import Clock, Interleaved, Piece, named
from greenpose.check.verdict import RatioSpan
from greenpose.errors import GreenPoseError
from greenpose.formatting import percent
from greenpose.metering import Interference, LoadMonitor

Decision = Literal["ok", "improved", "regressed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a ratio has regressed, when it has not, and how long to go on in between."""

    fail_above: float = 0.03
    """Regressed once the ratio is surely more than this above 1, e.g. 0.03 for +3 %."""
    pass_below: float = 0.06
    """Fine once the ratio is surely less than this above 1. With 0.10 a true +7 % would pass one time in four on a busy
    machine, and 10 % more arithmetic often is no more than 7 % more time."""
    error: float = 0.01
    """What `surely` leaves open at either side, shared by all quantities that are judged together."""
    batch: int = 10
    """Pairs after which it is looked at again."""
    max_pairs: int = 60
    """Pairs after which an open question stays open."""

    def __post_init__(self) -> None:
        """Refuse a rule that decides nothing.

        Raises:
            GreenPoseError: saying which of its numbers does not fit.
        """
        if not 0 < self.fail_above < self.pass_below:
            raise GreenPoseError(
                f"a paired check fails above {self.fail_above:g} and passes below {self.pass_below:g}: "
                "needs 0 < fail < pass, e.g. 0.03 and 0.06"
            )
        if not (0 < self.error < 0.5 and 0 < self.batch <= self.max_pairs):
            raise GreenPoseError(
                f"error {self.error:g}, batches of {self.batch}, at most {self.max_pairs} pairs: needs an error "
                "between 0 and 0.5, and at least one batch"
            )

    def decide(self, ratio: RatioSpan, suspected: Decision | None = None) -> Decision | None:
        """Return what an interval of the ratio decides, None where it leaves it open.

        Where a change is suspected, the question is only whether it is there.
        """
        more, less = ratio.low > 1 + self.fail_above, ratio.high < 1 - self.fail_above
        if suspected is None:
            fine = ratio.high < 1 + self.pass_below
        else:
            fine = ratio.high < 1 + self.fail_above if suspected == "regressed" else ratio.low > 1 - self.fail_above
        return "regressed" if more else "improved" if less else "ok" if fine else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What was decided of one quantity, and after how many pairs."""

    decision: Decision | None
    """None while it is open."""
    pairs: int
    """Pairs that were looked at: those up to the first look that decided."""
    ratio: RatioSpan
    """Head over base; an end is infinite (or 0) where there are too few pairs for it."""
    more: int | None = None
    """About how many pairs more it takes; None once it is decided."""


def sequential_test(
    differences: Sequence[float], rule: Rule, *, quantities: int = 1, suspected: Decision | None = None
) -> TestResult:
    """Return the first decision that the pairs lead to, looked at after every batch.

    It depends on the pairs alone, in their order: judging again with more of them never changes a decision.
    `quantities` is how many are judged together; each gets its part of the error (Bonferroni). With a `suspected`
    change, the question is only whether it is there.
    """
    looks = range(rule.batch, min(len(differences), rule.max_pairs) + 1, rule.batch)
    error = rule.error / quantities
    result = TestResult(decision=None, pairs=0, ratio=RatioSpan(0.0, 1.0, math.inf), more=rule.batch)
    for pairs in looks:
        ratio = ratio_of(differences[:pairs], error)
        decision = rule.decide(ratio, suspected)
        more = None if decision else _more(ratio, pairs, rule)
        result = TestResult(decision=decision, pairs=pairs, ratio=ratio, more=more)
        if decision:
            break
    return result


def differs(differences: Sequence[float], rule: Rule, *, quantities: int = 1) -> bool:
    """Return whether something that should be equal surely is not, by more than the rule's failing limit."""
    ratio = ratio_of(differences, rule.error / quantities)
    return ratio.low > 1 + rule.fail_above or ratio.high < 1 / (1 + rule.fail_above)


def aa_control(costs: Sequence[float]) -> list[float]:
    """Return the differences of one side's consecutive turns, every other one turned round.

    The turns play the same roles as in a comparison (first, second, second, first), so that a steady drift cancels
    here where it cancels there, and what remains would also move the ratio of two equal sides.
    """
    logs = np.log(np.asarray(costs, dtype=np.float64))
    steps = logs[1::2] - logs[: len(logs) - len(logs) % 2 : 2]
    steps[1::2] *= -1
    return [float(step) for step in steps]


def ratio_of(differences: Sequence[float], error: float) -> RatioSpan:
    """Return the ratio that paired logarithms speak of: Hodges-Lehmann, with Wilcoxon's bounds.

    The estimate is the median of all means of two (Walsh averages); a bound is the one that a signed-rank test at
    level `error` would just not reject, by its exact distribution. With too few pairs for that level a bound is open.

    Source: Hollander & Wolfe (1999), Nonparametric Statistical Methods, 3.2 and 3.3.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if not len(sample):
        return RatioSpan(0.0, 1.0, math.inf)
    first, second = np.triu_indices(len(sample))
    walsh = np.sort((sample[first] + sample[second]) / 2)
    rank = critical_rank(len(sample), error)
    low, high = (walsh[rank - 1], walsh[-rank]) if rank else (-math.inf, math.inf)
    return RatioSpan(*(float(np.exp(end)) for end in (low, np.median(walsh), high)))


def critical_rank(pairs: int, error: float) -> int:
    """Return how many of the smallest signed-rank sums have at most `error` probability together, 0 for none."""
    return int(np.searchsorted(_distribution(pairs), error, side="right"))


@lru_cache(maxsize=128)
def _distribution(pairs: int) -> np.ndarray:
    """Return the probability that Wilcoxon's signed-rank sum is at most 0, 1, 2, ... where signs are coin tosses."""
    chance = np.ones(1)
    for rank in range(1, pairs + 1):
        without = np.pad(chance, (0, rank))
        chance = (without + np.roll(without, rank)) / 2
    return np.cumsum(chance)


def _more(ratio: RatioSpan, pairs: int, rule: Rule) -> int:
    """Return about how many pairs more decide it: an interval shrinks with the root of their number."""
    low, value, high = (math.log(end) if end > 0 else -math.inf for end in ratio)
    if not math.isfinite(low) or not math.isfinite(high):
        return rule.batch
    to_fail = (value - math.log1p(rule.fail_above), value - low)
    to_pass = (math.log1p(rule.pass_below) - value, high - value)
    needs = [pairs * (width / margin) ** 2 for margin, width in (to_fail, to_pass) if margin > 0]
    return max(1, math.ceil((min(needs) - pairs) / rule.batch)) * rule.batch


RESTARTS = 2
"""A difference has to show up again in this many pairs of fresh processes."""
FAULTS_PER_CALL, FAULTS_PER_S = 50, 2000
"""A base that fetches more pages a call than this, and a second of CPU time (a page takes about a microsecond, so that
these are 0.2 %), has an allocator that is not pinned; its times are not repeatable."""


class PairedQuantity(NamedTuple):
    """What is judged."""

    exit: Piece
    """The exit, or other work by its name."""
    clock: Clock
    """By which clock it is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What went on beside a trial."""

    load: float | None
    """Mean number of processes that wanted a CPU in the last minute; None where nobody counts them."""
    steal_share: float | None
    """Part of the machine's CPU time that the hypervisor gave to others; None where that is not known."""
    foreign_cpu_share: float | None
    """Part of it that other processes used; None where that is not known."""
    switches: int
    """How often the sides' processes were taken off their CPU against their will."""
    faults_per_call: float
    """Pages that the base fetched from the kernel per call."""
    faults_per_s: float
    """The same per second of its CPU time."""

    def __str__(self) -> str:
        """Return one line for people."""
        known = [
            None if self.load is None else f"load {self.load:.1f} on {os.cpu_count()} CPUs",
            None if self.foreign_cpu_share is None else f"{percent(self.foreign_cpu_share, 2)} used by others",
            None if self.steal_share is None else f"{percent(self.steal_share, 2)} taken by the hypervisor",
            f"{self.switches} involuntary switches",
            f"{self.faults_per_call:.3g} page faults a call",
        ]
        return ", ".join(part for part in known if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTrial:
    """What one pair of processes had to say."""

    results: Mapping[PairedQuantity, TestResult]
    """What was decided of each quantity."""
    unstable: frozenset[PairedQuantity]
    """Quantities in which a side surely differs from itself: nothing can be said of them."""
    medians: Mapping[PairedQuantity, tuple[float | None, float | None]]
    """Base's and head's median per call, in the clock's unit; None where it was not read."""
    surroundings: Surroundings
    """What went on beside it."""
    samples: Mapping[str, Any] = field(default_factory=dict)
    """Every pair, as plain JSON data."""

    @property
    def unpinned(self) -> bool:
        """Return whether the base's own allocator gave its times away to chance."""
        seen = self.surroundings
        return seen.faults_per_call > FAULTS_PER_CALL and seen.faults_per_s > FAULTS_PER_S

    def suspected(self, quantity: PairedQuantity) -> Decision | None:
        """Return the difference between the sides that this trial is sure of, `regressed` or `improved`, if any."""
        decision = self.results[quantity].decision
        return None if self.unpinned or quantity in self.unstable or decision == "ok" else decision


def run_trials(
    first: Interleaved,
    again: Callable[[], AbstractContextManager[Interleaved]],
    clocks: Sequence[Clock],
    *,
    rule: Rule,
    restarts: int = RESTARTS,
    progress: Callable[[str], object] = lambda _: None,
) -> list[PairedTrial]:
    """Return the trial of the first pair of processes, and where it suspects a change, those of fresh ones.

    `again` starts both sides afresh. A change that a trial does not find again is not looked at any more.
    """
    quantities = [PairedQuantity(exit_, clock) for exit_ in first.exits for clock in clocks]
    trials = [run_trial(first, quantities, rule=rule, progress=progress)]
    suspected = {one: change for one in quantities if (change := trials[0].suspected(one))}
    while suspected and len(trials) <= restarts:
        exits = ", ".join(named(exit_) for exit_ in dict.fromkeys(quantity.exit for quantity in suspected))
        progress(f"{exits}: a difference; fresh processes have to show it again ({len(trials)} of {restarts})")
        with again() as turns:
            trials.append(run_trial(turns, quantities, rule=rule, suspected=suspected, progress=progress))
        suspected = {one: change for one, change in suspected.items() if trials[-1].suspected(one) == change}
    return trials


def run_trial(
    turns: Interleaved,
    quantities: Sequence[PairedQuantity],
    *,
    rule: Rule,
    suspected: Mapping[PairedQuantity, Decision] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> PairedTrial:
    """Return what a pair of processes says of everything, or of suspected changes only whether they are so.

    It goes on until that is decided, or as long as the rule lets it. Earlier pairs are dropped.
    """
    asked = dict.fromkeys(quantities) if suspected is None else suspected
    turns.reset()
    results: dict[PairedQuantity, TestResult] = {}
    with ExitStack() as stack:
        interference = _watched(turns, stack)
        while len(turns.pairs) < rule.max_pairs:
            turns.run_pairs(min(rule.batch, rule.max_pairs - len(turns.pairs)))
            results = {
                one: sequential_test(
                    turns.differences(*one), rule, quantities=len(quantities), suspected=asked.get(one)
                )
                for one in quantities
            }
            undecided = sum(results[one].decision is None for one in asked)
            progress(f"{len(turns.pairs)} pairs, {undecided} of {len(asked)} open")
            if not undecided:
                break
        surroundings = _surroundings(turns, interference())
    costs = {one: turns.costs(*one) for one in quantities}
    return PairedTrial(
        results=results,
        unstable=frozenset(one for one in quantities if _unstable(costs[one], rule, len(quantities))),
        medians={one: (_median(base), _median(head)) for one, (base, head) in costs.items()},
        surroundings=surroundings,
        samples=turns.as_dict(),
    )


def _median(costs: Sequence[float]) -> float | None:
    return median(costs) if costs else None


def _unstable(costs: tuple[list[float], list[float]], rule: Rule, quantities: int) -> bool:
    """Return whether either side, or both together, surely differ from themselves."""
    base, head = (aa_control(side) for side in costs)
    return any(differs(steps, rule, quantities=quantities) for steps in (base, head, base + head))


def _watched(turns: Interleaved, stack: ExitStack) -> Callable[[], Interference | None]:
    """Return what tells how other processes disturbed the turns from now on; the stack closes what watches."""
    monitor = LoadMonitor()
    monitor.open()
    stack.callback(monitor.close)
    start, began, own_began = monitor.read(), time.monotonic(), time.process_time()

    def interference() -> Interference | None:
        sides = sum(base.cpu_s + head.cpu_s for base, head in turns.windows())
        own = time.process_time() - own_began + sides
        return monitor.between(start, seconds=time.monotonic() - began, cpu_seconds=own)

    return interference


def _surroundings(turns: Interleaved, seen: Interference | None) -> Surroundings:
    windows = list(turns.windows())
    faults = sum(base.faults for base, _ in windows)
    return Surroundings(
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        steal_share=None if seen is None else seen.steal_share,
        foreign_cpu_share=None if seen is None else seen.foreign_cpu_share,
        switches=sum(base.switches + head.switches for base, head in windows),
        faults_per_call=faults / sum(base.calls for base, _ in windows),
        faults_per_s=faults / sum(base.cpu_s for base, _ in windows),
    )
