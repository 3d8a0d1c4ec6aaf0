"""The bill of training: per run, per phase, per exit, and by another tool's account."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from greenpose.formatting import NBSP, percent, plain, plural, span
from greenpose.metrics import PERCENT, TRAIN_CO2, TRAIN_EMBODIED, TRAIN_ENERGY, TRAIN_SCI, Metric
from greenpose.quantity import Kind, Quantity, amount, mean_of, missing, over_runs, worst
from greenpose.record import CrossCheck, Failure, Phase, Record
from greenpose.report.figures.energy import COMPONENTS
from greenpose.report.figures.totals import phase_names
from greenpose.report.method_limits import allocation
from greenpose.report.quantities import energy_figure, kind_of, of_record
from greenpose.report.study import Group, Study, by_exit, energy_kind, run_names
from greenpose.tables import (
    Column,
    Table,
    TableCell,
    figure_column,
    kind_notes,
    quantity_cell,
    table_of,
)

_TRAIN_SECONDS = Metric(name="train_seconds", label="Time", unit="s", of_run=True)
_RULES = {"airport": "By airport", "macs": "By MACs", "incremental": "By increments", "deepest": "All to deepest"}
"""Rules by which training could be split, and how the page heads their columns."""
MOST_FAILURES = 60
"""Runs that did not finish of which each is told; the total holds all."""
FAR_APART = 2.0
"""Two tools further apart than this factor are said to be so in words."""


def training_table(study: Study) -> Table:
    """Return what training each run cost: time, energy and its components, emissions; of others until they ended."""
    runs, failures = study.records, study.failures[:MOST_FAILURES]
    energy, grams = study.training_figure, study.shown(TRAIN_CO2)
    known = any(run.train_sci_g is not None for run in runs)
    making = [study.shown(each) for each in (TRAIN_EMBODIED, TRAIN_SCI)] if known else []
    components = [part for part in COMPONENTS if any(part in run.train_energy_kwh_by_component for run in runs)]
    kwh = [*(run.train_energy_kwh for run in runs), *(each.energy_kwh for each in failures)]
    most = max(*kwh, 0.0)
    untold = [missing("told of finished runs only")] * len(failures)
    lost = _lost(failures, energy_kind(study), energy, grams)

    def column(metric: Metric, shifted: Sequence[Quantity]) -> tuple[Column, list[TableCell]]:
        numbers = [of_record(run, metric) for run in runs]
        return figure_column(metric, numbers), [quantity_cell(each, metric) for each in (*numbers, *shifted)]

    head, energies = column(energy, lost[1])
    barred = [replace(cell, bar=part / most) if most else cell for cell, part in zip(energies, kwh, strict=True)]
    return table_of(
        "bill",
        "Training of each run, validation and every attempt included."
        + (" Runs that did not finish stand last, with all that they took until they ended." if failures else ""),
        ("Run",),
        [*run_names(study), *(each.name for each in failures)],
        [
            (Column(head="Epochs", unit="count"), [*map(_epochs, runs), *map(_end, failures)]),
            column(_TRAIN_SECONDS, lost[0]),
            (head, barred),
            *((_component(study, part, energy), [*_of_component(runs, part, energy), *untold]) for part in components),
            column(grams, lost[2]),
            *(column(metric, untold) for metric in making),
        ],
    )


def phases_table(study: Study) -> Table:
    """Return energy and time of every phase, mean over the runs of an experiment; their sum is a run's total."""
    names = phase_names(study)
    energy = energy_figure(chain(*study.together.each(lambda run: [phase.energy_kwh for phase in run.phases])))
    unit, notes = f"{energy.unit}; s below", _notes(study)
    return table_of(
        "phases",
        "All that a run did, phase by phase: energy, and wall time below it, mean over the runs. None: its runs have "
        "no such phase.",
        ("Experiment",),
        [group.label for group in study.groups],
        [
            (
                Column(head=(name or "total").capitalize(), unit=unit, notes=notes),
                [_phase_cell(group, name, energy) for group in study.groups],
            )
            for name in (*names, "")
        ],
    )


def allocation_table(study: Study) -> Table:
    """Return the training energy and emissions allocated to each exit, mean over the runs of an experiment."""
    energy, grams, notes = study.training_figure, study.shown(TRAIN_CO2), _notes(study)

    def means(of: Share, scale: float = PERCENT, *, metered: bool = False) -> Iterator[Quantity]:
        for point in study.points:
            kind = energy_kind(point.group) if metered else "computed"
            yield _mean_of(point.group, functools.partial(_of_exit, of, point.exit), scale, kind)

    return table_of(
        "allocation",
        f"Training cost split over the exits that share it. {allocation(study.records)}",
        ("Experiment", "Exit"),
        by_exit(study.groups),
        [
            (Column(head="Share", unit="% of run"), means(_share_of_run)),
            (
                Column(head="Energy", unit=energy.unit, notes=notes),
                means(lambda run, exit_: run.allocation.energy_kwh.get(exit_), energy.scale, metered=True),
            ),
            (
                Column(head="CO2eq", unit=grams.unit, notes=notes),
                means(lambda run, exit_: run.allocation.co2eq_g.get(exit_), grams.scale, metered=True),
            ),
            *(
                (Column(head=_RULES[rule], unit="% of run"), means(functools.partial(_share_by, rule)))
                for rule in _other_rules(study)
            ),
        ],
    )


def _of_exit(of: "Share", exit_: int, run: Record) -> float | None:
    return of(run, exit_)


Share = Callable[[Record, int], float | None]
"""Returns an exit's part of what a run's training cost; None for a run that did not allocate it."""


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
    covered, its, ours, ratios = zip(*(_crosschecked(found, energy) for _, _, found in rows), strict=True)
    return table_of(
        "crosscheck",
        "Another tool’s energy for the same windows of training, beside ours, mean over runs.",
        ("Experiment",),
        [label for label, _, _ in rows],
        [
            ("Tool", [tool for _, tool, _ in rows]),
            (Column(head="Covered", unit="s"), covered),
            (Column(head="Its energy", unit=energy.unit), its),
            (Column(head="Ours", unit=energy.unit, notes=_notes(study)), ours),
            (Column(head="Its / ours", unit="ratio"), ratios),
        ],
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


def _epochs(run: Record) -> TableCell:
    """Return a run's epochs, and what was not plain about its end: stopped early, several attempts."""
    parts = ["stopped early"] if run.stopped == "patience" else []
    parts += [plural(run.attempts, "attempt")] if run.attempts > 1 else []
    return TableCell(value=str(run.epochs), interval=", ".join(parts))


def _end(failure: Failure) -> TableCell:
    return TableCell(value=failure.reason, interval=f"in {failure.phase}" if failure.phase else "")


def _lost(failures: Sequence[Failure], kind: Kind, energy: Metric, grams: Metric) -> list[list[Quantity]]:
    """Return time, energy and emissions of runs until they ended, metered as the others were."""
    unknown = missing("it ended before its grid intensity was known")
    return [
        [Quantity(value=each.seconds, kind="measured") for each in failures],
        [Quantity(value=each.energy_kwh * energy.scale, kind=kind) for each in failures],
        [
            unknown if each.co2eq_g is None else Quantity(value=each.co2eq_g * grams.scale, kind=kind)
            for each in failures
        ],
    ]


def _component(study: Study, part: str, energy: Metric) -> Column:
    kinds = {each.component: each.kind for run in study.records for each in run.components}
    return Column(head=COMPONENTS[part], unit=energy.unit, notes=kind_notes([kinds[part]]) if part in kinds else ())


def _of_component(runs: Sequence[Record], part: str, energy: Metric) -> Iterator[Quantity]:
    for run in runs:
        kwh = run.train_energy_kwh_by_component.get(part)
        how = next((each for each in run.components if each.component == part), None)
        if kwh is None or (how and how.kind == "not_covered"):
            yield missing(f"{part}: {how.method if how else 'not metered on this machine'}")
        else:
            yield Quantity(value=kwh * energy.scale, kind=how.kind if how else "measured")


def _phase_cell(group: Group, name: str, energy: Metric) -> TableCell:
    """Return the mean energy and time of a phase, of all phases where it has no name."""

    def spent(of: Callable[[Phase], float]) -> list[float]:
        return group.together.each(lambda run: sum(of(each) for each in run.phases if name in ("", each.name)))

    kwh, took = spent(lambda phase: phase.energy_kwh), spent(lambda phase: phase.seconds)
    if not any(kwh) and not any(took):
        return TableCell(value="none")
    cell = quantity_cell(amount(mean_of([each * energy.scale for each in kwh], kind=energy_kind(group))))
    seconds = amount(mean_of(took)).text()
    return replace(cell, interval="\n".join(filter(None, (cell.interval, f"{seconds}{NBSP}s"))))


def _notes(study: Study) -> tuple[str, ...]:
    """Return how energy was obtained, for the headings of columns that hold nothing else."""
    return kind_notes({*study.together.each(lambda run: kind_of(run, TRAIN_ENERGY))})


def _share_of_run(run: Record, exit_: int) -> float | None:
    kwh = run.allocation.energy_kwh.get(exit_)
    return kwh / run.train_energy_kwh if kwh is not None and run.train_energy_kwh else None


def _share_by(rule: str, run: Record, exit_: int) -> float | None:
    return run.allocation.shares_by_rule.get(rule, {}).get(exit_)


def _other_rules(study: Study) -> list[str]:
    """Return the rules beside the chosen ones that any run has shares by."""
    known = {rule for run in study.records for rule in run.allocation.shares_by_rule}
    chosen = {run.allocation.rule for run in study.records}
    return [rule for rule in _RULES if rule in known and chosen != {rule}]


def _mean_of(group: Group, of: Callable[[Record], float | None], factor: float, kind: Kind) -> Quantity:
    """Return the mean over runs; None stands for a run that did not allocate its cost."""
    absent = missing("the run did not allocate its cost")

    def scaled(run: Record) -> Quantity:
        return absent if (each := of(run)) is None else Quantity(value=each * factor, kind=kind)

    return amount(over_runs(group.together.quantities(scaled)))


def _crosschecked(found: Sequence[tuple[Record, CrossCheck]], energy: Metric) -> list[Quantity]:
    """Return the seconds that a tool covered, its energy, ours for the same windows, and their ratio."""
    covered = mean_of([check.covered_seconds for _, check in found])
    told = [(run, check.energy_kwh, check.ratio) for run, check in found if check.energy_kwh is not None]
    if not told:
        return [covered, *[missing(found[0][1].note)] * 3]
    its = mean_of([kwh * energy.scale for _, kwh, _ in told])
    both = [(run, kwh / ratio, ratio) for run, kwh, ratio in told if ratio]
    if not both:
        return [covered, its, *[missing("no ratio was recorded")] * 2]
    ours = mean_of(
        [kwh * energy.scale for _, kwh, _ in both], kind=worst(kind_of(run, TRAIN_ENERGY) for run, _, _ in both)
    )
    return [*map(amount, (covered, its, ours)), mean_of([ratio for _, _, ratio in both])]


def _distance(low: float, high: float) -> str:
    """Return in words how far apart two tools are."""
    if low > FAR_APART:
        return "more than twice ours"
    if high < 1 / FAR_APART:
        return "less than half of ours"
    if high > FAR_APART or low < 1 / FAR_APART:
        return "in some runs more than a factor of two apart"
    return f"within {percent(max(high, 1 / low) - 1)} of ours"
