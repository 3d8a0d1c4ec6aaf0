"""What is left of a grid: each cell, its folder, and the state that its files show."""

import fnmatch
import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenpose.config import Cell, Experiment
from greenpose.errors import ConfigError, FaultsError
from greenpose.record import Record
from greenpose.schema import near
from greenpose.store import RunFolder, State, read_document

BEYOND_TRAINING = (State.DONE, State.STOPPED, State.RUNNING)
"""States of runs whose training is done or under way."""
NOT_TRAINING = ("carbon", "measure")
"""Parts of a configuration that say how a run is metered and accounted: another value trains nothing else."""


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
    trained_in: Mapping[str, Any] | None = None
    """The finished run that has this training done, and how it went; None where this one is to train."""
    anew: str = ""
    """Why it is trained from the first epoch though a run of fewer epochs lies beside it; empty where none does."""


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
    state = folder.state()
    return Planned(
        cell=cell,
        folder=folder,
        state=state,
        moved=tuple(moved),
        damage=damage,
        trained_in=None if damage or state in BEYOND_TRAINING else _trained_in(cell, folder),
        anew=_anew(cell, folder) if state is State.TODO else "",
    )


def _anew(cell: Cell, folder: RunFolder) -> str:
    """Return why a run that differs in fewer epochs alone is not gone on with; empty where there is none."""
    recipe = cell.config.train
    same = _training_of(cell.config) | {"train": recipe.model_dump(exclude={"epochs"})}
    for config in sorted(folder.path.parent.glob(f"{glob.escape(cell.experiment)}-*/config.yaml")):
        other = RunFolder(config.parent)
        try:
            before, state = other.experiment(), other.state()
        except FaultsError:
            continue
        alike = _training_of(before) | {"train": before.train.model_dump(exclude={"epochs"})} == same
        if not alike or before.train.epochs >= recipe.epochs or state is State.TODO:
            continue
        if recipe.schedule == "one-cycle" or recipe.grow:
            why = f"its train.{'grow' if recipe.grow else 'schedule'} depends on the number of epochs"
        elif state is State.DONE:
            why = "what training goes on from is not kept once a run is done"
        else:
            why = "a run that was begun goes on to its own number of epochs only"
        return f"differs from {other.path.name} in train.epochs ({before.train.epochs}, now {recipe.epochs}): {why}"
    return ""


def _training_of(config: Experiment) -> dict[str, Any]:
    """Return what of a configuration the training depends on."""
    return config.model_dump(exclude=set(NOT_TRAINING))


def _trained_in(cell: Cell, folder: RunFolder) -> Mapping[str, Any] | None:
    """Return the finished run beside a folder that differs in what does not change training, and how training went.

    A run that was begun keeps what it was begun with.
    """
    if folder.checkpoint.exists() or folder.windows.exists():
        begun: Mapping[str, Any] | None = folder.read_cell().get("trained_in") if folder.config.exists() else None
        return begun
    same = _training_of(cell.config)
    for config in sorted(folder.path.parent.glob(f"{glob.escape(cell.experiment)}-*/config.yaml")):
        other = RunFolder(config.parent)
        try:
            if other.state() is not State.DONE or _training_of(other.experiment()) != same:
                continue
            record, labels = read_document(other.record), other.read_cell().get("annotations_sha256", {})
        except FaultsError:
            continue
        if isinstance(record, Record) and all(other.best(entry.exit).exists() for entry in record.exits):
            best = {entry.exit: entry.best_epoch for entry in record.exits}
            how = {"epochs": record.epochs, "stopped": record.stopped, "best": best, "annotations_sha256": labels}
            return {"run": other.path.name, **how}
    return None


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
        return replace(planned, trained_in=None, anew="")
    shelf = planned.folder.path.parent / ".previous"
    with planned.folder.claimed() as mine:
        if not mine:
            return replace(planned, state=State.RUNNING)
        shelf.mkdir(exist_ok=True)
        number = 1 + sum(1 for _ in shelf.glob(f"{planned.cell.name}.*"))
        aside = RunFolder(planned.folder.path.rename(shelf / f"{planned.cell.name}.{number}"))
        aside.running.unlink()
    return replace(planned, state=State.TODO, trained_in=None, anew="")


def _matches(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell.experiment, pattern) or fnmatch.fnmatchcase(cell.name, pattern)
