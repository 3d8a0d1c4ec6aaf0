"""What `check` checks: finished runs, or the networks of an experiment or grid, profiled on the spot."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from greenpose.check import Footprint, of_counts, of_record
from greenpose.check.footprint import label
from greenpose.config import Cell, expand, load_experiment, load_grid, read_yaml
from greenpose.config.load import is_grid
from greenpose.config.read import experiment_file, nearest_shipped
from greenpose.errors import CheckError
from greenpose.record import Failure, Record
from greenpose.schema import near, nearest
from greenpose.store import collect

if TYPE_CHECKING:
    from greenpose.counting import ExitCount
    from greenpose.model import Architecture

YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is checked."""

    name: str
    """What to call the check unless told otherwise."""
    source: str
    """As the user named it."""
    footprints: tuple[Footprint, ...]
    """One for each experiment."""


def find_candidate(path: Path) -> Candidate:
    """Return what lies at a path: a run's folder, a record, a folder of runs, an experiment or a grid.

    Raises:
        CheckError: if there is nothing to check, or a run failed.
        ConfigError: if it is an experiment or grid with faults.
        RecordError: if it is a record that cannot be read.
    """
    file = require(path)
    name, footprints = _profiled(file) if file.suffix in YAML else _recorded(file)
    return Candidate(name=plain_name(name), source=str(path), footprints=footprints)


def require(path: Path) -> Path:
    """Return a path at which something is; where nothing is, that of the experiment of this name that ships.

    Raises:
        CheckError: if there is none, with the nearest that is there.
    """
    file = experiment_file(path)
    if not file.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, siblings) or nearest_shipped(path) or (near(path.name, siblings) if siblings else "")
        raise CheckError(["; ".join(filter(None, [f"{path}: no such file or folder", hint]))])
    return file


def plain_name(name: str) -> str:
    """Return a name that can be a file's and stand in a comment: letters, digits, `.`, `_`, `+`, `-`."""
    return re.sub(r"[^A-Za-z0-9._+-]+|-{2,}", "-", name).strip("-.") or "check"


def _recorded(path: Path) -> tuple[str, tuple[Footprint, ...]]:
    """Return the footprints of the runs at a path; one run of each experiment."""
    documents = collect([path])
    failures = [document for document in documents if isinstance(document, Failure)]
    if failures:
        raise CheckError([f"{path}: {one.name} {one.reason}: {one.message}; finish it first" for one in failures])
    records = [document for document in documents if isinstance(document, Record)]
    twice = sorted({one.experiment for one in records if sum(one.experiment == two.experiment for two in records) > 1})
    if twice:
        raise CheckError([f"{path}: holds several runs of {name}; give the folder of one of them" for name in twice])
    return records[0].experiment if len(records) == 1 else path.name, tuple(map(of_record, records))


def _profiled(path: Path) -> tuple[str, tuple[Footprint, ...]]:
    """Return the footprints of the networks that a file describes; those that differ in nothing else only once."""
    data = read_yaml(path)
    grid = (load_grid if is_grid(data) else load_experiment)(path)
    cells = expand(grid, where=str(path))
    return grid.name, tuple(_count_all(cells))


def _count_all(cells: Sequence[Cell]) -> list[Footprint]:
    """Return the footprint of every distinct network, each counted once."""
    from importlib.metadata import version

    from greenpose.counting import architecture_of

    shapes = {cell.name: (architecture_of(cell.config), cell.config.data.input_size) for cell in cells}
    named = {shapes[cell.name]: cell.experiment for cell in cells}
    counts = {shape: _counted(name, *shape) for shape, name in named.items()}
    footprints = {}
    for cell in cells:
        same = {shapes[other.name] for other in cells if other.experiment == cell.experiment}
        name = cell.experiment if len(same) == 1 else label(cell.experiment, cell.axes)
        shape = shapes[cell.name]
        footprints[name] = of_counts(
            cell.config, counts[shape], labels=(name,), num_joints=shape[0].num_joints, torch=version("torch")
        )
    return list(footprints.values())


def _counted(name: str, architecture: "Architecture", input_size: tuple[int, int]) -> dict[int, dict[str, object]]:
    """Return what the gate compares, by exit.

    Raises:
        CheckError: if the network cannot be run, as after a change that broke it.
    """
    from greenpose.counting import count

    try:
        return {number: _plain(one) for number, one in count(architecture, input_size).items()}
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        says = f"{type(error).__name__}: {error}"
        raise CheckError([f"{name}: cannot be counted: it fails on one image in evaluation mode: {says}"]) from error


def _plain(count: "ExitCount") -> dict[str, object]:
    """Return what the gate compares of an exit's counts."""
    names = ("params", "macs", "activation_bytes", "peak_bytes", "operations")
    return {name: getattr(count, name) for name in names}
