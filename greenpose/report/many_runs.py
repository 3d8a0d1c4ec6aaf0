"""Very many runs: what a page tells of: experiments over all their runs, and the most telling experiments of many."""

import contextlib
import gc
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from greenpose.formatting import exact, shown
from greenpose.metrics import Metric
from greenpose.record import Basis, Exit, Failure, Phase, Record
from greenpose.report.hosts import across_hosts
from greenpose.report.ranking import cost_figure, pareto_front, score
from greenpose.report.study import SECOND, Group, Point, Study
from greenpose.schema import Document

MANY_RUNS = 500
"""Runs beyond which the page has neither lines nor records of single runs: both take some 5 KiB each."""
MANY_EXPERIMENTS = 60
"""Experiments beyond which only the most telling ones have lines in tables."""
MOST_FAULTS = 12
"""Records that cannot be used, of which each is named."""
_NOTHING: set[str] = set()
_SHARED = ("unit", "kind", "method", "missing")
"""Words of a basis, of which thousands are equal."""
_CIRCUMSTANCES = ("dataset", "carbon", "components", "host", "process", "software", "git")
"""Parts of a record that are equal in all runs on one machine, or nearly all."""


def gathered(entries: Iterable[Record | Failure]) -> list[Record | Failure]:
    """Return the entries; where there are very many, each without what a page of very many runs does not tell.

    10 000 records in full take 2 GB of memory, so they are made lean one by one as they are read.
    """
    entries = iter(entries)
    kept = list(itertools.islice(entries, MANY_RUNS + 1))
    if len(kept) <= MANY_RUNS:
        return kept
    known: dict[Any, Any] = {}
    with uncollected():
        found = itertools.chain(kept, entries)
        return [lean(entry, known) if type(entry) in (Record, Failure) else entry for entry in found]


def lean(entry: Record | Failure, known: dict[Any, Any]) -> Record | Failure:
    """Return a run without bases of phases, forecasts and operators, sharing what is equal in all runs.

    `known` holds what other runs said, by its words; what is new is added.
    """
    if isinstance(entry, Record):
        entry = entry.model_copy(
            update={
                **{name: _once(getattr(entry, name), known) for name in _CIRCUMSTANCES},
                "config": {name: _once(each, known) for name, each in entry.config.items()},
                "phases": [phase.model_copy(update={"basis": {}}) for phase in entry.phases],
                "train_parts": [_energy_only(part) for part in entry.train_parts],
                "exits": [_without_operators(each) for each in entry.exits],
                "forecast": None,
            }
        )
    _share(entry, known)
    return entry


def is_large(study: Study) -> bool:
    """Return whether the page tells of experiments only, not of single runs."""
    return len(study.records) > MANY_RUNS


def detailed(study: Study) -> Study:
    """Return what tables tell of: all of it, or where there are very many experiments those on a front, then others."""
    if len(study.groups) <= MANY_EXPERIMENTS:
        return study
    best = [point.group for figure in (cost_figure(study), study.accuracy) for point in _front(study, figure)]
    ranked = dict.fromkeys(id(group) for group in (*best, *study.groups))
    kept = set(itertools.islice(ranked, MANY_EXPERIMENTS))
    return restricted(study, tuple(group for group in study.groups if id(group) in kept))


def restricted(study: Study, groups: tuple[Group, ...]) -> Study:
    """Return the study as if it held these groups only."""
    return replace(study, groups=groups, records=tuple(run for group in groups for run in group.runs))


def latest(compared: Study) -> Study:
    """Return what the answer is of: the second of two sides, all where there are none; runs of all hosts together."""
    second = tuple(group for group in compared.groups if group.side == SECOND)
    return across_hosts(restricted(compared, second) if compared.sides else compared)


def notices(study: Study) -> list[str]:
    """Return in a sentence each what the page leaves out, and where it is; none for a page that leaves out nothing."""
    said, each = [], ", each host’s apart," if len(study.settings) > 1 else ""
    if is_large(study):
        said.append(
            f"This page tells of {exact(len(study.records))} runs by experiment and exit, over all runs of each; lines "
            "and records of single runs are left out."
        )
    if len(study.groups) > MANY_EXPERIMENTS:
        said.append(
            f"Tables below the answer tell of {MANY_EXPERIMENTS} experiments{each} of {exact(len(study.groups))}: "
            "those that no other beats, then the most accurate. The answer, the total bill and charts of accuracy hold "
            "all."
        )
    if said:
        said.append("Every number of every run: greenpose report RUNS -o FILE.csv.")
    return [*said, *unusable(study)]


def unusable(study: Study) -> list[str]:
    """Return in a line each which records are left out since they cannot be used; of very many the first ones."""
    told = [f"Left out, since it cannot be used: {shown(fault)}." for fault in study.left_out[:MOST_FAULTS]]
    more = len(study.left_out) - len(told)
    return [*told, f"Left out for the same reason: {exact(more)} more."] if more else told


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Switch the collector off, and have it leave alone what was made meanwhile.

    Records hold no cycles, and it would look at all of them over and over: half of the time that 10 000 runs took to
    read, and an eighth of what their page takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _front(study: Study, figure: Metric) -> list[Point]:
    """Return the exits that no other beats, for accuracy itself all that have one; the most accurate come first."""
    points = [point for point in study.scored if point.figure(figure).value is not None]
    if figure is not study.accuracy:
        indices = pareto_front([(point.figure(figure).value or 0.0, score(point)) for point in points])
        points = [points[index] for index in indices]
    return sorted(points, key=score, reverse=True)


def _energy_only(part: Phase) -> Phase:
    return part.model_copy(update={"basis": {key: each for key, each in part.basis.items() if key == "energy_kwh"}})


def _without_operators(entry: Exit) -> Exit:
    return entry.model_copy(update={"operations": {}})


def _once(value: Any, known: dict[Any, Any]) -> Any:
    """Return what says the same and was there first."""
    return known.setdefault(repr(value), value)


def _share(document: Document, known: dict[Any, Any]) -> None:
    """Let an object and those in it share words, bases without intervals, and the set of fields that were given.

    Nobody asks for the latter here.
    """
    object.__setattr__(document, "__pydantic_fields_set__", _NOTHING)
    for name, value in vars(document).items():
        if name == "basis" and isinstance(value, dict):
            vars(document)[name] = {key: _shared(each, known) for key, each in value.items()}
            continue
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,):
            if isinstance(each, Document):
                _share(each, known)


def _shared(basis: Basis, known: dict[Any, Any]) -> Basis:
    """Return a basis whose words are those of others, and all of it if it has no interval of its own."""
    if basis.type_a is None and basis.type_b is None:
        first: Basis = known.setdefault(tuple(vars(basis).values()), basis)
        return first
    for each in (basis, basis.type_a, basis.type_b):
        if each is not None:
            object.__setattr__(each, "__pydantic_fields_set__", _NOTHING)
    said = vars(basis)
    for name in _SHARED:
        if said[name] is not None:
            said[name] = sys.intern(said[name])
    return basis
