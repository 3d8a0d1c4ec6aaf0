"""The exits: size, accuracy and cost of each, its share of the final exit, its MACs by every counter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import NBSP, exact, listed, percent
from greenpose.metrics import (
    ACCURACIES,
    AP,
    CO2,
    COMPARED,
    COUNTED,
    EMBODIED,
    ENERGY,
    LATENCY,
    MACS,
    ON_PAGE,
    PARAMS,
    PERCENT,
    SCI,
    Metric,
)
from greenpose.quantity import NO_SHARE_OF_ZERO, Quantity, kind_mark
from greenpose.record import Exit
from greenpose.report.differences import share
from greenpose.report.drawing import (
    ACCENT,
    DIM,
    FONT,
    GRID,
    INK,
    MUTED,
    Drawing,
    baseline,
    panel,
    pixels,
    spread,
    strokes,
    write,
)
from greenpose.report.figures.axes import reach
from greenpose.report.hosts import across_hosts, parts_of
from greenpose.report.picture import MOST_PANELS, Picture, drawn, left_out
from greenpose.report.quantities import in_unit, of_exit
from greenpose.report.ranking import leaders
from greenpose.report.study import Group, Point, Study, by_exit, run_names
from greenpose.tables import (
    Column,
    Table,
    TableCell,
    missing_cell,
    quantity_cell,
    table_of,
)

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
    runs = Column(head="Runs", unit="count"), [str(len(point.group.runs)) for point in study.points]
    shown = [study.shown(metric) for metric in columns_of(study)]
    return table_of(
        "exits",
        _means_caption(study),
        ("Experiment", "Exit"),
        by_exit(study.groups),
        [
            ("Role", [point.role for point in study.points]),
            *([runs] if study.repeated else []),
            *((metric, [point.figure(metric) for point in study.points]) for metric in shown),
        ],
    )


def columns_of(study: Study) -> list[Metric]:
    """Return the columns of the table: those of the catalogue, with the accuracies that the runs are judged by."""
    own = next((run.accuracies for run in study.records if run.exits), ACCURACIES)
    others = [metric for metric in ON_PAGE if metric not in ACCURACIES]
    place = next(index for index, metric in enumerate(ON_PAGE) if metric in ACCURACIES)
    return [*others[:place], *own, *others[place:]]


def emissions_table(study: Study) -> Table | None:
    """Return what 1000 images emit, the making of the machine included; None where no record knows that."""
    if all(point.figure(EMBODIED).value is None for point in study.points):
        return None
    whole = study.shown(SCI)  # its parts have its unit, so that they can be added up
    parts = [replace(each, unit=whole.unit, scale=whole.scale) for each in (replace(CO2, label="Operation"), EMBODIED)]
    return table_of(
        "emissions",
        f"Emissions of {whole.unit.partition('/')[2]}: operation, the images’ share of making the "
        "machine, and both together, which is the Software Carbon Intensity (ISO/IEC 21031).",
        ("Experiment", "Exit"),
        by_exit(study.groups),
        [(metric, [point.figure(metric) for point in study.points]) for metric in (*parts, whole)],
    )


def runs_table(study: Study) -> Table:
    """Return every exit of every single run; sizes are left out since they do not vary between runs."""
    exits = [entry for run in study.records for entry in run.exits]
    shown = [study.shown(metric) for metric in columns_of(study) if metric.kind != "counted"]
    return table_of(
        "runs",
        f"Every exit of every run, with the run’s own intervals: {_accuracy_by(study)}, over blocks of calls for time "
        "and energy.",
        ("Run", "Exit"),
        [
            (name, [str(entry.exit) for entry in run.exits])
            for name, run in zip(run_names(study), study.records, strict=True)
        ],
        [
            *([] if any(run.own for run in study.records) else [_best_epochs(exits)]),
            *((metric, [of_exit(entry, metric) for entry in exits]) for metric in shown),
        ],
    )


def bf16_table(study: Study) -> Table | None:
    """Return what bfloat16 saves at every exit of every run, and does to AP; None where no run measured that."""
    pairs = [(entry, entry.bf16) for run in study.records for entry in run.exits if entry.bf16]
    if not pairs:
        return None
    named = zip(run_names(study), study.records, strict=True)
    runs = [(name, [str(entry.exit) for entry in run.exits if entry.bf16]) for name, run in named]
    energy = study.shown(ENERGY)
    return table_of(
        "in-bf16",
        "Exits in the arithmetic that they may run in: weights rounded to bfloat16, in the same blocks as in float32 "
        "and on the same test images; the change of AP is paired.",
        ("Run", "Exit"),
        [(name, exits) for name, exits in runs if exits],
        [
            (replace(energy, label="Energy in float32"), [of_exit(entry, energy) for entry, _ in pairs]),
            (
                replace(energy, label="Energy in bf16"),
                [in_unit(bf16.quantity(ENERGY.name), energy) for _, bf16 in pairs],
            ),
            *(
                (Column(head=metric.label, unit="% of float32"), [bf16.share(metric) for _, bf16 in pairs])
                for metric in COMPARED
            ),
            (replace(AP, label="AP in bf16"), [in_unit(bf16.quantity(AP.name), AP) for _, bf16 in pairs]),
            (Column(head="AP, change", unit="points"), [bf16.ap_gained for _, bf16 in pairs]),
            ("Cheaper in", [bf16.cheaper for _, bf16 in pairs]),
        ],
    )


def shares_table(study: Study) -> Table | None:
    """Return each exit as a percentage of the final exit of the same run; None where no run has two exits."""
    points = [point for point in study.points if len(point.group.exits) > 1]
    if not points:
        return None
    final = {(group.label, max(group.exits)) for group in study.groups if group.exits}
    return table_of(
        "shares",
        "Each exit as a percentage of the final exit of the same run. Time and energy are ratios within blocks of "
        "interleaved calls, so that drift and most systematic error cancel.",
        ("Experiment", "Exit"),
        [
            (label, [f"{name} (final)" if (label, int(name)) in final else name for name in names])
            for label, names in by_exit([group for group in study.groups if len(group.exits) > 1])
        ],
        [
            (Column(head=metric.label, unit="% of final"), [_share_cell(point, metric) for point in points])
            for metric in (study.accuracy, PARAMS, MACS, *COMPARED)
        ],
    )


def counters_table(study: Study) -> Table:
    """Return the compute of each distinct network by every counter under its own convention."""
    networks: dict[tuple[int, int, int], list[tuple[str, Exit]]] = {}
    for point in study.points:
        entry = point.group.runs[0].exit(point.exit)
        networks.setdefault((entry.exit, entry.macs, entry.params), []).append((point.group.label, entry))
    members = [each for _, each in sorted(networks.items())]
    counted = [each[0][1] for each in members]
    sizes = [size for size in COUNTED if size.table == "counters" and any(_sizes(study, size))]
    return table_of(
        "counters",
        _counters_caption(study),
        ("Network",),
        [f"exit {entry.exit}" for entry in counted],
        [
            ("In", [listed([label for label, _ in each]) for each in members]),
            (Column(head="MACs", unit="MACs"), [exact(entry.macs) for entry in counted]),
            *(
                (Column(head=name, unit="operations"), [_counter_cell(entry, name) for entry in counted])
                for name in counters(study)
            ),
            *((size, [of_exit(entry, size) for entry in counted]) for size in sizes),
        ],
    )


def _counters_caption(study: Study) -> str:
    if not counters(study):
        return "Each network by torch’s counter, with rules for what it lets pass."
    return (
        "The same network and input by each counter under its own convention; below each figure, its difference from "
        "the MACs of the convolutions."
    )


def counters(study: Study) -> list[str]:
    """Return the names of all counters that any exit was counted with."""
    return list(dict.fromkeys(name for run in study.records for entry in run.exits for name in entry.macs_by_counter))


def counter_sentences(study: Study) -> list[str]:
    """Return why each counter used differs from the others, one sentence each."""
    unknown = "{}: this version of the report does not know its convention."
    return [COUNTERS.get(name, unknown.format(name)) for name in counters(study)]


def _accuracy_by(study: Study) -> str:
    """Return where the interval of a single run's accuracy comes from."""
    return (
        "bootstrap over test subjects for accuracy" if study.accuracy is AP else "as its program gave them for accuracy"
    )


def _means_caption(study: Study) -> str:
    if not study.repeated:
        return (
            f"Every exit of every run with 95 % intervals: {_accuracy_by(study)}, over blocks of calls for time and "
            "energy."
        )
    return (
        "Every exit, mean over the runs that differ in their seed only. The interval is Student’s t at 95 % for three "
        "runs or more, the range for two, the run’s own for one: it tells how runs differ, not how another test set "
        "would."
    )


def _best_epochs(exits: Sequence[Exit]) -> tuple[Column, list[TableCell]]:
    return Column(head="Best epoch", unit="number"), [*map(_epoch, exits)]


def _epoch(entry: Exit) -> TableCell:
    return TableCell(value=str(entry.best_epoch)) if entry.best_epoch else missing_cell("no epoch was validated")


def _share_cell(point: Point, metric: Metric) -> TableCell:
    """Return a number of an exit in percent of the final exit's, with a bar as long."""
    if point.final:
        reason = point.figure(metric).missing or NO_SHARE_OF_ZERO
        return TableCell(value="100", bar=1.0) if _known(point, metric) else missing_cell(reason)
    each = share(point, metric)
    cell = quantity_cell(each * PERCENT, AP)
    return cell if each.value is None else replace(cell, bar=min(1.0, max(0.0, each.value)))


def _known(point: Point, metric: Metric) -> bool:
    """Return whether a number of an exit is known, on each host where its runs are of several."""
    return all(Point(group=part, exit=point.exit).figure(metric).value for part in parts_of(point.group))


def _sizes(study: Study, size: Metric) -> list[int | None]:
    return [getattr(entry, size.name) for run in study.records for entry in run.exits]


def _counter_cell(entry: Exit, name: str) -> TableCell:
    if name not in entry.macs_by_counter:
        return TableCell(value="not counted", missing=f"{name} was not run on this exit")
    count = entry.macs_by_counter[name]
    if count == 2 * entry.macs:
        return TableCell(value=exact(count), interval="×2 exactly")
    difference = count / entry.macs - 1
    sign = "+" if difference >= 0 else ""
    return TableCell(value=exact(count), interval=f"{sign}{percent(difference, 3)}" if difference else "equal")


_LINES: dict[str, Metric] = {"Energy": ENERGY, "Latency": LATENCY, "MACs": MACS, "Params": PARAMS}
"""Quantities drawn, below what is kept of accuracy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slopes:
    """The exits of one experiment beside each other."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The experiment."""
    exits: tuple[int, ...]
    """Exit numbers, shallow to deep."""
    lines: Mapping[str, Sequence[Quantity]]
    """Of each quantity that is known everywhere, percent of the final exit at each exit; the last is 100."""
    left_out: tuple[str, ...]
    """The others."""

    @property
    def description(self) -> str:
        """Return the shares in words, for readers who do not see the lines."""
        parts = [
            f"exit {exit_}: {listed([f'{name} {_percent(shares[index])}' for name, shares in self.lines.items()])}"
            for index, exit_ in enumerate(self.exits[:-1])
        ]
        return f"{'; '.join(parts)}; exit {self.exits[-1]}, the final one, is 100 %."


def exits_picture(study: Study) -> Picture | None:
    """Return each exit as a share of the final one; None where no run has two exits."""
    study = across_hosts(study)
    charts, table = slopes(study), shares_table(study)
    if table is None:
        return None
    best = {point.group.label for point in leaders(study)}
    chosen = drawn(charts, MOST_PANELS, leads=lambda each: each.label in best)
    unknown = list(dict.fromkeys(name for chart in charts for name in chart.left_out))
    missing = (f"Not known at every exit, so not drawn everywhere: {listed(unknown)}.",) if unknown else ()
    return Picture(
        id="slopes",
        title="What each exit keeps of the final one, and what it costs",
        panels=tuple(map(draw, chosen)),
        data=table,
        absent="" if charts else "no quantity is known at all exits",
        notes=(*missing, *left_out(len(chosen), len(charts), "experiment")),
    )


def slopes(study: Study) -> list[Slopes]:
    """Return one drawing for each experiment with several exits and a quantity known at all of them."""
    groups = [group for group in study.groups if len(group.exits) > 1]
    found = [_slopes(group, f"slopes-{index}") for index, group in enumerate(groups, start=1)]
    return [each for each in found if each.lines]


def _slopes(group: Group, id_: str) -> Slopes:
    accuracy = group.runs[0].accuracy
    short = accuracy.label if len(accuracy.label) <= LONGEST else "Error" if accuracy.lower else "Accuracy"
    lines = {name: _shares(group, metric) for name, metric in ({short: accuracy} | _LINES).items()}
    known = {name: shares for name, shares in lines.items() if all(each.value is not None for each in shares)}
    unknown = tuple(name for name in lines if name not in known)
    return Slopes(id=id_, label=group.label, exits=group.exits, lines=known, left_out=unknown)


def _shares(group: Group, metric: Metric) -> list[Quantity]:
    points = [Point(group=group, exit=exit_) for exit_ in group.exits]
    whole = Quantity(value=PERCENT if _known(points[-1], metric) else None, kind="computed")
    return [*(share(point, metric) * PERCENT for point in points[:-1]), whole]


def _percent(each: Quantity) -> str:
    return f"{replace(each, disturbed=False).text(digits=2, most_decimals=1).value}{NBSP}%"


SIZE = (440, 300)
"""Width and height in CSS pixels."""
LONGEST = 9
"""Letters of a line's name that there is room for."""
OF_ACCURACY: dict[str, Any] = {"color": ACCENT, "linewidth": 3}
STYLES: dict[str, dict[str, Any]] = {
    "Energy": {"color": INK, "linewidth": 1.8},
    "Latency": {"color": INK, "linewidth": 1.8, "linestyle": (0, (4, 2.5))},
    "MACs": {"color": DIM, "linewidth": 1.8},
    "Params": {"color": DIM, "linewidth": 1.8, "linestyle": (0, (1.2, 2))},
}
"""Each quantity's stroke: width, colour and dashes differ, and every line is named where it begins."""


def draw(chart: Slopes) -> Drawing:
    """Return the exits of one experiment; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=118, right=50, top=14, bottom=34)
        _frame(axes, chart)
        for index, (name, shares) in enumerate(chart.lines.items()):
            _line(axes, shares, STYLES.get(name, OF_ACCURACY), aside=0.012 * index * (len(chart.exits) - 1))
        _labels(axes, chart.lines)

    return Drawing(
        paint=paint,
        id=chart.id,
        size=SIZE,
        title=f"Exits of {chart.label} as percentages of its final exit",
        description=chart.description,
        caption=chart.label,
    )


def _frame(axes: Any, chart: Slopes) -> None:
    """Set up a place for each exit and the scale, which begins at zero and holds every interval."""
    last = len(chart.exits) - 1
    top = max(reach(each)[1] for shares in chart.lines.values() for each in shares)
    axes.set(xlim=(0, last), ylim=(0, 1.03 * top), yticks=[])
    axes.set_xticks(range(last + 1), [f"exit {exit_}{', final' * (exit_ == chart.exits[-1])}" for exit_ in chart.exits])
    strokes(axes, [((place, 0), (place, 1.03 * top)) for place in range(last + 1)], color=GRID, linewidth=1)
    baseline(axes)
    write(axes, (last * 1.025, 100), "100 %", fontsize=FONT - 1)


def _line(axes: Any, shares: Sequence[Quantity], style: Mapping[str, Any], *, aside: float) -> None:
    """Draw a quantity and its intervals, the latter so far beside their exit that they do not cover one another."""
    axes.plot(range(len(shares)), [each.value for each in shares], clip_on=False, **style)
    ends = [
        ((place + aside, low), (place + aside, high))
        for place, (low, high) in enumerate(map(reach, shares))
        if high > low
    ]
    strokes(axes, ends, color=style["color"], linewidth=1.2)


def _labels(axes: Any, lines: Mapping[str, Sequence[Quantity]]) -> None:
    """Name each line at its left end; labels that would touch are moved apart, and a hair line leads to theirs."""
    first = {name: shares[0] for name, shares in lines.items()}
    values = [each.known for each in first.values()]
    (left, bottom), (right, top) = pixels(axes, [(0, 0), (1, 1)])
    pixel, places = 1 / (right - left), spread(values, 1.2 * FONT / (top - bottom))
    for (name, each), value, place in zip(first.items(), values, places, strict=True):
        if place != value:
            axes.plot([0, -8 * pixel], [value, place], color=MUTED, linewidth=0.8, clip_on=False)
        text = f"{name} {kind_mark(each.kind)}{_percent(each)}"
        write(axes, (-11 * pixel, place), text, ha="right", color=INK if name in STYLES else ACCENT)
