"""What all charts share: an empty drawing with the page's colours, its SVG, plain axes; matplotlib on first use."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from greenpose.report.svg import GRID, MUTED, finish

FONT = 13.0
"""Size of labels, in CSS pixels of an unscaled chart."""
SHAPES = {1: "v", 2: "s", 3: "^", 4: "o"}
"""matplotlib's marker of each exit; the page's key shows the same shapes."""


def sketch(
    paint: Callable[[Any], None],
    *,
    id: str,  # noqa: A002  it is the element's id
    size: tuple[int, int],
    title: str,
    description: str,
    tooltips: Sequence[str] = (),
) -> str:
    """Return the SVG of what `paint` puts on an empty figure, one pixel of `size` to the point.

    The same paint gives the same bytes, whatever the user's own settings of matplotlib.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own matplotlibrc must not show
        mpl.rcParams |= {
            "svg.hashsalt": "greenpose",
            "svg.fonttype": "none",
            "text.parse_math": False,
            "hatch.linewidth": 1.6,
        }
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
        figure.patch.set_visible(False)
        paint(figure)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer := io.StringIO(), metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return finish(
        buffer.getvalue(), prefix=id, size=size, title=title, description=description, tooltips=list(tooltips)
    )


def panel(figure: Any, *, left: float, right: float, top: float, bottom: float) -> Any:
    """Return axes that leave so many pixels free at each side: no frame, no ticks, nothing behind."""
    width, height = (72 * inches for inches in figure.get_size_inches())
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    axes.patch.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=7, labelsize=FONT - 1, labelcolor=MUTED)
    axes.set_axisbelow(True)
    return axes


def bare(figure: Any) -> Any:
    """Return axes over the whole figure in pixels from its upper left, for charts that place all themselves."""
    axes = panel(figure, left=0, right=0, top=0, bottom=0)
    width, height = (72 * inches for inches in figure.get_size_inches())
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    return axes


def baseline(axes: Any, side: str = "bottom") -> None:
    """Draw the line that one side of the axes stands on."""
    axes.spines[side].set_visible(True)
    axes.spines[side].set_color(MUTED)


def grid(axes: Any, axis: str = "both") -> None:
    """Draw the grid that a reader follows to the ticks."""
    axes.grid(visible=True, axis=axis, color=GRID, linewidth=1, clip_on=False)


def pixels(axes: Any, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return where points of the data stand in the drawing."""
    return [(float(x), float(y)) for x, y in axes.transData.transform(points)]


def beside(axes: Any, point: tuple[float, float], offset: tuple[float, float]) -> tuple[float, float]:
    """Return the place so many pixels right of and above a point of the data."""
    ((x, y),) = pixels(axes, [point])
    left, up = axes.transData.inverted().transform((x + offset[0], y + offset[1]))
    return float(left), float(up)


def strokes(axes: Any, lines: Sequence[tuple[tuple[float, float], tuple[float, float]]], **style: Any) -> None:
    """Draw separate straight lines as one path: half the bytes of a path each."""
    if lines:
        nan = float("nan")
        xs = [x for (first, second) in lines for x in (first[0], second[0], nan)]
        ys = [y for (first, second) in lines for y in (first[1], second[1], nan)]
        axes.plot(xs, ys, clip_on=False, **style)


def write(axes: Any, at: Sequence[float], text: str, **style: Any) -> None:
    """Write text at a point of the data, in the page's font and size."""
    axes.text(*at, text, **({"fontsize": FONT, "va": "center_baseline", "color": MUTED} | style))
