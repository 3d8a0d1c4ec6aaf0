"""What an exit keeps of the final one and what it costs, before it is drawn: a line for each quantity."""

from dataclasses import dataclass

from greenpose.formatting import NBSP, listed, number
from greenpose.report.estimates import Estimate
from greenpose.report.exits import share
from greenpose.report.figures import AP, ENERGY, LATENCY, MACS, PARAMS, PERCENT, Figure, mark
from greenpose.report.study import Group, Point, Study

_LINES: dict[str, Figure] = {"AP": AP, "Energy": ENERGY, "Latency": LATENCY, "MACs": MACS, "Params": PARAMS}
"""Quantities drawn, what is kept before what is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One quantity over the exits of a network."""

    name: str
    """What it is, in a word."""
    shares: tuple[Estimate, ...]
    """Percent of the final exit at each exit, shallow to deep; the last is 100."""

    @property
    def label(self) -> str:
        """Return `MACs 61 %`: the shallowest exit's share, which the line begins at."""
        first = self.shares[0]
        return f"{self.name} {mark(first.kind)}{_percent(first)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slopes:
    """The exits of one experiment beside each other."""

    id: str
    """Prefix of all ids in the drawing, unique on the page."""
    label: str
    """The experiment."""
    exits: tuple[int, ...]
    """Exit numbers, shallow to deep."""
    lines: tuple[Line, ...]
    """The quantities that are known at every exit."""
    left_out: tuple[str, ...]
    """The others."""

    @property
    def title(self) -> str:
        """Return what the drawing shows."""
        return f"Exits of {self.label} as percentages of its final exit"

    @property
    def description(self) -> str:
        """Return the shares in words, for readers who do not see the lines."""
        parts = [
            f"exit {exit_}: {listed([f'{line.name} {_percent(line.shares[index])}' for line in self.lines])}"
            for index, exit_ in enumerate(self.exits[:-1])
        ]
        return f"{'; '.join(parts)}; exit {self.exits[-1]}, the final one, is 100 %."


def slopes(study: Study) -> list[Slopes]:
    """Return one drawing for each experiment with several exits and a quantity known at all of them."""
    groups = [group for group in study.groups if len(group.exits) > 1]
    found = [_slopes(group, f"slopes-{index}") for index, group in enumerate(groups, start=1)]
    return [each for each in found if each.lines]


def _slopes(group: Group, id_: str) -> Slopes:
    lines = [Line(name=name, shares=_shares(group, figure)) for name, figure in _LINES.items()]
    drawn = [line for line in lines if all(each.value is not None for each in line.shares)]
    return Slopes(
        id=id_,
        label=group.label,
        exits=group.exits,
        lines=tuple(drawn),
        left_out=tuple(line.name for line in lines if line not in drawn),
    )


def _shares(group: Group, figure: Figure) -> tuple[Estimate, ...]:
    points = [Point(group=group, exit=exit_) for exit_ in group.exits]
    return tuple(_whole(point, figure) if point.final else share(point, figure).times(PERCENT) for point in points)


def _whole(point: Point, figure: Figure) -> Estimate:
    return Estimate(value=PERCENT if point.figure(figure).value else None, kind="computed")


def _percent(each: Estimate) -> str:
    assert each.value is not None
    return f"{number(each.value, each.low, each.high, digits=2, most_decimals=1).value}{NBSP}%"
