"""Energy: where it went, by purpose, by component and by activity."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenpose.formatting import NBSP, joules_to_kwh, listed, percent, plain, plural
from greenpose.metrics import PERCENT, Metric
from greenpose.quantity import Kind, Quantity, amount, kind_mark, mean_of, missing
from greenpose.record import Record
from greenpose.report.drawing import ACCENT, CHARACTER, DIM, FONT, INK, PAPER, Drawing, bare, write
from greenpose.report.figures.totals import paid_of
from greenpose.report.picture import Picture
from greenpose.report.quantities import energy_figure
from greenpose.report.study import Group, Study, energy_kind, gross_kwh
from greenpose.tables import (
    Column,
    Table,
    kind_notes,
    table_of,
)

PURPOSES: Mapping[str, tuple[str, ...]] = {
    "Training steps": ("train",),
    "Validation": ("validate",),
    "Test and metering": ("test", "inference", "segments"),
}
"""Phases of a run by what they are for; one that has no place here is part of the rest."""
_HOMES = {phase: purpose for purpose, phases in PURPOSES.items() for phase in phases}
NOT_TRAINING = ("data", "count", "other")
"""Phases of a loop that is not ours that are the rest; what else it may have of its own is training."""
REST = "The rest"
LOST = {"failed": "Runs that failed", "interrupted": "Interrupted runs", "lost": "Runs that got lost"}
"""Why runs did not finish, and how the bill words it."""
COMPONENTS = {"cpu": "CPU", "gpu": "GPU", "ram": "Memory"}
"""Components, and how the page words them."""
MOST_BARS = 12
"""Experiments that are drawn; the table has all."""
TITLE = "Energy of one run: by purpose, by component, at work and at idle"
Energies = Mapping[str, float]
"""kWh of each part; parts sum to what the run drew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One way of cutting the energy of a run into parts."""

    title: str
    """How it is cut."""
    parts: tuple[str, ...]
    """Names of the parts."""
    energies: Callable[[Record], Energies | None]
    """Return the parts of a run; None where the record does not tell them apart."""
    missing: str
    """What to say then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The energy of one run of an experiment, mean over its runs, in display units."""

    label: str
    """The experiment."""
    total: Quantity
    """All of it."""
    parts: tuple[tuple[float, ...] | None, ...]
    """For each cut its parts; None where the records do not tell them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Where the energy of each experiment went."""

    bars: tuple[Bar, ...]
    """The experiments, in the order of the page."""
    cuts: tuple[Cut, ...]
    """The ways in which each bar is cut."""
    figure: Metric
    """Energy in the unit that suits them all."""

    @property
    def description(self) -> str:
        """Return in words how all bars together are cut."""
        return " ".join(filter(None, (self._shares(index) for index in range(len(self.cuts)))))

    def _shares(self, cut: int) -> str:
        known = [parts for bar in self.bars if (parts := bar.parts[cut])]
        sums = [sum(each) for each in zip(*known, strict=True)]
        if not sum(sums):
            return ""
        named = [
            f"{name} {percent(value / sum(sums))}"
            for name, value in zip(self.cuts[cut].parts, sums, strict=True)
            if value
        ]
        return f"{self.cuts[cut].title}: {listed(named)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What everything on the page was spent for."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    parts: Mapping[str, float]
    """Energy of each part in display units; those of runs that did not finish come last."""
    figure: Metric
    """Energy in the unit that suits the whole."""
    kind: Kind
    """How the energy was obtained."""

    @property
    def total(self) -> float:
        """Return all of it."""
        return sum(self.parts.values())

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"What {kind_mark(self.kind)}{plain(self.total)}{NBSP}{self.figure.unit} were spent for"

    @property
    def description(self) -> str:
        """Return the parts in words."""
        return f"{listed([self.words(name) for name in self.parts])}."

    def words(self, name: str) -> str:
        """Return `Training steps 54 Wh, 85 %`."""
        value = self.parts[name]
        return f"{name} {kind_mark(self.kind)}{plain(value)}{NBSP}{self.figure.unit}, {percent(value / self.total)}"


def energy_picture(study: Study) -> Picture:
    """Return where the energy of one run of each experiment went."""
    chart = flows(study)
    more = len(chart.bars) - MOST_BARS
    notes = (f"{plural(more, 'experiment')} more in the table.",) if more > 0 else ()
    return Picture(id="energy", title=TITLE, panels=(draw(chart),), data=flows_table(chart), notes=notes, large=True)


def bill_picture(study: Study) -> Picture | None:
    """Return what all the energy of the page was spent for; None where none was metered."""
    chart = bill(study)
    if not chart.parts:
        return None
    return Picture(id="spent", title=chart.title, panels=(draw_bill(chart),), data=bill_table(chart), large=True)


def flows(study: Study) -> Flows:
    """Return where the energy of every experiment went; parts that no run has are left out."""
    energy = energy_figure(study.together.each(gross_kwh))
    cuts = tuple(_used(cut, study) for cut in CUTS)
    return Flows(
        bars=tuple(_bar(group, cuts, energy) for group in study.groups),
        cuts=cuts,
        figure=energy,
    )


def flows_table(chart: Flows) -> Table:
    """Return the numbers of the drawing."""
    notes = kind_notes(bar.total.kind for bar in chart.bars)
    names = ["Total", *(part for cut in chart.cuts for part in cut.parts)]
    lines = [_numbers(bar, chart.cuts) for bar in chart.bars]
    return table_of(
        "flows-data",
        "Energy of one run, mean over the runs of an experiment; each of the three cuts sums to the total. Idle is the "
        "idle power met between the blocks of inference, times the run’s wall time.",
        ("Experiment",),
        [bar.label for bar in chart.bars],
        [
            (Column(head=name, unit=chart.figure.unit, notes=notes), [line[place] for line in lines])
            for place, name in enumerate(names)
        ],
    )


def by_purpose(run: Record) -> Energies:
    """Return the energy of a run by what it was spent for."""
    found = dict.fromkeys((*PURPOSES, REST), 0.0)
    for phase in run.phases:
        found[purpose_of(run, phase.name)] += phase.energy_kwh
    return found


def purpose_of(run: Record, phase: str) -> str:
    """Return what a phase is for; of a loop that is not ours, its own phases are training."""
    home = _HOMES.get(phase)
    return home or ("Training steps" if run.own and phase not in NOT_TRAINING else REST)


def by_component(run: Record) -> Energies | None:
    """Return the energy of a run by component."""
    told = [phase.energy_kwh_by_component for phase in run.phases]
    found = {words: sum(each.get(name, 0.0) for each in told) for name, words in COMPONENTS.items()}
    return found if sum(found.values()) else None


def by_activity(run: Record) -> Energies | None:
    """Return what idling for as long would have drawn, and what the run drew beyond that."""
    import numpy as np

    watts = [each for entry in run.exits if (each := entry.measurement.get("idle_watts"))]
    if not watts:
        return None
    gross, seconds = gross_kwh(run), sum(phase.seconds for phase in run.phases)
    idle = np.minimum(gross, joules_to_kwh(np.median(watts, axis=0) * seconds))
    return {"Beyond idle": gross - idle, "Idle": idle}


def bill(study: Study) -> Bill:
    """Return what all the energy of the page was spent for, the runs that did not finish apart."""
    spent = dict.fromkeys((*PURPOSES, REST), 0.0)
    for parts in paid_of(study, by_purpose):
        for part, kwh in parts.items():
            spent[part] += kwh
    lost = {words: sum(each.energy_kwh for each in study.failures if each.reason == r) for r, words in LOST.items()}
    energy = energy_figure([sum(spent.values()) + sum(lost.values())])
    shown = {name: kwh * energy.scale for name, kwh in (spent | lost).items() if kwh}
    return Bill(id="spent", parts=shown, figure=energy, kind=energy_kind(study))


def bill_table(chart: Bill) -> Table:
    """Return the numbers of the bar."""
    parts = chart.parts.values()
    energy = Column(head="Energy", unit=chart.figure.unit, notes=kind_notes([chart.kind]))
    return table_of(
        "spent-data",
        "What all the energy on this page was spent for.",
        ("Part",),
        list(chart.parts),
        [
            (energy, [Quantity(value=part, kind=chart.kind) for part in parts]),
            (Column(head="Share", unit="% of all"), [plain(PERCENT * part / chart.total) for part in parts]),
        ],
    )


CUTS = (
    Cut(
        title="By purpose",
        parts=(*PURPOSES, REST),
        energies=by_purpose,
        missing="the record has no phases",
    ),
    Cut(
        title="By component",
        parts=tuple(COMPONENTS.values()),
        energies=by_component,
        missing="the record does not tell components apart",
    ),
    Cut(
        title="At work and at idle",
        parts=("Beyond idle", "Idle"),
        energies=by_activity,
        missing="the record has no idle power",
    ),
)
"""The ways in which the page cuts a run's energy."""


def _used(cut: Cut, study: Study) -> Cut:
    found = [each for each in study.together.each(cut.energies) if each]
    return replace(cut, parts=tuple(part for part in cut.parts if any(each.get(part) for each in found)))


def _bar(group: Group, cuts: Sequence[Cut], energy: Metric) -> Bar:
    kind = energy_kind(group)
    total = amount(mean_of([kwh * energy.scale for kwh in group.together.each(gross_kwh)], kind=kind))
    return Bar(label=group.label, total=total, parts=tuple(_means(group, cut, energy.scale) for cut in cuts))


def _means(group: Group, cut: Cut, scale: float) -> tuple[float, ...] | None:
    """Return the mean of each part over the runs; None where one of them does not tell its parts."""
    found = [each for each in group.together.each(cut.energies) if each is not None]
    if len(found) < len(group.runs):
        return None
    return tuple(scale * statistics.fmean(each[part] for each in found) for part in cut.parts)


def _numbers(bar: Bar, cuts: Sequence[Cut]) -> list[Quantity]:
    """Return the total of a bar, then the parts of each cut."""
    numbers = [bar.total]
    for cut, parts in zip(cuts, bar.parts, strict=True):
        absent = [missing(cut.missing)] * len(cut.parts)
        numbers += absent if parts is None else [Quantity(value=part, kind=bar.total.kind) for part in parts]
    return numbers


Fill = dict[str, Any]
FILLS: tuple[Fill, ...] = (
    {"facecolor": ACCENT, "edgecolor": ACCENT},
    {"facecolor": PAPER, "edgecolor": ACCENT, "hatch": "////"},
    {"facecolor": DIM, "edgecolor": DIM},
    {"facecolor": PAPER, "edgecolor": DIM},
)
"""Fills of the parts of a bar; each differs from its neighbours in more than colour."""
WASTE: dict[str, Fill] = {
    LOST["failed"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "\\\\\\\\"},
    LOST["interrupted"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "----"},
    LOST["lost"]: {"facecolor": PAPER, "edgecolor": INK, "hatch": "||||"},
}
"""Fills of what did not finish."""
WIDTH = 1120
_NAMES, _RIGHT, _GAP = 176, 172, 28
_TOP, _STEP, _BAR = 72, 28, 16


def draw(chart: Flows) -> Drawing:
    """Return one line of bars for each experiment, one bar for each cut, all of one scale."""
    bars = chart.bars[:MOST_BARS]
    longest = max((bar.total.value or 0.0 for bar in bars), default=0.0) or 1.0
    names = max([_NAMES, *(17 + math.ceil(CHARACTER * FONT * len(bar.label)) for bar in bars)])
    room = (WIDTH - names - _RIGHT - _GAP * (len(chart.cuts) - 1)) / len(chart.cuts)

    def paint(figure: Any) -> None:
        axes = bare(figure)
        for place, cut in enumerate(chart.cuts):
            left = names + place * (room + _GAP)
            write(axes, (left, 12), cut.title, color=INK, fontweight="bold")
            key(axes, (left, 34), cut.parts, FILLS, room=room)
            for line, bar in enumerate(bars):
                at = (left, _TOP + line * _STEP)
                if (parts := bar.parts[place]) is None:
                    write(axes, (left, at[1] + _BAR / 2), "not measured", fontstyle="italic")
                else:
                    stack(axes, at, [room / longest * part for part in parts], height=_BAR, fills=FILLS)
        for line, bar in enumerate(bars):
            level = _TOP + line * _STEP + _BAR / 2
            write(axes, (names - 14, level), bar.label, ha="right", color=INK)
            total = f"{kind_mark(bar.total.kind)}{bar.total.text()} {chart.figure.unit}"
            write(axes, (WIDTH - _RIGHT + 14, level), total, color=INK)

    size = (WIDTH, _TOP + _STEP * len(bars))
    return Drawing(paint=paint, id="flows", size=size, title=TITLE, description=chart.description)


def draw_bill(chart: Bill) -> Drawing:
    """Return one bar of everything, with a line of words for each part below it."""
    fills = [(WASTE[name] if name in WASTE else FILLS[index]) for index, name in enumerate(chart.parts)]

    def paint(figure: Any) -> None:
        axes = bare(figure)
        stack(axes, (1, 4), [(WIDTH - 2) / chart.total * part for part in chart.parts.values()], height=36, fills=fills)
        for index, (name, fill) in enumerate(zip(chart.parts, fills, strict=True)):
            left, level = 1 + index % 3 * WIDTH / 3, 64 + index // 3 * 24
            stack(axes, (left, level - 6), [12], height=12, fills=[fill])
            write(axes, (left + 20, level), chart.words(name), color=INK)

    size = (WIDTH, 56 + 24 * math.ceil(len(chart.parts) / 3))
    return Drawing(paint=paint, id=chart.id, size=size, title=chart.title, description=chart.description)


def stack(axes: Any, at: tuple[float, float], widths: Sequence[float], *, height: float, fills: Sequence[Fill]) -> None:
    """Draw the parts of one bar side by side from its upper left corner on, in pixels."""
    from matplotlib.patches import Rectangle

    left = at[0]
    for width, fill in zip(widths, fills, strict=False):
        if width > 0:
            axes.add_patch(Rectangle((left, at[1]), width, height, linewidth=1, clip_on=False, **fill))
            left += width


def key(axes: Any, at: tuple[float, float], names: Sequence[str], fills: Sequence[Fill], *, room: float) -> None:
    """Write the names of the parts behind a sample of their fill, on as many lines as `room` asks for."""
    left, level = at
    for name, fill in zip(names, fills, strict=False):
        width = 15 + CHARACTER * (FONT - 1) * len(name)
        if left > at[0] and left + width > at[0] + room:
            left, level = at[0], level + 18
        stack(axes, (left, level - 5), [10], height=10, fills=[fill])
        write(axes, (left + 15, level), name, fontsize=FONT - 1)
        left += width + 8
