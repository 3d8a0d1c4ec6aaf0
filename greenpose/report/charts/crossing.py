"""Break-even charts: what an exit costs beyond a plain training, against images; the crossing is when it has paid."""

from typing import Any

from greenpose.formatting import plain
from greenpose.report.charts.canvas import FONT, Drawing, baseline, beside, grid, panel, write
from greenpose.report.charts.ticks import ticks
from greenpose.report.svg import ACCENT, INK, MUTED
from greenpose.report.winning import Crossing

SIZE = (440, 310)
"""Width and height in CSS pixels."""
_REACH = 60.0
"""The axis goes so many times beyond the crossing, either way."""
_STEPS = 24


def draw(chart: Crossing) -> Drawing:
    """Return the two lines; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=62, right=34, top=30, bottom=50)
        left, right = _range(chart)
        _frame(axes, chart, left, right)
        _lines(axes, chart, left, right)
        _crossing(axes, chart, left)

    return Drawing(paint=paint, id=chart.id, size=SIZE, title=chart.title, description=chart.description)


def _range(chart: Crossing) -> tuple[float, float]:
    """Return the first and last number of images that are drawn."""
    each = chart.images
    middle = each.value or chart.added / chart.final_image or 1000.0
    low = middle / 4 if not each.low else each.low
    return max(1.0, min(low / 4, middle / _REACH)), max(middle * _REACH, 4 * (each.high or 0.0))


def _frame(axes: Any, chart: Crossing, left: float, right: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = left * min(chart.final_image, chart.image), chart.added + right * max(chart.final_image, chart.image)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, 1.5 * high))
    for axis, ends, most in ((axes.xaxis, (left, right), 5), (axes.yaxis, (low, high), 5)):
        axis.set_major_locator(FixedLocator(ticks(*ends, most)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value, 1)))
    grid(axes)
    baseline(axes)
    axes.set_xlabel("Images, log scale", color=MUTED, fontsize=FONT, labelpad=6)
    at = beside(axes, (left, 1.5 * high), (-56, 14))
    write(axes, at, f"{chart.symbol}{chart.figure.unit} beyond a plain training, log scale")


def _lines(axes: Any, chart: Crossing, left: float, right: float) -> None:
    xs = [left * (right / left) ** (step / _STEPS) for step in range(_STEPS + 1)]
    saved = chart.final_image - chart.image
    if chart.images.low is not None and chart.images.high is not None:
        low, high = ([end * saved + x * chart.image for x in xs] for end in (chart.images.low, chart.images.high))
        axes.fill_between(xs, low, high, color=ACCENT, alpha=0.2, linewidth=0, clip_on=True)
    axes.plot([left, right], [x * chart.final_image for x in (left, right)], color=INK, linewidth=1.6, ls=(0, (5, 3)))
    axes.plot(xs, [chart.added + x * chart.image for x in xs], color=ACCENT, linewidth=2.6)
    start, apart = (xs[1], (0, 12)) if chart.added else (xs[12], (14, -10))
    write(axes, beside(axes, (start, chart.added + start * chart.image), apart), f"exit {chart.exit}", color=ACCENT)
    start, apart = (xs[6], (10, -12)) if chart.added else (xs[12], (-80, 14))
    write(axes, beside(axes, (start, start * chart.final_image), apart), f"exit {chart.final}, final", color=INK)


def _crossing(axes: Any, chart: Crossing, left: float) -> None:
    """Mark where the lines cross, with the interval on the axis below; or say that they do not."""
    images, bottom = chart.images, axes.get_ylim()[0]
    if not images.value:
        write(axes, (0.98, 0.08), chart.verdict, transform=axes.transAxes, ha="right", color=INK, fontsize=FONT - 1)
        return
    at = images.value * chart.final_image
    axes.plot([images.value] * 2, [bottom, at], color=MUTED, linewidth=1)
    axes.plot([images.value], [at], color=ACCENT, marker="o", markersize=9)
    if images.low is not None and images.high is not None:
        axes.plot([max(images.low, left), images.high], [bottom] * 2, color=ACCENT, linewidth=5, clip_on=False)
    write(axes, beside(axes, (images.value, bottom), (8, 30)), "won back after", color=INK)
    write(axes, beside(axes, (images.value, bottom), (8, 14)), chart.number, color=INK)
