"""The candidate of a check and what it is held against: finished runs, or networks profiled on the spot."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenpose import __version__
from greenpose.check import (
    CheckVerdict,
    CostBudget,
    Filed,
    Footprint,
    Selection,
    accept,
    changes,
    check_budgets,
    compare,
    differs,
    dumps,
    of_counts,
    of_record,
    read_baseline,
    read_budgets,
    refuse_unsure,
    tighten,
)
from greenpose.check.baseline import FILE
from greenpose.check.footprint import label
from greenpose.cli.artefact_costs import run_beside
from greenpose.config import Cell
from greenpose.errors import CheckError
from greenpose.files import head_commit, now, utc_now, write_text
from greenpose.metrics import AP, OPERATIONS
from greenpose.record import Failure, Record
from greenpose.store import artefact_costs
from greenpose.subject import read_runs, require

if TYPE_CHECKING:
    from greenpose.model import Shape


def read_candidate(path: Path) -> tuple[str, tuple[Footprint, ...]]:
    """Return what to call a candidate, and the footprint of each experiment that there is."""
    file = require(path)
    if is_exported(file):
        return read_exported(file)
    runs = read_runs(file)
    failures = [run for run in runs if isinstance(run, Failure)]
    if failures:
        raise CheckError([f"{path}: {one.name} {one.reason}: {one.message}; finish it first" for one in failures])
    cells = [run for run in runs if isinstance(run, Cell)]
    if cells:
        return cells[0].grid, tuple(_count_all(cells))
    records = [run for run in runs if isinstance(run, Record)]
    twice = sorted({one.experiment for one in records if sum(one.experiment == two.experiment for two in records) > 1})
    if twice:
        raise CheckError([f"{path}: holds several runs of {name}; give the folder of one of them" for name in twice])
    return records[0].experiment if len(records) == 1 else path.name, tuple(map(of_record, records))


def is_exported(path: Path) -> bool:
    """Return whether an artefact's card is there, or beside: asked without reading it, since that takes OpenCV."""
    return (path if path.is_dir() else path.parent).joinpath("card.json").is_file()


def read_exported(path: Path) -> tuple[str, tuple[Footprint, ...]]:
    """Return what to call an artefact, and the footprint of each of its model files that can be run here.

    What a file was measured to cost counts, if that lies beside the run around it.

    Raises:
        ArtefactError: if it is damaged.
    """
    from greenpose.artefact import read_artefact
    from greenpose.check.exported_models import of_artefact

    artefacts = read_artefact(path)
    run = run_beside(artefacts)
    known = artefact_costs([run]) if run else []
    newest = {cost.digests: cost for each in known for _, cost in each.costs()}
    found = [of_artefact(one, newest.get((one.file.sha256, one.file.weights_sha256))) for one in artefacts]
    return f"{artefacts[0].card.run}-exit{artefacts[0].card.exit}", tuple(found)


def plain_name(name: str) -> str:
    """Return a name that can be a file's and stand in a comment: letters, digits, `.`, `_`, `+`, `-`."""
    return re.sub(r"[^A-Za-z0-9._+-]+|-{2,}", "-", name).strip("-.") or "check"


def _count_all(cells: Sequence[Cell]) -> list[Footprint]:
    """Return the footprint of every distinct network, each counted once."""
    from importlib.metadata import version

    from greenpose.counting import architecture_of

    shapes = {cell.name: (architecture_of(cell.config), cell.config.data.input_size) for cell in cells}
    named = {shapes[cell.name]: cell.experiment for cell in cells}
    counts = {shape: _counted(name, *shape) for shape, name in named.items()}
    footprints = {}
    for cell in cells:
        same = {shapes[other.name] for other in cells if other.experiment == cell.experiment}
        name = cell.experiment if len(same) == 1 else label(cell.experiment, cell.axes)
        shape = shapes[cell.name]
        footprints[name] = of_counts(
            cell.config, counts[shape], labels=(name,), num_joints=shape[0].num_joints, torch=version("torch")
        )
    return list(footprints.values())


def _counted(name: str, architecture: "Shape", input_size: tuple[int, int]) -> dict[int, dict[str, object]]:
    """Return what the gate compares, by exit."""
    from greenpose.counting import count

    try:
        counted = count(architecture, input_size)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        says = f"{type(error).__name__}: {error}"
        raise CheckError([f"{name}: cannot be counted: it fails on one image in evaluation mode: {says}"]) from error
    return {number: {**one.sizes, OPERATIONS: one.operations} for number, one in counted.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A candidate and what it is held against."""

    name: str
    """What to call the check unless told otherwise."""
    source: str
    """The candidate, as the user named it."""
    footprints: tuple[Footprint, ...]
    """Those of its experiments; none where nothing is to be counted."""
    baseline: Path | None
    """The baseline's file; None without one."""
    filed: Filed | None
    """What it holds; None where it is yet to be made."""
    budgets: Path | None
    """The budgets' file; None without one."""
    limits: tuple[CostBudget, ...]
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
    """
    require(candidate)
    if baseline is None and (FILE.exists() or (creating and budgets is None)):
        baseline = FILE
    if baseline is None and budgets is None and not paired:
        raise CheckError([f"give --baseline FILE, --budgets FILE or --against REF: there is no {FILE} here"])
    filed = None if baseline is None or (creating and not baseline.exists()) else read_baseline(baseline)
    limits = () if budgets is None else _limits(budgets, candidate)
    selection = Selection(tuple(only))
    if filed is not None or baseline is None:
        names = [] if filed is None else [*filed.baseline.values]
        selection.require([*names, *(f"{limit.where}.{limit.metric}" for limit in limits), *paired])
    if paired and not any(name in selection for name in paired):
        selects = f"--only {' '.join(only)}: selects nothing that is measured in pairs, as {paired[0]}"
        raise CheckError([f"{selects}; leave out --against, or select that too"])
    name, footprints = read_candidate(candidate) if baseline or budgets else (candidate.stem, ())
    return Question(
        name=plain_name(name),
        source=str(candidate),
        footprints=footprints,
        baseline=baseline,
        filed=filed,
        budgets=budgets,
        limits=limits,
        only=selection,
    )


def _limits(budgets: Path, candidate: Path) -> tuple[CostBudget, ...]:
    """Return what a file of budgets holds; where it names what is unknown, a candidate may judge its exits by that."""
    try:
        return read_budgets(budgets)
    except CheckError:
        own = _own(read_candidate(candidate)[1])
        return read_budgets(budgets, own=own)


def _own(footprints: Iterable[Footprint]) -> frozenset[str]:
    """Return the names of what exits of own loops are judged by."""
    return frozenset(each.metric.name.rpartition(".")[2] for each in footprints if each.metric is not AP)


def answer(question: Question) -> list[CheckVerdict]:
    """Return one verdict for the baseline and one for the budgets, those that there are."""
    footprints, only, subject = question.footprints, question.only, question.source
    verdicts = []
    if question.filed is not None:
        verdicts.append(compare(footprints, question.filed, only=only, subject=subject))
    if question.budgets is not None:
        file, today = str(question.budgets), utc_now().date()
        verdicts.append(check_budgets(question.limits, footprints, file=file, today=today, only=only, subject=subject))
    return verdicts


def accept_candidate(question: Question, reason: str) -> tuple[Question, dict[str, dict[str, Any]]]:
    """Write what the candidate costs where it was asked for, and return the question with what was read again.

    With it comes what changed, before and after: values `accepted` by the baseline, limits `tightened` by budgets.
    """
    if not reason.strip():
        raise CheckError(["--update: say why with --reason TEXT; whoever reviews the change reads it"])
    refuse_unsure(finding for verdict in answer(question) for finding in verdict.findings)
    changed: dict[str, tuple[float | None, float | None]] = {}
    if question.baseline is not None:
        before = question.filed
        after = accept(
            before,
            question.footprints,
            only=question.only,
            reason=reason.strip(),
            at=now(),
            commit=head_commit(question.baseline.absolute().parent),
            version=__version__,
        )
        changed = changes(None if before is None else before.baseline, after)
        if before is None or differs(before.baseline, after):
            write_text(question.baseline, dumps(after))
        question = replace(question, filed=read_baseline(question.baseline))
    question, tightened = _tighten(question)
    return question, {"accepted": changed, "tightened": tightened}


def _tighten(question: Question) -> tuple[Question, dict[str, tuple[float, float]]]:
    """Write budgets with their ratchets applied, and return what moved."""
    if question.budgets is None:
        return question, {}
    text = question.budgets.read_text(encoding="utf-8")
    after = tighten(text, question.limits, question.footprints, only=question.only)
    if after == text:
        return question, {}
    write_text(question.budgets, after)
    limits = read_budgets(question.budgets, own=_own(question.footprints))
    pairs = zip(question.limits, limits, strict=True)
    moved = {old.entry.budget: (old.limit, new.limit) for old, new in pairs if old.limit != new.limit}
    return replace(question, limits=limits), moved
