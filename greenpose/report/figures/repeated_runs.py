"""Repeated runs: how far they lie apart, and how well each exit was measured."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from greenpose.formatting import NBSP, Text, exact, listed, plain, plural
from greenpose.metrics import ENERGY, LATENCY, PERCENT, Metric
from greenpose.quantity import Quantity, worst
from greenpose.report.drawing import (
    ACCENT,
    DIM,
    FONT,
    INK,
    Drawing,
    around_zero,
    dots,
    grid,
    numbered,
    panel,
    shifted,
    strokes,
    write,
)
from greenpose.report.labels import seeds
from greenpose.report.picture import Picture, drawn, left_out
from greenpose.report.quantities import of_exit
from greenpose.report.ranking import leaders
from greenpose.report.study import Point, Study, by_exit, energy_kind, measurement, not_converged, short_name
from greenpose.tables import (
    Column,
    Table,
    TableCell,
    kind_notes,
    missing_cell,
    number_cell,
    table_of,
)

TITLE = "How far single runs lie from their mean"
MOST_DOTS = 40
"""Runs of an exit that are drawn; of more, so many evenly spaced by rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One number of an exit in each of its runs."""

    figure: Metric
    """The number."""
    values: tuple[float, ...]
    """In display units, in order of size; empty where fewer than two runs know it."""
    mean: Quantity
    """Their mean with its interval."""
    missing: str = ""
    """Why there are no values."""

    @property
    def unit(self) -> str:
        """Return the unit of deviations: that of a percentage is percentage points."""
        if self.figure.per_machine:
            return "% of the mean"
        return self.figure.points_in_full

    def off(self, value: float) -> float:
        """Return how far a value is off the mean, in `unit`."""
        mean = self.mean.value or 0.0
        return PERCENT * (value / mean - 1) if self.figure.per_machine else value - mean

    @property
    def deviations(self) -> list[float]:
        """Return how far each run is off the mean; of many runs, some that are evenly spaced by rank."""
        step = max(1.0, (len(self.values) - 1) / (MOST_DOTS - 1))
        chosen = [round(index * step) for index in range(min(len(self.values), MOST_DOTS))]
        return [self.off(self.values[index]) for index in chosen]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the ends of the mean's interval, as deviations."""
        ends = self.mean.type_a
        return (self.off(ends.low), self.off(ends.high)) if ends else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatLine:
    """One exit that was run more than once."""

    name: str
    """The exit with its experiment."""
    exit: int
    """Exit number; decides the shape."""
    runs: int
    """How many runs there are."""
    spreads: tuple[Spread, ...]
    """Its numbers, in the order of the chart's figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """All exits that were run more than once."""

    figures: tuple[Metric, ...]
    """The numbers that are shown, those that any line knows."""
    lines: tuple[RepeatLine, ...]
    """The exits; empty where nothing was repeated."""

    @property
    def description(self) -> str:
        """Return in words how far apart the runs are at most."""
        parts = [f"{figure.label}: {self._widest(index)}" for index, figure in enumerate(self.figures)]
        return f"Dot plot of {plural(len(self.lines), 'exit')} that were run more than once. {'; '.join(parts)}."

    def _widest(self, index: int) -> str:
        known = [(line.spreads[index], line.name) for line in self.lines if line.spreads[index].values]
        spread, name = max(known, key=lambda each: max(map(abs, each[0].deviations)))
        return f"at most {plain(max(map(abs, spread.deviations)), 2)}{NBSP}{spread.unit} off, {name}"


def repeats_picture(study: Study) -> Picture | None:
    """Return how far repeated runs lie apart; None where nothing was repeated."""
    chart = repeats(study)
    if not chart.lines:
        return None
    best = {short_name(point) for point in leaders(study)}
    lines = drawn(chart.lines, MOST_LINES, leads=lambda line: line.name in best)
    return Picture(
        id="repeats",
        title=TITLE,
        panels=(draw(replace(chart, lines=lines)),),
        data=repeats_table(chart),
        notes=left_out(len(lines), len(chart.lines)),
        large=True,
    )


def repeats(study: Study) -> Repeats:
    """Return how far the runs of each exit lie apart in accuracy, energy and latency."""
    points = [point for point in study.points if len(point.group.runs) > 1]
    shown = (study.accuracy, study.shown(ENERGY), LATENCY)
    lines = [(point, {figure: _spread(point, figure) for figure in shown}) for point in points]
    figures = tuple(figure for figure in shown if any(found[figure].values for _, found in lines))
    return Repeats(
        figures=figures,
        lines=tuple(
            RepeatLine(
                name=short_name(point),
                exit=point.exit,
                runs=len(point.group.runs),
                spreads=tuple(found[figure] for figure in figures),
            )
            for point, found in lines
        )
        if figures
        else (),
    )


def repeats_table(chart: Repeats) -> Table:
    """Return the lowest, the middle and the highest run of each exit."""
    columns: list[tuple[Column, list[TableCell]]] = []
    for index, metric in enumerate(chart.figures):
        spreads = [line.spreads[index] for line in chart.lines]
        notes = kind_notes([worst(each.mean.kind for each in spreads if each.values)])
        for place, which in enumerate(("lowest", "middle", "highest")):
            head = Column(head=f"{metric.label}, {which}", unit=metric.unit, notes=notes)
            columns.append((head, [_cells(each)[place] for each in spreads]))
    return table_of(
        "repeats-data",
        f"{TITLE}: the lowest, the middle and the highest of all runs of an exit.",
        ("Exit",),
        [line.name for line in chart.lines],
        [(Column(head="Runs", unit="count"), [str(line.runs) for line in chart.lines]), *columns],
    )


def _spread(point: Point, figure: Metric) -> Spread:
    found = point.group.together.each(lambda run: of_exit(run.exit(point.exit), figure).value)
    values = sorted(each for each in found if each is not None)
    mean = point.figure(figure)
    if len(values) < 2 or not mean.value:
        reasons = [why for run in point.group.runs if (why := of_exit(run.exit(point.exit), figure).missing)]
        return Spread(
            figure=figure, values=(), mean=mean, missing=reasons[0] if reasons else "fewer than two runs know it"
        )
    return Spread(figure=figure, values=tuple(values), mean=mean)


def _cells(spread: Spread) -> list[TableCell]:
    if not spread.values:
        return [missing_cell(spread.missing)] * 3
    chosen = (spread.values[0], statistics.median(spread.values), spread.values[-1])
    texts = [
        Quantity(value=each, disturbed=spread.mean.disturbed).text(most_decimals=spread.figure.most_decimals)
        for each in chosen
    ]
    return [number_cell(Text(value=text.value), kind=spread.mean.kind) for text in texts]


WIDTH = 1120
MOST_LINES = 24
"""Exits that are drawn; the table has all."""
_NAMES, _GAP, _STEP = 230, 34, 24


def draw(chart: Repeats) -> Drawing:
    """Return the exits below each other, one field for each number; ids in its SVG begin with `chart.id`."""
    lines = chart.lines[:MOST_LINES]
    num_fields = len(chart.figures)
    width = (WIDTH - _NAMES - 16 - _GAP * (num_fields - 1)) / num_fields

    def paint(figure: Any) -> None:
        for place in range(num_fields):
            left = _NAMES + place * (width + _GAP)
            axes = panel(figure, left=left, right=WIDTH - left - width, top=32, bottom=48)
            _frame(axes, lines, place)
            _fill(axes, lines, place)
            if place == 0:
                edge = axes.get_xlim()[0]
                for level, line in enumerate(lines):
                    write(axes, shifted(axes, (edge, level), (-14, 0)), line.name, ha="right", color=INK)

    size = (WIDTH, 80 + _STEP * len(lines))
    return Drawing(paint=paint, id="repeats", size=size, title=TITLE, description=chart.description)


def _frame(axes: Any, lines: tuple[RepeatLine, ...], place: int) -> None:
    """Set up a scale that reaches as far to either side, around the mean."""
    spreads = [line.spreads[place] for line in lines]
    ends = [abs(each) for spread in spreads for each in (*spread.deviations, *(spread.interval or ()))]
    reach = 1.1 * max(ends, default=0.0) or 1.0
    around_zero(axes, reach=(-reach, reach), num_lines=len(lines), label=spreads[0].unit)
    numbered(axes.xaxis, 5, signed=True)
    grid(axes, "x")
    at = shifted(axes, (-reach, -0.5), (0, 14))
    write(axes, at, spreads[0].figure.label, color=INK, fontweight="bold")


def _fill(axes: Any, lines: tuple[RepeatLine, ...], place: int) -> None:
    found = [(level, line.spreads[place]) for level, line in enumerate(lines)]
    ends = [((low, level), (high, level)) for level, each in found if each.interval for low, high in [each.interval]]
    strokes(axes, ends, color=ACCENT, linewidth=2.2)
    dots(axes, [(off, level) for level, each in found for off in each.deviations], color=DIM, size=7)
    for level, each in found:
        if not each.values:
            write(axes, (0, level), "not measured", ha="center", fontstyle="italic", fontsize=FONT - 1)


_MEASURES: Mapping[str, tuple[str, str, float]] = {
    "items_per_call": ("Batch", "images", 1),
    "blocks": ("Blocks", "count", 1),
    "calls": ("Calls", "count", 1),
    "window_seconds": ("Window", "s", 1),
    "idle_watts": ("Idle power", "W", 1),
    "between_runs": ("Runs differ by, assumed", "% (1 sd)", 100),
    "converged": ("Precise as asked", "", 1),
    "foreign_cpu_share": ("Other processes", "% of CPU time", 100),
    "steal_share": ("Other guests", "% of CPU time", 100),
    "involuntary_switches": ("Interruptions", "count", 1),
    "minor_faults": ("Page faults", "count", 1),
    "resolution_share": ("Counter step", "% of a window", 100),
}
"""How the page words what a record says about the measuring of an exit: heading, unit, factor."""


def quality_table(study: Study) -> Table:
    """Return what stands behind the intervals of each exit: runs, seeds, test images, blocks, convergence."""
    points = study.points
    runs = [point.group.runs for point in points]
    columns: list[tuple[Column, list[TableCell]]] = []
    for key in _measurement_keys(study):
        head, unit, _ = _measure(key)
        columns.append((Column(head=head, unit=unit, words=not unit), [_measured(point, key) for point in points]))
    return table_of(
        "sureness",
        "What stands behind the intervals of each exit, and what disturbed its measuring. Where runs differ, the range "
        "is given.",
        ("Experiment", "Exit"),
        by_exit(study.groups),
        [
            (Column(head="Runs", unit="count"), [str(len(each)) for each in runs]),
            ("Seeds", map(seeds, runs)),
            (
                Column(head="Test images", unit="count"),
                [_summary(point.group.together.each(lambda run: run.images.get("test", 0))) for point in points],
            ),
            (
                Column(head="Test subjects", unit="count"),
                [
                    _summary(point.group.together.each(lambda run: run.subjects.get("test") or "not known"))
                    for point in points
                ],
            ),
            *columns,
        ],
    )


def precision(study: Study) -> str:
    """Return in a sentence whether metering of inference became as precise as was asked."""
    known = any(isinstance(each, bool) for point in study.points for each in measurement(point, "converged"))
    unsettled = not_converged(study)
    if unsettled:
        return (
            "Metering stopped at its limit of blocks or seconds before it was as precise as asked: "
            f"{listed(unsettled)}."
        )
    if known:
        return "Metering of every exit became as precise as was asked."
    return "The records do not say whether metering became as precise as was asked."


def warnings(study: Study) -> list[str]:
    """Return what the meter warned of, each with the exits that it concerns."""
    found: dict[str, list[str]] = {}
    for point in study.points:
        for warning in dict.fromkeys(str(each) for some in measurement(point, "warnings") for each in some or ()):
            found.setdefault(warning, []).append(point.label)
    return [f"{warning} ({listed(labels)})" for warning, labels in found.items()]


def _measured(point: Point, key: str) -> TableCell:
    """Return what the runs say under a name; watts are marked as the joules are that they come from."""
    cell = _summary([_scaled(each, key) for each in measurement(point, key) if each is not None])
    if _measure(key)[1] != "W" or cell.missing:
        return cell
    return number_cell(Text(value=cell.value), kind=energy_kind(point.group))


def _summary(values: Sequence[Any]) -> TableCell:
    """Return one value, the range of numbers, the tally of yes and no, or the distinct words."""
    if not values:
        return missing_cell("the record says nothing about it")
    if all(isinstance(value, bool) for value in values):
        return TableCell(value=_tally(values))
    if all(isinstance(value, int | float) for value in values):
        low, high = _shown(min(values)), _shown(max(values))
        return TableCell(value=low if low == high else f"{low}–{high}")
    return TableCell(value=listed([str(value) for value in dict.fromkeys(values)]))


def _tally(values: Sequence[bool]) -> str:
    if all(values):
        return "yes"
    return f"{sum(values)} of {len(values)} runs" if any(values) else "no"


def _shown(value: float) -> str:
    return exact(value) if isinstance(value, int) else plain(value, 2)


def _scaled(value: Any, key: str) -> Any:
    factor = _measure(key)[2]
    return value * factor if factor != 1 else value


def _measurement_keys(study: Study) -> list[str]:
    """Return the names of everything that the records say about measuring, as single values."""
    said = study.together.each(lambda run: [key for entry in run.exits for key in _single(entry.measurement)])
    return list(dict.fromkeys(chain(*said)))


def _single(measurement: Mapping[str, Any]) -> list[str]:
    return [key for key, value in measurement.items() if value is not None and not isinstance(value, list | dict)]


def _measure(key: str) -> tuple[str, str, float]:
    return _MEASURES.get(key, (key.replace("_", " "), "as recorded", 1))
