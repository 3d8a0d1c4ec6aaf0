"""Scatter charts as SVG text, byte for byte the same for the same points; matplotlib is imported on first use."""

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

from greenpose.report.estimates import Estimate
from greenpose.report.labels import Box, Label, place
from greenpose.report.pareto import staircase
from greenpose.report.svg import ACCENT, DIM, GRID, INK, MUTED, finish
from greenpose.report.tradeoff import Mark, Scatter

SHAPES = {1: "v", 2: "s", 3: "^", 4: "o"}
"""matplotlib's marker of each exit; the page's key shows the same shapes."""
LARGE, SMALL = (1120, 480), (440, 330)
"""Width and height in CSS pixels."""
_FONT = 13.0
_LOG_FROM = 3.0
"""A horizontal axis that spans more than this factor is logarithmic."""


def draw(chart: Scatter, *, large: bool = False) -> str:
    """Return the chart as an SVG element whose ids begin with `chart.id`."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    width, height = LARGE if large else SMALL
    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own matplotlibrc must not show
        mpl.rcParams |= {"svg.hashsalt": "greenpose", "svg.fonttype": "none", "text.parse_math": False}
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        left, right, top, bottom = 56, 24, 34, 52
        axes = figure.add_axes(
            (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        )
        log = _frame(axes, chart)
        _points(axes, chart)
        _labels(axes, chart, all_points=large)
        axes.set_xlabel(chart.axis + (", log scale" if log else ""), color=MUTED, fontsize=_FONT, labelpad=8)
        axes.text(
            0, 1, "AP (%)", transform=axes.transAxes, color=MUTED, fontsize=_FONT, ha="right", va="bottom", gid="y"
        )
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer := io.StringIO(), metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return finish(
        buffer.getvalue(),
        prefix=chart.id,
        size=(width, height),
        title=chart.title,
        description=chart.description,
        tooltips=[_tooltip(chart, mark) for mark in chart.marks],
    )


def ticks(low: float, high: float) -> list[float]:
    """Return round values between the ends of a logarithmic axis: the finest usual steps that give at most eight."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) <= 8:
            break
    return found


def _frame(axes: Any, chart: Scatter) -> bool:
    """Set up scales, grid and ticks; return whether the horizontal axis is logarithmic."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    xs, ys = _ends([mark.x for mark in chart.marks]), _ends([mark.y for mark in chart.marks])
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
    axes.grid(visible=True, color=GRID, linewidth=1, clip_on=False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=7, labelsize=_FONT - 1, labelcolor=MUTED)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED)
    return log


def _points(axes: Any, chart: Scatter) -> None:
    """Draw the front as a staircase, then every point with its intervals, those of the front on top."""
    if any(mark.front for mark in chart.marks):
        points = [(mark.x.value or 0.0, mark.y.value or 0.0) for mark in chart.marks]
        xs, ys = staircase(points, right=axes.get_xlim()[1])
        axes.plot(xs, ys, color=ACCENT, alpha=0.4, linewidth=3, zorder=1.5, clip_on=False, gid="front")
    for index, mark in sorted(enumerate(chart.marks), key=lambda each: each[1].front):
        colour = ACCENT if mark.front else DIM
        order = 5 if mark.front else 3
        x, y = mark.x.value or 0.0, mark.y.value or 0.0
        if mark.x.low is not None and mark.x.high is not None:
            axes.plot([mark.x.low, mark.x.high], [y, y], color=colour, linewidth=1.2, zorder=order - 1, clip_on=False)
        if mark.y.low is not None and mark.y.high is not None:
            axes.plot([x, x], [mark.y.low, mark.y.high], color=colour, linewidth=1.2, zorder=order - 1, clip_on=False)
        axes.plot(
            [x],
            [y],
            marker=SHAPES.get(mark.exit, "D"),
            markersize=9 if mark.front else 7,
            markerfacecolor=colour,
            markeredgecolor=colour,
            linestyle="none",
            clip_on=False,
            zorder=order,
            gid=f"point-{index}",
        )


def _labels(axes: Any, chart: Scatter, *, all_points: bool) -> None:
    """Label every point of the front, and where there is room the others too, if asked or if there is no front."""
    marks = chart.marks
    wanted = [mark for mark in marks if mark.front or all_points or not chart.ranked]
    centres = _pixels(axes, [(mark.x.value or 0.0, mark.y.value or 0.0) for mark in marks])
    frame = axes.get_window_extent()
    places = _pixels(axes, [(mark.x.value or 0.0, mark.y.value or 0.0) for mark in wanted])
    found = place(
        [mark.label for mark in wanted],
        places,
        needed=[mark.front for mark in wanted],
        frame=(frame.x0, frame.y0, frame.x1, frame.y1 + 20),
        obstacles=[*_dots(centres), *_bars(axes, marks), *_steps(axes)],
        size=_FONT,
    )
    for mark, centre, label in zip(wanted, places, found, strict=True):
        if label:
            _write(axes, label, centre, INK if mark.front else MUTED)


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
    axes.text(*place_, label.text, ha=flush, va="center_baseline", fontsize=_FONT, color=colour, zorder=6, gid="label")


def _dots(centres: Sequence[tuple[float, float]]) -> list[Box]:
    return [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]


def _bars(axes: Any, marks: Sequence[Mark]) -> list[Box]:
    """Return the error bars as thin boxes, so that labels keep off them."""
    boxes = []
    for mark in marks:
        x, y = mark.x.value or 0.0, mark.y.value or 0.0
        ends = _pixels(
            axes,
            [
                (_or(mark.x.low, x), y),
                (_or(mark.x.high, x), y),
                (x, _or(mark.y.low, y)),
                (x, _or(mark.y.high, y)),
            ],
        )
        (left, level), (right, _), (middle, bottom), (_, top) = ends
        boxes += [(left, level - 1, right, level + 1), (middle - 1, bottom, middle + 1, top)]
    return boxes


def _steps(axes: Any) -> list[Box]:
    """Return the staircase as thin boxes; it is the only line named `front`."""
    boxes = []
    for line in axes.lines:
        if line.get_gid() == "front":
            corners = _pixels(axes, list(zip(*line.get_data(), strict=True)))
            for (x0, y0), (x1, y1) in itertools.pairwise(corners):
                boxes.append((min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    return boxes


def _pixels(axes: Any, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in axes.transData.transform(points)]


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _ends(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return the lowest and highest value that intervals reach."""
    values = [value for each in estimates for value in (each.low, each.value, each.high) if value is not None]
    return min(values), max(values)


def _padded(ends: tuple[float, float], share: float) -> tuple[float, float]:
    room = (ends[1] - ends[0]) * share or abs(ends[1]) * 0.1 or 1.0
    return ends[0] - room, ends[1] + room


def _tooltip(chart: Scatter, mark: Mark) -> str:
    return f"{mark.label}: {mark.x.text()} {chart.figure.unit}, AP {mark.y.text(most_decimals=1)} %"
