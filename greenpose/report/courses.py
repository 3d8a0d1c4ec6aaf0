"""How accuracy came with energy under two recipes, before it is drawn: one line for each run."""

from dataclasses import dataclass

from greenpose.formatting import NBSP, plain
from greenpose.report.figures import PERCENT, Figure, mark, training_figure
from greenpose.report.purposes import energy_kind
from greenpose.report.study import Group, Study
from greenpose.report.targets import Target, reference_of, targets

Points = tuple[tuple[float, float], ...]
"""Energy in display units and validation AP in percent, from validation to validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
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
    figure: Figure
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


def courses(study: Study) -> list[Course]:
    """Return the courses of every exit that the page holds under the paper's recipe and under another one."""
    energy, symbol = training_figure(study.records), mark(energy_kind(study.records))
    return [
        _course(study, each, energy, symbol, number)
        for number, each in enumerate(
            each for each in targets(study) if reference_of(study, each.point.group) != each.point.group
        )
    ]


def _course(study: Study, target: Target, energy: Figure, symbol: str, number: int) -> Course:
    group, exit_ = target.point.group, target.point.exit
    paper = reference_of(study, group)
    return Course(
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
