"""The subject of a command: a run folder, an experiment or a grid, as named by the user, with its options and pins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greenpose.cli.preflight import faults_of
from greenpose.config import Cell, Experiment, Grid, expand, load_experiment, load_grid, packaged_experiment, read_yaml
from greenpose.config.grid import assign, placed
from greenpose.config.load import is_grid, parse_settings
from greenpose.config.profile import is_file
from greenpose.config.read import experiment_file, nearest_shipped
from greenpose.errors import ConfigError
from greenpose.grid import select
from greenpose.schema import near, nearest, parse
from greenpose.store import RunFolder, State

PAPER = ("model.exits=[1, 2, 3, 4]", "wiring.supervise=[1, 2, 3, 4]")
"""What makes the paper's HRNet4 a network with a heatmap after every stage."""
COSTLY: dict[str, Any] = dict.fromkeys(("model", "measure", "carbon", "process"), True) | {
    "data": {"profile", "input_size"}
}
"""Settings that the cost of inference depends on; runs that agree in them cost the same."""
FREE = ("measure", "carbon", "process")
"""Sections that may be changed for a trained run: they do not touch what was trained."""
ALSO_FREE = ("data.input_size", "data.root")
"""Further settings of that kind: the size of what is measured, and where the same data lie now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured."""

    config: Experiment
    """The resolved configuration with the options applied, without a file of initial weights: costs ignore them."""
    config_hash: str
    """SHA-256 of the run's configuration, or of the experiment's with the options applied."""
    name: str
    """Name of the run or of the experiment."""
    source: str
    """Where it was found."""
    trained: RunFolder | None = None
    """The finished run whose weights are used; None for fresh ones."""
    exits: tuple[int, ...] = ()
    """Exits to measure, shallow to deep."""


def find_subject(
    source: Path | None, *, settings: Sequence[str], only: Sequence[str] = (), exits: Sequence[int] = ()
) -> Subject:
    """Return what a path names: a run's folder or record, an experiment, or one run of a grid.

    Without a path it is the paper's HRNet-W32 with all four exits. `settings` are `--set` options; the last one wins.

    Raises:
        ConfigError: with everything that is wrong.
    """
    source = source and experiment_file(source)
    folder = None if source is None else _run_folder(source)
    subject = _of_file(source, settings, only) if folder is None else _of_run(folder, settings, only)
    have = sorted(subject.config.model.exits)
    chosen = sorted(set(exits)) or have
    known = tuple(number for number in chosen if number in have)
    shown = ", ".join(map(str, have))
    faults = [f"--exit {number}: this network has exits {shown}" for number in chosen if number not in have]
    faults += _weight_faults(subject.trained, known)
    overrides = parse_settings(settings)
    where = subject.source if subject.trained is None else str(subject.trained.config)
    faults += [placed(fault, where, overrides) for fault in faults_of(subject.config, images=False)]
    if faults:
        raise ConfigError(faults)
    return replace(subject, exits=known)


def _run_folder(source: Path) -> RunFolder | None:
    """Return the run that a path names, by its folder or a file in it; None for the file of an experiment."""
    if source.is_dir() or not source.suffix:
        return RunFolder(source)
    beside = RunFolder(source.parent)
    mine = source == beside.config and beside.record.is_file()
    return beside if mine or source.suffix in {".json", ".safetensors", ".jsonl"} else None


def _of_run(folder: RunFolder, settings: Sequence[str], only: Sequence[str]) -> Subject:
    """Return a finished run with settings on top that do not touch what was trained."""
    overrides = parse_settings(settings)
    faults = _unfinished(folder)
    faults += [f"--only {name}: chooses from a grid, and {folder.path} is one run" for name in only]
    faults += [
        f"--set {key}: a finished run stays as it was trained; {', '.join((*FREE, *ALSO_FREE))} may be changed"
        for key in overrides
        if key.split(".")[0] not in FREE and key not in ALSO_FREE
    ]
    if faults:
        raise ConfigError(faults)
    written = folder.read_cell()
    name = str(written["experiment"].get("name"))
    rows = {"name": name, "experiments": {name: _from_here(written["experiment"])}, "overrides": overrides}
    grid, faults = parse(Grid, rows, where=str(folder.config))
    if grid is None:
        raise ConfigError(faults)
    (cell,) = expand(grid, where=str(folder.config))
    if "data.root" in overrides:
        from greenpose.data.splits import annotations_sha256, check_annotations

        check_annotations(
            written.get("annotations_sha256", {}), annotations_sha256(cell.config.data), where=str(folder.path)
        )
    return Subject(
        config=_without_weights(cell),
        config_hash=str(written.get("config_hash", cell.config_hash)),
        name=str(written["name"]),
        source=str(folder.path),
        trained=folder,
    )


def _from_here(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return a run's configuration; a path of a profile, which older runs hold, is taken from the current folder."""
    data = experiment.get("data")
    profile = data.get("profile") if isinstance(data, dict) else None
    if not isinstance(profile, str) or not is_file(profile):
        return experiment
    return assign(experiment, "data.profile", str(Path(profile).absolute()))


def _unfinished(folder: RunFolder) -> list[str]:
    """Return why a folder is no finished run, with what to give instead."""
    has_record, has_config = folder.record.is_file(), folder.config.is_file()
    if has_record and has_config:
        return []
    if has_record:
        return [f"{folder.record}: config.yaml and weights are not beside it; give the run's own folder"]
    if has_config:
        state = folder.state()
        remedy = "let it finish" if state is State.RUNNING else "finish it with greenpose run, or give its experiment"
        return [f"{folder.path}: this run is not finished ({state.value}); {remedy}"]
    runs = sorted(file.parent.name for file in folder.path.glob("*/record.json"))
    if runs:
        return [f"{folder.path}: holds {len(runs)} finished runs; give the folder of one: {', '.join(runs)}"]
    if folder.path.is_dir():
        return [f"{folder.path}: holds no run; give the folder of a finished run, or an experiment file"]
    siblings = sorted(file.parent.name for file in folder.path.parent.glob("*/record.json"))
    hint = nearest(folder.path.name, siblings) or nearest_shipped(folder.path)
    hint = hint or (
        near(folder.path.name, siblings) if siblings else "give the folder of a finished run, or an experiment"
    )
    return [f"{folder.path}: no such folder; {hint}"]


def _of_file(source: Path | None, settings: Sequence[str], only: Sequence[str]) -> Subject:
    """Return the one run that a file describes, or that is chosen from its grid."""
    where = "the paper's HRNet-W32" if source is None else str(source)
    if source is None:
        source, settings, only = packaged_experiment("table1"), [*PAPER, *settings], only or ["HRNet4"]
    grid = (load_grid if is_grid(read_yaml(source)) else load_experiment)(source, settings=settings)
    cells = select(expand(grid, where=str(source)), only)
    costs = {cell.name: _without_weights(cell).model_dump_json(include=COSTLY) for cell in cells}
    if len(set(costs.values())) > 1:
        names = ", ".join(dict.fromkeys(cell.experiment for cell in cells))
        raise ConfigError([f"{source}: holds several networks; choose one with --only NAME: {names}"])
    cell = cells[0]
    return Subject(config=_without_weights(cell), config_hash=cell.config_hash, name=cell.experiment, source=where)


def _without_weights(cell: Cell) -> Experiment:
    model = cell.config.model.model_copy(update={"weights": None})
    return cell.config.model_copy(update={"model": model})


def _weight_faults(folder: RunFolder | None, exits: Sequence[int]) -> list[str]:
    """Return each file of trained weights that is not there; none for a network with fresh ones."""
    return [
        f"{folder.best(number)}: no such file; without it exit {number} as trained cannot be measured"
        for number in exits
        if folder is not None and not folder.best(number).is_file()
    ]
