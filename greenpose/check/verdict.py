"""The verdict of a check: one finding a quantity, its difference in words, and the outcome of all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "improved", "regressed", "inconclusive", "incomparable"]
GRAVITY: tuple[Outcome, ...] = ("ok", "improved", "inconclusive", "incomparable", "regressed")
"""Least to most grave: a verdict is as grave as its gravest finding."""
Level = Literal["error", "warn"]
Way = Literal["exact", "paired", "budget"]


class Span(NamedTuple):
    """An interval, or a value with its interval."""

    low: float
    """Lower end."""
    value: float
    """Best estimate."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
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
    ratio: Span | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All findings of one check."""

    subject: str
    """What was checked, as the user named it."""
    against: str
    """What it was held against: a baseline file, a revision, an environment, budgets."""
    findings: tuple[Finding, ...]
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

    def of(self, *outcomes: Outcome) -> tuple[Finding, ...]:
        """Return the findings with any of these outcomes."""
        return tuple(finding for finding in self.findings if finding.outcome in outcomes)


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Return several verdicts on one subject as one."""
    return Verdict(
        subject=verdicts[0].subject,
        against=" and ".join(dict.fromkeys(verdict.against for verdict in verdicts)),
        findings=tuple(finding for verdict in verdicts for finding in verdict.findings),
        notes=tuple(note for verdict in verdicts for note in verdict.notes),
        samples={key: value for verdict in verdicts for key, value in verdict.samples.items()},
    )


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings gravest first, those that fail before those that only warn; equals keep their order."""
    return tuple(sorted(findings, key=lambda finding: (-GRAVITY.index(finding.outcome), not finding.fails)))


def _counted(finding: Finding) -> Outcome:
    only_warns = finding.level == "warn" and finding.outcome != "improved"
    return "ok" if only_warns else finding.outcome
