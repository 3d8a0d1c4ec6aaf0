"""Reading YAML into experiments and grids, with every fault named by file and key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from greenpose.config.experiment import Experiment
from greenpose.config.grid import Grid, grid_of_one
from greenpose.config.overrides import assign, merge
from greenpose.errors import ConfigError
from greenpose.schema import near, parse


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, except that a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.constructor.ConstructorError: if a key appears twice.
        """
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def packaged_experiment(name: str) -> Path:
    """Return the path of an experiment or grid that ships with GreenPose, e.g. `quick`."""
    package = Path(__file__).parent.parent
    for folder in (package / "experiments", package.parent / "experiments"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise ConfigError([f"{name}: no packaged experiment of that name"])


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        ConfigError: if the file is missing, no YAML, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = f"; {near(path.name, siblings)}" if siblings else ""
        raise ConfigError([f"{path}: no such file{hint}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a safe loader that also refuses duplicates
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: holds {type(data).__name__}, not a mapping of keys to values"])
    return data


def load_grid(path: Path, *, settings: Sequence[str] = (), seeds: Sequence[int] = ()) -> Grid:
    """Return the grid that a file describes, with `--set` and `--seed` applied on top of every run.

    Raises:
        ConfigError: with all faults of the file.
    """
    data = read_yaml(path)
    if "base" not in data and "experiments" not in data:
        raise ConfigError([f"{path}: is not a grid (no `base`, no `experiments`); run it without --grid"])
    grid, faults = parse(Grid, data, where=str(path))
    if grid is None:
        raise ConfigError(faults)
    return grid.adjusted(overrides=parse_settings(settings), seeds=tuple(seeds))


def load_experiment(path: Path, *, settings: Sequence[str] = (), seeds: Sequence[int] = ()) -> Grid:
    """Return a grid of the one experiment (and its seeds) that a file describes.

    Raises:
        ConfigError: with all faults of the file.
    """
    data = read_yaml(path)
    if "base" in data or "experiments" in data:
        raise ConfigError([f"{path}: is a grid (it has `base` or `experiments`); run it with --grid"])
    overrides = parse_settings(settings)
    merged: Mapping[str, Any] = data
    for key, value in overrides.items():
        merged = assign(merged, key, value)
    experiment, faults = parse(Experiment, merge({"name": path.stem}, merged), where=str(path))
    if experiment is None:
        raise ConfigError(faults)
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
            overrides[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            faults.append(f"--set {setting}: the value is not valid YAML")
    if faults:
        raise ConfigError(faults)
    return overrides
