"""What all charts share: a drawing with the page's colours, its SVG and PNG, plain axes; matplotlib on first use."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from greenpose.report.svg import GRID, MUTED, finish

FONT = 13.0
"""Size of labels, in CSS pixels of an unscaled chart."""
SHAPES = {1: "v", 2: "s", 3: "^", 4: "o"}
"""matplotlib's marker of each exit; the page's key shows the same shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a chart puts on an empty figure, and the words about it; the same drawing gives the same bytes.

    The user's own settings of matplotlib do not show.
    """

    paint: Callable[[Any], None]
    """Draws on a figure; one pixel of `size` is a point."""
    id: str
    """Prefix of all ids in the SVG."""
    size: tuple[int, int]
    """Width and height in CSS pixels."""
    title: str
    """What it shows, in a line."""
    description: str
    """What it shows, in words."""
    tooltips: tuple[str, ...] = ()
    """Words for each point."""

    @property
    def svg(self) -> str:
        """Return it as an SVG element for the page, which gives it its colours and its font."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        buffer = io.StringIO()
        with _defaults():
            canvas: Any = FigureCanvasSVG(self._figure(dpi=72))
            canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        return finish(
            buffer.getvalue(),
            prefix=self.id,
            size=self.size,
            title=self.title,
            description=self.description,
            tooltips=list(self.tooltips),
        )

    def png(self, *, scale: float = 2.0) -> bytes:
        """Return it as a PNG image on white, `scale` pixels to the point, cut or widened to what is drawn."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        buffer = io.BytesIO()
        with _defaults():
            figure = self._figure(dpi=72 * scale)
            figure.patch.set(visible=True, facecolor="white")
            FigureCanvasAgg(figure)
            # matplotlib's own font is wider than the page's: labels at the rim would else be cut off
            figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Title": self.title, "Software": None})
        return buffer.getvalue()

    def _figure(self, *, dpi: float) -> Any:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self.size[0] / 72, self.size[1] / 72), dpi=dpi)
        figure.patch.set_visible(False)
        self.paint(figure)
        return figure


@contextmanager
def _defaults() -> Iterator[None]:
    """Set matplotlib's own defaults, and ours, for as long as something is drawn."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own matplotlibrc must not show
        mpl.rcParams |= {
            "svg.hashsalt": "greenpose",
            "svg.fonttype": "none",
            "text.parse_math": False,
            "hatch.linewidth": 1.6,
            "path.simplify": False,  # it drops lines of no length, which are our dots
        }
        yield


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


def dots(axes: Any, points: Sequence[tuple[float, float]], *, color: str, size: float) -> None:
    """Draw dots as one path, lines of no length with round ends: half the bytes of a marker each."""
    axes.set_autoscale_on(False)
    strokes(axes, [(each, each) for each in points], color=color, linewidth=size, solid_capstyle="round")


def write(axes: Any, at: Sequence[float], text: str, **style: Any) -> None:
    """Write text at a point of the data, in the page's font and size."""
    axes.text(*at, text, **({"fontsize": FONT, "va": "center_baseline", "color": MUTED} | style))
