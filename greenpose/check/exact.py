"""The exact gate: counts are compared to the last digit, accuracy with its interval, unlike things not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from greenpose.check.baseline import AP_DECIMALS, KEY, Context, Filed
from greenpose.check.differences import few, of_accuracy, of_calls, of_counts
from greenpose.check.footprint import EXACT, PER_TORCH, UNITS, Footprint
from greenpose.check.selection import Selection
from greenpose.check.verdict import Finding, Outcome
from greenpose.formatting import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the exact gate found."""

    findings: tuple[Finding, ...]
    """One for each selected quantity of the baseline; an exit's operators are one."""
    notes: tuple[str, ...]
    """What was not compared, and why."""


def compare(footprints: Sequence[Footprint], filed: Filed, *, only: Selection) -> Comparison:
    """Return what differs from the baseline.

    A quantity that the baseline lacks is noted, one that the candidate lacks is incomparable; accuracy of what was only
    profiled is noted.
    """
    findings: list[Finding] = []
    notes = _left_out(footprints, filed)
    for footprint in footprints:
        experiment = experiment_in(filed, footprint)
        if experiment is None:
            findings.append(_unknown(footprint, filed))
            continue
        pair = _Pair(footprint, filed, experiment, only)
        findings += pair.findings()
        notes += pair.notes()
    return Comparison(findings=tuple(findings), notes=tuple(notes))


def experiment_in(filed: Filed, footprint: Footprint) -> str | None:
    """Return the name under which a baseline knows a candidate; None where it does not."""
    return next((label for label in footprint.labels if label in filed.baseline.experiments), None)


def own_names(footprint: Footprint) -> list[str]:
    """Return the names of what the exact gate can compare of a candidate: `exit3.macs`, `exit3.operations`."""
    values = [f"exit{number}.{metric}" for number in footprint.exits for metric in EXACT]
    there = [name for name in values if name in footprint.quantities and footprint.quantities[name].value is not None]
    return sorted([*there, *(f"exit{number}.operations" for number in footprint.operations)])


def without_operator(name: str) -> str:
    """Return `exit3.operations` of `exit3.operations.add`; any other name as it is."""
    match = KEY.fullmatch(name)
    assert match is not None
    return f"{match['where']}.{match['metric']}"


def obstacle(metric: str, there: Context, here: Footprint, *, convention: str | None) -> str:
    """Return why values of a quantity mean different things there and here; empty where they do not."""
    if convention != EXACT[metric]:
        return f"the baseline counts {convention!r}, this version {EXACT[metric]!r}"
    if there.network != here.network:
        return f"the network is another one (baseline: {there.network}; here: {here.network})"
    if there.input != here.input:
        return f"images are {there.input} in the baseline and {here.input} here"
    if metric in PER_TORCH and there.torch != here.torch:
        return f"it belongs to torch {there.torch} in the baseline and {here.torch} here"
    if metric == "ap" and not _same_data(there.data or "", here.data or ""):
        return f"accuracy was evaluated on {there.data} in the baseline and on {here.data} here"
    return ""


def _same_data(there: str, here: str) -> bool:
    """Return whether accuracy is of the same data; earlier versions did not say which annotations."""
    return there == here or here.startswith(f"{there}, ") or there.startswith(f"{here}, ")


class _Pair:
    """One candidate beside its part of the baseline."""

    def __init__(self, here: Footprint, filed: Filed, experiment: str, only: Selection) -> None:
        self._here, self._filed, self._experiment, self._only = here, filed, experiment, only
        values = filed.baseline.values_of(experiment)
        self._values = {name: value for name, value in values.items() if self._key(name) in only}

    def findings(self) -> list[Finding]:
        """Return one finding for each quantity."""
        names = dict.fromkeys(without_operator(name) for name in self._values)
        return [self._finding(*name.split(".")) for name in names if not self._only_profiled(name)]

    def notes(self) -> Iterator[str]:
        """Yield what was left out."""
        skipped = [self._key(name) for name in self._values if self._only_profiled(name)]
        if skipped:
            yield f"{few(skipped)}: not checked, for that takes a run; {self._here.name} was only profiled"
        known = {without_operator(name) for name in self._filed.baseline.values_of(self._experiment)}
        new = [self._key(name) for name in own_names(self._here) if name not in known]
        new = [name for name in new if name in self._only]
        if new:
            yield f"{few(new)}: not in {self._filed.name}; to check them too, --update --reason TEXT"

    def _only_profiled(self, name: str) -> bool:
        return name.endswith(".ap") and not self._here.trained

    def _key(self, name: str) -> str:
        return self._filed.baseline.key(self._experiment, name)

    def _finding(self, where: str, metric: str) -> Finding:
        reason = self._obstacle(where, metric)
        judge = self._operators if metric == "operations" else self._value
        finding = judge(where, metric, reason)
        assert finding.line is not None
        return finding

    def _value(self, where: str, metric: str, reason: str) -> Finding:
        """Return the finding of a quantity with one value."""
        name, unit = f"{where}.{metric}", UNITS.get(metric, "fraction")
        base, quantity = self._values[name], self._here.quantities.get(name)
        head = None if reason or quantity is None else quantity.value
        outcome: Outcome
        if head is None or quantity is None:
            outcome, says = "incomparable", f"not compared: {reason}"
        elif metric == "ap":
            margin = self._filed.baseline.margins.ap
            head = round(head, AP_DECIMALS)  # as the file has it: what did not change must not seem to
            outcome, says = of_accuracy(base, head, quantity.basis.type_a, margin=margin)
        else:
            outcome, says = of_counts(base, head, unit)
        return self._place(where, metric, name, outcome=outcome, says=says, unit=unit, base=base, head=head)

    def _operators(self, where: str, metric: str, reason: str) -> Finding:
        """Return the finding of an exit's operators; its line is the first one that differs."""
        start = f"{where}.{metric}."
        base = {name.removeprefix(start): int(calls) for name, calls in self._values.items() if name.startswith(start)}
        calls = {} if reason else self._here.operations[int(where.removeprefix("exit"))]
        head = {name: number for name, number in calls.items() if self._key(start + name) in self._only}
        outcome: Outcome = "incomparable"
        says = f"not compared: {reason}"
        if not reason:
            outcome, says = of_calls(base, head)
        first = min(base, key=lambda name: (base[name] == head.get(name), name))
        total = None if reason else sum(head.values())
        return self._place(
            where, metric, start + first, outcome=outcome, says=says, unit="calls", base=sum(base.values()), head=total
        )

    def _place(
        self,
        where: str,
        metric: str,
        name: str,
        *,
        outcome: Outcome,
        says: str,
        unit: str,
        base: float,
        head: float | None,
    ) -> Finding:
        """Return a finding with its line: that of the value `name`."""
        return Finding(
            where=self._key(where),
            metric=metric,
            way="exact",
            outcome=outcome,
            says=says,
            unit=unit,
            base=base,
            head=head,
            file=self._filed.name,
            line=self._filed.lines.get(self._key(name)),
        )

    def _obstacle(self, where: str, metric: str) -> str:
        baseline, number = self._filed.baseline, int(where.removeprefix("exit"))
        there = baseline.experiments[self._experiment]
        reason = obstacle(metric, there, self._here, convention=baseline.conventions.get(metric))
        if reason or f"{where}.{metric}" in own_names(self._here):
            return reason
        if number not in self._here.exits:
            return f"{self._here.name} has only exits {listed([str(one) for one in self._here.exits])}"
        quantity = self._here.quantities.get(f"{where}.{metric}")
        missing = quantity.basis.missing if quantity else None
        return f"the candidate has no such number ({missing or 'its record is from before it was counted'})"


def _left_out(footprints: Sequence[Footprint], filed: Filed) -> list[str]:
    """Return a note on experiments that a grid has lost; a single run says nothing of those it does not repeat."""
    found = {experiment_in(filed, footprint) for footprint in footprints}
    lost = sorted(filed.baseline.experiments.keys() - found)
    if len(footprints) == 1 or not lost:
        return []
    return [f"{few(lost)}: in {filed.name}, but not in the candidate; not checked"]


def _unknown(footprint: Footprint, filed: Filed) -> Finding:
    """Return the finding of an experiment that the baseline does not know."""
    known = listed(sorted(filed.baseline.experiments))
    return Finding(
        where=footprint.name,
        metric="experiment",
        way="exact",
        outcome="incomparable",
        says=f"not compared: {filed.name} knows {known}, but no {footprint.name}",
        file=filed.name,
        line=1,
    )
