"""Stacked bars: fill and hatching tell the parts apart, their names stand above in the order of the parts."""

import math
from collections.abc import Sequence
from typing import Any

from greenpose.report.charts.canvas import FONT, Drawing, bare, write
from greenpose.report.figures import mark
from greenpose.report.labels import CHARACTER
from greenpose.report.purposes import LOST, MOST_BARS, Bill, Flows
from greenpose.report.svg import ACCENT, DIM, INK, PAPER

Fill = dict[str, Any]
FILLS: tuple[Fill, ...] = (
    {"facecolor": ACCENT, "edgecolor": ACCENT},
    {"facecolor": PAPER, "edgecolor": ACCENT, "hatch": "////"},
    {"facecolor": DIM, "edgecolor": DIM},
    {"facecolor": PAPER, "edgecolor": DIM},
)
"""Fills of the parts of a bar; each differs from its neighbours in more than colour."""
WASTE: dict[str, Fill] = {
    LOST["failed"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "\\\\\\\\"},
    LOST["interrupted"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "----"},
    LOST["lost"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "||||"},
}
"""Fills of what did not finish."""
WIDTH = 1120
_NAMES, _RIGHT, _GAP = 176, 172, 28
_TOP, _STEP, _BAR = 72, 28, 16


def draw(chart: Flows) -> Drawing:
    """Return one line of bars for each experiment, one bar for each cut, all of one scale."""
    bars = chart.bars[:MOST_BARS]
    longest = max((bar.total.value or 0.0 for bar in bars), default=0.0) or 1.0
    names = max([_NAMES, *(17 + math.ceil(CHARACTER * FONT * len(bar.label)) for bar in bars)])
    room = (WIDTH - names - _RIGHT - _GAP * (len(chart.cuts) - 1)) / len(chart.cuts)

    def paint(figure: Any) -> None:
        axes = bare(figure)
        for place, cut in enumerate(chart.cuts):
            left = names + place * (room + _GAP)
            write(axes, (left, 12), cut.title, color=INK, fontweight="bold")
            key(axes, (left, 34), cut.parts, FILLS, room=room)
            for line, bar in enumerate(bars):
                at = (left, _TOP + line * _STEP)
                if (parts := bar.parts[place]) is None:
                    write(axes, (left, at[1] + _BAR / 2), "not measured", fontstyle="italic")
                else:
                    stack(axes, at, [room / longest * part for part in parts], height=_BAR, fills=FILLS)
        for line, bar in enumerate(bars):
            level = _TOP + line * _STEP + _BAR / 2
            write(axes, (names - 14, level), bar.label, ha="right", color=INK)
            total = f"{mark(bar.total.kind)}{bar.total.text()} {chart.figure.unit}"
            write(axes, (WIDTH - _RIGHT + 14, level), total, color=INK)

    size = (WIDTH, _TOP + _STEP * len(bars))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def draw_bill(chart: Bill) -> Drawing:
    """Return one bar of everything, with a line of words for each part below it."""
    fills = [(WASTE[name] if name in WASTE else FILLS[index]) for index, name in enumerate(chart.parts)]

    def paint(figure: Any) -> None:
        axes = bare(figure)
        stack(axes, (1, 4), [(WIDTH - 2) / chart.total * part for part in chart.parts.values()], height=36, fills=fills)
        for index, (name, fill) in enumerate(zip(chart.parts, fills, strict=True)):
            left, level = 1 + index % 3 * WIDTH / 3, 64 + index // 3 * 24
            stack(axes, (left, level - 6), [12], height=12, fills=[fill])
            write(axes, (left + 20, level), chart.words(name), color=INK)

    size = (WIDTH, 56 + 24 * math.ceil(len(chart.parts) / 3))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def stack(axes: Any, at: tuple[float, float], widths: Sequence[float], *, height: float, fills: Sequence[Fill]) -> None:
    """Draw the parts of one bar side by side from its upper left corner on, in pixels."""
    from matplotlib.patches import Rectangle

    left = at[0]
    for width, fill in zip(widths, fills, strict=False):
        if width > 0:
            axes.add_patch(Rectangle((left, at[1]), width, height, linewidth=1, clip_on=False, **fill))
            left += width


def key(axes: Any, at: tuple[float, float], names: Sequence[str], fills: Sequence[Fill], *, room: float) -> None:
    """Write the names of the parts behind a sample of their fill, on as many lines as `room` asks for."""
    left, level = at
    for name, fill in zip(names, fills, strict=False):
        width = 15 + CHARACTER * (FONT - 1) * len(name)
        if left > at[0] and left + width > at[0] + room:
            left, level = at[0], level + 18
        stack(axes, (left, level - 5), [10], height=10, fills=[fill])
        write(axes, (left + 15, level), name, fontsize=FONT - 1)
        left += width + 8
