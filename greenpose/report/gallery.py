"""The gallery: every figure of the page, what it shows, its drawings, its data, what to mind."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from greenpose.formatting import listed, plural
from greenpose.report.drawing import Drawing
from greenpose.report.figures import (
    ablations,
    break_even,
    early_exit,
    energy,
    exits,
    learning_curves,
    repeated_runs,
    tradeoff,
)
from greenpose.report.figures.ablations import Pairs, comparisons, pairs_table
from greenpose.report.figures.break_even import break_even_table, crossings
from greenpose.report.figures.early_exit import leaving, leaving_table
from greenpose.report.figures.energy import MOST_BARS, bill, bill_table, flows, flows_table
from greenpose.report.figures.exits import shares_table, slopes
from greenpose.report.figures.learning_curves import courses, targets_table
from greenpose.report.figures.repeated_runs import repeats, repeats_table
from greenpose.report.figures.tradeoff import MOST_TOLD, Scatter, data_table, scatters
from greenpose.report.ranking import leaders
from greenpose.report.study import Study, short_name
from greenpose.report.tables import Table

T = TypeVar("T")
MOST_PANELS = 6
"""Small drawings in one figure; the figure says how many more its table has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One drawing inside a figure."""

    drawing: Drawing
    """What is drawn."""
    caption: str = ""
    """What tells it from its neighbours; empty for a drawing that stands alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its heading, drawings and data."""

    id: str
    """Anchor, unique on the page."""
    title: str
    """What it shows, in a line."""
    panels: tuple[Panel, ...] = ()
    """The drawings; none where there is nothing to draw."""
    data: Table | None = None
    """The numbers that are drawn; None where nothing is."""
    absent: str = ""
    """Why nothing is drawn; empty where something is."""
    notes: tuple[str, ...] = ()
    """What to know when reading it, a sentence each."""
    large: bool = False
    """True for a drawing over the full width."""


def drawn(items: Sequence[T], most: int, *, leads: Callable[[T], bool]) -> tuple[T, ...]:
    """Return as many items as are drawn, in their order: where there are more, those that lead before others."""
    ranked = sorted(range(len(items)), key=lambda index: not leads(items[index]))
    return tuple(items[index] for index in sorted(ranked[:most]))


def shown(panels: int) -> tuple[str, ...]:
    """Return the note that a figure needs which has more panels than are drawn."""
    return (f"The first {MOST_PANELS} of {panels} are drawn; the table has all.",) if panels > MOST_PANELS else ()


def pictures_of(study: Study) -> list[Picture]:
    """Return all figures that the page of these runs has, in its order."""
    if not study.records:
        return [picture for picture in (bill_picture(study),) if picture]
    found = (
        *tradeoff_pictures(study),
        leaving_picture(study),
        exits_picture(study),
        energy_picture(study),
        courses_picture(study),
        winning_picture(study),
        *pairs_pictures(study),
        bill_picture(study),
        repeats_picture(study),
    )
    return [picture for picture in found if picture]


def tradeoff_pictures(study: Study) -> list[Picture]:
    """Return accuracy against each footprint quantity, the one that exits are ranked by first and large."""
    return [_scatter(chart, large=index == 0) for index, chart in enumerate(scatters(study))]


def leaving_picture(study: Study) -> Picture | None:
    """Return what it brings to let images leave early; None where nobody asked for it."""
    charts = leaving(study)
    if not charts:
        return None
    return Picture(
        id="leaving",
        title="AP against cost when each image leaves at the first exit that is sure of it",
        panels=tuple(Panel(drawing=early_exit.draw(each), caption=each.label) for each in charts[:MOST_PANELS]),
        data=leaving_table(charts),
        notes=(*dict.fromkeys(each.note for each in charts), *shown(len(charts))),
    )


def exits_picture(study: Study) -> Picture | None:
    """Return each exit as a share of the final one; None where no run has two exits."""
    charts, table = slopes(study), shares_table(study)
    if table is None:
        return None
    best = {point.group.label for point in leaders(study)}
    chosen = drawn(charts, MOST_PANELS, leads=lambda each: each.label in best)
    left_out = list(dict.fromkeys(name for chart in charts for name in chart.left_out))
    missing = (f"Not known at every exit, so not drawn everywhere: {listed(left_out)}.",) if left_out else ()
    return Picture(
        id="slopes",
        title="What each exit keeps of the final one, and what it costs",
        panels=tuple(Panel(drawing=exits.draw(each), caption=each.label) for each in chosen),
        data=table,
        absent="" if charts else "no quantity is known at all exits",
        notes=(*missing, *_cut(len(chosen), len(charts), "experiment")),
    )


def energy_picture(study: Study) -> Picture:
    """Return where the energy of one run of each experiment went."""
    chart = flows(study)
    more = len(chart.bars) - MOST_BARS
    return Picture(
        id="energy",
        title=chart.title,
        panels=(Panel(drawing=energy.draw(chart)),),
        data=flows_table(chart),
        notes=(f"{plural(more, 'experiment')} more in the table.",) if more > 0 else (),
        large=True,
    )


def winning_picture(study: Study) -> Picture | None:
    """Return when teaching an exit is won back by reading it; None where no run has several exits."""
    table = break_even_table(study)
    if table is None:
        return None
    charts, best = crossings(study), {point.label for point in leaders(study)}
    chosen = drawn(charts, MOST_PANELS, leads=lambda each: each.label in best)
    return Picture(
        id="winning",
        title="Energy beyond a plain training of the final exit, against images",
        panels=tuple(Panel(drawing=break_even.draw(each), caption=each.label) for each in chosen),
        data=table,
        absent="" if charts else "the records do not tell what teaching added, or what an image costs",
        notes=_cut(len(chosen), len(charts)),
    )


def courses_picture(study: Study) -> Picture | None:
    """Return how accuracy came with energy under two recipes; None where the page holds no network under two."""
    charts = courses(study)
    if not charts:
        return None
    return Picture(
        id="courses",
        title="Accuracy as energy is spent, under the paper’s recipe and another one",
        panels=tuple(Panel(drawing=learning_curves.draw(each), caption=each.label) for each in charts[:MOST_PANELS]),
        data=targets_table(study),
        notes=shown(len(charts)),
    )


def pairs_pictures(study: Study) -> list[Picture]:
    """Return what teaching changes in accuracy, seed by seed; none where the page has nothing to hold it against."""
    best = {short_name(point) for point in leaders(study)}
    return [_pairs(chart, best) for chart in comparisons(study)]


def repeats_picture(study: Study) -> Picture | None:
    """Return how far repeated runs lie apart; None where nothing was repeated."""
    chart = repeats(study)
    if not chart.lines:
        return None
    best = {short_name(point) for point in leaders(study)}
    lines = drawn(chart.lines, repeated_runs.MOST_LINES, leads=lambda line: line.name in best)
    return Picture(
        id=chart.id,
        title=chart.title,
        panels=(Panel(drawing=repeated_runs.draw(replace(chart, lines=lines))),),
        data=repeats_table(chart),
        notes=_cut(len(lines), len(chart.lines)),
        large=True,
    )


def bill_picture(study: Study) -> Picture | None:
    """Return what all the energy of the page was spent for; None where none was metered."""
    chart = bill(study)
    if not chart.parts:
        return None
    return Picture(
        id="spent",
        title=chart.title,
        panels=(Panel(drawing=energy.draw_bill(chart)),),
        data=bill_table(chart),
        large=True,
    )


def _pairs(chart: Pairs, best: Collection[str]) -> Picture:
    pairs = drawn(chart.pairs, ablations.MOST_LINES, leads=lambda pair: pair.name in best)
    return Picture(
        id=chart.id,
        title=chart.title,
        panels=(Panel(drawing=ablations.draw(replace(chart, pairs=pairs))),),
        data=pairs_table(chart),
        notes=_cut(len(pairs), len(chart.pairs)),
        large=True,
    )


def _cut(part: int, whole: int, noun: str = "exit") -> tuple[str, ...]:
    """Return the note of a drawing that leaves some out."""
    left_out = f"Of {plural(whole, noun)} {part} are drawn, those on the front before others; the table has all."
    return (left_out,) if part < whole else ()


def _scatter(chart: Scatter, *, large: bool) -> Picture:
    if chart.absent:
        return Picture(id=chart.id, title=chart.title, absent=chart.absent, large=large)
    whole = chart.left_out + len(chart.marks)
    partly = (f"{chart.left_out} of {whole} exits have no such number and are not drawn.",) if chart.left_out else ()
    crowd = (
        f"Of {plural(len(chart.marks), 'exit')} those that no other beats are named, {MOST_TOLD} at most. The others "
        "are small dots without intervals, one for several that would cover each other.",
    )
    mixed = () if chart.ranked else ("The runs come from different settings: no front is drawn across them.",)
    return Picture(
        id=chart.id,
        title=chart.title,
        panels=(Panel(drawing=tradeoff.draw(chart, large=large)),),
        data=data_table(chart),
        notes=(*partly, *mixed, *(crowd if chart.crowded else ())),
        large=large,
    )
