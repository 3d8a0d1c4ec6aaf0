"""Learning curves: accuracy over the energy spent, and the energy to a target."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from greenpose.formatting import NBSP, plain, plural
from greenpose.intervals import Bounds
from greenpose.metrics import AP, PERCENT, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity, amount, kind_mark, missing, over_runs, ratio
from greenpose.record import Record, Validation
from greenpose.report.drawing import ACCENT, FONT, INK, MUTED, Drawing, baseline, grid, panel, shifted, write
from greenpose.report.labels import setting
from greenpose.report.picture import MOST_PANELS, Picture, first_panels
from greenpose.report.quantities import kind_of
from greenpose.report.study import Group, Point, Study, energy_kind
from greenpose.tables import PAPER_ITSELF, Table, table_of

LEVEL = Metric(name="", label="Validation AP to hold", unit="%", most_decimals=1, words="validation AP")
CPU_TIME = Metric(name="", label="CPU time to it", unit="s")
SHARE = Metric(name="", label="Energy to it", unit="% of the paper’s recipe")
PAPER = "paper"
"""What a configuration calls the recipe that others are held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the runs of one group took until one exit held the level."""

    point: Point
    """The exit."""
    level: Quantity
    """Validation AP in percent."""
    energy: Quantity
    """Training energy until then, in kWh, mean over the runs that reached it."""
    cpu_seconds: Quantity
    """CPU time until then."""
    share: Quantity
    """The energy as a percentage of what the reference took; missing for the reference itself."""


def targets(study: Study) -> list[Target]:
    """Return the targets of every exit of all groups whose records tell the course of training.

    The level of an exit is what the least successful seed of the paper's recipe ends with, so that all of its runs
    reach it; the paper's recipe is the group of the same network, losses and data with `recipe: paper`, or where the
    page has none the group itself. A level is held from a validation on if the next one shows it too.
    """
    found: list[Target] = study.known.setdefault("targets", [])
    if found:
        return found
    for point in study.points:
        reference = reference_of(study, point.group)
        level = _level(reference, point.exit)
        if level is None or not all(run.validations for run in point.group.runs):
            continue
        ours = _taken(point.group, point.exit, level)
        theirs = ours if reference is point.group else _taken(reference, point.exit, level)
        share = missing(PAPER_ITSELF)
        if reference is not point.group:
            share = ratio(ours[0], theirs[0]) * PERCENT
        found.append(
            Target(
                point=point,
                level=Quantity(value=PERCENT * level, kind="computed"),
                energy=ours[0],
                cpu_seconds=ours[1],
                share=share,
            )
        )
    return found


def targets_table(study: Study) -> Table | None:
    """Return the targets as a table; None where no record tells the course of training."""
    found = targets(study)
    if not found:
        return None
    energy = replace(study.training_figure, label="Energy to it")
    shares = (SHARE, [each.share for each in found])
    return table_of(
        "targets",
        "What training took, validation included, until an exit first held the validation AP that the least successful "
        "seed of the paper’s recipe ends with. Mean over the runs that reached it.",
        ("Exit",),
        [_label(each) for each in found],
        [
            (LEVEL, [each.level for each in found]),
            (energy, [each.energy * energy.scale for each in found]),
            (CPU_TIME, [each.cpu_seconds for each in found]),
            *([shares] if any(each.share.missing != PAPER_ITSELF for each in found) else []),
        ],
    )


def holds(validations: Sequence[Validation], exit_: int, level: float) -> Validation | None:
    """Return the first validation at which an exit has the level, and has it at the next one too; None if none is."""
    known = [(each, told[exit_]) for each in validations if exit_ in (told := each.ap)]
    for (each, ap), (_, following) in pairwise([*known, *known[-1:]]):
        if min(ap, following) >= level:
            return each
    return None


def _label(target: Target) -> str:
    """Return the exit's name, and how many of its runs did not reach the level."""
    runs = target.point.group.runs
    level = (target.level.value or 0.0) / PERCENT
    missed = sum(holds(run.validations, target.point.exit, level) is None for run in runs)
    name = target.point.group.label if len(target.point.group.exits) == 1 else target.point.label
    return f"{name} ({plural(missed, 'run')} of {len(runs)} did not reach it)" if missed else name


def reference_of(study: Study, group: Group) -> Group:
    """Return the group of the paper's recipe beside a group: same all but the recipe; itself if there is none."""
    if _recipe(group) == PAPER:
        return group
    wanted = _subject(group)
    shifted = [each for each in study.groups if _recipe(each) == PAPER and _subject(each) == wanted]
    return shifted[0] if shifted else group


def _subject(group: Group) -> str:
    run = group.runs[0]
    rest = {key: value for key, value in run.config.items() if key not in ("train", "name", "seed", "measure")}
    return json.dumps([group.side, setting(run), rest], sort_keys=True, default=str)


def _recipe(group: Group) -> str:
    return str(group.runs[0].config.get("train", {}).get("recipe", PAPER))


def _level(group: Group, exit_: int) -> float | None:
    """Return the lowest AP that an exit ends with among the runs of a group; None where a record does not tell."""
    last = group.together.each(lambda run: run.validations[-1].ap.get(exit_) if run.validations else None)
    known = [ap for ap in last if ap is not None]
    return min(known) if len(known) == len(last) else None


def _taken(group: Group, exit_: int, level: float) -> tuple[Quantity, Quantity]:
    """Return the energy in kWh and the CPU time until an exit held a level."""
    reached = [(run, at) for run in group.runs if (at := holds(run.validations, exit_, level))]
    if not reached:
        absent = missing(f"no run held {AP.label} {PERCENT * level:.1f} %")
        return absent, absent
    seconds = [Quantity(value=at.cpu_seconds, kind="measured") for _, at in reached]
    return amount(over_runs([_until(run, at.energy_kwh) for run, at in reached])), amount(over_runs(seconds))


def _until(run: Record, kwh: float) -> Quantity:
    """Return a part of a run's training energy, whose systematic error is that of all of it, as factors."""
    factors = run.quantity("train_energy_kwh").factors
    wrong = Bounds(*(kwh * each for each in factors)) if factors else None
    return Quantity(value=kwh, kind=kind_of(run, TRAIN_ENERGY), type_b=wrong, method="until the level is held")


Points = tuple[tuple[float, float], ...]
"""Energy in display units and validation AP in percent, from validation to validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """One exit under the paper's recipe and under another one."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The exit."""
    paper: tuple[Points, ...]
    """A line for each run of the paper's recipe."""
    other: tuple[Points, ...]
    """A line for each run of the other one."""
    names: tuple[str, str]
    """What the two are called."""
    level: float
    """Validation AP to hold, in percent."""
    figure: Metric
    """What energy is shown in."""
    symbol: str
    """Mark of modelled energy; empty for measured one."""

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"Validation AP of {self.label} against training energy, run by run"

    @property
    def description(self) -> str:
        """Return where the lines end, for readers who do not see them."""
        ends = [
            f"{name} ends at {', '.join(f'{plain(line[-1][1], 3)}{NBSP}%' for line in lines)}"
            for name, lines in zip(self.names, (self.paper, self.other), strict=True)
        ]
        return f"{'; '.join(ends)}; the level to hold is {plain(self.level, 3)}{NBSP}%."


def learning_curves_picture(study: Study) -> Picture | None:
    """Return how accuracy came with energy under two recipes; None where the page holds no network under two."""
    charts = learning_curves(study)
    if not charts:
        return None
    return Picture(
        id="courses",
        title="Accuracy as energy is spent, under the paper’s recipe and another one",
        panels=tuple(map(draw, charts[:MOST_PANELS])),
        data=targets_table(study),
        notes=first_panels(len(charts)),
    )


def learning_curves(study: Study) -> list[LearningCurve]:
    """Return the courses of every exit that the page holds under the paper's recipe and under another one."""
    energy, symbol = study.training_figure, kind_mark(energy_kind(study))
    return [
        _learning_curve(study, each, energy, symbol, number)
        for number, each in enumerate(
            each for each in targets(study) if reference_of(study, each.point.group) != each.point.group
        )
    ]


def _learning_curve(study: Study, target: Target, energy: Metric, symbol: str, number: int) -> LearningCurve:
    group, exit_ = target.point.group, target.point.exit
    paper = reference_of(study, group)
    return LearningCurve(
        id=f"course-{number}",
        label=target.point.label,
        paper=_lines(paper, exit_, energy.scale),
        other=_lines(group, exit_, energy.scale),
        names=(paper.label, group.label),
        level=target.level.value or 0.0,
        figure=energy,
        symbol=symbol,
    )


def _lines(group: Group, exit_: int, scale: float) -> tuple[Points, ...]:
    return tuple(
        tuple((each.energy_kwh * scale, PERCENT * each.ap[exit_]) for each in run.validations if exit_ in each.ap)
        for run in group.runs
    )


SIZE = (440, 330)
"""Width and height in CSS pixels."""


def draw(chart: LearningCurve) -> Drawing:
    """Return the runs of both recipes; ids in its SVG begin with `chart.id`."""

    def paint(figure: Any) -> None:
        axes = panel(figure, left=52, right=20, top=64, bottom=50)
        _frame(axes, chart)
        for lines, style in ((chart.paper, {"color": INK, "ls": (0, (5, 3))}), (chart.other, {"color": ACCENT})):
            for line in lines:
                axes.plot(*zip(*line, strict=True), linewidth=1.8, **style)
        _words(axes, chart)

    return Drawing(
        paint=paint,
        id=chart.id,
        size=SIZE,
        title=chart.title,
        description=chart.description,
        caption=chart.label,
    )


def _frame(axes: Any, chart: LearningCurve) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    points = [point for line in (*chart.paper, *chart.other) for point in line]
    right, top = max(x for x, _ in points), 1.1 * max(chart.level, *(y for _, y in points))
    axes.set(xlim=(0, 1.02 * right), ylim=(0, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value, 2)))
    grid(axes)
    baseline(axes)
    axes.set_xlabel(
        f"Training energy so far, {chart.symbol}{chart.figure.unit}", color=MUTED, fontsize=FONT, labelpad=6
    )
    axes.plot([0, 1.02 * right], [chart.level] * 2, color=MUTED, linewidth=1)


def _words(axes: Any, chart: LearningCurve) -> None:
    """Name the two recipes above the frame, each in its colour and dashes, and the level at its line."""
    top = axes.get_ylim()[1]
    for up, text, color in (
        (48, f"solid: {chart.names[1]}", ACCENT),
        (31, f"dashed: {chart.names[0]}", INK),
        (14, "Validation AP, %", MUTED),
    ):
        write(axes, shifted(axes, (0, top), (-44, up)), text, color=color)
    write(axes, shifted(axes, (0, chart.level), (4, 8)), "level to hold", fontsize=FONT - 1)
