"""Budgets: what an exit or a training may cost, written down beforehand, one comparison a line."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from greenpose.check.baseline import Selection
from greenpose.check.footprint import TRAIN, Footprint
from greenpose.check.verdict import SHARE, CheckFinding, CheckVerdict, Level, Outcome, amount, few
from greenpose.config import read_yaml
from greenpose.errors import CheckError
from greenpose.formatting import ends, listed, repeated, shown
from greenpose.metrics import COUNTED, CPU, ENERGY, FILE, LATENCY, MOST, OF_ARTEFACT, OF_EXIT, OF_TRAINING, SCORE
from greenpose.quantity import Quantity
from greenpose.schema import Document, near, parsed

NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
COMPARISON = re.compile(
    r"\s*(?:(?P<experiment>[^/\s]+)/)??(?P<where>\w+)(?:\.(?P<metric>\w+)|/(?P<whole>\w+)\s+(?P<share>\w+))"
    rf"\s*(?P<sign><=|>=)\s*(?P<limit>{NUMBER})\s*"
)
EXAMPLES = "exit3.macs <= 1.9e9, exit3.ap >= 0.90, train.energy_kwh <= 0.2 or exit2/final energy <= 0.45"
SIZES = tuple(metric.name for metric in COUNTED)
RATCHETED = (*SIZES, FILE.name)
"""What is counted exactly, so that a limit may follow what was reached."""
SHORT = {metric.short: metric.name for metric in (ENERGY, LATENCY, CPU)}
"""Short names of what a share can be of."""
EXITS = ("exit1", "exit2", "exit3", "exit4", "final")


class Entry(Document):
    """One budget and what belongs to it."""

    budget: str
    """The comparison: `exit3.macs <= 1.9e9`, `final.energy_j_per_image <= 4.0`, `exit2/final energy <= 0.45`,
    `train.energy_kwh <= 0.2`, `exit3.ap >= 0.90`. An experiment's name and `/` before it restricts it to that one; so
    does the kind of an exported model: `openvino-int8/exit3.file_bytes <= 9e6`."""
    level: Level = "error"
    """`error`: going beyond it is a regression; `warn`: it is shown and fails nothing."""
    until: date | None = None
    """Last day on which it fails anything; from then on it warns, and says that it has ended. Null: for ever."""
    reason: str = ""
    """Why it is what it is."""
    ratchet: bool = False
    """True: `--update` tightens the limit to what was reached. Only for what is counted exactly."""


AsLine = BeforeValidator(
    lambda value: {"budget": value} if isinstance(value, str) else value, json_schema_input_type=str | Entry
)
"""A plain line stands for a mapping with that budget alone."""


class BudgetFile(Document):
    """A file of budgets, each a plain line (`exit3.macs <= 1.9e9`) or a mapping with more to say."""

    budgets: list[Annotated[Entry, AsLine]] = Field(min_length=1)
    """The budgets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBudget:
    """One limit, understood."""

    entry: Entry
    """As it was written."""
    experiment: str | None
    """The experiment that it is for; None for every one."""
    where: str
    """`exit3`, `final`, `train`, or for a share of the final exit `exit2/final`."""
    metric: str
    """Name of the number, as in a record."""
    at_most: bool
    """True where the number must not be more, False where it must not be less."""
    limit: float
    """The limit, in the number's own unit."""
    line: int
    """Line of the comparison in its file, from 1."""
    start: int
    """Character of the file that the comparison starts at."""
    stop: int
    """Character after its end."""

    def name(self, final: int) -> str:
        """Return the name under which a footprint with this final exit has the number."""
        return f"{f'exit{final}' if self.where == 'final' else self.where}.{self.metric}"


def read_budgets(path: Path, *, own: Collection[str] = ()) -> tuple[CostBudget, ...]:
    """Return the budgets in a file; `own` names what exits of the candidate's own loops are judged by.

    Raises:
        ConfigError: if it is missing or no YAML.
        CheckError: with all its faults.
    """
    document = parsed(BudgetFile, read_yaml(path), where=str(path), error=CheckError)
    budgets: list[CostBudget] = []
    faults: list[str] = []
    for entry, node in zip(document.budgets, _nodes(path.read_text(encoding="utf-8")), strict=True):
        found = _understood(entry, node, own)
        budgets += [found] if isinstance(found, CostBudget) else []
        faults += (
            [] if isinstance(found, CostBudget) else [f"{path}:{node.start_mark.line + 1}: {fault}" for fault in found]
        )
    if faults:
        raise CheckError(faults)
    return tuple(budgets)


def _nodes(text: str) -> Iterator[yaml.ScalarNode]:
    """Yield the place of each comparison in a valid file of budgets; of one that is merged in, where it was taken."""
    loader = yaml.SafeLoader(text)

    def fields(node: Any) -> dict[str, Any]:
        loader.flatten_mapping(node)
        return {name.value: value for name, value in node.value}

    for item in fields(loader.get_single_node())["budgets"].value:
        yield item if isinstance(item, yaml.ScalarNode) else fields(item)["budget"]


def _understood(entry: Entry, node: yaml.ScalarNode, own: Collection[str]) -> CostBudget | list[str]:
    """Return what a comparison means, or why it means nothing."""
    match = COMPARISON.fullmatch(entry.budget)
    if match is None:
        return [f"{entry.budget!r} is no budget; write e.g. {EXAMPLES}"]
    share = match["share"]
    metric = SHORT.get(share, share) if share else match["metric"]
    metric = SCORE.name if metric in own else metric
    faults = list(_faults(match, metric))
    if entry.ratchet and metric not in RATCHETED:
        faults.append(
            f"{entry.budget}: ratchet is for what is counted exactly ({', '.join(RATCHETED)}): "
            "a measured number would be tightened to its luckiest run"
        )
    if faults:
        return faults
    return CostBudget(
        entry=entry,
        experiment=match["experiment"],
        where=f"{match['where']}/final" if share else match["where"],
        metric=metric,
        at_most=match["sign"] == "<=",
        limit=float(match["limit"]),
        line=node.start_mark.line + 1,
        start=node.start_mark.index,
        stop=node.end_mark.index,
    )


def _faults(match: re.Match[str], metric: str) -> Iterator[str]:
    """Yield what a comparison names that does not exist."""
    where, whole, share = match["where"], match["whole"], match["share"]
    if float(match["limit"]) > MOST:
        yield f"{match[0].strip()}: {match['limit']:.40} is beyond what any number comes to; it is {MOST:g} at most"
    places = EXITS if share else (*EXITS, "train")
    if where not in places:
        yield f"{match[0].strip()}: {where} is unknown; {_choices(where, places)}"
        return
    if share and whole != "final":
        yield f"{match[0].strip()}: shares are of the final exit; write {where}/final {share}"
    if share:
        known: tuple[str, ...] = (*SHORT, *SHORT.values(), *SIZES)
    else:
        names = [
            each.name.removeprefix(TRAIN)
            for each in (OF_TRAINING if where == "train" else (*OF_EXIT, *OF_ARTEFACT, SCORE))
        ]
        known = tuple(sorted(names))
    if metric not in known:
        yield f"{match[0].strip()}: {share or metric} is unknown; {_choices(share or metric, known)}"


def _choices(value: str, known: tuple[str, ...]) -> str:
    """Return near matches and everything that is known."""
    listed = f"known: {', '.join(known)}"
    hint = near(value, known)
    return listed if hint.startswith("known") else f"{hint} ({listed})"


SHARE_DECIMALS = 4
"""Decimals to which a ratchet tightens a share, rounded to the safe side."""


def check_budgets(
    budgets: Sequence[CostBudget],
    footprints: Sequence[Footprint],
    *,
    file: str,
    today: date,
    only: Selection,
    subject: str = "",
) -> CheckVerdict:
    """Return whether each budget is kept by every candidate that it is for, with notes on what was not checked."""
    findings: list[CheckFinding] = []
    unmeasured: dict[str, None] = {}
    notes: list[str] = []
    for budget in budgets:
        theirs = _subjects(budget, footprints)
        if not theirs:
            notes.append(f"{file}:{budget.line}: {budget.entry.budget}: not checked, {_unmatched(budget, footprints)}")
        if _is_over(budget, today):
            notes.append(f"{file}:{budget.line}: {budget.entry.budget}: {_ended(budget)}")
        for footprint in theirs:
            prefix = f"{footprint.name}/" if len(footprints) > 1 else ""
            finding = _budget_check(budget, footprint, file=file, today=today, prefix=prefix)
            if finding.name in only and finding.head is None and not footprint.trained:
                unmeasured[f"{budget.where}.{budget.metric}"] = None
            elif finding.name in only:
                findings.append(finding)
    if unmeasured:
        notes.append(f"{few(list(unmeasured))}: not checked, for that takes a run")
    return CheckVerdict(subject=subject, against=file, findings=tuple(findings), notes=tuple(notes))


def tighten(text: str, budgets: Sequence[CostBudget], footprints: Sequence[Footprint], *, only: Selection) -> str:
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


def _limit(value: float, budget: CostBudget) -> str:
    """Return a limit that the value just keeps."""
    if "/" not in budget.where:
        return f"{value:.0f}"
    scale = 10.0**SHARE_DECIMALS
    rounded = math.ceil(value * scale) if budget.at_most else math.floor(value * scale)
    return f"{rounded / scale:.{SHARE_DECIMALS}f}"


def _subjects(budget: CostBudget, footprints: Sequence[Footprint]) -> list[Footprint]:
    """Return the candidates that a budget is for: of its experiment, with its exit, for a share not its last."""
    theirs = [footprint for footprint in footprints if budget.experiment in (None, *footprint.labels)]
    if not budget.where.startswith("exit"):
        return [one for one in theirs if not one.exported]
    number, share = int(budget.where[4]), "/" in budget.where
    return [one for one in theirs if number in one.exits and not (share and number == one.own_final)]


def _unmatched(budget: CostBudget, footprints: Sequence[Footprint]) -> str:
    labels = sorted({label for footprint in footprints for label in footprint.labels})
    if budget.experiment not in (None, *labels):
        return f"no experiment {budget.experiment} here; {near(str(budget.experiment), labels)}"
    exits = sorted({number for footprint in footprints for number in footprint.exits})
    return f"the candidate has exits {listed([str(number) for number in exits])}"


def _is_over(budget: CostBudget, today: date) -> bool:
    return budget.entry.until is not None and today > budget.entry.until


def _ended(budget: CostBudget) -> str:
    return f"ended on {budget.entry.until} and only warns now; renew `until` or drop it"


def _budget_check(budget: CostBudget, footprint: Footprint, *, file: str, today: date, prefix: str) -> CheckFinding:
    """Return whether one candidate keeps a budget."""
    quantity = footprint.quantities.get(budget.name(max(footprint.exits)))
    unit = "" if quantity is None else SHARE if "/" in budget.where else quantity.unit
    level, why = _level(budget, quantity, today)
    outcome, says = _outcome(budget, quantity, unit)
    says += why if outcome == "regressed" else ""
    says += f" ({shown(budget.entry.reason)})" if budget.entry.reason else ""
    return CheckFinding(
        where=prefix + budget.where,
        metric=budget.metric,
        way="budget",
        outcome=outcome,
        says=says,
        unit=unit,
        base=budget.limit,
        head=None if quantity is None else quantity.value,
        floor=not budget.at_most,
        level=level,
        file=file,
        line=budget.line,
    )


def _level(budget: CostBudget, quantity: Quantity | None, today: date) -> tuple[Level, str]:
    """Return whether going beyond the budget fails, and if not, why."""
    if _is_over(budget, today):
        return "warn", f"; {_ended(budget)}"
    if "co2eq" in budget.metric or budget.metric.startswith("sci_"):
        return "warn", "; grams follow the grid and only warn: budget joules"
    if quantity is not None and quantity.kind == "modelled":
        return "warn", "; modelled, not measured, so it only warns: budget a share of the final exit, or CPU-seconds"
    return budget.entry.level, ""


def _outcome(budget: CostBudget, quantity: Quantity | None, unit: str) -> tuple[Outcome, str]:
    """Return what follows from the number and its interval: it is beyond the budget only where all of that is."""
    if quantity is None or quantity.value is None:
        missing = quantity.missing if quantity is not None else None
        return "incomparable", f"not checked: the candidate has no such number ({missing or 'not recorded'})"
    low, high = quantity.type_a or (quantity.value, quantity.value)
    limit = f"{'at most' if budget.at_most else 'at least'} {amount(budget.limit, unit)}"
    said = amount(quantity.value, unit)
    if quantity.type_a is not None:
        said += f" ({repeated(ends(amount(low, unit), amount(high, unit)))})"
    if (low > budget.limit) if budget.at_most else (high < budget.limit):
        return "regressed", f"{said}, beyond the budget of {limit}"
    if (high <= budget.limit) if budget.at_most else (low >= budget.limit):
        return "ok", f"{said}, within the budget of {limit}"
    return "inconclusive", f"{said}: the budget of {limit} lies inside the interval; measure longer, on more images"
