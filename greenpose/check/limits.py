"""Whether budgets are kept, given what is known of the numbers: their intervals, and how they were obtained."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from greenpose.check.amounts import SHARE, amount
from greenpose.check.budgets import NUMBER, Budget
from greenpose.check.differences import few
from greenpose.check.footprint import Footprint
from greenpose.check.selection import Selection
from greenpose.check.verdict import Finding, Level, Outcome
from greenpose.formatting import listed, shown
from greenpose.record import Quantity
from greenpose.schema import near

SHARE_DECIMALS = 4
"""Decimals to which a ratchet tightens a share, rounded to the safe side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of a file of budgets."""

    findings: tuple[Finding, ...]
    """One for each budget and candidate that has the number."""
    notes: tuple[str, ...]
    """What was not checked, and which budgets have ended."""


def judge(
    budgets: Sequence[Budget], footprints: Sequence[Footprint], *, file: str, today: date, only: Selection
) -> Judged:
    """Return whether each budget is kept by every candidate that it is for."""
    findings: list[Finding] = []
    unmeasured: dict[str, None] = {}
    notes: list[str] = []
    for budget in budgets:
        theirs = _subjects(budget, footprints)
        if not theirs:
            notes.append(f"{file}:{budget.line}: {budget.entry.budget}: not checked, {_nobody(budget, footprints)}")
        if _is_over(budget, today):
            notes.append(f"{file}:{budget.line}: {budget.entry.budget}: {_ended(budget)}")
        for footprint in theirs:
            finding = _Held(budget, footprint, file=file, today=today, several=len(footprints) > 1).finding()
            if finding.name in only and finding.head is None and not footprint.trained:
                unmeasured[f"{budget.where}.{budget.metric}"] = None
            elif finding.name in only:
                findings.append(finding)
    if unmeasured:
        notes.append(f"{few(list(unmeasured))}: not checked, for that takes a run")
    return Judged(findings=tuple(findings), notes=tuple(notes))


def tighten(text: str, budgets: Sequence[Budget], footprints: Sequence[Footprint], *, only: Selection) -> str:
    """Return the text of a file of budgets, limits with a ratchet set to what its candidates reached.

    Only the digits of those limits change; order, comments and everything else stay as they are.
    """
    for budget in sorted(budgets, key=lambda budget: -budget.start):
        reached = [
            footprint.quantities[budget.name(max(footprint.exits))].value
            for footprint in _subjects(budget, footprints)
            if f"{budget.where}.{budget.metric}" in only
        ]
        values = [value for value in reached if value is not None]
        if not budget.entry.ratchet or not values:
            continue
        worst = max(values) if budget.at_most else min(values)
        if worst < budget.limit if budget.at_most else worst > budget.limit:
            written = re.sub(
                rf"(?<=[<>]=)(\s*){NUMBER}", rf"\g<1>{_limit(worst, budget)}", text[budget.start : budget.stop]
            )
            text = text[: budget.start] + written + text[budget.stop :]
    return text


def _limit(value: float, budget: Budget) -> str:
    """Return a limit that the value just keeps."""
    if "/" not in budget.where:
        return f"{value:.0f}"
    scale = 10.0**SHARE_DECIMALS
    rounded = math.ceil(value * scale) if budget.at_most else math.floor(value * scale)
    return f"{rounded / scale:.{SHARE_DECIMALS}f}"


def _subjects(budget: Budget, footprints: Sequence[Footprint]) -> list[Footprint]:
    """Return the candidates that a budget is for: of its experiment, with its exit, for a share not its last."""
    theirs = [footprint for footprint in footprints if budget.experiment in (None, *footprint.labels)]
    if not budget.where.startswith("exit"):
        return theirs
    number, share = int(budget.where[4]), "/" in budget.where
    return [one for one in theirs if number in one.exits and not (share and number == max(one.exits))]


def _nobody(budget: Budget, footprints: Sequence[Footprint]) -> str:
    labels = sorted({label for footprint in footprints for label in footprint.labels})
    if budget.experiment not in (None, *labels):
        return f"no experiment {budget.experiment} here; {near(str(budget.experiment), labels)}"
    exits = sorted({number for footprint in footprints for number in footprint.exits})
    return f"the candidate has exits {listed([str(number) for number in exits])}"


def _is_over(budget: Budget, today: date) -> bool:
    return budget.entry.until is not None and today > budget.entry.until


def _ended(budget: Budget) -> str:
    return f"ended on {budget.entry.until} and only warns now; renew `until` or drop it"


class _Held:
    """One budget held against one candidate."""

    def __init__(self, budget: Budget, footprint: Footprint, *, file: str, today: date, several: bool) -> None:
        self._budget, self._file, self._today = budget, file, today
        self._prefix = f"{footprint.name}/" if several else ""
        self._quantity = footprint.quantities.get(budget.name(max(footprint.exits)))

    def finding(self) -> Finding:
        """Return whether it is kept."""
        budget, quantity = self._budget, self._quantity
        head = None if quantity is None else quantity.value
        level, why = self._level()
        outcome, says = self._judged()
        if outcome == "regressed":
            says = f"{says}{why}"
        return Finding(
            where=self._prefix + budget.where,
            metric=budget.metric,
            way="budget",
            outcome=outcome,
            says=f"{says} ({shown(budget.entry.reason)})" if budget.entry.reason else says,
            unit="" if quantity is None else self._unit(quantity),
            base=budget.limit,
            head=head,
            floor=not budget.at_most,
            level=level,
            file=self._file,
            line=budget.line,
        )

    def _level(self) -> tuple[Level, str]:
        """Return whether going beyond the budget fails, and if not, why."""
        budget, quantity = self._budget, self._quantity
        if _is_over(budget, self._today):
            return "warn", f"; {_ended(budget)}"
        if "co2eq" in budget.metric or budget.metric.startswith("sci_"):
            return "warn", "; grams follow the grid and only warn: budget joules"
        if quantity is not None and quantity.basis.kind == "modelled":
            return (
                "warn",
                "; modelled, not measured, so it only warns: budget a share of the final exit, or CPU-seconds",
            )
        return budget.entry.level, ""

    def _judged(self) -> tuple[Outcome, str]:
        """Return what follows from the number and its interval: it is beyond the budget only where all of that is."""
        budget, quantity = self._budget, self._quantity
        if quantity is None or quantity.value is None:
            missing = quantity.basis.missing if quantity is not None else None
            return "incomparable", f"not checked: the candidate has no such number ({missing or 'not recorded'})"
        unit, spread = self._unit(quantity), quantity.basis.type_a
        low, high = (quantity.value, quantity.value) if spread is None else (spread.low, spread.high)
        limit = f"{'at most' if budget.at_most else 'at least'} {amount(budget.limit, unit)}"
        said = amount(quantity.value, unit)
        if spread is not None:
            said += f" (95 % {amount(low, unit)} to {amount(high, unit)})"
        if (low > budget.limit) if budget.at_most else (high < budget.limit):
            return "regressed", f"{said}, beyond the budget of {limit}"
        if (high <= budget.limit) if budget.at_most else (low >= budget.limit):
            return "ok", f"{said}, within the budget of {limit}"
        return "inconclusive", f"{said}: the budget of {limit} lies inside the interval; measure longer, on more images"

    def _unit(self, quantity: Quantity) -> str:
        return SHARE if "/" in self._budget.where else quantity.basis.unit
