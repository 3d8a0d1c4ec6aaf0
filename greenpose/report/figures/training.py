"""The bill of training: per run, per phase, per exit, and by another tool's account."""

from collections.abc import Sequence
from dataclasses import replace

from greenpose.formatting import NBSP, Text, percent, plain, plural, span
from greenpose.metrics import PERCENT, TRAIN_CO2, TRAIN_EMBODIED, TRAIN_ENERGY, TRAIN_SCI, Metric
from greenpose.quantity import Kind, Quantity, over_runs
from greenpose.record import CrossCheck, Failure, Record
from greenpose.report.figures.energy import COMPONENTS
from greenpose.report.limits import allocation
from greenpose.report.quantities import energy_figure, kind_of, of_record, training_figure
from greenpose.report.study import Study, energy_kind
from greenpose.report.tables import (
    Column,
    Section,
    Table,
    TableCell,
    TableRow,
    figure_column,
    kind_notes,
    missing_cell,
    number_cell,
    quantity_cell,
    value_cell,
)

_TRAIN_SECONDS = Metric(name="train_seconds", label="Time", unit="s", of_run=True)
_RULES = {"airport": "By airport", "macs": "By MACs", "incremental": "By increments", "deepest": "All to deepest"}
"""Rules by which training could be split, and how the page heads their columns."""
MOST_FAILURES = 60
"""Runs that did not finish of which each is told; the total holds all."""
FAR_APART = 2.0
"""Two tools further apart than this factor are said to be so in words."""


def training_table(study: Study) -> Table:
    """Return what training each run cost: time, energy and its components, emissions."""
    energy = training_figure(study.records)
    known = any(run.train_sci_g is not None for run in study.records)
    grams, *making = (study.shown(each) for each in (TRAIN_CO2, *((TRAIN_EMBODIED, TRAIN_SCI) if known else ())))
    figures = (_TRAIN_SECONDS, energy, grams, *making)
    columns = {figure: [of_record(run, figure) for run in study.records] for figure in figures}
    components = [
        part for part in COMPONENTS if any(part in run.train_energy_kwh_by_component for run in study.records)
    ]
    kinds = {part.component: part for run in study.records for part in run.components}
    failures = study.failures[:MOST_FAILURES]
    most = max(*(run.train_energy_kwh for run in study.records), *(each.energy_kwh for each in failures), 0.0)
    rows = [
        TableRow(
            head=run.name,
            cells=(
                TableCell(value=str(run.epochs), interval=_ending(run)),
                quantity_cell(columns[_TRAIN_SECONDS][index], _TRAIN_SECONDS),
                _barred(quantity_cell(columns[energy][index], energy), run.train_energy_kwh, most),
                *(_component_cell(run, part, energy) for part in components),
                *(quantity_cell(columns[figure][index], figure) for figure in (grams, *making)),
            ),
        )
        for index, run in enumerate(study.records)
    ]
    untold = missing_cell("told of finished runs only")
    for each in failures:
        reason, seconds, spent, emitted = _failed_cells(each, study, energy, grams)
        spent = _barred(spent, each.energy_kwh, most)
        rows.append(
            TableRow(
                head=each.name,
                cells=(reason, seconds, spent, *[untold] * len(components), emitted, *[untold] * len(making)),
            )
        )
    return Table(
        id="bill",
        caption="Training of each run, validation and every attempt included."
        + (" Runs that did not finish stand last, with all that they took until they ended." if failures else ""),
        heads=("Run",),
        columns=(
            Column(head="Epochs", unit="count"),
            figure_column(_TRAIN_SECONDS, columns[_TRAIN_SECONDS]),
            figure_column(energy, columns[energy]),
            *(
                Column(
                    head=COMPONENTS[part],
                    unit=energy.unit,
                    notes=kind_notes([kinds[part].kind]) if part in kinds else (),
                )
                for part in components
            ),
            *(figure_column(figure, columns[figure]) for figure in (grams, *making)),
        ),
        sections=(Section(rows=tuple(rows)),),
    )


def phases_table(study: Study) -> Table:
    """Return energy and time of every phase, mean over the runs of an experiment; their sum is a run's total."""
    names = list(dict.fromkeys(phase.name for run in study.records for phase in run.phases))
    energy = energy_figure([phase.energy_kwh for run in study.records for phase in run.phases])
    rows = [
        TableRow(head=group.label, cells=tuple(_phase_cell(group.runs, name, energy) for name in (*names, "")))
        for group in study.groups
    ]
    unit = f"{energy.unit}; s below"
    return Table(
        id="phases",
        caption="All that a run did, phase by phase: energy, and wall time below it, mean over the runs. None: "
        "its runs have no such phase.",
        heads=("Experiment",),
        columns=tuple(Column(head=name.capitalize(), unit=unit, notes=_notes(study)) for name in (*names, "total")),
        sections=(Section(rows=tuple(rows)),),
    )


def allocation_table(study: Study) -> Table:
    """Return the training energy and emissions allocated to each exit, mean over the runs of an experiment."""
    energy, grams = training_figure(study.records), study.shown(TRAIN_CO2)
    sections = [
        Section(
            head=group.label,
            rows=tuple(
                TableRow(
                    head=str(number_),
                    cells=(
                        *_allocation_cells(group.runs, number_, energy, grams),
                        *(_rule_cell(group.runs, rule, number_) for rule in _other_rules(study)),
                    ),
                )
                for number_ in group.exits
            ),
        )
        for group in study.groups
    ]
    return Table(
        id="allocation",
        caption=f"Training cost split over the exits that share it. {allocation(study.records)}",
        heads=("Experiment", "Exit"),
        columns=(
            Column(head="Share", unit="% of run"),
            Column(head="Energy", unit=energy.unit, notes=_notes(study)),
            Column(head="CO2eq", unit=grams.unit, notes=_notes(study)),
            *(Column(head=_RULES[rule], unit="% of run") for rule in _other_rules(study)),
        ),
        sections=tuple(sections),
    )


def crosscheck_table(study: Study) -> Table | None:
    """Return other tools' figures for the same training beside ours, mean over runs; None where no run has any."""
    rows = [
        (group.label, tool, [(run, check) for run in group.runs for check in run.crosscheck if check.tool == tool])
        for group in study.groups
        for tool in dict.fromkeys(check.tool for run in group.runs for check in run.crosscheck)
    ]
    if not rows:
        return None
    energy = energy_figure([check.energy_kwh or 0 for _, _, found in rows for _, check in found])
    return Table(
        id="crosscheck",
        caption="Another tool’s energy for the same windows of training, beside ours, mean over runs.",
        heads=("Experiment",),
        columns=(
            Column(head="Tool", words=True),
            Column(head="Covered", unit="s"),
            Column(head="Its energy", unit=energy.unit),
            Column(head="Ours", unit=energy.unit, notes=_notes(study)),
            Column(head="Its / ours", unit="ratio"),
        ),
        sections=(
            Section(
                rows=tuple(
                    TableRow(head=label, cells=(TableCell(value=tool), *_crosscheck_cells(found, energy)))
                    for label, tool, found in rows
                )
            ),
        ),
    )


def crosscheck_sentences(study: Study) -> list[str]:
    """Return, for each other tool, how far its energy is from ours, and its mode and assumptions."""
    sentences = []
    checks = [check for run in study.records for check in run.crosscheck]
    for tool in dict.fromkeys(check.tool for check in checks):
        ratios = [check.ratio for check in checks if check.tool == tool and check.ratio]
        notes = list(dict.fromkeys(check.note for check in checks if check.tool == tool and check.note))
        note = f" Its note: {notes[0]}{'; other runs differ in detail' if notes[1:] else ''}." if notes else ""
        if not ratios:
            sentences.append(f"{tool} gave no figure.{note}")
            continue
        low, high = min(ratios), max(ratios)
        text = plain(low, 2) if plain(low, 2) == plain(high, 2) else span(low, high)
        sentences.append(
            f"{tool} puts the same training at {text} times our energy ({plural(len(ratios), 'run')}): "
            f"{_distance(low, high)}.{note}"
        )
    return sentences


def _ending(run: Record) -> str:
    """Return what was not plain about the end of training: stopped early, several attempts."""
    parts = ["stopped early"] if run.stopped == "patience" else []
    parts += [plural(run.attempts, "attempt")] if run.attempts > 1 else []
    return ", ".join(parts)


def _barred(cell: TableCell, part: float, most: float) -> TableCell:
    return replace(cell, bar=part / most) if most else cell


def _failed_cells(failure: Failure, study: Study, energy: Metric, grams: Metric) -> tuple[TableCell, ...]:
    """Return how a run ended, and its time, energy and emissions until then, metered as the others were."""
    kind = energy_kind(study.records)
    emitted = missing_cell("it ended before its grid intensity was known")
    if failure.co2eq_g is not None:
        emitted = value_cell(failure.co2eq_g * grams.scale, kind=kind)
    return (
        TableCell(value=failure.reason, interval=f"in {failure.phase}" if failure.phase else ""),
        value_cell(failure.seconds),
        value_cell(failure.energy_kwh * energy.scale, kind=kind),
        emitted,
    )


def _component_cell(run: Record, part: str, energy: Metric) -> TableCell:
    kwh = run.train_energy_kwh_by_component.get(part)
    kinds = [each for each in run.components if each.component == part]
    if kwh is None or (kinds and kinds[0].kind == "not_covered"):
        return missing_cell(f"{part}: {kinds[0].method}" if kinds else f"{part}: not metered on this machine")
    return value_cell(kwh * energy.scale, kind=kinds[0].kind if kinds else "measured")


def _phase_cell(runs: Sequence[Record], name: str, energy: Metric) -> TableCell:
    """Return the mean energy and time of a phase, of all phases where it has no name."""
    found = [[phase for phase in run.phases if name in ("", phase.name)] for run in runs]
    if not any(phase.seconds or phase.energy_kwh for phases in found for phase in phases):
        return TableCell(value="none")
    kwh = _mean([sum(phase.energy_kwh for phase in phases) * energy.scale for phases in found])
    seconds = _mean([sum(phase.seconds for phase in phases) for phases in found])
    lines = "\n".join(filter(None, (kwh.interval, f"{seconds}{NBSP}s")))
    return number_cell(Text(value=kwh.value, interval=lines), kind=energy_kind(runs))


def _notes(study: Study) -> tuple[str, ...]:
    """Return how energy was obtained, for the headings of columns that hold nothing else."""
    return kind_notes(kind_of(run, TRAIN_ENERGY) for run in study.records)


def _allocation_cells(runs: Sequence[Record], number_: int, energy: Metric, emitted: Metric) -> tuple[TableCell, ...]:
    kwh = [run.allocation.energy_kwh.get(number_) for run in runs]
    grams = [run.allocation.co2eq_g.get(number_) for run in runs]
    shares = [
        each / run.train_energy_kwh * 100 if each is not None and run.train_energy_kwh else None
        for each, run in zip(kwh, runs, strict=True)
    ]
    kind = energy_kind(runs)
    return (
        _mean_cell(shares, 1.0, "computed"),
        _mean_cell(kwh, energy.scale, kind),
        _mean_cell(grams, emitted.scale, kind),
    )


def _other_rules(study: Study) -> list[str]:
    """Return the rules beside the chosen ones that any run has shares by."""
    known = {rule for run in study.records for rule in run.allocation.shares_by_rule}
    chosen = {run.allocation.rule for run in study.records}
    return [rule for rule in _RULES if rule in known and chosen != {rule}]


def _rule_cell(runs: Sequence[Record], rule: str, number_: int) -> TableCell:
    shares = [run.allocation.shares_by_rule.get(rule, {}).get(number_) for run in runs]
    return _mean_cell(shares, PERCENT, "computed")


def _mean_cell(values: Sequence[float | None], factor: float, kind: Kind) -> TableCell:
    """Return the mean over runs; None stands for a run that did not allocate its cost."""
    have = [Quantity(value=value * factor, kind=kind) for value in values if value is not None]
    return number_cell(over_runs(have).text(), kind=kind) if have else missing_cell("the run did not allocate its cost")


def _crosscheck_cells(found: Sequence[tuple[Record, CrossCheck]], energy: Metric) -> tuple[TableCell, ...]:
    """Return the seconds that a tool covered, its energy, ours for the same windows, and their ratio."""
    covered = number_cell(_mean([check.covered_seconds for _, check in found]))
    told = [(run, check.energy_kwh, check.ratio) for run, check in found if check.energy_kwh is not None]
    if not told:
        return (covered, *[missing_cell(found[0][1].note)] * 3)
    its = number_cell(_mean([kwh * energy.scale for _, kwh, _ in told]))
    both = [(run, kwh / ratio, ratio) for run, kwh, ratio in told if ratio]
    if not both:
        return (covered, its, *[missing_cell("no ratio was recorded")] * 2)
    ours = number_cell(_mean([kwh * energy.scale for _, kwh, _ in both]), kind=energy_kind([run for run, _, _ in both]))
    return covered, its, ours, number_cell(_mean([ratio for _, _, ratio in both]))


def _mean(values: Sequence[float]) -> Text:
    return over_runs([Quantity(value=value, kind="computed") for value in values]).text()


def _distance(low: float, high: float) -> str:
    """Return in words how far apart two tools are."""
    if low > FAR_APART:
        return "more than twice ours"
    if high < 1 / FAR_APART:
        return "less than half of ours"
    if high > FAR_APART or low < 1 / FAR_APART:
        return "in some runs more than a factor of two apart"
    return f"within {percent(max(high, 1 / low) - 1)} of ours"
