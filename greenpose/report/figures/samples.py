"""Raw samples: the blocks behind each measurement, a run's power over time, and test images with what was found."""

import base64
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from greenpose.formatting import JOULES_PER_KWH, NBSP, listed, plain, plural, with_prefix
from greenpose.intervals import Bounds, interval
from greenpose.metrics import ENERGY, PERCENT, TRAIN_ENERGY
from greenpose.quantity import Kind, kind_mark
from greenpose.record import Record
from greenpose.report.drawing import (
    ACCENT,
    FONT,
    INK,
    MUTED,
    PAPER,
    Drawing,
    around_zero,
    bare,
    baseline,
    dots,
    grid,
    numbered,
    panel,
    shifted,
    strokes,
    write,
)
from greenpose.report.figures.energy import FILLS, PURPOSES, REST, key, purpose_of
from greenpose.report.picture import Picture
from greenpose.report.quantities import kind_of, of_exit, prefixed
from greenpose.report.study import Study, energy_kind
from greenpose.store.pictures import source_of
from greenpose.store.traces import Stretch, Trace
from greenpose.tables import Column, Table, kind_notes, table_of, value_cell

MOST_TRACED = 6
"""Runs beyond which nothing of a single run's log is drawn."""
NEAR = 1e-3
"""Part by which the windows of a log may differ from the record that they belong to."""
MOST_BINS = 120
"""Steps of time that a run's power is drawn in."""
REACH = 1.5
"""Quartile distances beyond the quartiles at which the fences stand.

Source: Tukey (1977), Exploratory Data Analysis, section 2C.
"""
UNMETERED = "other"
"""The phase of a record that is no window: what lay between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine:
    """The blocks of one exit of one run."""

    name: str
    """The exit with its run."""
    values: tuple[float, ...]
    """Energy of an image in each block, in J."""
    kind: Kind
    """How it was obtained."""

    @property
    def middle(self) -> float:
        """Return their median, which is the record's number."""
        return statistics.median(self.values)

    @property
    def interval(self) -> Bounds:
        """Return the 95 % interval of the median, by these blocks alone."""
        return interval(self.values) or Bounds(self.middle, self.middle)

    @property
    def fences(self) -> Bounds:
        """Return beyond what a block is far from the others."""
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return Bounds(low - REACH * (high - low), high + REACH * (high - low))

    @property
    def far(self) -> list[float]:
        """Return the blocks beyond the fences."""
        return [each for each in self.values if not self.fences.low <= each <= self.fences.high]

    def off(self, value: float) -> float:
        """Return how many percent a value is off the median."""
        return PERCENT * (value / self.middle - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTrace:
    """The power of one run over time."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The run."""
    step: float
    """Seconds of a bin."""
    watts: Mapping[str, tuple[float, ...]]
    """Mean power of each bin by purpose, those that drew anything; purposes add up to the whole."""
    symbol: str
    """Mark of modelled energy; empty for measured one."""

    @property
    def joules(self) -> float:
        """Return the integral over all time and purposes."""
        return self.step * sum(map(sum, self.watts.values()))

    @property
    def peak(self) -> float:
        """Return the highest power."""
        return max(map(sum, zip(*self.watts.values(), strict=True)))

    @property
    def description(self) -> str:
        """Return what each purpose drew, for readers who do not see it."""
        parts = [f"{name} {self.symbol}{with_prefix(self.step * sum(each), 'J')}" for name, each in self.watts.items()]
        seconds = self.step * len(next(iter(self.watts.values())))
        return f"Power over {plain(seconds)}{NBSP}s, in steps of {plain(self.step, 2)}{NBSP}s: {listed(parts)}."


def blocks_picture(study: Study) -> Picture | None:
    """Return the blocks behind each exit's energy; None where no log tells them."""
    lines = block_lines(study)
    if not lines:
        return None
    return Picture(
        id="blocks",
        title="Energy of an image in every block, beside its median",
        panels=(_draw_blocks(lines),),
        data=_blocks_table(lines),
        notes=(
            "Line: 95 % interval of the median by these blocks alone. Ticks: fences, beyond which a ring is far off.",
        ),
    )


def block_lines(study: Study) -> list[BlockLine]:
    """Return the exits whose blocks have the record's number for their median, so that they are what it is from."""
    found = []
    for run, each in _traced(study):
        for exit_, values in each.blocks.items():
            energy = next((of_exit(entry, ENERGY) for entry in run.exits if entry.exit == exit_), None)
            if energy is None or not energy.value or len(values) < 2:
                continue
            if abs(statistics.median(values) / energy.value - 1) < NEAR:
                found.append(BlockLine(name=f"{run.name}{NBSP}·{NBSP}{exit_}", values=values, kind=energy.kind))
    return found


def power_picture(study: Study) -> Picture | None:
    """Return each run's power over time; None where no log tells it, or what it tells is not what the record holds."""
    traces = power_traces(study)
    if not traces:
        return None
    return Picture(
        id="power",
        title="Power over time, by what it was for",
        panels=tuple(_draw_power(trace, wide=len(traces) == 1) for trace in traces),
        data=_power_table(traces, energy_kind(study)),
        large=len(traces) == 1,
    )


def power_traces(study: Study) -> list[PowerTrace]:
    """Return the power of the runs whose windows add up to what their records hold."""
    found = [(run, each) for run, each in _traced(study) if _agree(run, each)]
    traces = []
    for number, (run, each) in enumerate(found):
        step, watts = _binned(run, each.stretches)
        mark = kind_mark(kind_of(run, TRAIN_ENERGY))
        traces.append(PowerTrace(id=f"power-{number}", label=run.name, step=step, watts=watts, symbol=mark))
    return traces


def poses(study: Study) -> list[dict[str, Any]]:
    """Return each run's picture of test images: its name, words, size, and address, which holds the file itself."""
    if len(study.records) > MOST_TRACED:
        return []
    known = {each.source: each for each in study.pictures}
    found = [(run.name, known.get(source_of(run))) for run in study.records]
    return [
        {
            "name": name,
            "words": each.words,
            "size": each.size,
            "address": f"data:image/png;base64,{base64.b64encode(each.png).decode()}",
        }
        for name, each in found
        if each is not None
    ]


def _traced(study: Study) -> list[tuple[Record, Trace]]:
    """Return the runs with their logs, in the order of the page; none where there are many."""
    if len(study.records) > MOST_TRACED:
        return []
    known = {(each.run, each.config_hash, each.run_finished_at): each for each in study.traces}
    found = [(run, known.get((run.name, run.config_hash, run.finished_at))) for run in study.records]
    return [(run, each) for run, each in found if each is not None]


def _agree(run: Record, each: Trace) -> bool:
    recorded = JOULES_PER_KWH * sum(phase.energy_kwh for phase in run.phases if phase.name != UNMETERED)
    drawn = sum(stretch.joules for stretch in each.stretches)
    return recorded > 0 and abs(drawn / recorded - 1) < NEAR


def _binned(run: Record, stretches: Sequence[Stretch]) -> tuple[float, dict[str, tuple[float, ...]]]:
    """Return the width of a bin, and each purpose's mean power in every bin: the part of each window that lies in it.

    A window's energy is spread evenly over its time, so that bins hold all of it.
    """
    end = max(each.start + each.seconds for each in stretches)
    step = end / MOST_BINS
    watts = {purpose: [0.0] * MOST_BINS for purpose in (*PURPOSES, REST)}
    for each in stretches:
        bins = watts[purpose_of(run, each.phase)]
        first, last = (min(MOST_BINS - 1, int(at / step)) for at in (each.start, each.start + each.seconds))
        for index in range(first, last + 1):
            inside = min(each.start + each.seconds, (index + 1) * step) - max(each.start, index * step)
            share = inside / each.seconds if last > first else 1.0
            bins[index] += each.joules * share / step
    return step, {name: tuple(each) for name, each in watts.items() if any(each)}


def _blocks_table(lines: Sequence[BlockLine]) -> Table:
    metric = prefixed(ENERGY, [line.middle for line in lines])
    notes = kind_notes(line.kind for line in lines)
    told = {
        "Lowest": [min(line.values) for line in lines],
        "Median": [line.middle for line in lines],
        "Highest": [max(line.values) for line in lines],
        "Fence below": [line.fences.low for line in lines],
        "Fence above": [line.fences.high for line in lines],
    }
    kinds = [line.kind for line in lines]
    columns = [
        (
            Column(head=name, unit=metric.unit, notes=notes),
            [value_cell(each * metric.scale, digits=4, kind=kind) for each, kind in zip(values, kinds, strict=True)],
        )
        for name, values in told.items()
    ]
    return table_of(
        "blocks-data",
        f"Energy of an image in every block of calls; fences stand {REACH:g} quartile distances beyond the quartiles.",
        ("Exit of a run",),
        [line.name for line in lines],
        [
            (Column(head="Blocks", unit="count"), [str(len(line.values)) for line in lines]),
            *columns,
            (Column(head="Beyond the fences", unit="count"), [str(len(line.far)) for line in lines]),
        ],
    )


def _power_table(traces: Sequence[PowerTrace], kind: Kind) -> Table:
    lines = [(trace.step, watts) for trace in traces for watts in trace.watts.values()]
    notes = kind_notes([kind])
    drew = [value_cell(step * sum(watts), digits=4, kind=kind) for step, watts in lines]
    most = [value_cell(max(watts), kind=kind) for _, watts in lines]
    return table_of(
        "power-data",
        "What each run drew by purpose: the areas of the drawing, which are the windows of its log.",
        ("Run", "For"),
        [(trace.label, list(trace.watts)) for trace in traces],
        [
            (Column(head="Energy", unit="J", notes=notes), drew),
            (Column(head="Highest power", unit="W", notes=notes), most),
        ],
    )


WIDTH, STEP, NAMES = 1120, 24, 320
"""Width, height of a line, and room for names, in CSS pixels."""
NARROW, HEIGHT = 440, 220
"""Width and height of a run's power beside that of others."""


def _draw_blocks(lines: Sequence[BlockLine]) -> Drawing:
    """Return the exits below each other, each block a dot at its distance from the median."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=NAMES, right=24, top=12, bottom=48)
        ends = [abs(line.off(each)) for line in lines for each in (*line.values, *line.interval)]
        reach = 1.1 * max(ends) or 1.0
        around_zero(axes, reach=(-reach, reach), num_lines=len(lines), label="% of the median")
        numbered(axes.xaxis, 7, signed=True)
        grid(axes, "x")
        for level, line in enumerate(lines):
            write(axes, shifted(axes, (-reach, level), (-14, 0)), line.name, ha="right", color=INK)
            low, high = map(line.off, line.interval)
            strokes(axes, [((low, level), (high, level))], color=ACCENT, linewidth=2.2)
            fences = [each for each in map(line.off, line.fences) if abs(each) < reach]
            strokes(axes, [((x, level - 0.28), (x, level + 0.28)) for x in fences], color=MUTED, linewidth=1)
            dots(axes, [(line.off(each), level) for each in line.values], color=INK, size=7)
            dots(axes, [(line.off(each), level) for each in line.far], color=PAPER, size=4)

    far = sum(len(line.far) for line in lines)
    return Drawing(
        paint=paint,
        id="blocks",
        size=(WIDTH, 60 + STEP * len(lines)),
        title="Energy of an image in every block, beside its median",
        description=f"Dot plot of {plural(len(lines), 'exit')}; {plural(far, 'block')} lie beyond the fences.",
    )


def _draw_power(trace: PowerTrace, *, wide: bool) -> Drawing:
    """Return power as stacked steps, one fill for each purpose."""
    names, width = [*PURPOSES, REST], WIDTH if wide else NARROW

    def paint(figure: Any) -> None:
        axes = panel(figure, left=44, right=12, top=34, bottom=46)
        axes.set(xlim=(0, MOST_BINS * trace.step), ylim=(0, 1.05 * trace.peak))
        numbered(axes.xaxis, 6)
        numbered(axes.yaxis, 4)
        grid(axes, "y")
        tops = _stacked(list(trace.watts.values()))
        for (name, watts), top in reversed(list(zip(trace.watts.items(), tops, strict=True))):
            _steps(axes, trace.step, watts, top, FILLS[names.index(name)])
        baseline(axes)
        axes.set_xlabel("Seconds", color=MUTED, fontsize=FONT, labelpad=6)
        corner = shifted(axes, (0, 1.05 * trace.peak), (-36, 20))
        write(axes, corner, f"{trace.symbol}W", fontsize=FONT - 1)
        _key(figure, [name for name in names if name in trace.watts], names, room=width - 64)

    return Drawing(
        paint=paint,
        id=trace.id,
        size=(width, HEIGHT),
        title=f"Power of {trace.label} over time",
        description=trace.description,
        caption="" if wide else trace.label,
    )


def _stacked(watts: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return each purpose's power with that of those before it, bin by bin."""
    return [list(each) for each in zip(*(accumulate(column) for column in zip(*watts, strict=True)), strict=True)]


def _steps(axes: Any, step: float, watts: Sequence[float], top: Sequence[float], fill: Mapping[str, Any]) -> None:
    """Fill a purpose down to the ground, a polygon for each time that it was at work; those below cover their part."""
    for drew, group in groupby(range(len(watts)), key=lambda index: watts[index] > 0):
        bins = list(group)
        if drew:
            points = [(step * edge, top[index]) for index in bins for edge in (index, index + 1)]
            ends = [(x, 0.0) for x, _ in (points[0], points[-1])]
            axes.fill(*zip(ends[0], *points, ends[1], strict=True), linewidth=0.6, **fill)


def _key(figure: Any, drawn: Sequence[str], names: Sequence[str], *, room: float) -> None:
    """Write what each fill is for, above the frame."""
    key(bare(figure), (64, 12), drawn, [FILLS[names.index(name)] for name in drawn], room=room)
