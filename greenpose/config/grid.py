"""A grid: named experiments times axes, expanded into runs whose names are derived from what they are."""

import hashlib
import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from greenpose.config.experiment import Experiment, Name
from greenpose.config.overrides import assign, merge
from greenpose.errors import ConfigError
from greenpose.schema import Document, near, parse

PATHS = (
    *("data.root", "data.images", "data.annotations", "data.detections", "data.profile"),
    *("model.weights", "carbon.hourly"),
)
"""Settings that say where something lies, not what it is: only their last part counts for a run's identity."""


class Grid(Document):
    """A grid of experiments: base, variants, axes, and rows to add or to leave out."""

    name: Name
    """Name of the grid, and of its folder of runs."""
    base: dict[str, Any] = Field(default_factory=dict)
    """What all experiments share: an experiment without a name."""
    experiments: dict[Name, dict[str, Any]] = Field(min_length=1)
    """Named experiments: what each changes in the base; keys may be dotted (`model.exits: [3, 4]`)."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Dotted keys and the values to combine, e.g. `seed: [1, 2, 3]`."""
    include: list[dict[str, Any]] = Field(default_factory=list)
    """Further runs: an `experiment` and the keys that it changes."""
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    """Runs to leave out: those whose `experiment` and axis values all match a row."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys set in every run, after everything else; what `--set` fills."""

    def adjusted(self, *, overrides: Mapping[str, Any], seeds: tuple[int, ...]) -> "Grid":
        """Return the grid with more overrides, and with its seeds replaced where any are given."""
        axes = {**self.axes, "seed": list(seeds)} if seeds else self.axes
        return self.model_copy(update={"overrides": {**self.overrides, **overrides}, "axes": axes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a grid."""

    name: str
    """`EXPERIMENT[-axis=value...]-HASH8`: the run's folder."""
    experiment: str
    """Name of the experiment."""
    grid: str
    """Name of the grid."""
    axes: dict[str, Any]
    """Axis values of this run."""
    config: Experiment
    """The resolved configuration."""
    config_hash: str
    """SHA-256 of the canonical configuration."""


def grid_of_one(experiment: Experiment, *, seeds: tuple[int, ...] = ()) -> Grid:
    """Return the grid that runs one experiment, once or once per seed."""
    config = experiment.model_dump(mode="json", exclude={"name"})
    axes: dict[str, list[Any]] = {"seed": list(seeds)} if seeds else {}
    return Grid(name=experiment.name, experiments={experiment.name: config}, axes=axes)


def expand(grid: Grid, *, where: str) -> list[Cell]:
    """Return the runs of a grid, axis by axis in the order written; all are validated before any is returned.

    Raises:
        ConfigError: with all faults of all runs, each named once.
    """
    cells: list[Cell] = []
    faults = _row_faults(grid, where)
    for experiment, axes, changes in _rows(grid):
        config = merge(merge(grid.base, grid.experiments[experiment]), changes)
        for key, value in grid.overrides.items():
            config = assign(config, key, value)
        parsed, found = parse(Experiment, {**config, "name": experiment}, where=f"{where}: {experiment}")
        faults += found
        if parsed is not None:
            cells.append(_cell(grid.name, experiment, axes, parsed))
    faults = faults or _twins(cells, where)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    if not cells:
        raise ConfigError([f"{where}: every run is excluded"])
    return cells


def shuffled(cells: list[Cell], *, seed: int = 0) -> list[Cell]:
    """Return the cells shuffled within blocks of equal axis values, so that a machine's drift hits all experiments."""
    order = random.Random(seed)
    blocks: dict[str, list[Cell]] = {}
    for cell in cells:
        blocks.setdefault(json.dumps(cell.axes, sort_keys=True, default=str), []).append(cell)
    for block in blocks.values():
        order.shuffle(block)
    return [cell for block in blocks.values() for cell in block]


def identity(config: Experiment) -> str:
    """Return the SHA-256 of a configuration: sorted keys, resolved defaults, file names without their folders."""
    data: dict[str, Any] = config.model_dump(mode="json")
    for key in PATHS:
        section, field = key.split(".")
        data[section][field] = _last_part(data[section][field])
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _last_part(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _last_part(inner) for key, inner in value.items()}
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) else value


def _row_faults(grid: Grid, where: str) -> list[str]:
    """Return a fault for each row that names no experiment or axis of the grid, and each axis that is set over."""
    faults = []
    for kind, rows in (("include", grid.include), ("exclude", grid.exclude)):
        for index, row in enumerate(rows):
            name = row.get("experiment")
            if (kind == "include" or name is not None) and name not in grid.experiments:
                hint = near(str(name), list(grid.experiments))
                faults.append(f"{where}: {kind}[{index}].experiment is {name!r}; {hint}")
    known = ["experiment", *grid.axes]
    for index, row in enumerate(grid.exclude):
        unknown = [key for key in row if key not in known]
        faults += [f"{where}: exclude[{index}].{key}: is no axis; {near(key, known)}" for key in unknown]
    set_over = [key for key in grid.overrides if key in grid.axes]
    return faults + [f"{where}: {key} is an axis; change it under axes (seeds: --seed)" for key in set_over]


def _rows(grid: Grid) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (experiment, axis values, changes) of every run, included rows last."""
    rows = []
    values = [[(axis, value) for value in grid.axes[axis]] for axis in grid.axes]
    for combination in itertools.product(*values):
        axes = dict(combination)
        rows += [(name, axes, axes) for name in grid.experiments if not _excluded(grid, name, axes)]
    for row in grid.include:
        changes = {key: value for key, value in row.items() if key != "experiment"}
        if row.get("experiment") in grid.experiments:
            rows.append((row["experiment"], changes, changes))
    return rows


def _excluded(grid: Grid, experiment: str, axes: Mapping[str, Any]) -> bool:
    have = {**axes, "experiment": experiment}
    return any(all(have.get(key) == value for key, value in row.items()) for row in grid.exclude)


def _cell(grid: str, experiment: str, axes: dict[str, Any], config: Experiment) -> Cell:
    digest = identity(config)
    parts = [experiment, *(f"{axis}={axis_text(value)}" for axis, value in axes.items()), digest[:8]]
    return Cell(name="-".join(parts), experiment=experiment, grid=grid, axes=axes, config=config, config_hash=digest)


def axis_text(value: Any) -> str:
    """Return an axis value as part of a folder's name."""
    text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(character if character.isalnum() or character in "._+" else "_" for character in text)


def _twins(cells: list[Cell], where: str) -> list[str]:
    """Return a fault for every two runs that would be the same."""
    seen: dict[str, Cell] = {}
    faults = []
    for cell in cells:
        twin = seen.setdefault(cell.config_hash, cell)
        if twin is not cell:
            faults.append(f"{where}: {cell.name} and {twin.name} are the same run; drop one or change a setting")
    return faults
