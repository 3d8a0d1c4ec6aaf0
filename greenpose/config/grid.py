"""A grid: named experiments times axes, expanded into runs whose names are derived from what they are."""

import fnmatch
import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from greenpose.config.experiment import Experiment, Name
from greenpose.config.launcher import Launcher
from greenpose.config.own_network import with_source
from greenpose.config.profile import is_file, own_profile
from greenpose.errors import ConfigError
from greenpose.schema import Document, field_at, near, parse, shown

DEEPEST = 20
"""No setting lies deeper than this."""


def merge(base: Mapping[str, Any], over: Mapping[Any, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` on top; mappings merge, everything else replaces; keys may be dotted.

    Raises:
        ConfigError: if a dotted key leads below a value that is no mapping.
    """
    merged = dict(base)
    for key, value in over.items():
        merged = assign(merged, str(key), value)
    return merged


def assign(base: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return `base` with `value` at a dotted `key`; a mapping is merged into the one that is there.

    Raises:
        ConfigError: if the key leads below a value that is no mapping.
    """
    if key.count(".") > DEEPEST:
        raise ConfigError([f"{key[:60]}...: no setting lies so deep"])
    first, _, rest = key.partition(".")
    there = base.get(first)
    if rest:
        if there is not None and not isinstance(there, Mapping):
            raise ConfigError([f"{first}: is {there!r}, so that {key} has no place; write its settings below {first}"])
        inner: Any = assign(there or {}, rest, value)
    elif isinstance(value, Mapping):
        inner = merge(there if isinstance(there, Mapping) else {}, value)
    else:
        inner = value
    return {**base, first: inner}


def placed(fault: str, where: str, overrides: Mapping[str, Any]) -> str:
    """Return a fault with where its setting comes from: `--set`, or the file."""
    is_set = any(fault.startswith((f"{key}:", f"{key}.", f"{key}[")) for key in overrides)
    return f"{'--set ' if is_set else f'{where}: '}{fault}"


def given_twice(data: Mapping[Any, Any]) -> list[str]:
    """Return each setting that one mapping gives both nested and by a dotted key."""
    return [key for key, count in Counter(_leaves(data)).items() if count > 1]


def _leaves(data: Mapping[Any, Any], before: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"


PATHS = (
    *("data.root", "data.images", "data.annotations", "data.detections", "data.profile"),
    *("model.weights", "carbon.hourly"),
)
"""Settings that say where something lies, not what it is: only their last part counts for a run's identity."""

LATER: Mapping[str, Any] = MappingProxyType({"model.partial": False})
"""Settings that came after the first published runs, and what they are where nobody sets them: such runs stay what
they were."""


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
    launcher: Launcher = Field(default_factory=Launcher)
    """Who starts the runs, and what is asked of a cluster for them ([slurm.md](slurm.md))."""

    def adjusted(self, *, overrides: Mapping[str, Any], seeds: tuple[int, ...]) -> "Grid":
        """Return the grid with more overrides, and with its seeds replaced where any are given."""
        axes = {**self.axes, "seed": list(seeds)} if seeds else self.axes
        exclude = [row for row in self.exclude if not seeds or any(_meets("seed", row, seed) for seed in seeds)]
        changes = {"overrides": {**self.overrides, **overrides}, "axes": axes, "exclude": exclude}
        return self.model_copy(update=changes)


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

    `where` is the file that the grid was read from: a profile's path is taken from beside it.

    Raises:
        ConfigError: with all faults of all runs, each named once.
    """
    cells: list[Cell] = []
    faults = _row_faults(grid, where)
    ill: dict[str, list[str]] = {}
    known: dict[str, tuple[Experiment, Mapping[str, str]]] = {}
    for experiment, axes, changes in [] if faults else _rows(grid):
        but_seed = json.dumps([experiment, {**changes, "seed": None}], default=repr)
        seed = changes.get("seed")
        if type(seed) is int and seed >= 0 and but_seed in known:  # of ten thousand runs few differ in more
            config, told = known[but_seed]
            same = config.model_copy(update={"seed": seed})
            cells.append(_cell(grid.name, experiment, axes, same, {**told, "seed": str(seed)}))
            continue
        parsed, found = _experiment(grid, experiment, changes, folder=Path(where).parent)
        for fault in found:
            ill.setdefault(fault, []).append(experiment)
        if parsed is not None:
            told = _sections(parsed)
            known[but_seed] = parsed, told
            cells.append(_cell(grid.name, experiment, axes, parsed, told))
    faults += [_located(fault, list(dict.fromkeys(names)), grid, where) for fault, names in ill.items()]
    faults = faults or _twins(cells, where)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    if not cells:
        raise ConfigError([f"{where}: every run is excluded"])
    return cells


def _experiment(
    grid: Grid, name: str, changes: Mapping[str, Any], *, folder: Path
) -> tuple[Experiment | None, list[str]]:
    """Return one run's configuration, or what is wrong with it; a profile of one's own lies beside the grid's file."""
    try:
        config = merge(merge(grid.base, grid.experiments[name]), changes)
        for key, value in grid.overrides.items():
            config = assign(config, key, value)
        config = _with_own_network(_with_profile(config, folder), folder)
    except ConfigError as error:
        return None, list(error.faults)
    return parse(Experiment, {**config, "name": name}, where="")


def _with_profile(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with the contents of a profile of one's own in the place of its path."""
    data = config.get("data")
    profile = data.get("profile") if isinstance(data, Mapping) else None
    if not isinstance(profile, str) or not is_file(profile):
        return config
    place = Path(profile).expanduser()
    try:
        return assign(config, "data.profile", own_profile(folder / place))
    except ConfigError as error:
        raise ConfigError([f"data.profile: {fault}" for fault in error.faults]) from None


def _with_own_network(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with the place and digest of a network of one's own, which lies beside the grid's file."""
    model = config.get("model")
    return {**config, "model": with_source(model, folder)} if isinstance(model, Mapping) else config


def _located(fault: str, experiments: Sequence[str], grid: Grid, where: str) -> str:
    """Return a fault once, with the experiment that has it, or the option that it comes from."""
    others = len(experiments) - 1
    also = "" if not others else f" (and in {experiments[1]})" if others == 1 else f" (and in {others} others)"
    told = placed(fault, f"{where}: {experiments[0]}", grid.overrides)
    return told if told.startswith("--set ") else told + also


def shuffled(cells: list[Cell], *, seed: int = 0) -> list[Cell]:
    """Return the cells shuffled within blocks of equal axis values, so that a machine's drift hits all experiments."""
    order = random.Random(seed)
    blocks: dict[str, list[Cell]] = {}
    for cell in cells:
        blocks.setdefault(json.dumps(cell.axes, sort_keys=True, default=str), []).append(cell)
    for block in blocks.values():
        order.shuffle(block)
    return [cell for block in blocks.values() for cell in block]


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


def _matches(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell.experiment, pattern) or fnmatch.fnmatchcase(cell.name, pattern)


def identity(config: Experiment) -> str:
    """Return the SHA-256 of a configuration: sorted keys, resolved defaults, file names without their folders.

    A profile that ships counts by its name, one's own by its contents.
    """
    return _digest(_sections(config))


def _sections(config: Experiment) -> dict[str, str]:
    """Return the canonical JSON of each setting and section of a configuration."""
    data: dict[str, Any] = config.model_dump(mode="json")
    for key in PATHS:
        section, field = key.split(".")
        place = data[section][field]
        own = key == "data.profile" and isinstance(place, dict)
        data[section][field] = place if own else _last_part(place)
    for key, default in LATER.items():
        section, field = key.split(".")
        if data[section][field] == default:
            del data[section][field]
    data["model"].pop("folder", None)  # of a network of one's own its source counts, wherever that lies
    return {name: json.dumps(value, sort_keys=True, separators=(",", ":")) for name, value in data.items()}


def _digest(sections: Mapping[str, str]) -> str:
    text = ",".join(f'"{name}":{section}' for name, section in sorted(sections.items()))
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


def _last_part(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _last_part(inner) for key, inner in value.items()}
    return value.rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) else value


def _row_faults(grid: Grid, where: str) -> list[str]:
    """Return what is wrong with the rows and axes of a grid, and with what is set over them."""
    faults = []
    for kind, rows in (("include", grid.include), ("exclude", grid.exclude)):
        for index, row in enumerate(rows):
            faults += [f"{kind}[{index}]{fault}" for fault in _name_faults(grid, row, needed=kind == "include")]
    known = ["experiment", *grid.axes]
    for index, row in enumerate(grid.exclude):
        unknown = [key for key in row if key not in known]
        faults += [f"exclude[{index}].{key}: is no axis; {near(key, known)}" for key in unknown]
        if not unknown and not faults:
            faults += [f"exclude[{index}]{fault}" for fault in _fruitless(grid, row)]
    faults += [f"axes.{axis}: is empty; give it values, or drop it" for axis, values in grid.axes.items() if not values]
    faults += [f"{key} is an axis; change it under axes (seeds: --seed)" for key in grid.overrides if key in grid.axes]
    for place, settings in (("base", grid.base), *((f"experiments.{n}", e) for n, e in grid.experiments.items())):
        faults += [f"{place}: {key} is given twice, nested and by its dotted key" for key in given_twice(settings)]
    return [f"{where}: {fault}" for fault in faults]


def _name_faults(grid: Grid, row: Mapping[str, Any], *, needed: bool) -> list[str]:
    """Return what is wrong with the experiments that a row names."""
    if "experiment" not in row:
        return [".experiment is missing; " + near("", list(grid.experiments))] if needed else []
    names = _several(row["experiment"])
    unknown = [name for name in names if not isinstance(name, str) or name not in grid.experiments]
    return [f".experiment is {_quoted(name)}; {near(str(name), list(grid.experiments))}" for name in unknown]


def _quoted(name: Any) -> str:
    return f"{shown(name)}, not text (put it in quotes)" if not isinstance(name, str) else repr(name)


def _fruitless(grid: Grid, row: Mapping[str, Any]) -> list[str]:
    """Return why a row leaves nothing out: it is empty, or a value of it is none of its axis."""
    if not row:
        return [": is empty, and would leave out every run"]
    return [
        f".{key}: {shown(value)} is none of {', '.join(map(shown, grid.axes[key]))}: this row leaves nothing out"
        for key, value in row.items()
        if key != "experiment" and not any(_meets(key, row, have) for have in grid.axes[key])
    ]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _meets(key: str, row: Mapping[str, Any], have: Any) -> bool:
    """Return whether a row leaves out what has this value: it names none for the key, or it, or it among several."""
    if key not in row:
        return True
    wanted = row[key]
    if key == "experiment":
        return have in _several(wanted)
    meant = _parsed(key, have)
    return _parsed(key, wanted) == meant or (isinstance(wanted, list) and any(_parsed(key, v) == meant for v in wanted))


def _parsed(key: str, value: Any) -> Any:
    """Return a value as the setting that it stands for is parsed; as it is where it is none."""
    field = field_at(Experiment, key)
    if field is None:
        return value
    try:
        return TypeAdapter(field.rebuild_annotation()).validate_python(value)
    except ValidationError:
        return value


def _rows(grid: Grid) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return (experiment, axis values, changes) of every run, included rows last."""
    rows = []
    values = [[(axis, value) for value in grid.axes[axis]] for axis in grid.axes]
    for combination in itertools.product(*values):
        axes = dict(combination)
        rows += [(name, axes, axes) for name in grid.experiments if not _excluded(grid, name, axes)]
    for row in grid.include:
        changes = {key: value for key, value in row.items() if key != "experiment"}
        rows += [(name, changes, changes) for name in _several(row["experiment"])]
    return rows


def _excluded(grid: Grid, experiment: str, axes: Mapping[str, Any]) -> bool:
    have = {**axes, "experiment": experiment}
    return any(all(_meets(key, row, have[key]) for key in row) for row in grid.exclude)


def _cell(grid: str, experiment: str, axes: dict[str, Any], config: Experiment, sections: Mapping[str, str]) -> Cell:
    digest = _digest(sections)
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
