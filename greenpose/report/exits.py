"""Tables about the exits: size, accuracy and cost of each, its share of the final exit, its MACs by every counter."""

from dataclasses import replace

from greenpose.formatting import exact, listed, percent
from greenpose.record import Exit, Record
from greenpose.report.estimates import NO_SHARE_OF_ZERO, Estimate, estimate, over_runs, ratio, worst
from greenpose.report.figures import (
    AP,
    CO2,
    EMBODIED,
    EXIT_FIGURES,
    MACS,
    PARAMS,
    PERCENT,
    RELATIVE,
    SCI,
    Figure,
    of_exit,
)
from greenpose.report.layout import (
    Cell,
    Column,
    Row,
    Section,
    Table,
    estimate_cell,
    figure_column,
    missing_cell,
    value_cell,
)
from greenpose.report.study import Point, Study, entries

COUNTERS = {
    "torch": "torch: the convolutions and nothing else. Its FlopCounterMode counts two FLOPs for each "
    "multiply-accumulate; here they are halved, and this is the MACs figure of the page.",
    "thop": "thop adds four operations for each batch-normalised value and one for each upsampled value; it leaves out "
    "biases and ReLU.",
    "ptflops": "ptflops adds the biases, two operations for each batch-normalised value, and two for each value of "
    "ReLU and of upsampling: its hook on the module and its hook on the function both count.",
    "ptflops_aten": "ptflops_aten, the same tool on the operators that run, adds only the biases of the convolutions.",
}
"""Why each counter differs, by its name in a record; the counting room tests the formulas against the counters."""


def means_table(study: Study) -> Table:
    """Return every exit of every experiment: the mean over its runs."""
    shown = [study.shown(figure) for figure in EXIT_FIGURES]
    columns = {figure: [point.figure(figure) for point in study.points] for figure in shown}
    cells = {
        point.label: tuple(estimate_cell(values[index], figure) for figure, values in columns.items())
        for index, point in enumerate(study.points)
    }
    sections = [
        Section(
            head=group.label,
            rows=tuple(
                Row(head=str(number_), cells=(Cell(value=point.role), *_runs(study, point), *cells[point.label]))
                for number_ in group.exits
                for point in [Point(group=group, exit=number_)]
            ),
        )
        for group in study.groups
    ]
    runs = (Column(head="Runs", unit="count"),) if study.repeated else ()
    return Table(
        id="exits",
        caption=_means_caption(study),
        heads=("Experiment", "Exit"),
        columns=(_ROLE, *runs, *(figure_column(figure, values) for figure, values in columns.items())),
        sections=tuple(sections),
    )


def emissions_table(study: Study) -> Table | None:
    """Return what 1000 images emit, the making of the machine included; None where no record knows that."""
    if all(point.figure(EMBODIED).value is None for point in study.points):
        return None
    whole = study.shown(SCI)  # its parts have its unit, so that they can be added up
    figures = [
        replace(each, unit=whole.unit, scale=whole.scale) for each in (replace(CO2, label="Operation"), EMBODIED, whole)
    ]
    columns = {figure: [point.figure(figure) for point in study.points] for figure in figures}
    cells = [
        tuple(estimate_cell(each, figure) for figure, each in zip(figures, line, strict=True))
        for line in zip(*columns.values(), strict=True)
    ]
    named = {point.label: line for point, line in zip(study.points, cells, strict=True)}
    return Table(
        id="emissions",
        caption="Emissions of 1000 images: operation, the images’ share of making the machine, and both together, "
        "which is the Software Carbon Intensity (ISO/IEC 21031).",
        heads=("Experiment", "Exit"),
        columns=tuple(figure_column(figure, values) for figure, values in columns.items()),
        sections=tuple(
            Section(
                head=group.label,
                rows=tuple(
                    Row(head=str(each), cells=named[Point(group=group, exit=each).label]) for each in group.exits
                ),
            )
            for group in study.groups
        ),
    )


def runs_table(study: Study) -> Table:
    """Return every exit of every single run; sizes are left out since they do not vary between runs."""
    figures = [study.shown(figure) for figure in EXIT_FIGURES if figure not in (PARAMS, MACS)]
    rows = [(run, entry) for run in study.records for entry in run.exits]
    columns = {figure: [of_exit(entry, figure) for _, entry in rows] for figure in figures}
    cells = {
        (run.name, run.finished_at, entry.exit): tuple(
            estimate_cell(values[index], figure) for figure, values in columns.items()
        )
        for index, (run, entry) in enumerate(rows)
    }
    sections = [
        Section(
            head=run.name,
            rows=tuple(
                Row(head=str(entry.exit), cells=(_epoch(entry), *cells[run.name, run.finished_at, entry.exit]))
                for entry in run.exits
            ),
        )
        for run in study.records
    ]
    return Table(
        id="runs",
        caption="Every exit of every run, with the run’s own intervals: bootstrap over test subjects for accuracy, "
        "over blocks of calls for time and energy.",
        heads=("Run", "Exit"),
        columns=(
            Column(head="Best epoch", unit="number"),
            *(figure_column(figure, values) for figure, values in columns.items()),
        ),
        sections=tuple(sections),
    )


def shares_table(study: Study) -> Table | None:
    """Return each exit as a percentage of the final exit of the same run; None where no run has two exits."""
    groups = [group for group in study.groups if len(group.exits) > 1]
    if not groups:
        return None
    sections = [
        Section(
            head=group.label,
            rows=tuple(
                Row(head=f"{number_} (final)" if point.final else str(number_), cells=_share_cells(point))
                for number_ in group.exits
                for point in [Point(group=group, exit=number_)]
            ),
        )
        for group in groups
    ]
    return Table(
        id="shares",
        caption="Each exit as a percentage of the final exit of the same run. Time and energy are ratios within blocks "
        "of interleaved calls, so that drift and most systematic error cancel.",
        heads=("Experiment", "Exit"),
        columns=tuple(
            Column(head=figure.label, unit="% of final") for figure in (AP, PARAMS, MACS, *RELATIVE.values())
        ),
        sections=tuple(sections),
    )


def share(point: Point, figure: Figure) -> Estimate:
    """Return one number of an exit over that of the final exit of the same run, mean over the runs.

    For time and energy the record's within-block ratios are taken; where it has none, there is no share.
    """
    known, asked = point.group.known, ("share", point.exit, figure)
    if asked not in known:
        known[asked] = over_runs([_run_share(run, point.exit, figure) for run in point.group.runs])
    return known[asked]


def counters_table(study: Study) -> Table:
    """Return the compute of each distinct network by every counter under its own convention."""
    networks: dict[tuple[int, int, int], list[tuple[str, Exit]]] = {}
    for point in study.points:
        entry = entries(point)[0]
        networks.setdefault((entry.exit, entry.macs, entry.params), []).append((point.group.label, entry))
    names = counters(study)
    peaks = any(entry.peak_bytes is not None for run in study.records for entry in run.exits)
    rows = [
        Row(
            head=f"exit {number_}",
            cells=(
                Cell(value=listed([label for label, _ in members])),
                Cell(value=exact(macs)),
                *(_counter_cell(members[0][1], name) for name in names),
                *((_peak_cell(members[0][1]),) if peaks else ()),
            ),
        )
        for (number_, macs, _), members in sorted(networks.items())
    ]
    return Table(
        id="counters",
        caption="The same network and input by each counter under its own convention; below each figure, its "
        "difference from the MACs of the convolutions.",
        heads=("Network",),
        columns=(
            Column(head="In", words=True),
            Column(head="MACs", unit="MACs"),
            *(Column(head=name, unit="operations") for name in names),
            *((Column(head="Memory at its peak", unit="MB"),) if peaks else ()),
        ),
        sections=(Section(rows=tuple(rows)),),
    )


def counters(study: Study) -> list[str]:
    """Return the names of all counters that any exit was counted with."""
    return list(dict.fromkeys(name for run in study.records for entry in run.exits for name in entry.macs_by_counter))


def counter_sentences(study: Study) -> list[str]:
    """Return why each counter used differs from the others, one sentence each."""
    unknown = "{}: this version of the report does not know its convention."
    return [COUNTERS.get(name, unknown.format(name)) for name in counters(study)]


_ROLE = Column(head="Role", words=True)


def _means_caption(study: Study) -> str:
    if not study.repeated:
        return (
            "Every exit of every run with 95 % intervals: bootstrap over test subjects for accuracy, over blocks of "
            "calls for time and energy."
        )
    return (
        "Every exit, mean over the runs that differ in their seed only. The interval is Student’s t at 95 % for three "
        "runs or more, the range for two, the run’s own for one: it tells how runs differ, not how another test set "
        "would."
    )


def _runs(study: Study, point: Point) -> tuple[Cell, ...]:
    return (Cell(value=str(len(entries(point)))),) if study.repeated else ()


def _epoch(entry: Exit) -> Cell:
    return Cell(value=str(entry.best_epoch)) if entry.best_epoch else missing_cell("no epoch was validated")


def _share_cells(point: Point) -> tuple[Cell, ...]:
    figures = (AP, PARAMS, MACS, *RELATIVE.values())
    if not point.final:
        return tuple(_share_cell(share(point, figure)) for figure in figures)
    finals = [point.figure(figure) for figure in figures]
    return tuple(
        missing_cell(each.missing or NO_SHARE_OF_ZERO) if not each.value else Cell(value="100", bar=1.0)
        for each in finals
    )


def _share_cell(each: Estimate) -> Cell:
    cell = estimate_cell(each.times(PERCENT), AP)
    if each.value is None:
        return cell
    return Cell(value=cell.value, interval=cell.interval, bar=min(1.0, max(0.0, each.value)))


def _run_share(run: Record, number_: int, figure: Figure) -> Estimate:
    entry, final = run.exit(number_), run.final_exit
    if figure not in RELATIVE.values():
        exact_ratio = ratio(of_exit(entry, figure), of_exit(final, figure))
        # both exits are evaluated on the same images, so their intervals do not add up: none is claimed
        return Estimate(value=exact_ratio.value, kind=exact_ratio.kind, missing=exact_ratio.missing)
    if figure.name not in entry.relative_to_final:
        reason = entry.basis.get(f"relative_to_final.{figure.name}")
        missing = reason.missing if reason and reason.missing else of_exit(entry, figure).missing
        return Estimate(value=None, missing=missing or "no within-block ratio was recorded")
    found = estimate(entry.quantity(f"relative_to_final.{figure.name}"))
    return replace(found, kind=worst([found.kind, of_exit(entry, figure).kind]))  # of modelled joules: modelled


def _peak_cell(entry: Exit) -> Cell:
    if entry.peak_bytes is None:
        return missing_cell("the run did not follow its memory")
    return value_cell(1e-6 * entry.peak_bytes, kind="counted")


def _counter_cell(entry: Exit, name: str) -> Cell:
    if name not in entry.macs_by_counter:
        return Cell(value="not counted", missing=f"{name} was not run on this exit")
    count = entry.macs_by_counter[name]
    if count == 2 * entry.macs:
        return Cell(value=exact(count), interval="×2 exactly")
    difference = count / entry.macs - 1
    sign = "+" if difference >= 0 else ""
    return Cell(value=exact(count), interval=f"{sign}{percent(difference, 3)}" if difference else "equal")
