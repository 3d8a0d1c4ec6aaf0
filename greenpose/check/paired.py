"""Paired comparison with restarts: what pairs of measurements say of a ratio, and when that is enough.

A pair is one turn of the base and one of the head, close in time. Its logarithm of head over base is one difference;
what both turns met alike (frequency, temperature, neighbours) is gone from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from greenpose.check.verdict import Span
from greenpose.errors import GreenPoseError

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

    def decide(self, ratio: Span, claim: Decision | None = None) -> Decision | None:
        """Return what an interval of the ratio decides, None where it leaves it open.

        Where a difference is claimed, the question is only whether that is so.
        """
        more, less = ratio.low > 1 + self.fail_above, ratio.high < 1 - self.fail_above
        if claim is None:
            fine = ratio.high < 1 + self.pass_below
        else:
            fine = ratio.high < 1 + self.fail_above if claim == "regressed" else ratio.low > 1 - self.fail_above
        return "regressed" if more else "improved" if less else "ok" if fine else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was decided of one quantity, and after how many pairs."""

    decision: Decision | None
    """None while it is open."""
    pairs: int
    """Pairs that were looked at: those up to the first look that decided."""
    ratio: Span
    """Head over base; an end is infinite (or 0) where there are too few pairs for it."""
    more: int | None = None
    """About how many pairs more it takes; None once it is decided, or where nobody can tell."""


def weigh(differences: Sequence[float], rule: Rule, *, quantities: int = 1, claim: Decision | None = None) -> Judgement:
    """Return the first decision that the pairs lead to, looked at after every batch.

    It depends on the pairs alone, in their order: judging again with more of them never changes a decision.
    `quantities` is how many are judged together; each gets its part of the error (Bonferroni). With a `claim`, the
    question is only whether that difference is there.
    """
    looks = range(rule.batch, min(len(differences), rule.max_pairs) + 1, rule.batch)
    error = rule.error / quantities
    judgement = Judgement(decision=None, pairs=0, ratio=Span(0.0, 1.0, math.inf), more=rule.batch)
    for pairs in looks:
        ratio = ratio_of(differences[:pairs], error)
        decision = rule.decide(ratio, claim)
        more = None if decision else _more(ratio, pairs, rule)
        judgement = Judgement(decision=decision, pairs=pairs, ratio=ratio, more=more)
        if decision:
            break
    return judgement


def differs(differences: Sequence[float], rule: Rule, *, quantities: int = 1) -> bool:
    """Return whether something that should be equal surely is not, by more than the rule's failing limit."""
    ratio = ratio_of(differences, rule.error / quantities)
    return ratio.low > 1 + rule.fail_above or ratio.high < 1 / (1 + rule.fail_above)


def against_itself(costs: Sequence[float]) -> list[float]:
    """Return the differences of one side's consecutive turns, every other one turned round.

    The turns play the same roles as in a comparison (first, second, second, first), so that a steady drift cancels
    here where it cancels there, and what remains would also move the ratio of two equal sides.
    """
    logs = np.log(np.asarray(costs, dtype=np.float64))
    steps = logs[1::2] - logs[: len(logs) - len(logs) % 2 : 2]
    steps[1::2] *= -1
    return [float(step) for step in steps]


def ratio_of(differences: Sequence[float], error: float) -> Span:
    """Return the ratio that paired logarithms speak of: Hodges-Lehmann, with Wilcoxon's bounds.

    The estimate is the median of all means of two (Walsh averages); a bound is the one that a signed-rank test at
    level `error` would just not reject, by its exact distribution. With too few pairs for that level a bound is open.

    Source: Hollander & Wolfe (1999), Nonparametric Statistical Methods, 3.2 and 3.3.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if not len(sample):
        return Span(0.0, 1.0, math.inf)
    first, second = np.triu_indices(len(sample))
    walsh = np.sort((sample[first] + sample[second]) / 2)
    rank = critical_rank(len(sample), error)
    low, high = (walsh[rank - 1], walsh[-rank]) if rank else (-math.inf, math.inf)
    return Span(*(float(np.exp(end)) for end in (low, np.median(walsh), high)))


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


def _more(ratio: Span, pairs: int, rule: Rule) -> int | None:
    """Return about how many pairs more decide it: an interval shrinks with the root of their number."""
    low, value, high = (math.log(end) if end > 0 else -math.inf for end in ratio)
    if not math.isfinite(low) or not math.isfinite(high):
        return rule.batch
    to_fail = (value - math.log1p(rule.fail_above), value - low)
    to_pass = (math.log1p(rule.pass_below) - value, high - value)
    needs = [pairs * (width / margin) ** 2 for margin, width in (to_fail, to_pass) if margin > 0]
    return max(1, math.ceil((min(needs) - pairs) / rule.batch)) * rule.batch
