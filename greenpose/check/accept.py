"""Accepting what a candidate costs: the baseline that results, refused where a number is not known well enough."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from greenpose.check.baseline import AP_DECIMALS, Baseline, Context, Filed, Margins, key_of
from greenpose.check.exact import experiment_in, obstacle, own_names, reconfigured, without_operator
from greenpose.check.footprint import EXACT, Footprint
from greenpose.check.selection import Selection
from greenpose.check.verdict import Finding
from greenpose.errors import CheckError

Values = dict[tuple[str, str], float]
"""Values by experiment and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who accepts, when, and why."""

    reason: str
    """Why it is fine."""
    at: str
    """UTC time, ISO 8601."""
    commit: str | None
    """What is checked out; None outside a repository."""
    version: str
    """Version of GreenPose."""


def refuse_unsure(findings: Iterable[Finding]) -> None:
    """Refuse to accept what is not known well enough.

    Raises:
        CheckError: naming each inconclusive finding.
    """
    unsure = [finding for finding in findings if finding.outcome == "inconclusive"]
    if unsure:
        faults = [f"{finding.name}: cannot be accepted: {finding.says}" for finding in unsure]
        raise CheckError([*faults, "accept the rest with --only NAME (repeatable)"])


def accept(
    filed: Filed | None, footprints: Sequence[Footprint], *, only: Selection, acceptance: Acceptance
) -> Baseline:
    """Return the baseline with the candidate's selected values in the place of its own; margins stay.

    Raises:
        CheckError: if nothing is selected, or values that are to stay belong to another network, input or convention.
    """
    old = None if filed is None else filed.baseline
    candidates = {_name_in(filed, footprint): footprint for footprint in footprints}
    experiments = dict.fromkeys([*(old.experiments if old else ()), *candidates])
    offered = {(one, name): value for one, here in candidates.items() for name, value in _values_of(here)}
    only.require(key_of(experiments, *place) for place in offered)
    selected = {place: value for place, value in offered.items() if key_of(experiments, *place) in only}
    kept = _kept(old, candidates, selected, only) if old else {}
    contexts = dict(old.experiments) if old else {}
    for experiment, here in candidates.items():
        floors = any(place[0] == experiment and _is_accuracy(place[1]) for place in kept)
        contexts[experiment] = _context(here, data=contexts[experiment].data if floors else here.data)
    return Baseline(
        reason=acceptance.reason,
        accepted_at=acceptance.at,
        commit=acceptance.commit,
        greenpose=acceptance.version,
        conventions=dict(EXACT),
        margins=old.margins if old else Margins(),
        experiments=contexts,
        values={key_of(experiments, *place): value for place, value in sorted((kept | selected).items())},
    )


def changes(before: Baseline | None, after: Baseline) -> dict[str, tuple[float | None, float | None]]:
    """Return what an acceptance changed, by key: the value before and after, None where there was or is none."""
    old, new = before.places if before else {}, after.places
    pairs = {after.key(*place): (old.get(place), new.get(place)) for place in sorted({*old, *new})}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def differs(before: Baseline, after: Baseline) -> bool:
    """Return whether two baselines accept different things; who accepted them when does not count."""
    unsigned = {"reason", "accepted_at", "commit", "greenpose"}
    return before.model_dump(exclude=unsigned) != after.model_dump(exclude=unsigned)


def _name_in(filed: Filed | None, footprint: Footprint) -> str:
    return (experiment_in(filed, footprint) if filed else None) or footprint.name


def _values_of(footprint: Footprint) -> Iterator[tuple[str, float]]:
    """Yield what a baseline keeps of a candidate: counts as whole numbers, AP rounded, calls by operator."""
    for name in own_names(footprint):
        if name.endswith(".operations"):
            calls = footprint.operations[int(name[len("exit") : -len(".operations")])]
            yield from ((f"{name}.{operator}", number) for operator, number in calls.items())
            continue
        value = footprint.quantities[name].value
        assert value is not None
        yield name, round(value, AP_DECIMALS) if name.endswith(".ap") else int(value)


def _is_accuracy(name: str) -> bool:
    return without_operator(name).endswith(".ap")  # an operator may be called so too


def _kept(
    old: Baseline, candidates: Mapping[str, Footprint], selected: Mapping[tuple[str, str], float], only: Selection
) -> Values:
    """Return the values that stay: other experiments', what was not selected, accuracy where there was no run.

    Accuracy of another network goes when what was only profiled takes its place.

    Raises:
        CheckError: if a value that is to stay cannot stand beside what is accepted.
    """
    kept: Values = {}
    faults: list[str] = []
    for (experiment, name), value in old.places.items():
        here, key = candidates.get(experiment), old.key(experiment, name)
        reason = _unlike(name, old, experiment, here)
        replaceable = here is not None and key in only
        floor = here is not None and not here.trained and _is_accuracy(name)
        if reason and not replaceable:
            faults.append(f"{key}: cannot stay beside what is accepted: {reason}; accept all of it together")
        elif not reason and (experiment, name) not in selected and (floor or not replaceable):
            kept[experiment, name] = value
    if faults:
        raise CheckError(faults)
    return kept


def _unlike(name: str, old: Baseline, experiment: str, here: Footprint | None) -> str:
    """Return why a value of the baseline could not stand beside those of a candidate; empty where it could."""
    metric = without_operator(name).partition(".")[2]
    there, convention = old.experiments[experiment], old.conventions.get(metric)
    if here is None:
        return "" if convention == EXACT[metric] else f"it counts {convention!r}, this version {EXACT[metric]!r}"
    if not here.trained:
        there = there.model_copy(update={"data": here.data})
    changed = reconfigured(there, here)
    if changed:
        return f"the network is another one ({changed})"
    found = obstacle(metric, there, here, convention=convention)
    return "" if found is None else found.says


def _context(here: Footprint, *, data: str | None) -> Context:
    return Context(data=data, input=here.input, network=here.network, torch=here.torch)
