"""What a check is about: a candidate and what it is held against, read from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from greenpose.check import Budget, Filed, Selection, Verdict, compare, judge, read_baseline, read_budgets
from greenpose.check.baseline import FILE
from greenpose.cli.candidate import Candidate, find_candidate, plain_name, require
from greenpose.errors import CheckError


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A candidate and what it is held against."""

    candidate: Candidate
    """What is checked."""
    baseline: Path | None
    """The baseline's file; None without one."""
    filed: Filed | None
    """What it holds; None where it is yet to be made."""
    budgets: Path | None
    """The budgets' file; None without one."""
    limits: tuple[Budget, ...]
    """What it holds."""
    only: Selection
    """Quantities to look at."""


def read_question(
    candidate: Path,
    baseline: Path | None,
    budgets: Path | None,
    *,
    only: Sequence[str],
    creating: bool,
    paired: Sequence[str] = (),
) -> Question:
    """Return what is asked, everything read; where a baseline is to be made, there need not be one yet.

    `paired` names what is to be measured in pairs: then there need be neither baseline nor budgets, and without them
    nothing is counted.

    Raises:
        GreenPoseError: with what is missing or damaged.
    """
    require(candidate)
    if baseline is None and (FILE.exists() or (creating and budgets is None)):
        baseline = FILE
    if baseline is None and budgets is None and not paired:
        raise CheckError([f"give --baseline FILE, --budgets FILE or --against REF: there is no {FILE} here"])
    filed = None if baseline is None or (creating and not baseline.exists()) else read_baseline(baseline)
    limits = () if budgets is None else read_budgets(budgets)
    selection = Selection(tuple(only))
    if filed is not None or baseline is None:
        names = [] if filed is None else [*filed.baseline.values]
        selection.require([*names, *(f"{limit.where}.{limit.metric}" for limit in limits), *paired])
    if paired and not any(name in selection for name in paired):
        selects = f"--only {' '.join(only)}: selects nothing that is measured in pairs, as {paired[0]}"
        raise CheckError([f"{selects}; leave out --against, or select that too"])
    unread = Candidate(name=plain_name(candidate.stem), source=str(candidate), footprints=())
    return Question(
        candidate=find_candidate(candidate) if baseline or budgets else unread,
        baseline=baseline,
        filed=filed,
        budgets=budgets,
        limits=limits,
        only=selection,
    )


def answer(question: Question) -> list[Verdict]:
    """Return one verdict for the baseline and one for the budgets, those that there are."""
    subject, footprints = question.candidate.source, question.candidate.footprints
    verdicts = []
    if question.filed is not None:
        found = compare(footprints, question.filed, only=question.only)
        against = question.filed.name
        verdicts.append(Verdict(subject=subject, against=against, findings=found.findings, notes=found.notes))
    if question.budgets is not None:
        file, today = str(question.budgets), datetime.now(UTC).date()
        judged = judge(question.limits, footprints, file=file, today=today, only=question.only)
        verdicts.append(Verdict(subject=subject, against=file, findings=judged.findings, notes=judged.notes))
    return verdicts
