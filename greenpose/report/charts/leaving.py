"""Charts of leaving early: the policy as a line, exits for every image as their shapes, the choice as a ring."""

from collections.abc import Sequence
from typing import Any

from greenpose.report.charts.canvas import FONT, SHAPES, Drawing, baseline, beside, dots, grid, panel, strokes, write
from greenpose.report.charts.scatter import reach
from greenpose.report.figures import PERCENT
from greenpose.report.leaving import Leaving, Place
from greenpose.report.svg import ACCENT, INK, MUTED

SIZE = (440, 330)
"""Width and height in CSS pixels."""
_ROOM = 0.08


def draw(chart: Leaving) -> Drawing:
    """Return the curve of one run; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=56, right=30, top=34, bottom=52)
        _frame(axes, chart)
        _curve(axes, chart)
        _exits(axes, chart.exits)
        axes.set_xlabel(chart.axis, color=MUTED, fontsize=FONT, labelpad=8)
        write(axes, (0, 1.07), "AP (%)", transform=axes.transAxes, ha="right")

    return Drawing(paint=paint, id=chart.id, size=SIZE, title=chart.title, description=chart.description)


def _frame(axes: Any, chart: Leaving) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    intervals = [*chart.exits, chart.chosen]
    xs = [end for each in intervals for end in reach(each.x)] + [_place(each)[0] for each in chart.points]
    ys = [end for each in intervals for end in reach(each.y, PERCENT)] + [_place(each)[1] for each in chart.points]
    room = _ROOM * (max(ys) - min(ys)) or 1.0
    axes.set(xlim=(0, max(xs) * (1 + _ROOM)), ylim=(max(0.0, min(ys) - room), max(ys) + room))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    grid(axes)
    baseline(axes)


def _curve(axes: Any, chart: Leaving) -> None:
    """Draw the line through all choices, and a ring with both intervals at the one that was asked for."""
    places = [_place(each) for each in chart.points]
    axes.plot(*zip(*places, strict=True), color=ACCENT, linewidth=2, clip_on=False, zorder=3)
    dots(axes, places, color=ACCENT, size=5)
    chosen = _place(chart.chosen)
    strokes(axes, _cross(chart.chosen), color=ACCENT, linewidth=1.2, zorder=3)
    ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "markeredgecolor": ACCENT}
    axes.plot(*([each] for each in chosen), linestyle="none", clip_on=False, zorder=4, **ring)
    write(axes, beside(axes, chosen, (10, -16)), "early", color=ACCENT)


def _exits(axes: Any, exits: Sequence[Place]) -> None:
    strokes(axes, [line for each in exits for line in _cross(each)], color=INK, linewidth=1, zorder=2)
    for each in exits:
        place = _place(each)
        shape = SHAPES.get(each.exit or 0, "D")
        axes.plot(*([value] for value in place), marker=shape, markersize=9, color=INK, linestyle="none", clip_on=False)
        write(axes, beside(axes, place, (-8, 14)), f"exit {each.exit}", color=INK, ha="right")


def _place(each: Place) -> tuple[float, float]:
    return each.x.value or 0.0, each.y.value or 0.0


def _cross(each: Place) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the intervals of a point as lines through it."""
    (x, y), (left, right), (bottom, top) = _place(each), reach(each.x), reach(each.y, PERCENT)
    lines = [((left, y), (right, y)), ((x, bottom), (x, top))]
    return [(first, second) for first, second in lines if first != second]
