"""Early exit: the policy's curve beside the exits of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.formatting import NBSP, listed, plain, plural
from greenpose.metrics import AP, ENERGY, MACS, PERCENT, Metric
from greenpose.quantity import Quantity, kind_mark
from greenpose.record import Record
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint
from greenpose.report.drawing import (
    ACCENT,
    FONT,
    INK,
    MUTED,
    SHAPES,
    Drawing,
    baseline,
    beside,
    dots,
    grid,
    panel,
    strokes,
    write,
)
from greenpose.report.figures.tradeoff import reach
from greenpose.report.quantities import prefixed
from greenpose.report.study import Study
from greenpose.report.tables import (
    Column,
    Table,
    figure_column,
    kind_notes,
    quantity_cell,
    table_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One point of the drawing."""

    x: Quantity
    """Cost of an image, in display units."""
    y: Quantity
    """AP on the test split, in percent."""
    exit: int | None = None
    """The exit that every image leaves at; None where each leaves where it is sure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The curve of one run."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The run."""
    figure: Metric
    """Energy, or where it is not known compute."""
    exits: tuple[Place, ...]
    """Each exit for every image, shallow to deep."""
    points: tuple[Place, ...]
    """The policy, cheapest first."""
    curve: PolicyCurve
    """All that is known."""

    @property
    def chosen(self) -> Place:
        """Return the point that was asked for."""
        return self.points[self.curve.chosen]

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"AP against {self.figure.words} of {self.label}, when images leave early"

    @property
    def axis(self) -> str:
        """Return the title of the horizontal axis, unit and kind included."""
        notes = "".join(f", {note}" for note in kind_notes(each.x.kind for each in (*self.exits, *self.points)))
        words = self.figure.words[:1].upper() + self.figure.words[1:]
        return f"{words} ({self.figure.unit.removesuffix('/image')}){notes}"

    @property
    def description(self) -> str:
        """Return in words what the drawing shows."""
        exits = [f"exit {each.exit} ({self._words(each)})" for each in self.exits]
        return (
            f"Line chart of {plural(len(self.points), 'choice')} of thresholds. The one that was asked for: "
            f"{self._words(self.chosen)}. For every image: {listed(exits)}."
        )

    @property
    def note(self) -> str:
        """Return what to know when reading it."""
        curve, chosen = self.curve, self.curve.points[self.curve.chosen]
        leaves = [f"{PERCENT * part:.0f}{NBSP}% at exit {exit_}" for exit_, part in chosen.left.items()]
        return (
            f"{self.label}: confidence by {curve.confidence}, thresholds from {_split(curve, 'val')} of the "
            f"validation split so that its AP holds {PERCENT * curve.wanted_ap:.1f}{NBSP}%, judged on "
            f"{_split(curve, 'test')} of the test split; there {listed(leaves)}. "
            f"{curve.weights[:1].upper()}{curve.weights[1:]}."
        )

    def _words(self, place: Place) -> str:
        cost = f"{kind_mark(place.x.kind)}{place.x.text()}{NBSP}{self.figure.unit}"
        return f"{cost}, AP {place.y.text(most_decimals=1)}{NBSP}%"


def leaving(study: Study) -> list[Leaving]:
    """Return a drawing for each run of the study that a curve belongs to, in the order of the runs."""
    curves = {(curve.run, curve.config_hash, curve.run_finished_at): curve for curve in study.policies}
    found = [(run, curves.get((run.name, run.config_hash, run.finished_at))) for run in study.records]
    mine = [(run, curve) for run, curve in found if curve is not None]
    return [_leaving(number, _label(study, run), curve) for number, (run, curve) in enumerate(mine, start=1)]


def leaving_table(charts: Sequence[Leaving]) -> Table:
    """Return every exit and every choice of thresholds of all drawings."""
    curves = [chart.curve for chart in charts]
    told = [each for curve in curves for each in _entries(curve)]
    energy = _energy(curves)
    return table_of(
        "leaving-data",
        "Every exit for all images, and every choice of thresholds that no other beats in validation.",
        ("Run", "Images leave"),
        [(chart.label, _names(chart.curve)) for chart in charts],
        [
            ("Test images at each exit", [_parts(each) for each in told]),
            (
                Column(head="AP, validation", unit=AP.unit),
                [quantity_cell(each.quantity("ap_val") * PERCENT, AP) for each in told],
            ),
            (AP, map(_ap, told)),
            (
                Column(head="AP less the final exit’s", unit="points"),
                [quantity_cell(_less_final(each, curve), AP) for curve in curves for each in _entries(curve)],
            ),
            (figure_column(MACS, []), [quantity_cell(_cost(each, MACS), MACS) for each in told]),
            (energy, [_cost(each, energy) for each in told]),
        ],
    )


def _leaving(number: int, label: str, curve: PolicyCurve) -> Leaving:
    known = all(each.energy_j_per_image is not None for each in _entries(curve))
    figure = _energy([curve]) if known else MACS
    return Leaving(
        id=f"leaving-{number}",
        label=label,
        figure=figure,
        exits=tuple(Place(x=_cost(each, figure), y=_ap(each), exit=each.exit) for each in curve.exits),
        points=tuple(Place(x=_cost(each, figure), y=_ap(each)) for each in curve.points),
        curve=curve,
    )


def _cost(each: PolicyExit | PolicyPoint, figure: Metric) -> Quantity:
    if figure.name == ENERGY.name:
        return each.quantity("energy_j_per_image") * figure.scale
    return each.quantity("macs" if isinstance(each, PolicyExit) else "macs_per_image") * figure.scale


def _energy(curves: Sequence[PolicyCurve]) -> Metric:
    """Return energy per image with the prefix that suits all of the curves."""
    return prefixed(ENERGY, [each.energy_j_per_image for curve in curves for each in _entries(curve)])


def _ap(each: PolicyExit | PolicyPoint) -> Quantity:
    return each.quantity("ap") * PERCENT


def _names(curve: PolicyCurve) -> list[str]:
    """Return what names each exit and each choice of a curve."""
    points = [
        _thresholds(each) + (" (chosen)" if place == curve.chosen else "") for place, each in enumerate(curve.points)
    ]
    return [*(f"all at exit {each.exit}" for each in curve.exits), *points]


def _less_final(each: PolicyExit | PolicyPoint, curve: PolicyCurve) -> Quantity:
    if isinstance(each, PolicyExit):
        return Quantity(value=PERCENT * (each.ap - curve.exits[-1].ap), kind="computed")
    return each.quantity("ap_less_final") * PERCENT


def _thresholds(point: PolicyPoint) -> str:
    """Return from which confidence on images leave, exit by exit."""
    asked = [f"{exit_} from {plain(each)}" for exit_, each in point.thresholds.items() if each is not None]
    return listed(asked) if asked else "all at the deepest"


def _parts(each: PolicyExit | PolicyPoint) -> str:
    if isinstance(each, PolicyExit):
        return "all"
    return ", ".join(f"{exit_}: {PERCENT * part:.0f}{NBSP}%" for exit_, part in each.left.items())


def _entries(curve: PolicyCurve) -> list[PolicyExit | PolicyPoint]:
    return [*curve.exits, *curve.points]


def _label(study: Study, run: Record) -> str:
    """Return the run's experiment, with its seed where that has been run more than once."""
    group = next(group for group in study.groups if any(each is run for each in group.runs))
    return group.label if len(group.runs) == 1 else f"{group.label}, seed {run.seed}"


def _split(curve: PolicyCurve, name: str) -> str:
    patients = f" of {plural(curve.subjects[name], 'patient')}" if curve.subjects[name] else ""
    return f"{plural(curve.images[name], 'image')}{patients}"


SIZE = (440, 330)
"""Width and height in CSS pixels."""
_ROOM = 0.08


def draw(chart: Leaving) -> Drawing:
    """Return the curve of one run; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=56, right=30, top=34, bottom=52)
        _frame(axes, chart)
        _curve(axes, chart)
        _exits(axes, chart.exits)
        axes.set_xlabel(chart.axis, color=MUTED, fontsize=FONT, labelpad=8)
        write(axes, (0, 1.07), "AP (%)", transform=axes.transAxes, ha="right")

    return Drawing(paint=paint, id=chart.id, size=SIZE, title=chart.title, description=chart.description)


def _frame(axes: Any, chart: Leaving) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    intervals = [*chart.exits, chart.chosen]
    xs = [end for each in intervals for end in reach(each.x)] + [_place(each)[0] for each in chart.points]
    ys = [end for each in intervals for end in reach(each.y, PERCENT)] + [_place(each)[1] for each in chart.points]
    room = _ROOM * (max(ys) - min(ys)) or 1.0
    axes.set(xlim=(0, max(xs) * (1 + _ROOM)), ylim=(max(0.0, min(ys) - room), max(ys) + room))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    grid(axes)
    baseline(axes)


def _curve(axes: Any, chart: Leaving) -> None:
    """Draw the line through all choices, and a ring with both intervals at the one that was asked for."""
    places = [_place(each) for each in chart.points]
    axes.plot(*zip(*places, strict=True), color=ACCENT, linewidth=2, clip_on=False, zorder=3)
    dots(axes, places, color=ACCENT, size=5)
    chosen = _place(chart.chosen)
    strokes(axes, _cross(chart.chosen), color=ACCENT, linewidth=1.2, zorder=3)
    ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "markeredgecolor": ACCENT}
    axes.plot(*([each] for each in chosen), linestyle="none", clip_on=False, zorder=4, **ring)
    write(axes, beside(axes, chosen, (10, -16)), "early", color=ACCENT)


def _exits(axes: Any, exits: Sequence[Place]) -> None:
    strokes(axes, [line for each in exits for line in _cross(each)], color=INK, linewidth=1, zorder=2)
    for each in exits:
        place = _place(each)
        shape = SHAPES.get(each.exit or 0, "D")
        axes.plot(*([value] for value in place), marker=shape, markersize=9, color=INK, linestyle="none", clip_on=False)
        write(axes, beside(axes, place, (-8, 14)), f"exit {each.exit}", color=INK, ha="right")


def _place(each: Place) -> tuple[float, float]:
    return each.x.value or 0.0, each.y.value or 0.0


def _cross(each: Place) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the intervals of a point as lines through it."""
    (x, y), (left, right), (bottom, top) = _place(each), reach(each.x), reach(each.y, PERCENT)
    lines = [((left, y), (right, y)), ((x, bottom), (x, top))]
    return [(first, second) for first, second in lines if first != second]
