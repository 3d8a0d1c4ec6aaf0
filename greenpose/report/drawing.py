"""Drawings: axes, ticks, labels, and matplotlib's SVG made fit for a page that follows its reader's colours."""

import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from greenpose.formatting import MINUS

INK, MUTED, ACCENT, DIM, GRID, PAPER = "#101112", "#606162", "#0a7a5b", "#909192", "#e0e1e2", "#fafbfc"
"""Stand-ins that are drawn with and then replaced by the style sheet's variables."""
VARIABLES = {INK: "ink", MUTED: "muted", ACCENT: "accent", DIM: "dim", GRID: "grid", PAPER: "paper"}


def finish(
    drawing: str, *, prefix: str, size: tuple[int, int], title: str, description: str, tooltips: Sequence[str]
) -> str:
    """Return the drawing as one `<svg>` element for a page.

    Only ids that something refers to are kept, each behind `prefix`. A group named `point-k` gets `tooltips[k]` as its
    title. Coordinates are rounded to a tenth of a pixel.
    """
    body = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<defs>\s*<style type="text/css">.*?</style>\s*</defs>', "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(
        r'<g id="point-(\d+)">', lambda found: f"<g><title>{html.escape(tooltips[int(found[1])])}</title>", body
    )
    body = re.sub(r'<g id="label">', '<g class="label">', body)
    body = re.sub(r' fill="(#\w{6})"', r' style="fill: \1"', body)  # the ground of a hatching
    body = _own_ids(body, prefix)
    # the style sheet says these; round ends of lines draw dots
    body = re.sub(r" (font-family: [^;\"]*|stroke-linejoin: \w+|stroke-linecap: (butt|square));?", "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*"', "", body)
    body = re.sub(r"<[^>]*>", lambda tag: _short(tag[0]), body)  # inside tags only: text is what people read
    body = re.sub(r"> <", "><", re.sub(r"[ \n]+", " ", body)).strip()  # no-break spaces of labels stay
    body = _classes(_without_empty_groups(body), prefix)
    head = (
        f'<svg class="chart" id="{prefix}-svg" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{html.escape(title)}</title>'
        f'<desc id="{prefix}-desc">{html.escape(description)}</desc>'
    )
    return f"{head}{body}</svg>"


@dataclass(slots=True, kw_only=True)
class Sheet:
    """What the drawings of one page share: each look and each marker is written once, where it comes first."""

    looks: dict[str, str] = field(default_factory=dict)
    """Class of each style that the page has a rule for so far."""
    markers: dict[str, str] = field(default_factory=dict)
    """Id of each marker so far, by its path and look."""

    def share(self, drawing: str) -> str:
        """Return a finished drawing that leaves out what an earlier one has written."""
        found = re.search(r"<style>(.*?)</style>", drawing)
        assert found, "a finished drawing has its own rules"
        own = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", found[1]))
        new = [style for style in own.values() if style not in self.looks]
        self.looks |= {style: f"c{len(self.looks) + index}" for index, style in enumerate(new)}
        rules = "".join(f".{self.looks[style]}{{{style}}}" for style in new)
        body = drawing[: found.start()] + (f"<style>{rules}</style>" if rules else "") + drawing[found.end() :]
        body = re.sub(r'(?<= class=")(s\d+)(?=")', lambda name: self.looks[own[name[1]]], body)
        return re.sub(r"<(use|text|path)\b([^>]*?)(/?)>", _unquoted, self._share_markers(body))

    def _share_markers(self, body: str) -> str:
        for whole, name, look in re.findall(r'(<defs><path id="([^"]+)"([^>]*)/></defs>)', body):
            known = look in self.markers
            id_ = self.markers.setdefault(look, f"m{len(self.markers)}")
            body = body.replace(whole, "" if known else f'<defs><path id="{id_}"{look}/></defs>')
            body = body.replace(f'href="#{name}"', f'href="#{id_}"')
        return body


def _unquoted(tag: re.Match[str]) -> str:
    """Return a tag as HTML lets one write it: words and numbers without quotes, in front of what ends with one."""
    bare = re.findall(r' (?:class|x|y)="[\w.-]+"', tag[2])
    rest = re.sub(r' (?:class|x|y)="[\w.-]+"', "", tag[2])
    if tag[3] and not rest:
        return tag[0]  # a slash behind a bare word would be part of it
    return f"<{tag[1]}{''.join(bare).replace(chr(34), '')}{rest}{tag[3]}>"


def _own_ids(body: str, prefix: str) -> str:
    """Return the drawing with short ids of its own for what something refers to, and no others."""
    used = list(dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body)))
    names = {each: f"{prefix}-{index}" for index, each in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + names[found[2]], body)


def _short(tag: str) -> str:
    """Return a tag whose numbers have one decimal and whose path has no blanks around its letters."""
    tag = re.sub(r"-?\d+\.\d{2,}", lambda found: _tenth(found[0]), tag)
    return re.sub(r'(?<= d=")[^"]*', lambda path: _straight(re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0]).strip()), tag)


def _straight(path: str) -> str:
    """Return a path whose lines along an axis name the other coordinate only; one with curves as it is."""
    steps = re.findall(r"([A-Za-z])([^A-Za-z]*)", path)
    if any(letter not in "MLz" for letter, _ in steps):
        return path
    straight, before = "", ["", ""]
    for letter, numbers in steps:
        x, y = at = numbers.split() or ["", ""]
        upright, level = (letter == "L" and one == other for one, other in zip(at, before, strict=True))
        straight += f"V{y}" if upright else f"H{x}" if level else letter + numbers
        before = at
    return straight


def _tenth(number: str) -> str:
    text = f"{float(number):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _without_empty_groups(body: str) -> str:
    before = ""
    while before != body:
        before = body
        body = re.sub(r"<g>((?:<(?:path|text|use|defs)\b(?:(?!<g\b|</g>).)*)?)</g>", r"\1", body.replace("<g/>", ""))
    return body


def _classes(body: str, prefix: str) -> str:
    """Return the drawing with each distinct style written once, as a class that holds inside this chart only."""
    body = re.sub(r' style="([^"]*)"', lambda found: f' style="{_colours(found[1])}"', body)
    styles = list(dict.fromkeys(re.findall(r' style="([^"]*)"', body)))
    body = re.sub(r' style="([^"]*)"', lambda found: f' class="s{styles.index(found[1])}"', body)
    rules = "".join(f"#{prefix}-svg .s{index}{{{style}}}" for index, style in enumerate(styles))
    return f"<style>{rules}</style>{body}"


def _colours(text: str) -> str:
    """Return a style without blanks, drawn colours replaced by the page's variables."""
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip().replace(": ", ":").replace("; ", ";").removesuffix(";")


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
    caption: str = ""
    """What tells it from its neighbours in one figure; empty for a drawing that stands alone."""

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

    with mpl.rc_context(), warnings.catch_warnings():
        # names in scripts that matplotlib's own font lacks: the reader's browser has a font for them
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
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


def shifted(axes: Any, point: tuple[float, float], offset: tuple[float, float]) -> tuple[float, float]:
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


def numbered(axis: Any, most: int, *, signed: bool = False) -> None:
    """Give an axis at most so many round ticks, written in full, with their sign where that is asked for."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def text(value: float, _: int) -> str:
        return f"{value:+.12g}".replace("-", MINUS) if signed and value else f"{value:.12g}"

    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(text))


def around_zero(axes: Any, *, reach: tuple[float, float], num_lines: int, label: str) -> None:
    """Set up lines below one another along an axis of signed numbers, with a rule at zero."""
    axes.set(xlim=reach, ylim=(num_lines - 0.5, -0.5), yticks=[])
    axes.axvline(0, color=MUTED, linewidth=1.4, clip_on=False)
    axes.set_xlabel(label, color=MUTED, fontsize=FONT, labelpad=6)


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round values between the ends of a logarithmic axis: the finest usual steps that give at most `most`.

    Beyond that many decades, every second or third of them.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in pixels."""

CHARACTER = 0.6
"""Mean width of a character over the font size, a little more than common sans-serif fonts need."""
_GAPS = (9.0, 26.0, 44.0, 64.0)
LEADER_STEP = 4.0
"""Pixels between the places at which it is asked what a leader crosses."""
_NUM_NEAR = 8
"""The first spots tried touch the point; the rest need a leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label and the place found for it."""

    text: str
    """What it says."""
    box: Box
    """Room that it takes."""
    leader: bool
    """Whether it stands so far off that a line must lead to its point."""


def place(
    texts: Sequence[str],
    points: Sequence[tuple[float, float]],
    *,
    needed: Sequence[bool],
    frame: Box,
    obstacles: Sequence[Box],
    size: float,
) -> list[Label | None]:
    """Return a label for each point, or None where one that is not `needed` finds no free room.

    `obstacles` are boxes that should stay visible (points, error bars). Needed labels are placed first, the topmost
    point's before others', at the spot that covers least; up and to the left is preferred, where a front has no points.
    """
    placed: list[Label | None] = [None] * len(texts)
    taken: list[Box] = []
    for index in sorted(range(len(texts)), key=lambda each: (not needed[each], -points[each][1])):
        spots = _spots(texts[index], points[index], size)
        costs = [_cost(spot, taken, obstacles, frame) for spot in spots[:_NUM_NEAR]]
        best = min(range(_NUM_NEAR), key=costs.__getitem__)
        if costs[best] > 0 and not needed[index]:
            continue
        least = costs[best]
        for farther, spot in enumerate(spots[_NUM_NEAR:], _NUM_NEAR):
            if least > 0 and (cost := _cost(spot, taken, obstacles, frame)) < least:
                cost += sum(_cost(step, taken, obstacles, frame) for step in _leader(points[index], spot))
                best, least = min((best, least), (farther, cost), key=itemgetter(1))
        placed[index] = Label(text=texts[index], box=spots[best], leader=best >= _NUM_NEAR)
        taken.append(spots[best])
    return placed


def write_label(axes: Any, label: Label, centre: tuple[float, float], colour: str) -> None:
    """Write a label where there is room for it, with a line to its point where it stands off."""
    left, bottom, right, top = label.box
    flush = "right" if right <= centre[0] else "left" if left >= centre[0] else "center"
    x = {"right": right, "left": left, "center": (left + right) / 2}[flush]
    inverse = axes.transData.inverted()
    if label.leader:
        near = (min(max(centre[0], left), right), min(max(centre[1], bottom), top))
        ends = inverse.transform([centre, near])
        axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.8, zorder=2, clip_on=False)
    spot = inverse.transform((x, (bottom + top) / 2))
    axes.text(*spot, label.text, ha=flush, va="center_baseline", fontsize=FONT, color=colour, zorder=6, gid="label")


def overlap_area(first: Box, second: Box) -> float:
    """Return the area that two boxes share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def _spots(text: str, point: tuple[float, float], size: float) -> list[Box]:
    """Return the places tried, best liked first: eight near ones, then farther ones."""
    width, height = CHARACTER * size * len(text), 1.2 * size
    spots = []
    for gap in _GAPS:
        d = gap * 0.7
        right, left, middle = point[0] + gap, point[0] - gap - width, point[0] - width / 2
        up, down, level = point[1] + gap, point[1] - gap - height, point[1] - height / 2
        corners = [
            (point[0] - d - width, point[1] + d),
            (middle, up),
            (left, level),
            (right, level),
            (point[0] + d, point[1] + d),
            (point[0] + d, point[1] - d - height),
            (point[0] - d - width, point[1] - d - height),
            (middle, down),
        ]
        spots += [(x, y, x + width, y + height) for x, y in corners]
    return spots


def _cost(spot: Box, labels: Sequence[Box], obstacles: Sequence[Box], frame: Box) -> float:
    """Return what a spot covers; another label counts eight times, the space outside the frame four times."""
    area = (spot[2] - spot[0]) * (spot[3] - spot[1])
    outside = max(0.0, area - overlap_area(spot, frame) - 1e-6)
    return 4 * outside + 8 * _covered(spot, labels) + _covered(spot, obstacles)


def _leader(point: tuple[float, float], spot: Box) -> list[Box]:
    """Return the line from a point to its label as small boxes, without what lies on the point's own mark."""
    x, y = (min(max(at, low), high) for at, low, high in zip(point, spot[:2], spot[2:], strict=True))
    across, up = x - point[0], y - point[1]
    steps = [n * LEADER_STEP / math.hypot(across, up) for n in range(4, int(math.hypot(across, up) / LEADER_STEP))]
    centres = [(point[0] + part * across, point[1] + part * up) for part in steps]
    return [(x - 2, y - 2, x + 2, y + 2) for x, y in centres]


def _covered(spot: Box, boxes: Sequence[Box]) -> float:
    """Return the area that a spot shares with boxes; most of hundreds of thousands lie beside it."""
    left, bottom, right, top = spot
    near = [box for box in boxes if box[0] < right and box[2] > left and box[1] < top and box[3] > bottom]
    return sum(overlap_area(spot, box) for box in near)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return the places moved apart, as little as possible, so that neighbours are at least `gap` from each other.

    Places that would touch share one block around their mean, in their order.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[list[int]] = []
    for index in order:
        blocks.append([index])
        while len(blocks) > 1 and _start(blocks[-1], places, gap) - _end(blocks[-2], places, gap) < gap:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = list(places)
    for block in (block for block in blocks if len(block) > 1):
        for step, index in enumerate(block):
            moved[index] = _start(block, places, gap) + gap * step
    return moved


def _start(block: Sequence[int], places: Sequence[float], gap: float) -> float:
    return sum(places[index] for index in block) / len(block) - gap * (len(block) - 1) / 2


def _end(block: Sequence[int], places: Sequence[float], gap: float) -> float:
    return _start(block, places, gap) + gap * (len(block) - 1)
