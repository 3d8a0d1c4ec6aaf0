"""A picture of the page: heading, drawings, the table of what they draw, and which of the drawings are shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from greenpose.formatting import plural
from greenpose.report.drawing import Drawing
from greenpose.tables import Table

T = TypeVar("T")
MOST_PANELS = 6
"""Small drawings in one figure; the figure says how many more its table has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its heading, drawings and data."""

    id: str
    """Anchor, unique on the page."""
    title: str
    """What it shows, in a line."""
    panels: tuple[Drawing, ...] = ()
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


def first_panels(panels: int) -> tuple[str, ...]:
    """Return the note that a figure needs which has more panels than are drawn."""
    return (f"The first {MOST_PANELS} of {panels} are drawn; the table has all.",) if panels > MOST_PANELS else ()


def left_out(part: int, whole: int, noun: str = "exit") -> tuple[str, ...]:
    """Return the note of a drawing that leaves some out."""
    note = f"Of {plural(whole, noun)} {part} are drawn, those on the front before others; the table has all."
    return (note,) if part < whole else ()
