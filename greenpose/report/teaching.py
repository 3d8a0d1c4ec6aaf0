"""Tables about what several exits in one training cost: teaching them, what it saves, when it is won back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from greenpose.formatting import NBSP
from greenpose.record import Record
from greenpose.report.estimates import Estimate, estimate, over_runs, ratio, worst
from greenpose.report.figures import PERCENT, TRAIN_ENERGY, Figure, of_record, training_figure
from greenpose.report.layout import Cell, Row, Section, Table, estimate_cell, figure_column
from greenpose.report.partners import Partners
from greenpose.report.purposes import energy_kind
from greenpose.report.study import Group, Study
from greenpose.report.winning import BREAK_EVEN, added_kwh, images_needed

_ADDED = {
    "ds_overhead": Figure(name="ds_overhead", label="Deep supervision adds", unit="% of a plain step"),
    "kd_overhead": Figure(name="kd_overhead", label="Distillation adds", unit="% of the step without"),
    "overhead": Figure(name="overhead", label="Both add", unit="% of a plain step"),
}
_SAVING = Figure(name="joint_saving", label="Stand-alone steps / joint step", unit="ratio")
_GRID_SAVING = Figure(name="", label="Stand-alone trainings / joint training", unit="ratio")
_PART_WORDS = {"data": "Data", "forward": "Forward", "backward": "Backward", "step": "Update", "other": "Between"}


def teaching_table(study: Study) -> Table | None:
    """Return what deep supervision and distillation add to a training step; None where no run has several exits."""
    groups = [group for group in study.groups if any(run.training_step for run in group.runs)]
    if not groups:
        return None
    columns = {figure: [_added(group, name) for group in groups] for name, figure in _ADDED.items()}
    columns[_SAVING] = [_of_step(group, "joint_saving") for group in groups]
    partners = Partners(study)
    columns[_GRID_SAVING] = [grid_saving(partners, group) for group in groups]
    return Table(
        id="teaching",
        caption="What more exits add to a training step, measured in interleaved micro-windows on real steps, and what "
        "training them together saves. A plain step trains the final exit alone on the labels.",
        heads=("Experiment",),
        columns=tuple(figure_column(figure, values) for figure, values in columns.items()),
        sections=_section([group.label for group in groups], columns),
    )


def break_even_table(study: Study) -> Table | None:
    """Return after how many images each exit has paid for its teaching; None where no run has several exits."""
    points = [point for point in study.points if not point.final]
    if not points:
        return None
    energy = replace(training_figure(study.records), label="Teaching added")
    columns = {
        energy: [_added_energy(point.group, energy.scale) for point in points],
        BREAK_EVEN: [images_needed(point) for point in points],
    }
    return Table(
        id="break-even",
        caption="Images after which reading an exit instead of the final one has saved the energy that teaching it "
        "added to training. 0: teaching added nothing that could be measured.",
        heads=("Exit",),
        columns=tuple(figure_column(figure, values) for figure, values in columns.items()),
        sections=_section([point.label for point in points], columns),
    )


def parts_table(study: Study) -> Table | None:
    """Return what the training steps of each experiment consist of; None where no run told the parts apart."""
    groups = [group for group in study.groups if any(run.train_parts for run in group.runs)]
    if not groups:
        return None
    energy = training_figure(study.records)
    names = list(_PART_WORDS)
    parts = {group.label: [_part(group, name, energy) for name in names] for group in groups}
    return Table(
        id="parts",
        caption="What training steps consist of: energy of each part, mean over runs, and its share below. Validation "
        "and checkpoints are phases of their own.",
        heads=("Experiment",),
        columns=tuple(
            figure_column(
                Figure(name=name, label=_PART_WORDS[name], unit=f"{energy.unit}; % below"),
                [each[index][0] for each in parts.values()],
            )
            for index, name in enumerate(names)
        ),
        sections=(
            Section(
                rows=tuple(
                    Row(head=label, cells=tuple(_part_cell(each) for each in found)) for label, found in parts.items()
                )
            ),
        ),
    )


def forecast_table(study: Study) -> Table | None:
    """Return what each run expected to cost early on, beside what it cost; None where no run expected anything."""
    runs = [run for run in study.records if run.forecast is not None]
    if not runs:
        return None
    energy = training_figure(study.records)
    columns = {
        Figure(name="expected", label="Expected", unit=energy.unit): [_expected(run, energy) for run in runs],
        replace(energy, label="Came to"): [of_record(run, energy) for run in runs],
        Figure(name="share", label="Came to", unit="% of expected"): [_share_of_expected(run) for run in runs],
    }
    return Table(
        id="forecast",
        caption="Training energy as expected after the first epochs, with its 95 % prediction interval, and what it "
        "came to. Early stopping ends a training below what was expected.",
        heads=("Run",),
        columns=tuple(figure_column(figure, values) for figure, values in columns.items()),
        sections=_section([run.name for run in runs], columns),
    )


def grid_saving(partners: Partners, joint: Group) -> Estimate:
    """Return the energy of the exits' stand-alone trainings over that of the joint one, seed by seed.

    Stand-alone trainings are other experiments on the page with a single exit, in the same setting, of the same trunk,
    data and recipe.
    """
    ratios = []
    for run in joint.runs:
        alone = [partners.alone(run, entry.exit) for entry in run.exits]
        if all(alone):
            total = sum(each.train_energy_kwh for each in alone if each)
            ratios.append(ratio(Estimate(value=total, kind="computed"), _energy(run)))
    if ratios:
        return over_runs(ratios)
    return Estimate(value=None, missing="the page holds no stand-alone training of each of its exits")


def _section(labels: Sequence[str], columns: Mapping[Figure, Sequence[Estimate]]) -> tuple[Section]:
    """Return the lines of a table whose columns are one figure each."""
    rows = [
        Row(head=label, cells=tuple(estimate_cell(values[index], figure) for figure, values in columns.items()))
        for index, label in enumerate(labels)
    ]
    return (Section(rows=tuple(rows)),)


def _energy(run: Record) -> Estimate:
    return Estimate(value=run.train_energy_kwh, kind="computed")


def _expected(run: Record, energy: Figure) -> Estimate:
    assert run.forecast is not None
    return estimate(run.forecast.quantity("energy_kwh"), energy.scale)


def _share_of_expected(run: Record) -> Estimate:
    assert run.forecast is not None
    return Estimate(value=PERCENT * run.train_energy_kwh / run.forecast.energy_kwh, kind="computed")


def _of_step(group: Group, name: str) -> Estimate:
    return over_runs([estimate(run.training_step.quantity(name)) for run in group.runs if run.training_step])


def _added(group: Group, name: str) -> Estimate:
    """Return a ratio of two steps as what the dearer one adds, in percent."""
    return over_runs(
        [_less_one(estimate(run.training_step.quantity(name))) for run in group.runs if run.training_step is not None]
    )


def _less_one(each: Estimate) -> Estimate:
    if each.value is None:
        return each
    low, high = (None if end is None else PERCENT * (end - 1) for end in (each.low, each.high))
    return Estimate(value=PERCENT * (each.value - 1), low=low, high=high, kind=each.kind, method=each.method)


def _added_energy(group: Group, scale: float) -> Estimate:
    kwh = [each for run in group.runs if (each := added_kwh(run)) is not None]
    if not kwh:
        return Estimate(value=None, missing="the run did not measure what a training step consists of")
    kind = worst([energy_kind(group.runs), "estimated"])  # a ratio of steps times the energy of training
    return over_runs([Estimate(value=each * scale, kind=kind) for each in kwh])


def _part(group: Group, name: str, energy: Figure) -> tuple[Estimate, Estimate]:
    """Return a part's energy and its share of all parts, mean over the group's runs."""
    values, shares = [], []
    for run in group.runs:
        found = [part for part in run.train_parts if part.name == name]
        whole = sum(part.energy_kwh for part in run.train_parts)
        if found and whole:
            each = estimate(found[0].quantity("energy_kwh"), energy.scale)
            values.append(each)
            shares.append(Estimate(value=PERCENT * found[0].energy_kwh / whole, kind="computed"))
    if not values:
        absent = Estimate(value=None, missing="the run did not tell its parts apart")
        return absent, absent
    return over_runs(values), over_runs(shares)


def _part_cell(part: tuple[Estimate, Estimate]) -> Cell:
    value, share = part
    cell = estimate_cell(value, TRAIN_ENERGY)
    return cell if share.value is None else replace(cell, interval=f"{share.text(digits=2)}{NBSP}%")
