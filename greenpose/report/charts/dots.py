"""Paired differences: a small dot for each seed, the mean with its interval, a line at no difference."""

from typing import Any

from greenpose.report.charts.canvas import FONT, SHAPES, Drawing, beside, dots, panel, strokes, write
from greenpose.report.figures import AP
from greenpose.report.pairs import Pair, Pairs
from greenpose.report.svg import ACCENT, DIM, GRID, INK, MUTED

WIDTH = 1120
MOST_LINES = 24
"""Pairs that are drawn; the table has all."""
_STEP = 30


def draw(chart: Pairs) -> Drawing:
    """Return the pairs below each other; ids in its SVG begin with `chart.id`."""
    pairs = chart.pairs[:MOST_LINES]

    def paint(figure: Any) -> None:
        axes = panel(figure, left=340, right=330, top=26, bottom=44)
        _frame(axes, pairs, chart.sides)
        seeds = [(each, line - 0.3) for line, pair in enumerate(pairs) for each in pair.differences]
        dots(axes, seeds, color=DIM, size=5)
        for line, pair in enumerate(pairs):
            _line(axes, line, pair)

    size = (WIDTH, 70 + _STEP * len(pairs))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def _frame(axes: Any, pairs: tuple[Pair, ...], sides: tuple[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ends = [0.0, *(end for pair in pairs for end in _ends(pair))]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    axes.set(xlim=(min(ends) - room, max(ends) + room), ylim=(len(pairs) - 0.5, -0.5), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.12g}".replace("-", "−") if value else "0"))
    axes.grid(visible=True, axis="x", color=GRID, linewidth=1, clip_on=False)
    axes.axvline(0, color=MUTED, linewidth=1.4, clip_on=False)
    axes.set_xlabel("difference in AP, percentage points", color=MUTED, fontsize=FONT, labelpad=6)
    write(axes, beside(axes, (0, -0.5), (-8, 12)), f"← {sides[0]}", ha="right", fontsize=FONT - 1)
    write(axes, beside(axes, (0, -0.5), (8, 12)), f"{sides[1]} →", ha="left", fontsize=FONT - 1)


def _line(axes: Any, line: int, pair: Pair) -> None:
    mean = pair.mean
    assert mean.value is not None
    if mean.low is not None and mean.high is not None:
        strokes(axes, [((mean.low, line), (mean.high, line))], color=ACCENT, linewidth=2.2)
    axes.plot([mean.value], [line], marker=SHAPES.get(pair.exit, "D"), markersize=9, color=ACCENT, clip_on=False)
    left, right = axes.get_xlim()
    write(axes, beside(axes, (left, line), (-14, 0)), f"{pair.name} − {pair.against}", ha="right", color=INK)
    text = f"{mean.text(most_decimals=AP.most_decimals)}, {pair.verdict}"
    write(axes, beside(axes, (right, line), (14, 0)), text, color=INK)


def _ends(pair: Pair) -> list[float]:
    mean = pair.mean
    return [*pair.differences, *(end for end in (mean.low, mean.high) if end is not None)]
