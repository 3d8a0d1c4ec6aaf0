"""What accuracy costs, as scatter charts before they are drawn: points, front, words, and the data as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from greenpose.formatting import NBSP, listed, plural
from greenpose.report.differences import seed_by_seed
from greenpose.report.estimates import Estimate, over_runs, ratio
from greenpose.report.figures import (
    AP,
    ENERGY,
    FOOTPRINTS,
    MACS,
    PERCENT,
    TRAIN_ENERGY,
    Figure,
    mark,
    training_figure,
)
from greenpose.report.headline import answered, cost_figure, energy_share, unlike_best
from greenpose.report.layout import Cell, Column, Row, Section, Table, estimate_cell, figure_column, kind_notes
from greenpose.report.pareto import front
from greenpose.report.study import Point, Study

MANY_MARKS = 200
"""Points beyond which only those of the front are named, and have intervals and lines in the table."""
MOST_FRONT = 5
"""Exits in the table beside the answer."""
KEPT = Figure(name="", label="AP kept", unit="% of the first", most_decimals=1)
SAVED = Figure(name="", label="Energy saved", unit="% of the first")
MOST_TOLD = 40
"""Points of the front that are told then, the cheapest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point of a chart."""

    label: str
    """Short name: the experiment, and the exit where it has several."""
    exit: int
    """Exit number; decides the shape."""
    x: Estimate
    """Footprint, in display units."""
    y: Estimate
    """AP in percent."""
    front: bool
    """Whether no other point beats it."""
    named: bool = False
    """Whether the answer names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Accuracy against one footprint quantity."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    figure: Figure
    """The footprint quantity."""
    marks: tuple[Mark, ...]
    """Points with both numbers; empty where there is nothing to draw."""
    left_out: int
    """Points without one of the numbers."""
    absent: str
    """Why there is nothing to draw; empty where there is."""
    ranked: bool
    """False: the points come from different settings, so no front is drawn."""

    @property
    def crowded(self) -> bool:
        """Return whether there are too many points to tell of each."""
        return len(self.marks) > MANY_MARKS

    @property
    def told(self) -> tuple[Mark, ...]:
        """Return the points that are named: all; of very many some of the front, or the first where there is none."""
        if not self.crowded:
            return self.marks
        best = [mark for mark in self.marks if mark.front] or list(self.marks)
        named = [mark for mark in self.marks if mark.named]
        others = [mark for mark in best if not mark.named][: MOST_TOLD - len(named)]
        told = {id(mark) for mark in (*named, *others)}
        return tuple(mark for mark in self.marks if id(mark) in told)

    @property
    def title(self) -> str:
        """Return `AP against energy per image`."""
        return f"AP against {self.figure.words}"

    @property
    def axis(self) -> str:
        """Return the title of the horizontal axis, unit and kind included."""
        notes = "".join(f", {note}" for note in kind_notes([each.x for each in self.marks]))
        words = self.figure.words[:1].upper() + self.figure.words[1:]
        return f"{words} ({self.figure.unit.removesuffix('/image').removesuffix('/1000 images')}){notes}"

    @property
    def description(self) -> str:
        """Return in words what the chart shows, for readers who do not see it."""
        text = f"Scatter chart of {plural(len(self.marks), 'exit')} with 95 % intervals in both directions."
        if not self.ranked:
            return f"{text} The runs come from different settings, so no front is drawn."
        best = [f"{each.label} ({self.words(each)})" for each in self.marks if each.front]
        return f"{text} Exits that no other beats, cheapest first: {listed(best)}."

    def words(self, mark_: Mark) -> str:
        """Return the numbers of a point in words."""
        cost = f"{mark(mark_.x.kind)}{mark_.x.text()}{NBSP}{self.figure.unit}"
        return f"{cost}, AP {mark_.y.text(most_decimals=1)}{NBSP}%"


def scatters(study: Study) -> list[Scatter]:
    """Return one chart for each footprint quantity; the quantity that exits are ranked by comes first."""
    training = training_figure(study.records)
    figures = [training if figure is TRAIN_ENERGY else figure for figure in FOOTPRINTS]
    lead, named = cost_figure(study), answered(study)
    return [scatter(study, figure, named=named) for figure in sorted(figures, key=lambda figure: figure is not lead)]


def scatter(study: Study, figure: Figure, *, named: Sequence[Point] = ()) -> Scatter:
    """Return AP against one quantity, cheapest point first; the exits that the answer names are to be labelled."""
    figure = study.shown(figure)
    found = [(point, point.figure(figure), point.figure(AP)) for point in study.points]
    drawn = [(point, x, y) for point, x, y in found if x.value is not None and y.value is not None]
    drawn.sort(key=lambda each: (each[1].value or 0, -(each[2].value or 0)))
    ranked = _fair(study, figure)
    best = set(front([(x.value or 0, y.value or 0) for _, x, y in drawn])) if ranked else set()
    reasons = [y.missing or x.missing for _, x, y in found if x.value is None or y.value is None]
    return Scatter(
        id=f"chart-{figure.name.replace('_', '-')}",
        figure=figure,
        marks=tuple(
            Mark(label=short_name(point), exit=point.exit, x=x, y=y, front=index in best, named=point in named)
            for index, (point, x, y) in enumerate(drawn)
        ),
        left_out=len(found) - len(drawn),
        absent="" if drawn else (reasons[0] if reasons else "no run finished"),
        ranked=ranked,
    )


def data_table(chart: Scatter) -> Table:
    """Return the points of a chart as a table."""
    rows = [
        Row(
            head=mark.label,
            cells=(
                estimate_cell(mark.x, chart.figure),
                estimate_cell(mark.y, AP),
                Cell(value=("yes" if mark.front else "no") if chart.ranked else "not ranked"),
            ),
        )
        for mark in chart.told
    ]
    which = "the points of the chart"
    if chart.crowded:
        which = f"of its {plural(len(chart.marks), 'point')} those that no other beats, {MOST_TOLD} at most"
    return Table(
        id=f"{chart.id}-data",
        caption=f"{chart.title}: {which}.",
        heads=("Exit",),
        columns=(
            figure_column(chart.figure, [mark.x for mark in chart.told]),
            figure_column(AP, [mark.y for mark in chart.told]),
            Column(head="On the front", words=True),
        ),
        sections=(Section(rows=tuple(rows)),),
    )


def leaders(study: Study) -> list[Point]:
    """Return the exits that no other beats in both AP and what exits are ranked by, most accurate first."""
    figure, points = cost_figure(study), list(study.scored)
    return [points[index] for index in front([(_known(p, figure), _known(p, AP)) for p in points])][::-1]


def front_table(study: Study) -> Table | None:
    """Return the exits of the answer and others that no other beats, five in all; None where fewer than two have an AP.

    The most accurate comes first, and the others are held against it.
    """
    if len(study.scored) < 2:
        return None
    best, named = leaders(study), answered(study)
    shown = sorted(_first([*named, *best])[:MOST_FRONT], key=lambda point: (-_known(point, AP), _known(point, MACS)))
    figures = [each for each in (ENERGY, MACS) if _all(shown, each) and _fair(study, each)]
    columns = {AP: [point.figure(AP) for point in shown], KEPT: [kept(point, shown[0]) for point in shown]}
    for each in figures:
        figure = study.shown(each)
        columns[figure] = [point.figure(figure) for point in shown]
        if each is ENERGY:
            columns[SAVED] = [_saved(study, point, shown[0]) for point in shown]
    return Table(
        id="front",
        caption=_front_words(study, best, shown),
        heads=("Exit",),
        columns=tuple(figure_column(figure, values) for figure, values in columns.items()),
        sections=(
            Section(
                rows=tuple(
                    Row(
                        head=short_name(point),
                        cells=tuple(_front_cell(point, shown[0], fig, values[i]) for fig, values in columns.items()),
                    )
                    for i, point in enumerate(shown)
                )
            ),
        ),
    )


def kept(point: Point, best: Point) -> Estimate:
    """Return AP in percent of that of the most accurate exit, seed by seed where both ran with the same ones."""
    pairs = seed_by_seed(best, point, AP)
    if pairs:
        return over_runs([ratio(part, whole) for whole, part in pairs]).times(PERCENT)
    return ratio(point.figure(AP), best.figure(AP)).times(PERCENT)


def _saved(study: Study, point: Point, best: Point) -> Estimate:
    share = energy_share(study, point, best)
    if share.value is None:
        return share
    low, high = (None if end is None else PERCENT * (1 - end) for end in (share.high, share.low))
    return replace(share, value=PERCENT * (1 - share.value), low=low, high=high)


def _front_cell(point: Point, best: Point, figure: Figure, each: Estimate) -> Cell:
    """Return a number of the front's table; of what is held against the most accurate exit, that this is the one."""
    if figure not in (KEPT, SAVED):
        return estimate_cell(each, figure)
    if point == best:
        return Cell(value="reference")
    cell = estimate_cell(each, figure)
    if figure is KEPT and unlike_best(point, best).verdict == "alike":
        return replace(cell, interval=f"{cell.interval} not distinguishable".strip())
    return cell


def _front_words(study: Study, best: list[Point], shown: list[Point]) -> str:
    """Return the caption: what the exits have in common, and which are left out."""
    text = f"Exits that no other beats in both AP and {cost_figure(study).words}, most accurate first"
    beaten = [short_name(point) for point in shown if point not in best]
    if beaten:
        text += f", and {listed(beaten)} from the answer"
    left_out = [point for point in best if point not in shown]
    cut = f" {len(best) - len(left_out)} of {len(best)} are shown, the chart below has all." if left_out else ""
    return f"{text}.{cut}"


def _first(points: list[Point]) -> list[Point]:
    """Return each point once, where it stands first."""
    return [point for index, point in enumerate(points) if point not in points[:index]]


def short_name(point: Point) -> str:
    """Return the experiment, and the exit behind a dot where it has several."""
    return point.group.label if len(point.group.exits) == 1 else f"{point.group.label}{NBSP}·{NBSP}{point.exit}"


def _fair(study: Study, figure: Figure) -> bool:
    """Return whether the figure may be compared over all runs."""
    return study.comparable or not figure.per_machine


def _known(point: Point, figure: Figure) -> float:
    return point.figure(figure).value or 0.0


def _all(points: list[Point], figure: Figure) -> bool:
    return all(point.figure(figure).value is not None for point in points)
