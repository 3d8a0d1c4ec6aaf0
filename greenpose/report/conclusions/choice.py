"""The choice: accuracy against cost, the exits that matter marked, and an arrow that says what the cheaper saves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from greenpose.formatting import NBSP, plain
from greenpose.metrics import AP, ENERGY, Metric
from greenpose.quantity import Quantity, kind_mark, worst
from greenpose.report.conclusions.screen_words import change_words, signed_points
from greenpose.report.deployment import Deployment, Recommendation
from greenpose.report.drawing import (
    ACCENT,
    DIM,
    FONT,
    INK,
    MUTED,
    PAPER,
    SHAPES,
    Box,
    Drawing,
    baseline,
    dots,
    grid,
    numbered,
    panel,
    pixels,
    place,
    write_label,
)
from greenpose.report.figures.axes import axis_title, extent, name_axis, reach
from greenpose.report.picture import Picture
from greenpose.report.ranking import (
    Preference,
    cost_figure,
    known,
    score,
    staircase,
    unlike_best,
)
from greenpose.report.study import Point, Study, short_name
from greenpose.tables import table_of

WIDE, NARROW = (660, 400), (330, 300)
"""Width and height in CSS pixels, beside the verdict and on a phone."""
KEPT_OFF = 8
"""How many times as much as other lines the arrow and its words count, where a label would cover them."""
ABOVE = 22
"""Pixels above the frame at which a long name of the axis stands, so that the arrow's words do not cover it."""
USE, FOR_NOW, BEST, CHEAPEST, WHOLE = "use this", "use for now", "most accurate", "cheapest", "whole network"
"""What the exits that are named are on this page for."""


class _Spot(NamedTuple):
    """What is named: an exit in torch, or the exported model to use, which is no point of the study."""

    point: Point
    name: str
    words: str
    cost: Quantity
    ap: Quantity
    exported: bool = False

    @property
    def place(self) -> tuple[float, float]:
        """Return where it stands."""
        return self.cost.known, self.ap.known


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """What is drawn: every exit that has both numbers, and by its role what is named."""

    figure: Metric
    everyone: Sequence[Point]
    named: dict[str, _Spot]
    saving: str
    is_open: bool

    @property
    def metric(self) -> Metric:
        """Return what accuracy is measured by."""
        return self.everyone[0].accuracy

    @property
    def mark(self) -> str:
        """Return the sign of modelled or estimated costs."""
        return kind_mark(worst(point.figure(self.figure).kind for point in self.everyone))

    @property
    def axis(self) -> str:
        """Return the title of the horizontal axis."""
        return axis_title(self.figure, (point.figure(self.figure).kind for point in self.everyone))

    @property
    def grey(self) -> list[tuple[float, float]]:
        """Return where the exits stand that are not named."""
        named = [each.point for each in self.named.values() if not each.exported]
        return [self.at(point) for point in self.everyone if point not in named]

    @property
    def places(self) -> list[tuple[float, float]]:
        """Return where everything stands."""
        return [*map(self.at, self.everyone), *(each.place for each in self.named.values() if each.exported)]

    def at(self, point: Point) -> tuple[float, float]:
        return known(point, self.figure), known(point, point.accuracy)


def choice_picture(answer: Recommendation) -> Picture | None:
    """Return the chart beside the verdict; None where there are not two to choose between."""
    study, found = answer.study, answer.choice
    cost = study.shown(cost_figure(study))
    everyone = [point for point in study.scored if point.figure(cost).value is not None]
    file = answer.file if cost.name == ENERGY.name else None
    if found is None or len(everyone) + (file is not None) < 2 or found.best not in everyone:
        return None
    named = _named(found, everyone, cost) if file is None else _with_file(found, file, answer.share, cost)
    plot = _Plot(
        figure=cost,
        everyone=everyone,
        named=named,
        saving=_saving(study, found, file, answer.share),
        is_open=found.is_open and file is None,
    )
    title = f"Accuracy against {cost.words}"
    told = plot.named
    drawings = tuple(
        Drawing(
            paint=partial(_paint, plot=plot, short=size is NARROW),
            id=id_,
            size=size,
            title=title,
            description=_description(plot),
        )
        for id_, size in (("choice", WIDE), ("choice-narrow", NARROW))
    )
    data = table_of(
        "choice-data",
        f"{title}: the exits that are named.",
        ("Exit",),
        [each.name for each in told.values()],
        [
            (cost, [each.cost for each in told.values()]),
            (study.accuracy, [each.ap for each in told.values()]),
            ("Named as", [*told]),
        ],
    )
    return Picture(id="choice", title=title, panels=drawings, data=data, notes=(_note(plot),))


def _note(plot: _Plot) -> str:
    """Return what is drawn beside the named exits: of what is there only."""
    grey = "grey: other exits; " if plot.grey else ""
    repeated = any(number.type_a for each in plot.named.values() for number in (each.cost, each.ap))
    crosses = "; crosses: each exit’s own 95 % interval from repetition" if repeated else ""
    said = f"{grey}line: the best for a given cost{crosses}."
    return f"{said[0].upper()}{said[1:]}"


def _with_file(found: Preference, file: Deployment, share: Quantity, cost: Metric) -> dict[str, _Spot]:
    """Return the most accurate exit, and the exported model to use with what it takes beside that one."""
    best = found.best
    what = f"exit{NBSP}{file.cost.exit}, {file.how}"
    return {
        BEST: _Spot(
            point=best,
            name=short_name(best),
            words=f"{BEST}: {_exit(best, named=best.group != file.point.group)} in torch",
            cost=best.figure(cost),
            ap=best.figure(best.accuracy),
        ),
        USE: _Spot(
            point=file.point,
            name=f"{short_name(file.point)}, {file.how}",
            words=f"{USE}: {what}",
            cost=best.figure(cost) * share.known,
            ap=file.point.figure(AP) + file.ap_change,
            exported=True,
        ),
    }


def _named(found: Preference, everyone: Sequence[Point], cost: Metric) -> dict[str, _Spot]:
    """Return the exits that are told apart from the grey ones, and what is written at each."""
    cheapest = min(everyone, key=lambda point: (known(point, cost), -score(point)))
    roles = {
        "open": {FOR_NOW: found.best, "perhaps": found.other},
        "within": {BEST: found.best, USE: found.other},
        "beyond": {WHOLE: found.whole, USE: found.best, "cheaper": found.other},
    }[found.verdict if found.other else "beyond"]
    points = {role: point for role, point in roles.items() if point}
    if cheapest not in points.values():
        points[CHEAPEST] = cheapest
    return {
        role: _Spot(
            point=point,
            name=short_name(point),
            words=f"{role}: {_exit(point, named=point.group != found.best.group)}",
            cost=point.figure(cost),
            ap=point.figure(point.accuracy),
        )
        for role, point in points.items()
    }


def _exit(point: Point, *, named: bool) -> str:
    """Return `exit 3`, with its network where that is not the one that the verdict names first."""
    return short_name(point) if named or len(point.group.exits) == 1 else f"exit{NBSP}{point.exit}"


def _saving(study: Study, found: Preference, file: Deployment | None, share: Quantity) -> str:
    """Return what the arrow says: `−47 % energy, −1.8 points`; empty where nothing is saved by it."""
    if file is not None:
        return _saved(share.known, "energy", file.less_ap(found.best).known)
    told, whole = found.told, found.whole
    if whole is None:
        return ""
    less, what = share.value, "energy"
    if less is None or cost_figure(study).name != ENERGY.name:
        cost, what = cost_figure(study), cost_figure(study).words
        less = known(told, cost) / known(whole, cost)
    lost = unlike_best(told, whole).change.value or 0.0
    return _saved(less, what, lost, study.accuracy, perhaps=found.is_open)


def _saved(less: float, what: str, lost: float, metric: Metric = AP, *, perhaps: bool = False) -> str:
    points = f"{signed_points(lost, metric)}{NBSP}{metric.points}"
    return f"{change_words(less)} {what}, {'perhaps ' if perhaps else ''}{points}"


def _description(plot: _Plot) -> str:
    """Return the chart in words."""
    metric = plot.metric
    named = "; ".join(
        f"{role}: {each.name} at {plot.mark}{plain(each.cost.known)} {plot.figure.unit}, "
        f"{metric.words} {plain(each.ap.known)}{f' {metric.unit}' if metric.unit else ''}"
        for role, each in plot.named.items()
    )
    saving = f" The arrow says {plot.saving}." if plot.saving else ""
    open_ = " Whether it is accurate enough is open." if plot.is_open else ""
    return f"{len(plot.everyone)} exits, grey but for those named. {named}.{saving}{open_}"


def _paint(figure: Any, *, plot: _Plot, short: bool) -> None:
    axes = panel(figure, left=44, right=16, top=40, bottom=50)
    _frame(axes, plot)
    xs, ys = staircase(plot.places, right=axes.get_xlim()[1], lower=plot.metric.lower)
    axes.plot(xs, ys, color=ACCENT, alpha=0.35, linewidth=4, zorder=1.5, gid="front")
    dots(axes, plot.grey, color=DIM, size=7)
    for role, each in plot.named.items():
        _mark(axes, each, plot.metric, strong=role in (USE, FOR_NOW))
    _arrow(axes, plot)
    _labels(axes, plot, short=short)


def _frame(axes: Any, plot: _Plot) -> None:
    """Set up both axes from zero, since lengths are what is read off them first."""
    right = max([reach(each.cost)[1] for each in plot.named.values()] + [x for x, _ in plot.grey])
    top = max(y for _, y in plot.places)
    axes.set_xlim(0, min(right, 2 * max(x for x, _ in plot.places)) * 1.06)
    low = min(0.0, *(y for _, y in plot.places))
    room = top * 1.25 if low == 0 else top + 0.25 * (top - low)
    axes.set_ylim(1.1 * low, min(1.13 * plot.metric.utmost, room))
    numbered(axes.xaxis, 6)
    numbered(axes.yaxis, 6)
    grid(axes)
    baseline(axes)
    axes.set_xlabel(plot.axis, color=MUTED, fontsize=FONT, labelpad=6)
    above = 1.02 if plot.metric is AP else 1 + ABOVE / axes.get_window_extent().height
    name_axis(axes, plot.metric, "AP, %", at=above)


def _mark(axes: Any, spot: _Spot, metric: Metric, *, strong: bool) -> None:
    """Draw what is named with its intervals, cut off where the axis ends."""
    x, y = spot.place
    (left, right), (bottom, top) = reach(spot.cost), extent(spot.ap, metric)
    axes.plot([x, x], [bottom, min(top, axes.get_ylim()[1])], color=ACCENT, linewidth=2, zorder=3)
    axes.plot([left, min(right, axes.get_xlim()[1])], [y, y], color=ACCENT, linewidth=2, zorder=3)
    if right > axes.get_xlim()[1]:
        axes.plot([axes.get_xlim()[1]], [y], marker=">", color=ACCENT, markersize=8, clip_on=False, zorder=4)
    axes.plot(
        [x],
        [y],
        marker=SHAPES.get(spot.point.exit, "D"),
        markersize=17 if strong else 12,
        color=ACCENT,
        markerfacecolor=ACCENT if strong else PAPER,
        markeredgewidth=2.5,
        clip_on=False,
        zorder=5,
    )


def _pair(plot: _Plot) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return from where to where the arrow leads; None where it says nothing."""
    if not plot.saving:
        return None
    start, end, *_ = (each.place for each in plot.named.values())
    return start, end


def _arrow(axes: Any, plot: _Plot) -> None:
    pair = _pair(plot)
    if pair is None:
        return
    start, end = pair
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>,head_length=0.6,head_width=0.3",
            "connectionstyle": f"arc3,rad={_bend(axes, plot):.3f}",
            "color": INK,
            "linestyle": (0, (4, 3)) if plot.is_open else "solid",
            "linewidth": 1.4,
            "shrinkA": 12,
            "shrinkB": 14,
        },
        zorder=6,
    )


def _bend(axes: Any, plot: _Plot) -> float:
    """Return how much the arrow is bent upwards, as matplotlib counts it: less where the frame ends."""
    (x0, y0), (x1, y1) = pixels(axes, _pair(plot) or ())
    room = axes.get_window_extent().y1 - 4 - max(y0, y1)
    return math.copysign(min(0.35, 2 * max(room, 8.0) / (abs(x0 - x1) + 1)), x0 - x1)


def _course(axes: Any, plot: _Plot) -> list[Box]:
    """Return the arrow as small boxes along its curve; none where there is no arrow."""
    pair = _pair(plot)
    if pair is None:
        return []
    (x0, y0), (x1, y1) = pixels(axes, pair)
    bend = _bend(axes, plot)
    x2, y2 = (x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0)  # as arc3 places its control point
    weights = [((1 - t) ** 2, 2 * t * (1 - t), t * t) for t in (n / 24 for n in range(25))]
    points = [(a * x0 + b * x2 + c * x1, a * y0 + b * y2 + c * y1) for a, b, c in weights]
    return [(x - 6, y - 6, x + 6, y + 6) for x, y in points]


def _labels(axes: Any, plot: _Plot, *, short: bool) -> None:
    """Write what the named exits are, or only what for where there is little room, and over the arrow what it saves."""
    named = [*plot.named] if short else [each.words for each in plot.named.values()]
    centres = pixels(axes, [each.place for each in plot.named.values()])
    window = axes.get_window_extent()
    frame = (window.x0, window.y0, window.x1, window.y1 + 24)
    course = _course(axes, plot)
    obstacles: list[Box] = course * KEPT_OFF
    if course:
        half = 0.3 * FONT * len(plot.saving)
        middle = (course[0][0] + course[-1][2]) / 2
        x = min(max(middle, window.x0 + half), window.x1 - half)
        y = min(max(top for _, _, _, top in course) + 10, window.y1 + 14)
        obstacles += [(x - half, y - 9, x + half, y + 9)] * KEPT_OFF
        at = axes.transData.inverted().transform((x, y))
        axes.text(
            *at,
            plot.saving,
            ha="center",
            va="center",
            fontsize=FONT,
            fontweight="bold",
            color=INK,
            gid="label",
            zorder=7,
        )
    others = pixels(axes, plot.places)
    obstacles += [*((x - 7, y - 7, x + 7, y + 7) for x, y in others), *_crosses(axes, plot), *_steps(axes, plot)]
    found = place(named, centres, needed=[True] * len(named), frame=frame, obstacles=obstacles, size=FONT)
    for centre, label in zip(centres, found, strict=True):
        if label:
            write_label(axes, label, centre, INK)


def _crosses(axes: Any, plot: _Plot) -> list[Box]:
    """Return the intervals of what is named as thin boxes, so that words keep off them."""
    boxes = []
    for each in plot.named.values():
        (x, y), (bottom, top) = each.place, extent(each.ap, plot.metric)
        left, right = reach(each.cost)
        (x0, y0), (x1, y1) = pixels(axes, [(x, bottom), (x, top)])
        (x2, y2), (x3, y3) = pixels(axes, [(left, y), (right, y)])
        boxes += [(x0 - 2, y0, x1 + 2, y1), (x2, y2 - 2, x3, y3 + 2)]
    return boxes


def _steps(axes: Any, plot: _Plot) -> list[Box]:
    """Return the line of the best as thin boxes, likewise."""
    xs, ys = staircase(plot.places, right=axes.get_xlim()[1], lower=plot.metric.lower)
    corners = pixels(axes, list(zip(xs, ys, strict=True)))
    return [
        (min(x0, x1) - 3, min(y0, y1) - 3, max(x0, x1) + 3, max(y0, y1) + 3) for (x0, y0), (x1, y1) in pairwise(corners)
    ]
