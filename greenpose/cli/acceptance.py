"""`greenpose check --update`: what a candidate costs becomes the baseline, budgets with a ratchet are tightened."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from greenpose import __version__
from greenpose.check import (
    Acceptance,
    accept,
    changes,
    differs,
    dumps,
    read_baseline,
    read_budgets,
    refuse_unsure,
    tighten,
)
from greenpose.cli.checking import Question, answer
from greenpose.errors import CheckError
from greenpose.git import head_commit
from greenpose.store.folder import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an update changed."""

    question: Question
    """The question, baseline and budgets read again."""
    changed: dict[str, tuple[float | None, float | None]]
    """Values of the baseline by key, before and after; None where there was or is none."""
    tightened: dict[str, tuple[float, float]]
    """Limits of budgets by comparison, before and after."""


def accept_candidate(question: Question, reason: str) -> Accepted:
    """Write what the candidate costs where it was asked for, and return what changed.

    Raises:
        CheckError: without a reason, or where a number is not known well enough.
    """
    if not reason.strip():
        raise CheckError(["--update: say why with --reason TEXT; whoever reviews the change reads it"])
    refuse_unsure(finding for verdict in answer(question) for finding in verdict.findings)
    changed: dict[str, tuple[float | None, float | None]] = {}
    if question.baseline is not None:
        before = question.filed
        after = accept(
            before,
            question.candidate.footprints,
            only=question.only,
            acceptance=Acceptance(
                reason=reason.strip(),
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                commit=head_commit(question.baseline.absolute().parent),
                version=__version__,
            ),
        )
        changed = changes(None if before is None else before.baseline, after)
        if before is None or differs(before.baseline, after):
            write_text(question.baseline, dumps(after))
        question = replace(question, filed=read_baseline(question.baseline))
    question, tightened = _tighten(question)
    return Accepted(question=question, changed=changed, tightened=tightened)


def _tighten(question: Question) -> tuple[Question, dict[str, tuple[float, float]]]:
    """Write budgets with their ratchets applied, and return what moved."""
    if question.budgets is None:
        return question, {}
    text = question.budgets.read_text(encoding="utf-8")
    after = tighten(text, question.limits, question.candidate.footprints, only=question.only)
    if after == text:
        return question, {}
    write_text(question.budgets, after)
    limits = read_budgets(question.budgets)
    pairs = zip(question.limits, limits, strict=True)
    moved = {old.entry.budget: (old.limit, new.limit) for old, new in pairs if old.limit != new.limit}
    return replace(question, limits=limits), moved
