"""What the user named: a run's folder, a record, a folder of runs, an experiment or a grid, also one that ships.

There are two kinds of it. A YAML file describes runs, which `greenpose.config` reads as cells of a grid; anything else
is what runs have left, which `greenpose.store` reads as records.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from greenpose.config import Cell, Experiment, Grid, expand, packaged_experiment
from greenpose.config.grid import assign, select
from greenpose.config.load import load_file, parse_settings
from greenpose.config.profile import from_here
from greenpose.config.yaml_files import YAML, experiment_file, meant
from greenpose.errors import CheckError, ConfigError
from greenpose.record import Failure, Record
from greenpose.schema import parsed
from greenpose.store import RunFolder, State, collect

PAPER = ("model.exits=[1, 2, 3, 4]", "wiring.supervise=[1, 2, 3, 4]")
"""What makes the paper's HRNet4 a network with a heatmap after every stage."""
COSTLY: dict[str, Any] = dict.fromkeys(("model", "measure", "carbon", "process"), True) | {
    "data": {"profile", "input_size", "stride"}
}
"""Settings that the cost of inference depends on; runs that agree in them cost the same."""
FREE = ("measure", "carbon", "process")
"""Sections that may be changed for a trained run: they do not touch what was trained."""
ALSO_FREE = ("data.input_size", "data.root", "model.folder")
"""Further settings of that kind: the size of what is measured, and where the same data, or source, lie now."""

BY_ITSELF = (
    "was metered from outside, as a loop of your own or a program: what its network is nobody here knows; its record is"
    " for report and check"
)
"""Why nothing can be built of a run of `greenpose.experiment` or `greenpose meter`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One network that was named, trained or not."""

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
    """Exits that were asked for, shallow to deep."""


def require(path: Path) -> Path:
    """Return a path at which something is; where nothing is, that of the experiment of this name that ships.

    Raises:
        CheckError: if there is none, with the nearest that is there.
    """
    file = experiment_file(path)
    if not file.exists():
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CheckError(["; ".join(filter(None, [f"{path}: no such file or folder", meant(path, siblings)]))])
    return file


def read_runs(path: Path, *, settings: Sequence[str] = ()) -> Sequence[Cell] | Sequence[Record | Failure]:
    """Return the runs that a file describes, or those that have left something at a path.

    `settings` change what is described, like `--set`.

    Raises:
        ConfigError: if it is an experiment or grid with faults.
        RecordError: if there is no run, or a record cannot be read.
    """
    return read_cells(path, settings=settings) if path.suffix in YAML else collect([path])


def read_cells(file: Path, *, settings: Sequence[str] = ()) -> list[Cell]:
    """Return the runs of an experiment or grid, or of the packaged one of that name.

    Raises:
        ConfigError: with all its faults.
    """
    path = experiment_file(file)
    return expand(load_file(path, settings=settings), where=str(path))


def read_subject(
    source: Path | None, *, settings: Sequence[str], only: Sequence[str] = (), exits: Sequence[int] = ()
) -> tuple[Subject, list[str]]:
    """Return the one network that is named, and what is wrong with what is asked of it.

    Without a path it is the paper's HRNet-W32 with all four exits. `settings` are `--set` options; the last one wins.

    Raises:
        ConfigError: where no network can be told from the others, or read.
    """
    source = source and experiment_file(source)
    folder = None if source is None else _run_folder(source)
    subject = _of_file(source, settings, only) if folder is None else _of_run(folder, settings, only)
    have = sorted(subject.config.model.exits)
    chosen = sorted(set(exits)) or have
    known = tuple(number for number in chosen if number in have)
    shown = ", ".join(map(str, have))
    faults = [f"--exit {number}: this network has exits {shown}" for number in chosen if number not in have]
    if subject.trained is not None:
        faults += [
            f"{weights}: no such file; without it exit {number} as trained cannot be measured"
            for number in known
            if not (weights := subject.trained.best(number)).is_file()
        ]
    model = subject.config.model.model_copy(update={"weights": None})
    return replace(subject, config=subject.config.model_copy(update={"model": model}), exits=known), faults


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
    if "own" in written:
        raise ConfigError([f"{folder.path}: {BY_ITSELF}"])
    experiment = written["experiment"]
    if isinstance(data := experiment.get("data"), dict) and "profile" in data:  # older runs hold the path of their own
        experiment = assign(experiment, "data.profile", from_here(data["profile"]))
    name = str(experiment.get("name"))
    rows = {"name": name, "experiments": {name: experiment}, "overrides": overrides}
    grid = parsed(Grid, rows, where=str(folder.config), error=ConfigError)
    (cell,) = expand(grid, where=str(folder.config))
    if "data.root" in overrides:
        from greenpose.data.splits import annotations_sha256, check_annotations

        check_annotations(
            written.get("annotations_sha256", {}), annotations_sha256(cell.config.data), where=str(folder.path)
        )
    return Subject(
        config=cell.config,
        config_hash=str(written.get("config_hash", cell.config_hash)),
        name=str(written["name"]),
        source=str(folder.path),
        trained=folder,
    )


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
    hint = meant(folder.path, siblings) or "give the folder of a finished run, or an experiment"
    return [f"{folder.path}: no such folder; {hint}"]


def _of_file(source: Path | None, settings: Sequence[str], only: Sequence[str]) -> Subject:
    """Return the one run that a file describes, or that is chosen from its grid."""
    where = "the paper's HRNet-W32" if source is None else str(source)
    if source is None:
        source, settings, only = packaged_experiment("table1"), [*PAPER, *settings], only or ["HRNet4"]
    cells = select(read_cells(source, settings=settings), only)
    if len({cell.config.model_dump_json(include=COSTLY, exclude={"model": {"weights"}}) for cell in cells}) > 1:
        names = ", ".join(dict.fromkeys(cell.experiment for cell in cells))
        raise ConfigError([f"{source}: holds several networks; choose one with --only NAME: {names}"])
    cell = cells[0]
    return Subject(config=cell.config, config_hash=cell.config_hash, name=cell.experiment, source=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network with all exits that the candidate's experiments have of it."""

    label: str
    """The first of its experiments, which tells it apart."""
    file: Path
    """Experiment or grid that it is in."""
    only: tuple[str, ...]
    """The runs there that have it, by their names without the hash."""
    exits: tuple[int, ...]
    """Exits, shallow to deep."""
    config: Experiment
    """Configuration of the first of its runs."""

    def request(self, file: Path | None = None) -> dict[str, Any]:
        """Return what to ask of a side's process (`run/paired_worker`), which may read another version of the file."""
        return {"file": str((file or self.file).absolute()), "only": self.only, "exits": self.exits}


def shape_of(config: Experiment) -> str:
    """Return what the cost of an exit depends on, as text; a side's process groups by the same."""
    model = config.model.model_dump(mode="json", exclude={"exits", "weights", "init"})
    profile = config.data.model_dump(mode="json", include={"profile"})
    data = [*profile.values(), config.data.input_size, config.measure.batch, config.process.device]
    return json.dumps([model, data], sort_keys=True)


def training_of(config: Experiment) -> str:
    """Return what the cost of a training step depends on, as text."""
    parts: dict[str, Any] = dict.fromkeys(("model", "wiring", "loss", "train"), True) | {
        "data": {"source", "profile", "input_size", "stride", "sigma", "decode", "padding", "depth_window_mm"},
        "process": {"device"},
    }
    return config.model_dump_json(include=parts, exclude={"model": {"weights", "init", "partial"}})


def data_of(config: Experiment) -> str:
    """Return what the way of images to batches depends on, as text."""
    return config.model_dump_json(include={"data": True, "train": {"batch"}})


def read_networks(
    candidate: Path,
    folder: Path,
    exits: Sequence[int] = (),
    *,
    settings: Sequence[str] = (),
    alike: Callable[[Experiment], str] = shape_of,
) -> list[Network]:
    """Return the networks of an experiment, a grid, a run or a folder of runs; `folder` takes files made for runs.

    `settings` change what is read from an experiment or grid, like `--set`. Runs that are `alike` are one network.

    Raises:
        CheckError: if no network has an exit that is asked for.
        GreenPoseError: if the candidate cannot be read.
    """
    groups: dict[tuple[str, Path], list[tuple[str, Experiment]]] = {}
    for run in read_runs(candidate, settings=settings):
        if isinstance(run, Cell):
            name, config, file = run.name.rpartition("-")[0], run.config, candidate
        elif isinstance(run, Record):
            name, file = run.experiment, folder / f"{run.name}.yaml"
            config = Experiment.model_validate({**run.config, "name": run.experiment})
            file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
        else:
            continue
        groups.setdefault((alike(config), file), []).append((name, config))
    if not groups:
        raise CheckError([f"{candidate}: holds no finished run"])
    networks = [_network(file, group, exits) for (_, file), group in groups.items()]
    have = sorted({exit_ for group in groups.values() for _, config in group for exit_ in config.model.exits})
    missing = sorted(set(exits) - set(have))
    if missing:
        raise CheckError([f"--exit {missing[0]}: {candidate} has exits {', '.join(map(str, have))}"])
    return [network for network in networks if network.exits]


def _network(file: Path, group: Sequence[tuple[str, Experiment]], exits: Sequence[int]) -> Network:
    (label, first), *_ = group
    have = sorted({exit_ for _, config in group for exit_ in config.model.exits})
    return Network(
        label=label,
        file=file,
        only=tuple(name for name, _ in group),
        exits=tuple(exit_ for exit_ in have if not exits or exit_ in exits),
        config=first,
    )
