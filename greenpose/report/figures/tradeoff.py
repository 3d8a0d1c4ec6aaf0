"""Accuracy against footprint: scatter charts, the front, and their data as tables."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import NBSP, listed, plural
from greenpose.intervals import Bounds
from greenpose.metrics import AP, ENERGY, MACS, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity, kind_mark, mean_of, ratio
from greenpose.report.differences import seed_by_seed
from greenpose.report.drawing import (
    ACCENT,
    DIM,
    FONT,
    INK,
    MUTED,
    PAPER,
    SHAPES,
    Box,
    Drawing,
    baseline,
    grid,
    numbered,
    panel,
    pixels,
    place,
    ticks,
    write_label,
)
from greenpose.report.figures.axes import axis_title, ends_of, extent, name_axis, padded, reach
from greenpose.report.hosts import across_hosts
from greenpose.report.picture import Picture
from greenpose.report.quantities import FOOTPRINTS
from greenpose.report.ranking import (
    answered,
    cost_figure,
    energy_share,
    leaders,
    or_zero,
    pareto_front,
    score,
    staircase,
    unlike_best,
)
from greenpose.report.study import Point, Study, short_name
from greenpose.tables import (
    Table,
    TableCell,
    figure_column,
    quantity_cell,
    table_of,
)

MANY_MARKS = 200
"""Points beyond which only those of the front are named, and have intervals and lines in the table."""
MOST_FRONT = 5
"""Exits in the table beside the answer."""
KEPT = "kept"
SAVED = Metric(name="", label="Energy saved", unit="% of the first")
MOST_TOLD = 40
"""Points of the front that are told then, the cheapest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point of a chart."""

    x: Quantity
    """Footprint, in display units."""
    y: Quantity
    """Accuracy, as it is shown."""
    metric: Metric = AP
    """What accuracy is measured by."""
    label: str = ""
    """Short name: the experiment, and the exit where it has several."""
    exit: int = 0
    """Exit number; decides the shape. 0 for a point that belongs to several."""
    front: bool = False
    """Whether no other point beats it."""
    named: bool = False
    """Whether the answer names it."""

    @property
    def place(self) -> tuple[float, float]:
        """Return where it stands."""
        return self.x.known, self.y.known

    @property
    def cross(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Return its intervals as lines through it."""
        (x, y), (left, right), (bottom, top) = self.place, reach(self.x), extent(self.y, self.metric)
        lines = [((left, y), (right, y)), ((x, bottom), (x, top))]
        return [(first, second) for first, second in lines if first != second]

    def words(self, metric: Metric) -> str:
        """Return its numbers in words."""
        cost = f"{kind_mark(self.x.kind)}{self.x.text()}{NBSP}{metric.unit}"
        accuracy = self.y.text(most_decimals=self.metric.most_decimals)
        return f"{cost}, {self.metric.words} {accuracy}{self.metric.suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Accuracy against one footprint quantity."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    figure: Metric
    """The footprint quantity."""
    marks: tuple[Mark, ...]
    """Points with both numbers; empty where there is nothing to draw."""
    left_out: int
    """Points without one of the numbers."""
    absent: str
    """Why there is nothing to draw; empty where there is."""
    ranked: bool
    """False: the points come from different settings, so no front is drawn."""
    metric: Metric = AP
    """What accuracy is measured by."""
    noun: str = "exit"
    """What a point is."""

    @property
    def crowded(self) -> bool:
        """Return whether there are too many points to tell of each."""
        return len(self.marks) > MANY_MARKS

    @property
    def told(self) -> tuple[Mark, ...]:
        """Return the points that are named: all; of very many some of the front, or the first where there is none."""
        if not self.crowded:
            return self.marks
        best = [mark for mark in self.marks if mark.front] or list(self.marks)
        named = [mark for mark in self.marks if mark.named]
        others = [mark for mark in best if not mark.named][: MOST_TOLD - len(named)]
        told = {id(mark) for mark in (*named, *others)}
        return tuple(mark for mark in self.marks if id(mark) in told)

    @property
    def title(self) -> str:
        """Return `AP against energy per image`."""
        return f"{self.metric.label} against {self.figure.words}"

    @property
    def description(self) -> str:
        """Return in words what the chart shows, for readers who do not see it."""
        text = f"Scatter chart of {plural(len(self.marks), self.noun)} with 95 % intervals in both directions."
        if not self.ranked:
            return f"{text} The runs come from different settings, so no front is drawn."
        best = [f"{each.label} ({each.words(self.figure)})" for each in self.marks if each.front]
        return f"{text} {self.noun.capitalize()}s that no other beats, cheapest first: {listed(best)}."


def tradeoff_pictures(study: Study) -> list[Picture]:
    """Return accuracy against each footprint quantity, the one that exits are ranked by first and large."""
    return [_picture(chart, large=index == 0) for index, chart in enumerate(scatters(study))]


def _picture(chart: Scatter, *, large: bool) -> Picture:
    if chart.absent:
        return Picture(id=chart.id, title=chart.title, absent=chart.absent, large=large)
    whole = chart.left_out + len(chart.marks)
    notes = [f"{chart.left_out} of {whole} exits have no such number and are not drawn."] if chart.left_out else []
    notes += [] if chart.ranked else ["The runs come from different settings: no front is drawn across them."]
    if chart.crowded:
        notes.append(
            f"Of {plural(len(chart.marks), 'exit')} those that no other beats are named, {MOST_TOLD} at most. The "
            "others are small dots without intervals, one for several that would cover each other."
        )
    drawing, table = draw(chart, large=large), data_table(chart)
    return Picture(id=chart.id, title=chart.title, panels=(drawing,), data=table, notes=tuple(notes), large=large)


def scatters(study: Study) -> list[Scatter]:
    """Return one chart for each footprint quantity; the quantity that exits are ranked by comes first."""
    training = study.training_figure
    metrics = [training if metric is TRAIN_ENERGY else metric for metric in FOOTPRINTS]
    study = across_hosts(study)
    lead, named = cost_figure(study), answered(study)
    return [scatter(study, metric, named=named) for metric in sorted(metrics, key=lambda metric: metric is not lead)]


def scatter(study: Study, figure: Metric, *, named: Sequence[Point] = ()) -> Scatter:
    """Return accuracy against one quantity, cheapest point first; exits that the answer names are to be labelled."""
    figure, metric = study.shown(figure), study.accuracy
    found = [(point, point.figure(figure), point.figure(metric)) for point in study.points]
    drawn = [(point, x, y) for point, x, y in found if x.value is not None and y.value is not None]
    drawn.sort(key=lambda each: (each[1].value or 0, -metric.gain(each[2].value or 0)))
    ranked = _fair(study, figure)
    best = set(pareto_front([(x.value or 0, metric.gain(y.value or 0)) for _, x, y in drawn])) if ranked else set()
    reasons = [y.missing or x.missing for _, x, y in found if x.value is None or y.value is None]
    return Scatter(
        id=f"chart-{figure.name.replace('_', '-')}",
        figure=figure,
        metric=metric,
        marks=tuple(
            Mark(
                label=short_name(point),
                exit=point.exit,
                x=x,
                y=y,
                metric=metric,
                front=index in best,
                named=point in named,
            )
            for index, (point, x, y) in enumerate(drawn)
        ),
        left_out=len(found) - len(drawn),
        absent="" if drawn else (reasons[0] if reasons else "no run finished"),
        ranked=ranked,
    )


def data_table(chart: Scatter) -> Table:
    """Return the points of a chart as a table."""
    which, told = "the points of the chart", chart.told
    if chart.crowded:
        which = f"of its {plural(len(chart.marks), 'point')} those that no other beats, {MOST_TOLD} at most"
    return table_of(
        f"{chart.id}-data",
        f"{chart.title}: {which}.",
        ("Exit",),
        [mark.label for mark in told],
        [
            (chart.figure, [mark.x for mark in told]),
            (chart.metric, [mark.y for mark in told]),
            ("On the front", [("yes" if mark.front else "no") if chart.ranked else "not ranked" for mark in told]),
        ],
    )


def front_table(study: Study) -> Table | None:
    """Return the exits of the answer and others that no other beats, five in all; None where fewer than two are scored.

    The most accurate comes first, and the others are held against it.
    """
    if len(study.scored) < 2:
        return None
    best, named, metric = leaders(study), answered(study), study.accuracy
    shown = sorted(_first([*named, *best])[:MOST_FRONT], key=lambda point: (-score(point), or_zero(point, MACS)))
    metrics = [study.shown(each) for each in (ENERGY, MACS) if _all(shown, each) and _fair(study, each)]
    columns = [(each, [point.figure(each) for point in shown]) for each in (metric, *metrics)]
    columns.insert(1, (_kept_of(metric), [kept(point, shown[0]) for point in shown]))
    if metrics and metrics[0].name == ENERGY.name:
        columns.insert(3, (SAVED, [_saved(study, point, shown[0]) for point in shown]))
    return table_of(
        "front",
        _front_words(study, best, shown),
        ("Exit",),
        [short_name(point) for point in shown],
        [
            (
                figure_column(metric, values),
                [_front_cell(*each, shown[0], metric) for each in zip(shown, values, strict=True)],
            )
            for metric, values in columns
        ],
    )


def _kept_of(metric: Metric) -> Metric:
    """Return the column of what is left of an accuracy, or of an error how much of it there is."""
    label = metric.label if metric.lower else f"{metric.label} {KEPT}"
    return Metric(name=KEPT, label=label, unit="% of the first", most_decimals=1)


def kept(point: Point, best: Point) -> Quantity:
    """Return accuracy in percent of that of the most accurate exit, seed by seed where both ran with the same ones."""
    pairs, kind = seed_by_seed(best, point, point.accuracy)
    if found := [part / whole for whole, part in pairs if whole]:
        return mean_of(found, kind=kind) * PERCENT
    return ratio(point.figure(point.accuracy), best.figure(best.accuracy)) * PERCENT


def _saved(study: Study, point: Point, best: Point) -> Quantity:
    share = energy_share(study, point, best)
    if share.value is None:
        return share
    ends = Bounds(*(PERCENT * (1 - end) for end in reversed(share.type_a))) if share.type_a else None
    return replace(share, value=PERCENT * (1 - share.value), type_a=ends, type_b=None)


def _front_cell(point: Point, each: Quantity, best: Point, figure: Metric) -> TableCell:
    """Return a number of the front's table; of what is held against the most accurate exit, that this is the one."""
    if (figure.name == KEPT or figure is SAVED) and point == best:
        return TableCell(value="reference")
    cell = quantity_cell(each, figure)
    if figure.name == KEPT and unlike_best(point, best).verdict == "alike":
        return replace(cell, interval=f"{cell.interval} not distinguishable".strip())
    return cell


def _front_words(study: Study, best: list[Point], shown: list[Point]) -> str:
    """Return the caption: what the exits have in common, and which are left out."""
    text = (
        f"Exits that no other beats in both {study.accuracy.words} and {cost_figure(study).words}, most accurate first"
    )
    beaten = [short_name(point) for point in shown if point not in best]
    if beaten:
        text += f", and {listed(beaten)} from the answer"
    left_out = [point for point in best if point not in shown]
    cut = f" {len(best) - len(left_out)} of {len(best)} are shown, the chart below has all." if left_out else ""
    return f"{text}.{cut}"


def _first(points: list[Point]) -> list[Point]:
    """Return each point once, where it stands first."""
    return [point for index, point in enumerate(points) if point not in points[:index]]


def _fair(study: Study, figure: Metric) -> bool:
    """Return whether the figure may be compared over all runs."""
    return study.comparable or not figure.per_machine


def _all(points: list[Point], figure: Metric) -> bool:
    return all(point.figure(figure).value is not None for point in points)


LARGE, SMALL = (1120, 480), (440, 330)
"""Width and height in CSS pixels."""
_CELL = 4
"""Pixels within which points of a crowd are one."""
_LOG_FROM = 3.0
"""A horizontal axis that spans more than this factor is logarithmic."""


def draw(chart: Scatter, *, large: bool = False) -> Drawing:
    """Return the chart; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=56, right=24, top=34, bottom=52)
        log = ", log scale" if _frame(axes, chart) else ""
        _points(axes, chart)
        _labels(axes, chart, all_points=large and not chart.crowded)
        axes.set_xlabel(
            axis_title(chart.figure, (mark.x.kind for mark in chart.marks)) + log,
            color=MUTED,
            fontsize=FONT,
            labelpad=8,
        )
        name_axis(axes, chart.metric, "AP (%)", at=1)

    return Drawing(
        paint=paint,
        id=chart.id,
        size=LARGE if large else SMALL,
        title=chart.title,
        description=chart.description,
        tooltips=tuple(f"{mark.label}: {mark.words(chart.figure)}" for mark in chart.told),
    )


def _frame(axes: Any, chart: Scatter) -> bool:
    """Set up scales, grid and ticks; return whether the horizontal axis is logarithmic."""
    from matplotlib.ticker import FixedLocator, NullLocator

    xs = ends_of([reach(mark.x) for mark in chart.marks])
    ys = ends_of([extent(mark.y, chart.metric) for mark in chart.marks])
    log = xs[0] > 0 and xs[1] / xs[0] > _LOG_FROM
    if log:
        axes.set_xscale("log")
        pad = (xs[1] / xs[0]) ** 0.06
        axes.set_xlim(xs[0] / pad, xs[1] * pad)
    else:
        axes.set_xlim(*padded(xs, 0.08))
    numbered(axes.xaxis, 7)
    if log:
        axes.xaxis.set_major_locator(FixedLocator(ticks(*axes.get_xlim())))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(*padded(ys, 0.1))
    numbered(axes.yaxis, 6)
    grid(axes)
    baseline(axes)
    return log


def _points(axes: Any, chart: Scatter) -> None:
    """Draw the front as a staircase, then every point with its intervals, those of the front on top."""
    if any(mark.front for mark in chart.marks):
        points = [mark.place for mark in chart.marks]
        xs, ys = staircase(points, right=axes.get_xlim()[1], lower=chart.metric.lower)
        axes.plot(xs, ys, color=ACCENT, alpha=0.4, linewidth=3, zorder=1.5, clip_on=False, gid="front")
    if chart.crowded:
        told = {id(mark) for mark in chart.told}
        _cloud(axes, [mark for mark in chart.marks if id(mark) not in told])
    for front, colour, order in ((False, DIM, 2), (True, ACCENT, 4)):
        marks = [(index, mark) for index, mark in enumerate(chart.told) if mark.front is front]
        for index, mark in marks:
            xs, ys, centre = _crossed(mark)
            axes.plot(
                xs,
                ys,
                linewidth=1.2,
                marker=SHAPES.get(mark.exit, "D"),
                markevery=[centre],
                markersize=9 if front else 7,
                color=colour,
                markerfacecolor=PAPER if mark.x.disturbed else colour,
                clip_on=False,
                zorder=order,
                gid=f"point-{index}",
            )


def _cloud(axes: Any, marks: Sequence[Mark]) -> None:
    """Draw very many points small and without intervals; of those that would cover each other, one."""
    for exit_ in sorted({mark.exit for mark in marks}):
        places = [mark.place for mark in marks if mark.exit == exit_]
        cells = {
            (round(x / _CELL), round(y / _CELL)): place_
            for place_, (x, y) in zip(places, pixels(axes, places), strict=True)
        }
        xs, ys = zip(*cells.values(), strict=True)
        style = {"marker": SHAPES.get(exit_, "D"), "markersize": 4, "linestyle": "none", "zorder": 2}
        axes.plot(xs, ys, color=DIM, clip_on=False, **style)


def _crossed(mark: Mark) -> tuple[list[float], list[float], int]:
    """Return the intervals of a point as one line through it, and which of its corners the point is.

    One line, so that the page's script can take both off the chart together.
    """
    (x, y), (left, right), (bottom, top) = mark.place, reach(mark.x), extent(mark.y, mark.metric)
    across = [(left, y), (right, y)] if left < right else []
    corners = [*across, (x, y), *([(x, bottom), (x, top)] if bottom < top else [])]
    return [x for x, _ in corners], [y for _, y in corners], len(across)


def _labels(axes: Any, chart: Scatter, *, all_points: bool) -> None:
    """Label the front and the answer's exits, and where there is room the others too, if asked or without a front."""
    marks = chart.told
    wanted = [mark for mark in marks if mark.front or mark.named or all_points or not chart.ranked]
    centres = pixels(axes, [mark.place for mark in marks])
    frame = axes.get_window_extent()
    places = pixels(axes, [mark.place for mark in wanted])
    found = place(
        [mark.label for mark in wanted],
        places,
        needed=[mark.front or mark.named for mark in wanted],
        frame=(frame.x0, frame.y0, frame.x1, frame.y1 + 20),
        obstacles=[*_dots(centres), *_bars(axes, marks), *_steps(axes)],
        size=FONT,
    )
    for mark, centre, label in zip(wanted, places, found, strict=True):
        if label:
            write_label(axes, label, centre, INK if mark.front or mark.named else MUTED)


def _dots(centres: Sequence[tuple[float, float]]) -> list[Box]:
    return [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]


def _bars(axes: Any, marks: Sequence[Mark]) -> list[Box]:
    """Return the error bars as thin boxes, so that labels keep off them."""
    boxes = []
    for mark in marks:
        for line in mark.cross:
            (left, bottom), (right, top) = pixels(axes, line)
            boxes.append((left - 1, bottom - 1, right + 1, top + 1))
    return boxes


def _steps(axes: Any) -> list[Box]:
    """Return the staircase as thin boxes; it is the only line named `front`."""
    boxes = []
    for line in axes.lines:
        if line.get_gid() == "front":
            corners = pixels(axes, list(zip(*line.get_data(), strict=True)))
            for (x0, y0), (x1, y1) in itertools.pairwise(corners):
                boxes.append((min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    return boxes
