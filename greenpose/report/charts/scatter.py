"""Scatter charts: what accuracy costs, with intervals both ways, the front, and labels at its points."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from greenpose.report.charts.canvas import FONT, SHAPES, Drawing, baseline, grid, panel, pixels
from greenpose.report.charts.ticks import ticks
from greenpose.report.estimates import Estimate
from greenpose.report.figures import PERCENT
from greenpose.report.labels import Box, Label, place
from greenpose.report.pareto import staircase
from greenpose.report.svg import ACCENT, DIM, INK, MUTED, PAPER
from greenpose.report.tradeoff import Mark, Scatter

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
        log = _frame(axes, chart)
        _points(axes, chart)
        _labels(axes, chart, all_points=large and not chart.crowded)
        axes.set_xlabel(chart.axis + (", log scale" if log else ""), color=MUTED, fontsize=FONT, labelpad=8)
        axes.text(0, 1, "AP (%)", transform=axes.transAxes, color=MUTED, fontsize=FONT, ha="right", va="bottom")

    return Drawing(
        paint=paint,
        id=chart.id,
        size=LARGE if large else SMALL,
        title=chart.title,
        description=chart.description,
        tooltips=tuple(f"{mark.label}: {chart.words(mark)}" for mark in chart.told),
    )


def _frame(axes: Any, chart: Scatter) -> bool:
    """Set up scales, grid and ticks; return whether the horizontal axis is logarithmic."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    xs = _ends([reach(mark.x) for mark in chart.marks])
    ys = _ends([reach(mark.y, PERCENT) for mark in chart.marks])
    log = xs[0] > 0 and xs[1] / xs[0] > _LOG_FROM
    if log:
        axes.set_xscale("log")
        pad = (xs[1] / xs[0]) ** 0.06
        axes.set_xlim(xs[0] / pad, xs[1] * pad)
        axes.xaxis.set_major_locator(FixedLocator(ticks(*axes.get_xlim())))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(*_padded(xs, 0.08))
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(*_padded(ys, 0.1))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    grid(axes)
    baseline(axes)
    return log


def _points(axes: Any, chart: Scatter) -> None:
    """Draw the front as a staircase, then every point with its intervals, those of the front on top."""
    if any(mark.front for mark in chart.marks):
        points = [_place(mark) for mark in chart.marks]
        xs, ys = staircase(points, right=axes.get_xlim()[1])
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
        places = [_place(mark) for mark in marks if mark.exit == exit_]
        cells = {
            (round(x / _CELL), round(y / _CELL)): place_
            for place_, (x, y) in zip(places, pixels(axes, places), strict=True)
        }
        xs, ys = zip(*cells.values(), strict=True)
        style = {"marker": SHAPES.get(exit_, "D"), "markersize": 4, "linestyle": "none", "zorder": 2}
        axes.plot(xs, ys, color=DIM, clip_on=False, **style)


def _place(mark: Mark) -> tuple[float, float]:
    return mark.x.value or 0.0, mark.y.value or 0.0


def _cross(mark: Mark) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the intervals of a point as lines through it."""
    (x, y), (left, right), (bottom, top) = _place(mark), reach(mark.x), reach(mark.y, PERCENT)
    lines = [((left, y), (right, y)), ((x, bottom), (x, top))]
    return [(first, second) for first, second in lines if first != second]


def _crossed(mark: Mark) -> tuple[list[float], list[float], int]:
    """Return the intervals of a point as one line through it, and which of its corners the point is.

    One line, so that the page's script can take both off the chart together.
    """
    (x, y), (left, right), (bottom, top) = _place(mark), reach(mark.x), reach(mark.y, PERCENT)
    across = [(left, y), (right, y)] if left < right else []
    corners = [*across, (x, y), *([(x, bottom), (x, top)] if bottom < top else [])]
    return [x for x, _ in corners], [y for _, y in corners], len(across)


def reach(each: Estimate, most: float = math.inf) -> tuple[float, float]:
    """Return the ends of an interval as far as they can be: costs are not negative, shares not above the whole."""
    value = each.value or 0.0
    low, high = (value if end is None else end for end in (each.low, each.high))
    return max(0.0, low), min(most, high)


def _labels(axes: Any, chart: Scatter, *, all_points: bool) -> None:
    """Label the front and the answer's exits, and where there is room the others too, if asked or without a front."""
    marks = chart.told
    wanted = [mark for mark in marks if mark.front or mark.named or all_points or not chart.ranked]
    centres = pixels(axes, [_place(mark) for mark in marks])
    frame = axes.get_window_extent()
    places = pixels(axes, [_place(mark) for mark in wanted])
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
            _write(axes, label, centre, INK if mark.front or mark.named else MUTED)


def _write(axes: Any, label: Label, centre: tuple[float, float], colour: str) -> None:
    left, bottom, right, top = label.box
    flush = "right" if right <= centre[0] else "left" if left >= centre[0] else "center"
    x = {"right": right, "left": left, "center": (left + right) / 2}[flush]
    inverse = axes.transData.inverted()
    if label.leader:
        near = (min(max(centre[0], left), right), min(max(centre[1], bottom), top))
        ends = inverse.transform([centre, near])
        axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.8, zorder=2, clip_on=False)
    place_ = inverse.transform((x, (bottom + top) / 2))
    axes.text(*place_, label.text, ha=flush, va="center_baseline", fontsize=FONT, color=colour, zorder=6, gid="label")


def _dots(centres: Sequence[tuple[float, float]]) -> list[Box]:
    return [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]


def _bars(axes: Any, marks: Sequence[Mark]) -> list[Box]:
    """Return the error bars as thin boxes, so that labels keep off them."""
    boxes = []
    for mark in marks:
        for line in _cross(mark):
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


def _ends(reaches: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the lowest and highest value that intervals reach."""
    return min(low for low, _ in reaches), max(high for _, high in reaches)


def _padded(ends: tuple[float, float], share: float) -> tuple[float, float]:
    """Return the ends of an axis with some room, but none below zero, where nothing can be."""
    room = (ends[1] - ends[0]) * share or abs(ends[1]) * 0.1 or 1.0
    return max(0.0, ends[0] - room), ends[1] + room
