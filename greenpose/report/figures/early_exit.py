"""Early exit: the policy's curve beside the exits of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenpose.formatting import NBSP, listed, plain, plural
from greenpose.metrics import AP, ENERGY, MACS, PERCENT, Metric
from greenpose.quantity import Quantity
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint
from greenpose.report.drawing import (
    ACCENT,
    FONT,
    INK,
    MUTED,
    SHAPES,
    Drawing,
    baseline,
    dots,
    grid,
    numbered,
    panel,
    shifted,
    strokes,
    write,
)
from greenpose.report.figures.axes import axis_title, reach
from greenpose.report.figures.tradeoff import Mark
from greenpose.report.picture import MOST_PANELS, Picture, first_panels
from greenpose.report.quantities import prefixed
from greenpose.report.study import Study
from greenpose.tables import (
    Column,
    Table,
    figure_column,
    quantity_cell,
    table_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExitChart:
    """The curve of one run."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The run."""
    metric: Metric
    """Energy, or where it is not known compute."""
    exits: tuple[Mark, ...]
    """Each exit for every image, shallow to deep."""
    points: tuple[Mark, ...]
    """The policy, cheapest first."""
    curve: PolicyCurve
    """All that is known."""

    @property
    def chosen(self) -> Mark:
        """Return the point that was asked for."""
        return self.points[self.curve.chosen]


def early_exit_picture(study: Study) -> Picture | None:
    """Return what it brings to let images leave early; None where nobody asked for it."""
    charts = early_exit_charts(study)
    if not charts:
        return None
    return Picture(
        id="leaving",
        title="AP against cost when each image leaves at the first exit that is sure of it",
        panels=tuple(draw(each) for each in charts[:MOST_PANELS]),
        data=early_exit_table(charts),
        notes=(*dict.fromkeys(map(_note, charts)), *first_panels(len(charts))),
    )


def early_exit_charts(study: Study) -> list[EarlyExitChart]:
    """Return a drawing for each run of the study that a curve belongs to, in the order of the runs."""
    curves = {(curve.run, curve.config_hash, curve.run_finished_at): curve for curve in study.policies}
    found = [(run, curves.get((run.name, run.config_hash, run.finished_at))) for run in study.records]
    mine = [(run, curve) for run, curve in found if curve is not None]
    return [_early_exit_chart(number, study.run_label(run), curve) for number, (run, curve) in enumerate(mine, start=1)]


def early_exit_table(charts: Sequence[EarlyExitChart]) -> Table:
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


def _early_exit_chart(number: int, label: str, curve: PolicyCurve) -> EarlyExitChart:
    known = all(each.energy_j_per_image is not None for each in _entries(curve))
    metric = _energy([curve]) if known else MACS
    exits = [Mark(exit=each.exit, x=_cost(each, metric), y=_ap(each)) for each in curve.exits]
    points = [Mark(x=_cost(each, metric), y=_ap(each)) for each in curve.points]
    return EarlyExitChart(
        id=f"leaving-{number}", label=label, metric=metric, exits=tuple(exits), points=tuple(points), curve=curve
    )


def _note(chart: EarlyExitChart) -> str:
    """Return what to know when reading a curve."""
    curve, chosen = chart.curve, chart.curve.points[chart.curve.chosen]
    leaves = [f"{PERCENT * part:.0f}{NBSP}% at exit {exit_}" for exit_, part in chosen.left.items()]
    return (
        f"{chart.label}: confidence by {curve.confidence}, thresholds from {curve.size('val')} of the validation "
        f"split so that its AP holds {PERCENT * curve.wanted_ap:.1f}{NBSP}%, judged on {curve.size('test')} of the "
        f"test split; there {listed(leaves)}. {curve.weights[:1].upper()}{curve.weights[1:]}."
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


SIZE = (440, 330)
"""Width and height in CSS pixels."""
_ROOM = 0.08


def draw(chart: EarlyExitChart) -> Drawing:
    """Return the curve of one run; ids in its SVG begin with `chart.id`."""
    metric = chart.metric

    def paint(figure: Any) -> None:
        axes = panel(figure, left=56, right=30, top=34, bottom=52)
        _frame(axes, chart)
        _curve(axes, chart)
        _exits(axes, chart.exits)
        title = axis_title(metric, (mark.x.kind for mark in (*chart.exits, *chart.points)))
        axes.set_xlabel(title, color=MUTED, fontsize=FONT, labelpad=8)
        write(axes, (0, 1.07), "AP (%)", transform=axes.transAxes, ha="right")

    exits = [f"exit {each.exit} ({each.words(metric)})" for each in chart.exits]
    return Drawing(
        paint=paint,
        id=chart.id,
        size=SIZE,
        title=f"AP against {metric.words} of {chart.label}, when images leave early",
        description=f"Line chart of {plural(len(chart.points), 'choice')} of thresholds. The one that was asked for: "
        f"{chart.chosen.words(metric)}. For every image: {listed(exits)}.",
        caption=chart.label,
    )


def _frame(axes: Any, chart: EarlyExitChart) -> None:
    intervals = [*chart.exits, chart.chosen]
    xs = [end for each in intervals for end in reach(each.x)] + [each.place[0] for each in chart.points]
    ys = [end for each in intervals for end in reach(each.y, PERCENT)] + [each.place[1] for each in chart.points]
    room = _ROOM * (max(ys) - min(ys)) or 1.0
    axes.set(xlim=(0, max(xs) * (1 + _ROOM)), ylim=(max(0.0, min(ys) - room), max(ys) + room))
    for axis in (axes.xaxis, axes.yaxis):
        numbered(axis, 6)
    grid(axes)
    baseline(axes)


def _curve(axes: Any, chart: EarlyExitChart) -> None:
    """Draw the line through all choices, and a ring with both intervals at the one that was asked for."""
    places = [each.place for each in chart.points]
    axes.plot(*zip(*places, strict=True), color=ACCENT, linewidth=2, clip_on=False, zorder=3)
    dots(axes, places, color=ACCENT, size=5)
    chosen = chart.chosen.place
    strokes(axes, chart.chosen.cross, color=ACCENT, linewidth=1.2, zorder=3)
    ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "markeredgecolor": ACCENT}
    axes.plot(*([each] for each in chosen), linestyle="none", clip_on=False, zorder=4, **ring)
    write(axes, shifted(axes, chosen, (10, -16)), "early", color=ACCENT)


def _exits(axes: Any, exits: Sequence[Mark]) -> None:
    strokes(axes, [line for each in exits for line in each.cross], color=INK, linewidth=1, zorder=2)
    for each in exits:
        place = each.place
        shape = SHAPES.get(each.exit, "D")
        axes.plot(*([value] for value in place), marker=shape, markersize=9, color=INK, linestyle="none", clip_on=False)
        write(axes, shifted(axes, place, (-8, 14)), f"exit {each.exit}", color=INK, ha="right")
