"""A figure of the page: one drawing or several small ones, what they show in words, and their data as a table."""

from dataclasses import dataclass

from greenpose.report.charts.canvas import Drawing
from greenpose.report.layout import Table

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


def shown(panels: int) -> tuple[str, ...]:
    """Return the note that a figure needs which has more panels than are drawn."""
    return (f"The first {MOST_PANELS} of {panels} are drawn; the table has all.",) if panels > MOST_PANELS else ()
