"""Dot plots of repetition: a dot for each run, as far off the mean as it lies, and the interval of the mean."""

from typing import Any

from greenpose.report.charts.canvas import FONT, Drawing, beside, dots, panel, strokes, write
from greenpose.report.repeats import Line, Repeats
from greenpose.report.svg import ACCENT, DIM, GRID, INK, MUTED

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
                    write(axes, beside(axes, (edge, level), (-14, 0)), line.name, ha="right", color=INK)

    size = (WIDTH, 80 + _STEP * len(lines))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def _frame(axes: Any, lines: tuple[Line, ...], place: int) -> None:
    """Set up a scale that reaches as far to either side, around the mean."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    spreads = [line.spreads[place] for line in lines]
    ends = [abs(each) for spread in spreads for each in (*spread.deviations, *(spread.interval or ()))]
    reach = 1.1 * max(ends, default=0.0) or 1.0
    axes.set(xlim=(-reach, reach), ylim=(len(lines) - 0.5, -0.5), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.12g}".replace("-", "−") if value else "0"))
    axes.grid(visible=True, axis="x", color=GRID, linewidth=1, clip_on=False)
    axes.axvline(0, color=MUTED, linewidth=1.4, clip_on=False)
    axes.set_xlabel(spreads[0].unit, color=MUTED, fontsize=FONT, labelpad=6)
    at = beside(axes, (-reach, -0.5), (0, 14))
    write(axes, at, spreads[0].figure.label, color=INK, fontweight="bold")


def _fill(axes: Any, lines: tuple[Line, ...], place: int) -> None:
    found = [(level, line.spreads[place]) for level, line in enumerate(lines)]
    ends = [((low, level), (high, level)) for level, each in found if each.interval for low, high in [each.interval]]
    strokes(axes, ends, color=ACCENT, linewidth=2.2)
    dots(axes, [(off, level) for level, each in found for off in each.deviations], color=DIM, size=7)
    for level, each in found:
        if not each.values:
            write(axes, (0, level), "not measured", ha="center", fontstyle="italic", fontsize=FONT - 1)
