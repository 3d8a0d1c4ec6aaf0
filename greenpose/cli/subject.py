"""The subject of a command: a run folder, an experiment or a grid, as named by the user, with its options and pins."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from greenpose.cli.console import note
from greenpose.config import (
    Cell,
    DataConfig,
    Experiment,
    Grid,
    ProcessConfig,
    expand,
    load_experiment,
    load_grid,
    packaged_experiment,
    read_yaml,
)
from greenpose.config.grid import assign, placed
from greenpose.config.load import is_grid, parse_settings
from greenpose.config.profile import is_file
from greenpose.config.read import experiment_file, nearest_shipped
from greenpose.errors import ConfigError, FaultsError, GreenPoseError
from greenpose.grid import select, worker_environment
from greenpose.schema import near, nearest, parse
from greenpose.store import RunFolder, State

if TYPE_CHECKING:
    from greenpose.grid import Planned


CHECKED = ("carbon", "data", "model", "process", "train")
"""Sections of an experiment that are looked at; experiments that agree in them need one look."""


def faults_of(config: Experiment, *, images: bool = True) -> list[str]:
    """Return every fault that would stop the experiment later, each with the setting that it belongs to.

    Without `images`, for work that needs none, only the profile of the data is looked at.
    """
    checks: dict[str, Callable[[], object]] = {
        f"carbon.{_grid(config)}": lambda: _place(config),
        "data": lambda: _data(config.data) if images else _profile(config.data),
        "model.weights": lambda: _weights(config),
        "process.device": lambda: _device(config.process),
        "train.mirror": lambda: _mirror(config),
        "train.precision": lambda: _precision(config),
    }
    faults: list[str] = []
    for setting, check in checks.items():
        try:
            check()
        except FaultsError as error:
            faults += [f"{setting}: {fault}" for fault in error.faults]
        except GreenPoseError as error:
            faults.append(f"{setting}: {error}")
    return faults


def relabelled(planned: Sequence["Planned"]) -> list[str]:
    """Return which runs, finished or begun, have learnt from other annotations than those that lie there now."""
    from greenpose.data.splits import annotations_sha256, check_annotations

    faults: list[str] = []
    for one in planned:
        if one.cell.config.data.source == "synthetic" or one.damage or not one.folder.config.exists():
            continue
        before = one.folder.read_cell().get("annotations_sha256", {})
        try:
            check_annotations(before, annotations_sha256(one.cell.config.data), where=str(one.folder.path))
        except FaultsError as error:
            faults += error.faults
    return faults


def _grid(config: Experiment) -> str:
    """Return the setting that says where the electricity comes from."""
    return "hourly" if config.carbon.hourly is not None else "country"


def _place(config: Experiment) -> None:
    from greenpose.metering import carbon_of

    carbon_of(**config.carbon.model_dump())


def _data(config: DataConfig) -> None:
    from greenpose.data import load_profile
    from greenpose.data.splits import check_joints, inspect_splits

    check_joints(config, load_profile(config.profile))
    if config.source == "coco":
        inspect_splits(config)


def _profile(config: DataConfig) -> None:
    from greenpose.data import load_profile

    load_profile(config.profile)


def _weights(config: Experiment) -> None:
    path = config.model.weights
    if path is None:
        return
    if not Path(path).is_file():
        raise GreenPoseError(f"{path}: no such file; give pretrained weights, or null to start from random ones")
    from greenpose.counting import architecture_of
    from greenpose.counting.counts import blank_network
    from greenpose.run.setup import fill

    fill(blank_network(architecture_of(config)), config.model)


def _device(process: ProcessConfig) -> None:
    if process.device.startswith("cuda"):
        from greenpose.run import require_device

        require_device(process.device, process.replicas)


def _mirror(config: Experiment) -> None:
    from greenpose.data import load_profile
    from greenpose.data.crops import other_sides

    if config.train.mirror:
        other_sides(load_profile(config.data.profile))


def _precision(config: Experiment) -> None:
    if config.train.precision != "float32":
        from greenpose.training.step import require_precision

        require_precision(config.train.precision, config.process.device)


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


FileArgument = Annotated[
    Path | None, typer.Argument(help="Experiment or grid, or the name of one that ships. Default: quick.")
]
GridOption = Annotated[bool, typer.Option("--grid", help="Take FILE for a grid of experiments, and nothing else.")]
SeedOption = Annotated[list[int] | None, typer.Option(min=0, help="Seed; repeat for several.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Experiment or run name, * allowed; repeatable.")]


def find_cells(
    file: Path | None, console: Console, *, as_grid: bool, settings: Sequence[str] = (), seeds: Sequence[int] = ()
) -> tuple[str, list[Cell]]:
    """Return a file's name for its runs, and the runs; without a file those of the packaged quick grid.

    Where there is no such file, a packaged experiment may have the name. A grid is taken for one whether or not it was
    called so, which `console` is told.

    Raises:
        ConfigError: with everything that would stop one of them later: unknown countries, profiles, data folders.
    """
    path = experiment_file(file) if file else packaged_experiment("quick")
    unsaid = file is not None and not as_grid and is_grid(read_yaml(path))
    load = load_grid if unsaid or as_grid or file is None else load_experiment
    grid = load(path, settings=settings, seeds=seeds)
    cells = expand(grid, where=str(path))
    _check_beforehand(cells, str(path), grid.overrides)
    if unsaid:
        console.print(note(f"{file} is a grid: it has {len(cells)} runs"), soft_wrap=True)
    for hint in dict.fromkeys(hint for cell in cells for hint in hints_of(cell.config)):
        console.print(note(hint), soft_wrap=True)
    return grid.name, cells


def hints_of(config: Experiment) -> list[str]:
    """Return what can be run and is hardly meant."""
    backwards = [
        f"wiring.teach: exit {student} learns from exit {teacher}, which is shallower; 4->3 lets 4 teach 3"
        for teacher, student in config.wiring.edges
        if teacher < student
    ]
    return backwards + config.doubts


def _check_beforehand(cells: Sequence[Cell], where: str, overrides: Mapping[str, Any]) -> None:

    distinct = {cell.config.model_dump_json(include=set(CHECKED)): cell.config for cell in cells}
    faults = list(dict.fromkeys(fault for config in distinct.values() for fault in faults_of(config)))
    if faults:
        raise ConfigError([placed(fault, where, overrides) for fault in faults])


def start_again_pinned(config: ProcessConfig) -> None:
    """Replace this process by the same command with allocator, threads and devices pinned; return once they are."""
    wanted = worker_environment(config, workers=1)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", "greenpose", *sys.argv[1:]], wanted)


SetOption = Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. train.epochs=5.")]
CountryOption = Annotated[str | None, typer.Option(help="ISO alpha-3 code of the electricity grid, e.g. ITA.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")]

STANDS_FOR = {
    "carbon.country": "--country",
    "process.device": "--device",
    "process.threads": "--threads",
    "measure.batch": "--batch",
    "measure.max_seconds": "--max-seconds",
}
"""Settings that have an option of their own."""


def changes(
    *,
    country: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_seconds: float | None = None,
) -> list[str]:
    """Return what the options mean as `--set` options; a country takes the place of any other grid."""
    values = (country, device, threads, batch, max_seconds)
    settings = [
        f"{key}={json.dumps(value)}" for key, value in zip(STANDS_FOR, values, strict=True) if value is not None
    ]
    if country is not None:
        settings += [f"carbon.{other}=null" for other in ("intensity_g_per_kwh", "hourly", "label")]
    return settings


@contextmanager
def as_written(settings: Sequence[str] | None) -> Iterator[None]:
    """Name in every fault the option that the user wrote; `settings` are those that were written as `--set`.

    Raises:
        ConfigError: in the place of the one that is raised inside.
    """
    set_by_hand = {setting.partition("=")[0].strip() for setting in settings or ()}
    try:
        yield
    except ConfigError as error:
        faults = list(error.faults)
        for key, option in STANDS_FOR.items():
            if key not in set_by_hand:
                before = f"--set {key}: "
                faults = [
                    option + ": " + each.removeprefix(before) if each.startswith(before) else each for each in faults
                ]
        raise ConfigError(faults) from None
