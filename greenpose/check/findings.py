"""What paired turns found of each exit, in words."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from greenpose.check.amounts import signed_percent
from greenpose.check.contest import Attempt, Quantity
from greenpose.check.duel import Clock
from greenpose.check.paired import Judgement, Rule
from greenpose.check.verdict import Finding, Outcome

METRICS: Mapping[Clock, tuple[str, str]] = MappingProxyType(
    {
        "cpu_s": ("cpu_s_per_image", "s"),
        "gpu_s": ("gpu_s_per_image", "s"),
        "joules": ("energy_j_per_image", "J"),
        "seconds": ("latency_s", "s"),
    }
)
"""What a clock reads, by the names and units of records."""


def finding_of(
    quantity: Quantity, attempts: Sequence[Attempt], *, rule: Rule, batch: int, restarts: int, label: str = ""
) -> Finding:
    """Return what all attempts together found of one quantity; `batch` images make a call.

    A difference counts if the first attempt and every restart saw it.
    """
    outcome, says, attempt = _conclusion(quantity, attempts, rule, restarts)
    metric, unit = METRICS[quantity.clock]
    base, head = attempt.medians[quantity]
    judgement = attempt.judgements[quantity]
    return Finding(
        where=f"{label}exit{quantity.exit}",
        metric=metric,
        way="paired",
        outcome=outcome,
        says=says,
        unit=unit,
        base=None if base is None else base / batch,
        head=None if head is None else head / batch,
        ratio=judgement.ratio,
        pairs=judgement.pairs,
    )


def incomparable(exit_: int, why: str, *, device: str = "cpu", label: str = "", changed: bool = False) -> Finding:
    """Return the finding of an exit that cannot be compared, perhaps because the candidate has `changed`."""
    metric, unit = METRICS["cpu_s" if device == "cpu" else "gpu_s"]
    return Finding(
        where=f"{label}exit{exit_}",
        metric=metric,
        way="paired",
        outcome="incomparable",
        says=f"not compared: {why}",
        unit=unit,
        changed=changed,
    )


def _conclusion(
    quantity: Quantity, attempts: Sequence[Attempt], rule: Rule, restarts: int
) -> tuple[Outcome, str, Attempt]:
    """Return what follows, its sentence, and the attempt whose numbers go with it."""
    first = attempts[0]
    claim = first.claim(quantity)
    if claim is None:
        return (*_alone(quantity, first, rule), first)
    other = next((one for one in attempts[1:] if one.claim(quantity) != claim), None)
    if other is None:
        assert len(attempts) == restarts + 1
        mildest = min(attempts, key=lambda one: abs(math.log(one.judgements[quantity].ratio.value)))
        return claim, _confirmed(claim, mildest.judgements[quantity], len(attempts)), mildest
    seen = signed_percent(first.judgements[quantity].ratio.value - 1)
    outcome, says = _alone(quantity, other, rule)
    return outcome, f"{seen} in one pair of processes, but not in a fresh one: {says}", other


def _alone(quantity: Quantity, attempt: Attempt, rule: Rule) -> tuple[Outcome, str]:
    """Return what one attempt says of a quantity."""
    judgement = attempt.judgements[quantity]
    if quantity in attempt.restless:
        limit = signed_percent(rule.fail_above)
        return "inconclusive", (
            f"a side differs from itself by more than {limit}: this machine is too restless now "
            f"({attempt.surroundings}); run it again, or where it is quieter"
        )
    decision = rule.decide(judgement.ratio)
    if decision == "ok":
        return "ok", f"{signed_percent(judgement.ratio.high - 1)} at most"
    if decision is None:
        return "inconclusive", _open(judgement, rule)
    if attempt.unpinned:
        return "inconclusive", (
            f"the two differ, but the base fetches {attempt.surroundings.faults_per_call:.0f} pages from the kernel in "
            "every call, so that its times are chance: this C library's allocator cannot be pinned"
        )
    return "inconclusive", "the opposite"


def _confirmed(claim: Outcome, judgement: Judgement, attempts: int) -> str:
    """Return the sentence of a difference that every attempt saw."""
    where = f"in each of {attempts} pairs of processes"
    if claim == "improved":
        return f"{signed_percent(judgement.ratio.high - 1)} or less {where}"
    low = signed_percent(judgement.ratio.low - 1)
    return f"{low} or more {where}; mend it, or say in the change why it is worth that"


def _open(judgement: Judgement, rule: Rule) -> str:
    """Return why a question stayed open, and how many pairs would probably close it."""
    fail, fine = signed_percent(rule.fail_above), signed_percent(rule.pass_below)
    says = f"{judgement.pairs} pairs cannot tell whether it is above {fail} or below {fine}"
    if judgement.more is None:
        return says
    return f"{says}; about {judgement.more} pairs more would: --max-pairs {judgement.pairs + judgement.more}"
