"""Courses of training: accuracy as energy is spent, a line for each run of two recipes."""

from typing import Any

from greenpose.formatting import plain
from greenpose.report.charts.canvas import FONT, Drawing, baseline, beside, grid, panel, write
from greenpose.report.courses import Course
from greenpose.report.svg import ACCENT, INK, MUTED

SIZE = (440, 330)
"""Width and height in CSS pixels."""


def draw(chart: Course) -> Drawing:
    """Return the runs of both recipes; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=52, right=20, top=64, bottom=50)
        _frame(axes, chart)
        for lines, style in ((chart.paper, {"color": INK, "ls": (0, (5, 3))}), (chart.other, {"color": ACCENT})):
            for line in lines:
                axes.plot(*zip(*line, strict=True), linewidth=1.8, **style)
        _words(axes, chart)

    return Drawing(paint=paint, id=chart.id, size=SIZE, title=chart.title, description=chart.description)


def _frame(axes: Any, chart: Course) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    points = [point for line in (*chart.paper, *chart.other) for point in line]
    right, top = max(x for x, _ in points), 1.1 * max(chart.level, *(y for _, y in points))
    axes.set(xlim=(0, 1.02 * right), ylim=(0, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value, 2)))
    grid(axes)
    baseline(axes)
    axes.set_xlabel(
        f"Training energy so far, {chart.symbol}{chart.figure.unit}", color=MUTED, fontsize=FONT, labelpad=6
    )
    axes.plot([0, 1.02 * right], [chart.level] * 2, color=MUTED, linewidth=1)


def _words(axes: Any, chart: Course) -> None:
    """Name the two recipes above the frame, each in its colour and dashes, and the level at its line."""
    top = axes.get_ylim()[1]
    for up, text, color in (
        (48, f"solid: {chart.names[1]}", ACCENT),
        (31, f"dashed: {chart.names[0]}", INK),
        (14, "Validation AP, %", MUTED),
    ):
        write(axes, beside(axes, (0, top), (-44, up)), text, color=color)
    write(axes, beside(axes, (0, chart.level), (4, 8)), "level to hold", fontsize=FONT - 1)
