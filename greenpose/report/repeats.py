"""How far repeated runs lie apart, before it is drawn: each run of an exit against the mean of its repetitions."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from greenpose.formatting import NBSP, Text, plain, plural
from greenpose.report.estimates import Estimate, worst
from greenpose.report.figures import AP, ENERGY, LATENCY, PERCENT, Figure, of_exit
from greenpose.report.layout import Cell, Column, Row, Section, Table, kind_notes, missing_cell, number_cell
from greenpose.report.study import Point, Study, entries
from greenpose.report.tradeoff import short_name

MOST_DOTS = 40
"""Runs of an exit that are drawn; of more, so many evenly spaced by rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One number of an exit in each of its runs."""

    figure: Figure
    """The number."""
    values: tuple[float, ...]
    """In display units, in order of size; empty where fewer than two runs know it."""
    mean: Estimate
    """Their mean with its interval."""
    missing: str = ""
    """Why there are no values."""

    @property
    def unit(self) -> str:
        """Return the unit of deviations: that of a percentage is percentage points."""
        return "percentage points" if self.figure is AP else "% of the mean"

    def off(self, value: float) -> float:
        """Return how far a value is off the mean, in `unit`."""
        mean = self.mean.value or 0.0
        return value - mean if self.figure is AP else PERCENT * (value / mean - 1)

    @property
    def deviations(self) -> list[float]:
        """Return how far each run is off the mean; of many runs, some that are evenly spaced by rank."""
        step = max(1.0, (len(self.values) - 1) / (MOST_DOTS - 1))
        chosen = [round(index * step) for index in range(min(len(self.values), MOST_DOTS))]
        return [self.off(self.values[index]) for index in chosen]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the ends of the mean's interval, as deviations."""
        low, high = self.mean.low, self.mean.high
        return None if low is None or high is None else (self.off(low), self.off(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One exit that was run more than once."""

    name: str
    """The exit with its experiment."""
    exit: int
    """Exit number; decides the shape."""
    runs: int
    """How many runs there are."""
    spreads: tuple[Spread, ...]
    """Its numbers, in the order of the chart's figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """All exits that were run more than once."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    figures: tuple[Figure, ...]
    """The numbers that are shown, those that any line knows."""
    lines: tuple[Line, ...]
    """The exits; empty where nothing was repeated."""

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return "How far single runs lie from their mean"

    @property
    def description(self) -> str:
        """Return in words how far apart the runs are at most."""
        parts = [f"{figure.label}: {self._widest(index)}" for index, figure in enumerate(self.figures)]
        return f"Dot plot of {plural(len(self.lines), 'exit')} that were run more than once. {'; '.join(parts)}."

    def _widest(self, index: int) -> str:
        known = [(line.spreads[index], line.name) for line in self.lines if line.spreads[index].values]
        spread, name = max(known, key=lambda each: max(map(abs, each[0].deviations)))
        return f"at most {plain(max(map(abs, spread.deviations)), 2)}{NBSP}{spread.unit} off, {name}"


def repeats(study: Study) -> Repeats:
    """Return how far the runs of each exit lie apart in AP, energy and latency."""
    points = [point for point in study.points if len(point.group.runs) > 1]
    shown = (AP, study.shown(ENERGY), LATENCY)
    lines = [(point, {figure: _spread(point, figure) for figure in shown}) for point in points]
    figures = tuple(figure for figure in shown if any(found[figure].values for _, found in lines))
    return Repeats(
        id="repeats",
        figures=figures,
        lines=tuple(
            Line(
                name=short_name(point),
                exit=point.exit,
                runs=len(point.group.runs),
                spreads=tuple(found[figure] for figure in figures),
            )
            for point, found in lines
        )
        if figures
        else (),
    )


def repeats_table(chart: Repeats) -> Table:
    """Return the lowest, the middle and the highest run of each exit."""
    columns = [
        _columns(figure, [line.spreads[index] for line in chart.lines]) for index, figure in enumerate(chart.figures)
    ]
    return Table(
        id=f"{chart.id}-data",
        caption=f"{chart.title}: the lowest, the middle and the highest of all runs of an exit.",
        heads=("Exit",),
        columns=(Column(head="Runs", unit="count"), *(each for group in columns for each in group)),
        sections=(
            Section(
                rows=tuple(
                    Row(
                        head=line.name,
                        cells=(Cell(value=str(line.runs)), *(cell for each in line.spreads for cell in _cells(each))),
                    )
                    for line in chart.lines
                )
            ),
        ),
    )


def _spread(point: Point, figure: Figure) -> Spread:
    found = [of_exit(entry, figure) for entry in entries(point)]
    values = sorted(each.value for each in found if each.value is not None)
    mean = point.figure(figure)
    if len(values) < 2 or not mean.value:
        reasons = [each.missing for each in found if each.missing]
        return Spread(
            figure=figure, values=(), mean=mean, missing=reasons[0] if reasons else "fewer than two runs know it"
        )
    return Spread(figure=figure, values=tuple(values), mean=mean)


def _columns(figure: Figure, spreads: Sequence[Spread]) -> tuple[Column, ...]:
    kinds = [worst([each.mean.kind for each in spreads if each.values])]
    notes = kind_notes([Estimate(value=1.0, kind=kind) for kind in kinds])
    return tuple(
        Column(head=f"{figure.label}, {which}", unit=figure.unit, notes=notes)
        for which in ("lowest", "middle", "highest")
    )


def _cells(spread: Spread) -> list[Cell]:
    if not spread.values:
        return [missing_cell(spread.missing)] * 3
    chosen = (spread.values[0], statistics.median(spread.values), spread.values[-1])
    texts = [
        Estimate(value=each, disturbed=spread.mean.disturbed).text(most_decimals=spread.figure.most_decimals)
        for each in chosen
    ]
    return [number_cell(Text(value=text.value), kind=spread.mean.kind) for text in texts]
