"""Slope charts: each exit as percentages of the final one; a flat line gives nothing away at the smaller exit."""

from collections.abc import Sequence
from typing import Any

from greenpose.report.charts.canvas import FONT, Drawing, baseline, panel, pixels, strokes, write
from greenpose.report.estimates import Estimate
from greenpose.report.labels import spread
from greenpose.report.slopes import Line, Slopes
from greenpose.report.svg import ACCENT, DIM, GRID, INK, MUTED

SIZE = (440, 300)
"""Width and height in CSS pixels."""
STYLES: dict[str, dict[str, Any]] = {
    "AP": {"color": ACCENT, "linewidth": 3},
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
        for index, line in enumerate(chart.lines):
            _line(axes, line, aside=0.012 * index * (len(chart.exits) - 1))
        _labels(axes, chart.lines)

    return Drawing(paint=paint, id=chart.id, size=SIZE, title=chart.title, description=chart.description)


def _frame(axes: Any, chart: Slopes) -> None:
    """Set up a place for each exit and the scale, which begins at zero and holds every interval."""
    last = len(chart.exits) - 1
    top = max(_ends(each)[1] for line in chart.lines for each in line.shares)
    axes.set(xlim=(0, last), ylim=(0, 1.03 * top), yticks=[])
    axes.set_xticks(range(last + 1), [f"exit {exit_}{', final' * (exit_ == chart.exits[-1])}" for exit_ in chart.exits])
    strokes(axes, [((place, 0), (place, 1.03 * top)) for place in range(last + 1)], color=GRID, linewidth=1)
    baseline(axes)
    write(axes, (last * 1.025, 100), "100 %", fontsize=FONT - 1)


def _line(axes: Any, line: Line, *, aside: float) -> None:
    """Draw a quantity and its intervals, the latter so far beside their exit that they do not cover one another."""
    style = STYLES[line.name]
    axes.plot(range(len(line.shares)), [each.value for each in line.shares], clip_on=False, **style)
    ends = [
        ((place + aside, low), (place + aside, high))
        for place, (low, high) in enumerate(map(_ends, line.shares))
        if high > low
    ]
    strokes(axes, ends, color=style["color"], linewidth=1.2)


def _labels(axes: Any, lines: Sequence[Line]) -> None:
    """Name each line at its left end; labels that would touch are moved apart, and a hair line leads to theirs."""
    values = [line.shares[0].value or 0.0 for line in lines]
    (left, bottom), (right, top) = pixels(axes, [(0, 0), (1, 1)])
    pixel = 1 / (right - left)
    for line, value, place in zip(lines, values, spread(values, 1.2 * FONT / (top - bottom)), strict=True):
        if place != value:
            axes.plot([0, -8 * pixel], [value, place], color=MUTED, linewidth=0.8, clip_on=False)
        write(axes, (-11 * pixel, place), line.label, ha="right", color=ACCENT if line.name == "AP" else INK)


def _ends(each: Estimate) -> tuple[float, float]:
    value = each.value or 0.0
    low, high = (value if end is None else end for end in (each.low, each.high))
    return max(0.0, low), high
