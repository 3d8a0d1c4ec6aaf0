"""The verdict of a check: one finding a quantity, its difference in words, and the outcome of all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from greenpose.formatting import (
    MINUS,
    NBSP,
    ends,
    listed,
    number,
    percent,
    plain,
    plural,
    prefix,
    repeated,
    significant,
)
from greenpose.intervals import Bounds
from greenpose.metrics import AP, Metric

Outcome = Literal["ok", "improved", "regressed", "inconclusive", "incomparable"]
GRAVITY: tuple[Outcome, ...] = ("ok", "improved", "inconclusive", "incomparable", "regressed")
"""Least to most grave: a verdict is as grave as its gravest finding."""
Level = Literal["error", "warn"]
Way = Literal["exact", "paired", "budget"]
ADVICE = {
    ("improved", "exact"): "accept it with --update --reason TEXT, so that the gain is kept",
    ("regressed", "exact"): "mend it, or accept it with --update --reason TEXT",
    ("incomparable", "exact"): "if that is meant, accept it with --update --reason TEXT",
    ("regressed", "budget"): "mend it, or change the budget",
}
"""What to do, by outcome and way of comparing."""


class RatioSpan(NamedTuple):
    """An interval, or a value with its interval."""

    low: float
    """Lower end."""
    value: float
    """Best estimate."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinding:
    """What was found of one quantity."""

    where: str
    """Whose it is: `exit3`, `final`, `train`, `run`, `exit2/final`."""
    metric: str
    """Name of the quantity, as in a record: `macs`, `cpu_s_per_image`."""
    way: Way
    """Whether it was compared exactly, by paired turns, or with a budget."""
    outcome: Outcome
    """What follows for this quantity."""
    says: str
    """One sentence: what is so, and where it is not fine, what to do."""
    unit: str = ""
    """Unit of base and head; empty for what has none."""
    base: float | None = None
    """Baseline's value, or the budget's limit; None where there is none."""
    head: float | None = None
    """Candidate's value; None where it was not obtained."""
    floor: bool = False
    """True for a budget that the value must not be below; every other budget must not be exceeded."""
    ratio: RatioSpan | None = None
    """Head over base with its 99 % interval; None for exact quantities, where it has no spread."""
    pairs: int | None = None
    """Pairs of turns that the ratio is over; None where nothing was paired."""
    level: Level = "error"
    """`warn`: what is wrong is shown and fails nothing, however sure it is."""
    file: str | None = None
    """The baseline or budget file that holds the other side; None where no file does."""
    line: int | None = None
    """Line of that file; None where there is no such line."""
    changed: bool = False
    """True where it is incomparable because the candidate has become another task, and not because of where it ran."""

    @property
    def name(self) -> str:
        """Return `exit3.macs`, the name by which options and baselines call the quantity."""
        return f"{self.where}.{self.metric}"

    @property
    def fails(self) -> bool:
        """Return whether it is a regression that counts."""
        return self.outcome == "regressed" and self.level == "error"

    @property
    def word(self) -> str:
        """Return the outcome in a word; a regression that fails nothing is a warning."""
        return "warning" if self.outcome == "regressed" and not self.fails else self.outcome

    @property
    def advice(self) -> str:
        """Return what to do about it; empty where its sentence says it all."""
        by_file = self.way != "exact" or self.file is not None  # what two sides counted is nowhere to be accepted
        return ADVICE.get((self.outcome, self.way), "") if by_file else ""

    @property
    def advised(self) -> str:
        """Return what is so and what to do about it."""
        return f"{self.says}; {self.advice}".removesuffix("; ")

    @property
    def cells(self) -> tuple[str, str, str]:
        """Return the baseline's value or the budget's limit, the candidate's value, and by how much they differ."""
        base, head = both(self.base, self.head, self.unit)
        difference = change(self.base, self.head, unit=self.unit, ratio=self.ratio)
        if self.way == "budget":
            base = f"{'≥' if self.floor else '≤'}{NBSP}{base}"
        if self.pairs is not None:
            difference = f"{difference}, {plural(self.pairs, 'pair')}".removeprefix(", ")
        return base, head, difference


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerdict:
    """All findings of one check."""

    subject: str
    """What was checked, as the user named it."""
    against: str
    """What it was held against: a baseline file, a revision, an environment, budgets."""
    findings: tuple[CheckFinding, ...]
    """One for each quantity."""
    notes: tuple[str, ...] = ()
    """What else to know: environment, control comparison, self-test of this machine."""
    samples: dict[str, Any] = field(default_factory=dict)
    """Raw paired measurements and what surrounded them, for the JSON output; empty for an exact check."""

    @property
    def outcome(self) -> Outcome:
        """Return the gravest outcome of any finding; what only warns counts as ok."""
        outcomes = [_counted(finding) for finding in self.findings]
        return max(outcomes, key=GRAVITY.index, default="incomparable")

    @property
    def changed(self) -> bool:
        """Return whether something is incomparable because the candidate has become another task."""
        return any(finding.changed for finding in self.findings)

    def of(self, *outcomes: Outcome) -> tuple[CheckFinding, ...]:
        """Return the findings with any of these outcomes."""
        return tuple(finding for finding in self.findings if finding.outcome in outcomes)


def joined(verdicts: Sequence[CheckVerdict]) -> CheckVerdict:
    """Return several verdicts on one subject as one."""
    return CheckVerdict(
        subject=verdicts[0].subject,
        against=" and ".join(dict.fromkeys(verdict.against for verdict in verdicts)),
        findings=tuple(finding for verdict in verdicts for finding in verdict.findings),
        notes=tuple(note for verdict in verdicts for note in verdict.notes),
        samples={key: value for verdict in verdicts for key, value in verdict.samples.items()},
    )


def sorted_findings(findings: Sequence[CheckFinding]) -> tuple[CheckFinding, ...]:
    """Return findings gravest first, those that fail before those that only warn; equals keep their order."""
    return tuple(sorted(findings, key=lambda finding: (-GRAVITY.index(finding.outcome), not finding.fails)))


def _counted(finding: CheckFinding) -> Outcome:
    only_warns = finding.level == "warn" and finding.outcome != "improved"
    return "ok" if only_warns else finding.outcome


MOST_DIGITS = 12
WORDS = frozenset({"parameters", "images", "calls"})
"""Units that are words: an SI prefix stands apart from them."""
SHARE = "of final"
"""Unit of an exit's number over the final exit's."""
TIMES = "of base"
"""Unit of a candidate's number over the base's, measured in pairs."""
SPELLED = {"bytes": ("B", 1.0), "kWh": ("Wh", 1000.0)}
"""Units of records that take no SI prefix as they are: the unit that does, and how many of it they are."""


def amount(value: float | None, unit: str, digits: int = 3) -> str:
    """Return a number with its unit, `4.69 GMACs`; a dash where there is none."""
    if value is None:
        return "–"
    if unit == "fraction":
        return percent(value, digits)
    if unit in ("", SHARE, TIMES):
        return f"{plain(value, digits)}{NBSP if unit else ''}{unit}"
    unit, scale = SPELLED.get(unit, (unit, 1.0))
    value *= scale
    if unit in WORDS and abs(value) < 10_000:
        return f"{value:.0f}{NBSP}{unit}"
    factor, name = prefix(value, digits)
    scaled = significant(value / factor, digits)
    return f"{scaled}{NBSP}{name}{NBSP if name and unit in WORDS else ''}{unit}".replace("-", MINUS)


def both(base: float | None, head: float | None, unit: str) -> tuple[str, str]:
    """Return two numbers with as many digits as it takes to see that they differ."""
    for digits in range(3, MOST_DIGITS + 1):
        texts = amount(base, unit, digits), amount(head, unit, digits)
        if texts[0] != texts[1] or base == head:
            break
    return texts


def change(base: float | None, head: float | None, *, unit: str = "", ratio: RatioSpan | None = None) -> str:
    """Return by how much the second differs from the first: `+10.2 %`, with its interval where it has one."""
    if ratio is not None:
        return _percent_within(*(100 * (end - 1) for end in ratio))
    if base is None or head is None or base == head:
        return ""
    if unit == "fraction":
        return f"{_signed(100 * (head - base), 2)}{NBSP}points"
    if unit == "calls" or base == 0:
        return amount_signed(head - base, unit)
    return signed_percent(head / base - 1)


def signed_percent(fraction: float) -> str:
    """Return `+10.2 %`."""
    return f"{_signed(100 * fraction, 3 if abs(fraction) > 0.0995 else 2)}{NBSP}%"


def amount_signed(value: float, unit: str) -> str:
    """Return a difference with sign and unit."""
    return f"{'+' if value > 0 else ''}{amount(value, unit)}"


def _percent_within(low: float, value: float, high: float) -> str:
    """Return `+1.2 ±1.1 %`, or `+1.2 [0.4–3.1] %` where the interval is lopsided."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{_signed(value, 2)}{NBSP}% (unbounded)"
    text = str(number(value, low, high, most_decimals=2))
    return f"{'+' if value > 0 else ''}{text}{NBSP}%"


def _signed(value: float, digits: int) -> str:
    return f"{'+' if value > 0 else ''}{plain(value, digits)}"


MOST_OPERATORS = 8
"""Operators that a sentence names."""


def of_counts(base: float, head: float, unit: str, *, there: str = "in the baseline") -> tuple[Outcome, str]:
    """Return what follows from two counts: fewer is better, and every one counts. The first one is `there`."""
    before, after = both(base, head, unit)
    if base == head:
        return "ok", f"{after}, as {there}"
    if head > base:
        return "regressed", f"rose from {before} to {after} ({change(base, head)})"
    return "improved", f"fell from {before} to {after} ({change(base, head)})"


def of_calls(
    base: Mapping[str, int], head: Mapping[str, int], *, there: str = "in the baseline"
) -> tuple[Outcome, str]:
    """Return what follows from the calls of operators: one that is called more often is a regression."""
    more = [name for name in sorted(head) if head[name] > base.get(name, 0)]
    fewer = [name for name in sorted(base) if head.get(name, 0) < base[name]]
    if not more and not fewer:
        return "ok", f"{amount(sum(head.values()), 'calls')} of {len(head)} operators, as {there}"
    changed = [f"{name} {base.get(name, 0)} → {head.get(name, 0)}" for name in [*more, *fewer]]
    says = f"operators are called otherwise: {few(changed, MOST_OPERATORS)}"
    return ("regressed" if more else "improved"), says


def of_accuracy(
    base: float, head: float, interval: Bounds | None, *, margin: float, metric: Metric = AP
) -> tuple[Outcome, str]:
    """Return what follows from an accuracy with its interval: regressed only where all of it is worse than the floor.

    The floor is the baseline less the margin, or with it where lower is better. A value that is worse, whose interval
    reaches the floor, is inconclusive.
    """
    floor, worse = base - metric.gain(margin), metric.below
    spread = "no interval"
    if interval is not None:
        spread = repeated(ends(*(amount(end, metric.recorded) for end in interval)))
    said = f"{metric.words} {amount(head, metric.recorded)} ({spread}), floor {amount(floor, metric.recorded)}"
    gains = sorted(map(metric.gain, interval)) if interval is not None else None
    if gains is not None and gains[1] < metric.gain(floor):
        return "regressed", f"{said}: surely {worse} it"
    if metric.gain(head) < metric.gain(floor):
        return "inconclusive", f"{said}: {worse} it, but perhaps by the test split's chance; evaluate more images"
    if gains is not None and gains[0] > metric.gain(base):
        better = "below" if metric.lower else "above"
        return "improved", f"{said}: surely {better} the baseline's {amount(base, metric.recorded)}"
    return "ok", f"{said}: not {worse} it"


def few(parts: list[str], most: int = 3) -> str:
    """Return the first parts of a list, and how many more there are."""
    return listed(parts if len(parts) <= most else [*parts[:most], f"{len(parts) - most} more"])
