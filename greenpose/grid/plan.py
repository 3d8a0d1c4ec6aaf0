"""What is left of a grid: each cell, its folder, and the state that its files show."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greenpose.config import Cell, Experiment
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
    moved: tuple[str, ...] = ()
    """What it was begun with that lies in another place now."""
    damage: str | None = None
    """Why the configuration in its folder cannot be read; None where it can, or where there is none."""


def plan(cells: Sequence[Cell], root: Path, *, only: Sequence[str] = ()) -> list[Planned]:
    """Return the cells with their folders and states; `only` keeps those whose experiment or name matches a pattern.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    chosen = select(cells, only)
    planned = [_planned(cell, RunFolder(root / cell.name)) for cell in chosen]
    faults = [fault for one in planned for fault in one.moved]
    if faults:
        raise ConfigError(faults)
    return planned


def select(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """Return the cells whose experiment or name matches a pattern; all of them without patterns.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    faults = [
        f"--only {pattern}: matches no run; {near(pattern, list(dict.fromkeys(cell.experiment for cell in cells)))}"
        for pattern in only
        if not any(_matches(cell, pattern) for cell in cells)
    ]
    if faults:
        raise ConfigError(faults)
    return [cell for cell in cells if not only or any(_matches(cell, pattern) for pattern in only)]


def _planned(cell: Cell, folder: RunFolder) -> Planned:
    """Return where a cell stands; a damaged configuration in its folder says nothing, and is written anew."""
    moved: list[str] = []
    damage = None
    if folder.config.exists():
        try:
            moved = _moved(folder, folder.experiment(), cell.config)
        except ConfigError as error:
            damage = error.faults[0]
    return Planned(cell=cell, folder=folder, state=folder.state(), moved=tuple(moved), damage=damage)


def _moved(folder: RunFolder, before: Experiment, now: Experiment) -> list[str]:
    """Return a fault where the run's folder was begun with files of the same names from another place."""
    return [
        f"{folder.path}: was begun with {key} {then}, now it is {place}; give another --out"
        for key, then, place in (
            ("data.root", before.data.root, now.data.root),
            ("model.weights", before.model.weights, now.model.weights),
        )
        if then and place and Path(then).resolve() != Path(place).resolve()
    ]


def set_aside(planned: Planned) -> Planned:
    """Return the cell as if it had never run; what it left is moved to `.previous/` beside it, not deleted.

    One that a living process is at work on is returned as it is.
    """
    if not planned.folder.path.exists():
        return planned
    shelf = planned.folder.path.parent / ".previous"
    with planned.folder.claimed() as mine:
        if not mine:
            return replace(planned, state=State.RUNNING)
        shelf.mkdir(exist_ok=True)
        number = 1 + sum(1 for _ in shelf.glob(f"{planned.cell.name}.*"))
        aside = RunFolder(planned.folder.path.rename(shelf / f"{planned.cell.name}.{number}"))
        aside.running.unlink()
    return replace(planned, state=State.TODO)


def _matches(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell.experiment, pattern) or fnmatch.fnmatchcase(cell.name, pattern)
