"""The exact gate: counts to the last digit, accuracy with its interval, unlike things not at all; what is accepted.

An exit is held against the exit of that number, whatever shape the network has now: what costs more has regressed. Only
what another task moves, as other images or keypoints do, is not compared, quantity by quantity.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from greenpose.check.baseline import AP_DECIMALS, KEY, Baseline, Context, Filed, Margins, Selection, key_of
from greenpose.check.footprint import Footprint, settings_of
from greenpose.check.verdict import CheckFinding, CheckVerdict, Outcome, few, of_accuracy, of_calls, of_counts
from greenpose.errors import CheckError
from greenpose.formatting import listed
from greenpose.metrics import AP, BY_NAME, CONVENTIONS, OPERATIONS, SCORE, convention_of, moved_by

ACCURATE = (AP.name, SCORE.name)
"""What is held against a floor, with its interval, and needs a run."""
MARGIN = 0.02
"""Of a fraction, or as a part of another number, unless the baseline says otherwise."""


class Obstacle(NamedTuple):
    """Why values of a quantity mean different things there and here."""

    says: str
    """The reason."""
    changed: bool
    """True where the candidate has become another task; False where only torch, GreenPose or its record differ."""


def compare(footprints: Sequence[Footprint], filed: Filed, *, only: Selection, subject: str = "") -> CheckVerdict:
    """Return what differs from the baseline, the subject as the user named it.

    A quantity that the baseline lacks is noted, one that the candidate lacks is incomparable; accuracy of what was only
    profiled is noted.
    """
    findings: list[CheckFinding] = []
    notes = _left_out(footprints, filed)
    for footprint in footprints:
        experiment = experiment_in(filed, footprint)
        if experiment is None:
            findings.append(_unknown(footprint, filed))
            continue
        compared = _ExperimentComparison(footprint, filed, experiment, only)
        findings += compared.findings()
        notes += compared.notes()
    return CheckVerdict(subject=subject, against=filed.name, findings=tuple(findings), notes=tuple(notes))


def experiment_in(filed: Filed, footprint: Footprint) -> str | None:
    """Return the name under which a baseline knows a candidate; None where it does not."""
    return next((label for label in footprint.labels if label in filed.baseline.experiments), None)


def own_names(footprint: Footprint) -> list[str]:
    """Return the names of what the exact gate can compare of a candidate: `exit3.macs`, `exit3.operations`."""
    values = [f"exit{number}.{metric}" for number in footprint.exits for metric in (*CONVENTIONS, SCORE.name)]
    there = [name for name in values if name in footprint.quantities and footprint.quantities[name].value is not None]
    return sorted([*there, *(f"exit{number}.operations" for number in footprint.operations)])


def without_operator(name: str) -> str:
    """Return `exit3.operations` of `exit3.operations.add`; any other name as it is."""
    match = KEY.fullmatch(name)
    assert match is not None
    return f"{match['where']}.{match['metric']}"


def obstacles(metric: str, there: Context, here: Footprint, *, convention: str | None) -> Iterator[Obstacle]:
    """Yield why values of a quantity mean different things there and here."""
    if convention != convention_of(metric):
        yield Obstacle(f"the baseline counts {convention!r}, this version {convention_of(metric)!r}", changed=False)
    if not here.input:
        yield Obstacle("the candidate's record does not say what network and images it is about", changed=True)
    before, after = (settings_of(one.network).get("joints") for one in (there, here))
    if moved_by(metric, "keypoints") and before != after:
        yield Obstacle(f"the network has {before} keypoints in the baseline and {after} here", changed=True)
    if moved_by(metric, "input") and there.input != here.input:
        yield Obstacle(f"images are {there.input} in the baseline and {here.input} here", changed=True)
    if moved_by(metric, "torch") and there.torch != here.torch:
        yield Obstacle(f"it belongs to torch {there.torch} in the baseline and {here.torch} here", changed=False)
    if metric in ACCURATE and not _same_data(there.data or "", here.data or ""):
        says = f"accuracy was evaluated on {there.data} in the baseline and on {here.data} here"
        yield Obstacle(says, changed=True)


def reconfigured(there: Context, here: Footprint) -> str:
    """Return what changed in shape and input, `width 8 → 32 and input 64x64 → 96x96`; empty where nothing did."""
    before, after = ({"input": one.input, **settings_of(one.network)} for one in (there, here))
    changed = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return listed([f"{name} {before.get(name) or 'unknown'} → {after.get(name) or 'unknown'}" for name in changed])


def _same_data(there: str, here: str) -> bool:
    """Return whether accuracy is of the same data; earlier versions did not say which annotations."""
    return there == here or here.startswith(f"{there}, ") or there.startswith(f"{here}, ")


class _ExperimentComparison:
    """One candidate beside its part of the baseline."""

    def __init__(self, here: Footprint, filed: Filed, experiment: str, only: Selection) -> None:
        self._here, self._filed, self._experiment, self._only = here, filed, experiment, only
        values = filed.baseline.values_of(experiment)
        self._values = {name: value for name, value in values.items() if self._key(name) in only}

    def findings(self) -> list[CheckFinding]:
        """Return one finding for each quantity."""
        names = dict.fromkeys(without_operator(name) for name in self._values)
        return [self._finding(*name.split(".")) for name in names if not self._only_profiled(name)]

    def notes(self) -> Iterator[str]:
        """Yield what the configuration has become, and what was left out."""
        changed = reconfigured(self._filed.baseline.experiments[self._experiment], self._here)
        if changed and self._values:
            yield f"{self._here.name}: the configuration is not the baseline's: {changed}"
        skipped = [self._key(name) for name in self._values if self._only_profiled(name)]
        if skipped:
            yield f"{few(skipped)}: not checked, for that takes a run; {self._here.name} was only profiled"
        known = {without_operator(name) for name in self._filed.baseline.values_of(self._experiment)}
        new = [self._key(name) for name in own_names(self._here) if name not in known]
        new = [name for name in new if name in self._only]
        if new:
            yield f"{few(new)}: not in {self._filed.name}; to check them too, --update --reason TEXT"

    def _only_profiled(self, name: str) -> bool:
        return _is_accuracy(name) and not self._here.trained

    def _key(self, name: str) -> str:
        return self._filed.baseline.key(self._experiment, name)

    def _finding(self, where: str, metric: str) -> CheckFinding:
        """Return the finding of a quantity; its line is that of its value, or of the first operator that differs."""
        base = {name: value for name, value in self._values.items() if without_operator(name) == f"{where}.{metric}"}
        why, at = self._obstacle(where, metric), min(base)
        outcome: Outcome
        head: float | None
        if why is not None:
            outcome, says, head = "incomparable", f"not compared: {why.says}", None
        elif metric == OPERATIONS:
            calls = self._calls(where)
            outcome, says = of_calls({name.split(".", 2)[2]: int(value) for name, value in base.items()}, calls)
            at = min(base, key=lambda name: (base[name] == calls.get(name.split(".", 2)[2]), name))
            head = sum(calls.values())
        else:
            outcome, says, head = self._compared(at, metric)
        return CheckFinding(
            where=self._key(where),
            metric=metric,
            way="exact",
            outcome=outcome,
            says=says,
            unit=self._unit(metric),
            base=sum(base.values()),
            head=head,
            changed=why is not None and why.changed,
            file=self._filed.name,
            line=self._filed.lines.get(self._key(at)),
        )

    def _compared(self, name: str, metric: str) -> tuple[Outcome, str, float]:
        """Return what follows from a quantity with one value, in words, and the candidate's value."""
        base, quantity = self._values[name], self._here.quantities[name]
        head = quantity.value
        assert head is not None
        if metric not in ACCURATE:
            return (*of_counts(base, head, BY_NAME[metric].counted_unit), head)
        head = _filed(head, metric)  # as the file has it: what did not change must not seem to
        margins, own = self._filed.baseline.margins, self._here.metric
        margin = margins.ap
        if own is not AP:
            relative = MARGIN if own.recorded == "fraction" else MARGIN * abs(base)
            margin = relative if margins.score is None else margins.score
        return (*of_accuracy(base, head, quantity.type_a, margin=margin, metric=own), head)

    def _unit(self, metric: str) -> str:
        if metric == OPERATIONS:
            return "calls"
        return self._here.metric.recorded if metric == SCORE.name else BY_NAME[metric].counted_unit

    def _calls(self, where: str) -> dict[str, int]:
        """Return the candidate's calls of the operators that are selected."""
        calls = self._here.operations[int(where.removeprefix("exit"))]
        start = f"{where}.{OPERATIONS}."
        return {name: number for name, number in calls.items() if self._key(start + name) in self._only}

    def _obstacle(self, where: str, metric: str) -> Obstacle | None:
        baseline, number = self._filed.baseline, int(where.removeprefix("exit"))
        there = baseline.experiments[self._experiment]
        if number not in self._here.exits:
            only = f"{self._here.name} has only exits {listed([str(one) for one in self._here.exits])}"
            return Obstacle(only, changed=True)
        found = next(obstacles(metric, there, self._here, convention=baseline.conventions.get(metric)), None)
        if found is not None or f"{where}.{metric}" in own_names(self._here):
            return found
        quantity = self._here.quantities.get(f"{where}.{metric}")
        missing = quantity.missing if quantity else None
        says = f"the candidate has no such number ({missing or 'its record is from before it was counted'})"
        return Obstacle(says, changed=False)


def _left_out(footprints: Sequence[Footprint], filed: Filed) -> list[str]:
    """Return a note on experiments that a grid has lost; a single run says nothing of those it does not repeat."""
    found = {experiment_in(filed, footprint) for footprint in footprints}
    lost = sorted(filed.baseline.experiments.keys() - found)
    if len(footprints) == 1 or not lost:
        return []
    return [f"{few(lost)}: in {filed.name}, but not in the candidate; not checked"]


def _unknown(footprint: Footprint, filed: Filed) -> CheckFinding:
    """Return the finding of an experiment that the baseline does not know."""
    known = listed(sorted(filed.baseline.experiments))
    return CheckFinding(
        where=footprint.name,
        metric="experiment",
        way="exact",
        outcome="incomparable",
        says=f"not compared: {filed.name} knows {known}, but no {footprint.name}",
        changed=True,
        file=filed.name,
        line=1,
    )


Values = dict[tuple[str, str], float]
"""Values by experiment and name."""


def refuse_unsure(findings: Iterable[CheckFinding]) -> None:
    """Refuse to accept what is not known well enough.

    Raises:
        CheckError: naming each inconclusive finding.
    """
    unsure = [finding for finding in findings if finding.outcome == "inconclusive"]
    if unsure:
        faults = [f"{finding.name}: cannot be accepted: {finding.says}" for finding in unsure]
        raise CheckError([*faults, "accept the rest with --only NAME (repeatable)"])


def accept(
    filed: Filed | None,
    footprints: Sequence[Footprint],
    *,
    only: Selection,
    reason: str,
    at: str,
    commit: str | None,
    version: str,
) -> Baseline:
    """Return the baseline with the candidate's selected values in the place of its own; margins stay.

    Args:
        filed: the baseline so far; None where there is none.
        footprints: the candidate.
        only: what is accepted.
        reason: why it is fine.
        at: UTC time, ISO 8601.
        commit: what is checked out; None outside a repository.
        version: version of GreenPose.

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
        data = contexts[experiment].data if floors else here.data
        contexts[experiment] = Context(data=data, input=here.input, network=here.network, torch=here.torch)
    return Baseline(
        reason=reason,
        accepted_at=at,
        commit=commit,
        greenpose=version,
        conventions=CONVENTIONS | ({SCORE.name: SCORE.convention} if _own(candidates.values(), old) else {}),
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
        metric = name.partition(".")[2]
        yield name, _filed(value, metric) if metric in ACCURATE else int(value)


def _filed(value: float, metric: str) -> float:
    """Return an accuracy as the file has it: AP rounded, a number of an unknown size to six digits."""
    return round(value, AP_DECIMALS) if metric == "ap" else float(f"{value:.6g}")


def _own(candidates: Iterable[Footprint], old: Baseline | None) -> bool:
    """Return whether anything of a baseline is judged by a metric of its own."""
    return any(here.metric is not AP for here in candidates) or bool(old and SCORE.name in old.conventions)


def _is_accuracy(name: str) -> bool:
    return without_operator(name).partition(".")[2] in ACCURATE  # an operator may be called so too


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
        says = f"it counts {convention!r}, this version {convention_of(metric)!r}"
        return "" if convention == convention_of(metric) else says
    if not here.trained:
        there = there.model_copy(update={"data": here.data})
    changed = reconfigured(there, here)
    if changed:
        return f"the network is another one ({changed})"
    return next((found.says for found in obstacles(metric, there, here, convention=convention)), "")
