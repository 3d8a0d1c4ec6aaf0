"""Where the energy of a run went, before it is drawn: cut by purpose, by component, and into work and idling."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from greenpose.formatting import NBSP, listed, percent, plain
from greenpose.record import Kind, Record
from greenpose.report.estimates import Estimate, over_runs, worst
from greenpose.report.figures import PERCENT, TRAIN_ENERGY, Figure, energy_figure, kind_of, mark
from greenpose.report.layout import Cell, Column, Row, Section, Table, estimate_cell, kind_notes, missing_cell
from greenpose.report.study import Group, Study
from greenpose.report.totals import paid
from greenpose.units import joules_to_kwh

PURPOSES: Mapping[str, tuple[str, ...]] = {
    "Training steps": ("train",),
    "Validation": ("validate",),
    "Test and metering": ("test", "inference", "segments"),
}
"""Phases of a run by what they are for; one that has no place here is part of the rest."""
REST = "The rest"
LOST = {"failed": "Runs that failed", "interrupted": "Interrupted runs", "lost": "Runs that got lost"}
"""Why runs did not finish, and how the bill words it."""
COMPONENTS = {"cpu": "CPU", "gpu": "GPU", "ram": "Memory"}
"""Components, and how the page words them."""
MOST_BARS = 12
"""Experiments that are drawn; the table has all."""
Energies = Mapping[str, float]
"""kWh of each part; parts sum to what the run drew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One way of cutting the energy of a run into parts."""

    title: str
    """How it is cut."""
    parts: tuple[str, ...]
    """Names of the parts."""
    energies: Callable[[Record], Energies | None]
    """Return the parts of a run; None where the record does not tell them apart."""
    missing: str
    """What to say then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The energy of one run of an experiment, mean over its runs, in display units."""

    label: str
    """The experiment."""
    total: Estimate
    """All of it."""
    parts: tuple[tuple[float, ...] | None, ...]
    """For each cut its parts; None where the records do not tell them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Where the energy of each experiment went."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    bars: tuple[Bar, ...]
    """The experiments, in the order of the page."""
    cuts: tuple[Cut, ...]
    """The ways in which each bar is cut."""
    figure: Figure
    """Energy in the unit that suits them all."""

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return "Energy of one run: by purpose, by component, at work and at idle"

    @property
    def description(self) -> str:
        """Return in words how all bars together are cut."""
        return " ".join(filter(None, (self._shares(index) for index in range(len(self.cuts)))))

    def _shares(self, cut: int) -> str:
        known = [parts for bar in self.bars if (parts := bar.parts[cut])]
        sums = [sum(each) for each in zip(*known, strict=True)]
        if not sum(sums):
            return ""
        named = [
            f"{name} {percent(value / sum(sums))}"
            for name, value in zip(self.cuts[cut].parts, sums, strict=True)
            if value
        ]
        return f"{self.cuts[cut].title}: {listed(named)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What everything on the page was spent for."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    parts: Mapping[str, float]
    """Energy of each part in display units; those of runs that did not finish come last."""
    figure: Figure
    """Energy in the unit that suits the whole."""
    kind: Kind
    """How the energy was obtained."""

    @property
    def total(self) -> float:
        """Return all of it."""
        return sum(self.parts.values())

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"What {mark(self.kind)}{plain(self.total)}{NBSP}{self.figure.unit} were spent for"

    @property
    def description(self) -> str:
        """Return the parts in words."""
        return f"{listed([self.words(name) for name in self.parts])}."

    def words(self, name: str) -> str:
        """Return `Training steps 54 Wh, 85 %`."""
        value = self.parts[name]
        return f"{name} {mark(self.kind)}{plain(value)}{NBSP}{self.figure.unit}, {percent(value / self.total)}"


def flows(study: Study) -> Flows:
    """Return where the energy of every experiment went; parts that no run has are left out."""
    energy = energy_figure([gross_kwh(run) for run in study.records])
    cuts = tuple(_used(cut, study.records) for cut in CUTS)
    return Flows(
        id="flows",
        bars=tuple(_bar(group, cuts, energy) for group in study.groups),
        cuts=cuts,
        figure=energy,
    )


def flows_table(chart: Flows) -> Table:
    """Return the numbers of the drawing."""
    notes = kind_notes([bar.total for bar in chart.bars])
    names = ["Total", *(part for cut in chart.cuts for part in cut.parts)]
    return Table(
        id="flows-data",
        caption="Energy of one run, mean over the runs of an experiment; each of the three cuts sums to the total. "
        "Idle is the idle power met between the blocks of inference, times the run’s wall time.",
        heads=("Experiment",),
        columns=tuple(Column(head=name, unit=chart.figure.unit, notes=notes) for name in names),
        sections=(Section(rows=tuple(Row(head=bar.label, cells=_cells(bar, chart)) for bar in chart.bars)),),
    )


def gross_kwh(run: Record) -> float:
    """Return all that a run drew."""
    return sum(phase.energy_kwh for phase in run.phases)


def energy_kind(runs: Sequence[Record]) -> Kind:
    """Return how the energy of the least well metered of the runs was obtained; measured where there are none."""
    return worst(sorted({kind_of(run, TRAIN_ENERGY) for run in runs}) or ["measured"])


def by_purpose(run: Record) -> Energies:
    """Return the energy of a run by what it was spent for."""
    found = dict.fromkeys((*PURPOSES, REST), 0.0)
    homes = {phase: purpose for purpose, phases in PURPOSES.items() for phase in phases}
    for phase in run.phases:
        found[homes.get(phase.name, REST)] += phase.energy_kwh
    return found


def by_component(run: Record) -> Energies | None:
    """Return the energy of a run by component."""
    found = {
        words: sum(phase.energy_kwh_by_component.get(name, 0.0) for phase in run.phases)
        for name, words in COMPONENTS.items()
    }
    return found if sum(found.values()) else None


def by_activity(run: Record) -> Energies | None:
    """Return what idling for as long would have drawn, and what the run drew beyond that."""
    watts = [float(each) for entry in run.exits if (each := entry.measurement.get("idle_watts"))]
    if not watts:
        return None
    gross = gross_kwh(run)
    idle = min(gross, joules_to_kwh(statistics.median(watts) * sum(phase.seconds for phase in run.phases)))
    return {"Beyond idle": gross - idle, "Idle": idle}


def bill(study: Study) -> Bill:
    """Return what all the energy of the page was spent for, the runs that did not finish apart."""
    spent = dict.fromkeys((*PURPOSES, REST), 0.0)
    for run in paid(study.records):
        for part, kwh in by_purpose(run).items():
            spent[part] += kwh
    lost = {words: sum(each.energy_kwh for each in study.failures if each.reason == r) for r, words in LOST.items()}
    energy = energy_figure([sum(spent.values()) + sum(lost.values())])
    parts = {name: kwh * energy.scale for name, kwh in (spent | lost).items() if kwh}
    return Bill(id="spent", parts=parts, figure=energy, kind=energy_kind(study.records))


def bill_table(chart: Bill) -> Table:
    """Return the numbers of the bar."""
    rows = [
        Row(
            head=name,
            cells=(
                estimate_cell(Estimate(value=value, kind=chart.kind), chart.figure),
                Cell(value=plain(PERCENT * value / chart.total)),
            ),
        )
        for name, value in chart.parts.items()
    ]
    return Table(
        id="spent-data",
        caption="What all the energy on this page was spent for.",
        heads=("Part",),
        columns=(
            Column(head="Energy", unit=chart.figure.unit, notes=kind_notes([Estimate(value=1, kind=chart.kind)])),
            Column(head="Share", unit="% of all"),
        ),
        sections=(Section(rows=tuple(rows)),),
    )


CUTS = (
    Cut(
        title="By purpose",
        parts=(*PURPOSES, REST),
        energies=by_purpose,
        missing="the record has no phases",
    ),
    Cut(
        title="By component",
        parts=tuple(COMPONENTS.values()),
        energies=by_component,
        missing="the record does not tell components apart",
    ),
    Cut(
        title="At work and at idle",
        parts=("Beyond idle", "Idle"),
        energies=by_activity,
        missing="the record has no idle power",
    ),
)
"""The ways in which the page cuts a run's energy."""


def _used(cut: Cut, runs: Sequence[Record]) -> Cut:
    found = [cut.energies(run) or {} for run in runs]
    return replace(cut, parts=tuple(part for part in cut.parts if any(each.get(part) for each in found)))


def _bar(group: Group, cuts: Sequence[Cut], energy: Figure) -> Bar:
    kind = energy_kind(group.runs)
    total = over_runs([Estimate(value=gross_kwh(run) * energy.scale, kind=kind) for run in group.runs])
    return Bar(label=group.label, total=total, parts=tuple(_means(group, cut, energy.scale) for cut in cuts))


def _means(group: Group, cut: Cut, scale: float) -> tuple[float, ...] | None:
    """Return the mean of each part over the runs; None where one of them does not tell its parts."""
    found = [each for run in group.runs if (each := cut.energies(run)) is not None]
    if len(found) < len(group.runs):
        return None
    return tuple(scale * statistics.fmean(each[part] for each in found) for part in cut.parts)


def _cells(bar: Bar, chart: Flows) -> tuple[Cell, ...]:
    cells = [estimate_cell(bar.total, chart.figure)]
    for cut, parts in zip(chart.cuts, bar.parts, strict=True):
        if parts is None:
            cells += [missing_cell(cut.missing)] * len(cut.parts)
        else:
            cells += [estimate_cell(Estimate(value=part, kind=bar.total.kind), chart.figure) for part in parts]
    return tuple(cells)
