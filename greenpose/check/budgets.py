"""Budgets: what an exit or a training may cost, written down beforehand, one comparison a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field

from greenpose.check.footprint import COUNTED, exit_metrics, train_metrics
from greenpose.check.verdict import Level
from greenpose.config import read_yaml
from greenpose.errors import CheckError
from greenpose.record.numbers import MOST
from greenpose.schema import Document, near, parse

NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
COMPARISON = re.compile(
    r"\s*(?:(?P<experiment>[^/\s]+)/)??(?P<where>\w+)(?:\.(?P<metric>\w+)|/(?P<whole>\w+)\s+(?P<share>\w+))"
    rf"\s*(?P<sign><=|>=)\s*(?P<limit>{NUMBER})\s*"
)
EXAMPLES = "exit3.macs <= 1.9e9, exit3.ap >= 0.90, train.energy_kwh <= 0.2 or exit2/final energy <= 0.45"
SHORT = {"energy": "energy_j_per_image", "latency": "latency_s", "cpu": "cpu_s_per_image"}
"""Short names of what a share can be of."""
EXITS = ("exit1", "exit2", "exit3", "exit4", "final")


class Entry(Document):
    """One budget and what belongs to it."""

    budget: str
    """The comparison: `exit3.macs <= 1.9e9`, `final.energy_j_per_image <= 4.0`, `exit2/final energy <= 0.45`,
    `train.energy_kwh <= 0.2`, `exit3.ap >= 0.90`. An experiment's name and `/` before it restricts it to that one."""
    level: Level = "error"
    """`error`: going beyond it is a regression; `warn`: it is shown and fails nothing."""
    until: date | None = None
    """Last day on which it fails anything; from then on it warns, and says that it has ended. Null: for ever."""
    reason: str = ""
    """Why it is what it is."""
    ratchet: bool = False
    """True: `--update` tightens the limit to what was reached. Only for what is counted exactly."""


def _entry(value: Any) -> Any:
    """Return what a plain line stands for."""
    return {"budget": value} if isinstance(value, str) else value


class BudgetFile(Document):
    """A file of budgets, each a plain line (`exit3.macs <= 1.9e9`) or a mapping with more to say."""

    budgets: list[Annotated[Entry, BeforeValidator(_entry, json_schema_input_type=str | Entry)]] = Field(min_length=1)
    """The budgets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
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


def read_budgets(path: Path) -> tuple[Budget, ...]:
    """Return the budgets in a file.

    Raises:
        ConfigError: if it is missing or no YAML.
        CheckError: with all its faults.
    """
    document, faults = parse(BudgetFile, read_yaml(path), where=str(path))
    if document is None:
        raise CheckError(faults)
    budgets: list[Budget] = []
    for entry, node in zip(document.budgets, _nodes(path.read_text(encoding="utf-8")), strict=True):
        found = _understood(entry, node)
        budgets += [found] if isinstance(found, Budget) else []
        faults += (
            [] if isinstance(found, Budget) else [f"{path}:{node.start_mark.line + 1}: {fault}" for fault in found]
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


def _understood(entry: Entry, node: yaml.ScalarNode) -> Budget | list[str]:
    """Return what a comparison means, or why it means nothing."""
    match = COMPARISON.fullmatch(entry.budget)
    if match is None:
        return [f"{entry.budget!r} is no budget; write e.g. {EXAMPLES}"]
    share = match["share"]
    metric = SHORT.get(share, share) if share else match["metric"]
    faults = list(_faults(match, metric))
    if entry.ratchet and metric not in COUNTED:
        faults.append(
            f"{entry.budget}: ratchet is for what is counted exactly ({', '.join(COUNTED)}): "
            "a measured number would be tightened to its luckiest run"
        )
    if faults:
        return faults
    return Budget(
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
        known: tuple[str, ...] = (*SHORT, *SHORT.values(), *COUNTED)
    else:
        known = train_metrics() if where == "train" else tuple(sorted(exit_metrics()))
    if metric not in known:
        yield f"{match[0].strip()}: {share or metric} is unknown; {_choices(share or metric, known)}"


def _choices(value: str, known: tuple[str, ...]) -> str:
    """Return near matches and everything that is known."""
    listed = f"known: {', '.join(known)}"
    hint = near(value, known)
    return listed if hint.startswith("known") else f"{hint} ({listed})"
