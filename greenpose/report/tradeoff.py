"""What accuracy costs, as scatter charts before they are drawn: points, front, words, and the data as a table."""

from dataclasses import dataclass

from greenpose.formatting import NBSP, listed, plural
from greenpose.report.estimates import Estimate
from greenpose.report.figures import AP, ENERGY, FOOTPRINTS, MACS, TRAIN_ENERGY, Figure, mark, training_figure
from greenpose.report.headline import cost_figure
from greenpose.report.layout import Cell, Column, Row, Section, Table, estimate_cell, figure_column, kind_notes
from greenpose.report.pareto import front
from greenpose.report.study import Point, Study

MANY_MARKS = 200
"""Points beyond which only those of the front are named, and have intervals and lines in the table."""
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
        return (tuple(mark for mark in self.marks if mark.front) or self.marks)[:MOST_TOLD]

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
    lead = cost_figure(study)
    return [scatter(study, figure) for figure in sorted(figures, key=lambda figure: figure is not lead)]


def scatter(study: Study, figure: Figure) -> Scatter:
    """Return AP against one quantity, cheapest point first."""
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
            Mark(label=short_name(point), exit=point.exit, x=x, y=y, front=index in best)
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


def front_table(study: Study) -> Table | None:
    """Return up to five exits that no other beats, dearest first; None where fewer than two exits have an AP."""
    figure = cost_figure(study)
    if len(study.scored) < 2:
        return None
    points = list(study.scored)
    best = [points[index] for index in front([(_known(p, figure), _known(p, AP)) for p in points])][::-1][:5]
    beside = [each for each in (ENERGY, MACS) if each is figure or (_all(best, each) and _fair(study, each))]
    figures = (AP, *beside)
    return Table(
        id="front",
        caption=f"Exits that no other beats in both AP and {figure.words}, most accurate first.",
        heads=("Exit",),
        columns=tuple(figure_column(each, [point.figure(each) for point in best]) for each in figures),
        sections=(
            Section(
                rows=tuple(
                    Row(
                        head=short_name(point),
                        cells=tuple(estimate_cell(point.figure(each), each) for each in figures),
                    )
                    for point in best
                )
            ),
        ),
    )


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
