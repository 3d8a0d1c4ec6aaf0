"""Reading YAML into experiments and grids, with every fault named by file and key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenpose.config.experiment import Experiment
from greenpose.config.grid import Grid, assign, given_twice, grid_of_one, merge, placed
from greenpose.config.profile import from_here
from greenpose.config.yaml_files import parse_yaml, read_yaml
from greenpose.errors import ConfigError
from greenpose.schema import parse, parsed


def is_grid(data: Mapping[str, Any]) -> bool:
    """Return whether a file's keys are a grid's, not an experiment's."""
    return "base" in data or "experiments" in data


def load_file(path: Path, *, settings: Sequence[str] = (), seeds: Sequence[int] = ()) -> Grid:
    """Return the grid that a file describes, whether it is one or a single experiment.

    Raises:
        ConfigError: with all faults of the file.
    """
    load = load_grid if is_grid(read_yaml(path)) else load_experiment
    return load(path, settings=settings, seeds=seeds)


def load_grid(path: Path, *, settings: Sequence[str] = (), seeds: Sequence[int] = ()) -> Grid:
    """Return the grid that a file describes, with `--set` and `--seed` applied on top of every run.

    Raises:
        ConfigError: with all faults of the file.
    """
    data = read_yaml(path)
    if not is_grid(data):
        raise ConfigError([f"{path}: is not a grid (no `base`, no `experiments`); run it without --grid"])
    grid = parsed(Grid, data, where=str(path), error=ConfigError)
    return grid.adjusted(overrides=parse_settings(settings), seeds=tuple(seeds))


def load_experiment(path: Path, *, settings: Sequence[str] = (), seeds: Sequence[int] = ()) -> Grid:
    """Return a grid of the one experiment (and its seeds) that a file describes.

    Raises:
        ConfigError: with all faults of the file.
    """
    data = read_yaml(path)
    if is_grid(data):
        raise ConfigError([f"{path}: is a grid (it has `base` or `experiments`); run it with --grid"])
    twice = [f"{path}: {key}: is given twice, nested and by its dotted key" for key in given_twice(data)]
    if twice:
        raise ConfigError(twice)
    overrides = parse_settings(settings)
    try:
        merged = merge({"name": path.stem}, data)
        for key, value in overrides.items():
            merged = assign(merged, key, value)
    except ConfigError as error:
        raise ConfigError([f"{path}: {fault}" for fault in error.faults]) from None
    experiment, faults = parse(Experiment, merged, where="")
    if experiment is None:
        raise ConfigError([placed(fault, str(path), overrides) for fault in faults])
    return grid_of_one(experiment, seeds=tuple(seeds))


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return the dotted keys and values of `--set key=value` options; values are read as YAML."""
    overrides, faults = {}, []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            faults.append(f"--set {setting}: write key=value, e.g. --set train.epochs=5")
            continue
        try:
            value = parse_yaml(text, where=f"--set {key.strip()}")
            overrides[key.strip()] = from_here(value) if key.strip() == "data.profile" else value
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return overrides
