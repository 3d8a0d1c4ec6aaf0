"""A figure of the page: one drawing or several small ones, what they show in words, and their data as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from greenpose.report.charts.canvas import Drawing
from greenpose.report.layout import Table

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
