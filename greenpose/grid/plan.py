"""What is left of a grid: each cell, its folder, and the state that its files show."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenpose.config import Cell
from greenpose.errors import ConfigError
from greenpose.schema import near
from greenpose.store import RunFolder, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One cell of a grid and where it stands."""

    cell: Cell
    """What to run."""
    folder: RunFolder
    """Where it is kept."""
    state: State
    """What its files show now."""


def plan(cells: Sequence[Cell], root: Path, *, only: Sequence[str] = ()) -> list[Planned]:
    """Return the cells with their folders and states; `only` keeps those whose experiment or name matches a pattern.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    chosen = [cell for cell in cells if not only or any(_matches(cell, pattern) for pattern in only)]
    faults = [
        f"--only {pattern}: matches no run; {near(pattern, list(dict.fromkeys(cell.experiment for cell in cells)))}"
        for pattern in only
        if not any(_matches(cell, pattern) for cell in cells)
    ]
    if faults:
        raise ConfigError(faults)
    return [Planned(cell=cell, folder=(f := RunFolder(root / cell.name)), state=f.state()) for cell in chosen]


def set_aside(planned: Planned) -> Planned:
    """Return the cell as if it had never run; what it left is moved to `.previous/` beside it, not deleted."""
    if not planned.folder.path.exists():
        return planned
    shelf = planned.folder.path.parent / ".previous"
    shelf.mkdir(exist_ok=True)
    number = 1 + sum(1 for _ in shelf.glob(f"{planned.cell.name}.*"))
    planned.folder.path.rename(shelf / f"{planned.cell.name}.{number}")
    return Planned(cell=planned.cell, folder=planned.folder, state=State.TODO)


def _matches(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell.experiment, pattern) or fnmatch.fnmatchcase(cell.name, pattern)
