"""The subject of a command: a run folder, an experiment or a grid, as named by the user, with its options and pins."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from greenpose.cli.console import note
from greenpose.config import (
    Cell,
    Experiment,
    Grid,
    OwnNetworkConfig,
    ProcessConfig,
    expand,
    load_grid,
    packaged_experiment,
    read_yaml,
)
from greenpose.config.grid import placed
from greenpose.config.load import is_grid, load_file, parse_settings
from greenpose.config.profile import Profile
from greenpose.config.yaml_files import experiment_file
from greenpose.errors import ConfigError, FaultsError, GreenPoseError, ModelError
from greenpose.grid import Planned, worker_environment
from greenpose.metering import carbon_of
from greenpose.store.folder import as_yaml
from greenpose.subject import Subject, read_subject

CHECKED = ("carbon", "data", "measure", "model", "process", "test", "train")
"""Sections of an experiment that are looked at; experiments that agree in them need one look."""


def faults_of(config: Experiment, *, images: bool = True) -> list[str]:
    """Return every fault that would stop the experiment later, each with the setting that it belongs to.

    Without `images`, for work that needs none, only the profile of the data is looked at.
    """
    checks: dict[str, Callable[[Experiment], object]] = {
        f"carbon.{'hourly' if config.carbon.hourly is not None else 'country'}": _check_place,
        "data": _check_data if images else _check_profile,
        "model.factory": _check_network,
        "model.weights": _check_weights,
        "train.grow": _check_growth,
        "process.device": _check_device,
        "train.augment.half_body": _check_half_body,
        "train.augment": _check_sensor,
        "train.mirror": lambda config: _check_partners(config, wanted=config.train.mirror > 0),
        "test.flip": lambda config: _check_partners(config, wanted=config.test.flip),
        "train.precision": _check_precision,
        "measure.precision": _check_measured,
    }
    faults: list[str] = []
    for setting, check in checks.items():
        try:
            check(config)
        except FaultsError as error:
            faults += [f"{setting}: {fault}" for fault in error.faults]
        except GreenPoseError as error:
            faults.append(f"{setting}: {error}")
    return faults


def _check_place(config: Experiment) -> None:

    carbon_of(**config.carbon.model_dump())


def _check_profile(config: Experiment) -> Profile:
    from greenpose.data import load_profile

    return load_profile(config.data.profile)


def _check_data(config: Experiment) -> None:
    from greenpose.data.splits import check_joints, inspect_splits

    check_joints(config.data, _check_profile(config))
    if config.data.source == "coco":
        inspect_splits(config.data)


def _check_network(config: Experiment) -> None:
    if not isinstance(config.model, OwnNetworkConfig):
        return
    from greenpose.counting import architecture_of
    from greenpose.model import OwnShape, check_network

    shape = architecture_of(config)
    assert isinstance(shape, OwnShape)
    check_network(shape)


def _check_growth(config: Experiment) -> None:
    if not config.train.grow or not isinstance(config.model, OwnNetworkConfig):
        return
    from greenpose.counting import architecture_of
    from greenpose.model import OwnShape

    shape = architecture_of(config)
    assert isinstance(shape, OwnShape)
    with suppress(ModelError):  # which the network's own check tells
        if not shape.build().is_asked:
            raise GreenPoseError(
                f"{dict(config.train.grow)}: a network of one's own grows where its forward takes exits=, the exits to"
                " compute, which this one's does not; train it whole: {}"
            )


def _check_weights(config: Experiment) -> None:
    path = config.model.weights
    if path is None:
        return
    if not Path(path).is_file():
        raise GreenPoseError(f"{path}: no such file; give pretrained weights, or null to start from random ones")
    from greenpose.counting import architecture_of
    from greenpose.counting.counts import blank_network
    from greenpose.run.setup import fill

    fill(blank_network(architecture_of(config)), config.model)


def _check_device(config: Experiment) -> None:
    if config.process.device.startswith("cuda"):
        from greenpose.run import require_device

        require_device(config.process.device, config.process.replicas)


def _check_partners(config: Experiment, *, wanted: bool) -> list[int]:
    from greenpose.data.crops import flip_partners

    return flip_partners(_check_profile(config)) if wanted else []


def _check_half_body(config: Experiment) -> None:
    if config.train.augment:
        from greenpose.data.augment import check_half_body

        check_half_body(config.train.augment, _check_profile(config))


def _check_sensor(config: Experiment) -> None:
    there = config.data.source == "synthetic" or Path(config.data.root or "").is_dir()
    if config.train.augment and there:
        from greenpose.data.augment import check_sensor
        from greenpose.data.splits import window_of_run

        check_sensor(config.train.augment, window_of_run(config.data))


def _check_precision(config: Experiment) -> None:
    if config.train.precision == "bf16":
        from greenpose.training.precision import require_precision

        require_precision(config.train.precision, config.process.device)


def _check_measured(config: Experiment) -> None:
    if config.measure.precision == "bf16":
        from greenpose.run.measure_bf16 import require_measurable

        require_measurable(config)


def relabelled(planned: Sequence[Planned]) -> list[str]:
    """Return which runs, finished or begun, have learnt from other annotations than those that lie there now."""
    from greenpose.data.splits import annotations_sha256, check_annotations

    faults: list[str] = []
    hashed: dict[str, tuple[dict[str, str], str]] = {}
    for one in planned:
        data = one.cell.config.data
        if data.source == "synthetic" or one.damage or not one.folder.config.exists():
            continue
        said = data.model_dump_json()
        if said not in hashed:
            now = annotations_sha256(data)
            hashed[said] = now, as_yaml({"annotations_sha256": now})
        if one.folder.holds(hashed[said][1]):
            continue
        try:
            before = one.folder.read_cell().get("annotations_sha256", {})
            check_annotations(before, hashed[said][0], where=str(one.folder.path))
        except FaultsError as error:
            faults += error.faults
    return faults


def find_subject(
    source: Path | None, *, settings: Sequence[str], only: Sequence[str] = (), exits: Sequence[int] = ()
) -> Subject:
    """Return the one network that a command is about (`greenpose.subject.read_subject`), looked at beforehand."""
    subject, faults = read_subject(source, settings=settings, only=only, exits=exits)
    overrides = parse_settings(settings)
    where = subject.source if subject.trained is None else str(subject.trained.config)
    faults += [placed(fault, where, overrides) for fault in faults_of(subject.config, images=False)]
    if faults:
        raise ConfigError(faults)
    return subject


def find_finished(run: Path, why: str, *, settings: Sequence[str] = (), exits: Sequence[int] = ()) -> Subject:
    """Return the finished run that a command is about, looked at beforehand; refuse what is none, saying `why`."""
    subject = find_subject(run, settings=settings, exits=exits)
    if subject.trained is None:
        raise ConfigError([f"{run}: {why}; give the folder of a finished run"])
    return subject


FileArgument = Annotated[
    Path | None, typer.Argument(help="Experiment or grid, or the name of one that ships. Default: quick.")
]
GridOption = Annotated[bool, typer.Option("--grid", help="Take FILE for a grid of experiments, and nothing else.")]
SeedOption = Annotated[list[int] | None, typer.Option(min=0, help="Seed; repeat for several.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Experiment or run name, * allowed; repeatable.")]


def find_cells(
    file: Path | None, console: Console, *, as_grid: bool, settings: Sequence[str] = (), seeds: Sequence[int] = ()
) -> tuple[Grid, list[Cell]]:
    """Return the grid that a file is, and its runs; without a file those of the packaged quick grid.

    Where there is no such file, a packaged experiment may have the name. A grid is taken for one whether or not it was
    called so, which `console` is told.
    """
    path = experiment_file(file) if file else packaged_experiment("quick")
    unsaid = file is not None and not as_grid and is_grid(read_yaml(path))
    grid = (load_grid if as_grid else load_file)(path, settings=settings, seeds=seeds)
    cells = expand(grid, where=str(path))
    distinct = {cell.config.model_dump_json(include=set(CHECKED)): cell.config for cell in cells}
    faults: dict[str, None] = {}
    looked_at: set[str] = set()
    for config in distinct.values():
        data = config.data.model_dump_json()
        faults |= dict.fromkeys(faults_of(config, images=data not in looked_at))
        looked_at.add(data)
    if faults:
        overrides = parse_settings(settings)
        raise ConfigError([placed(fault, str(path), overrides) for fault in faults])
    if unsaid:
        console.print(note(f"{file} is a grid: it has {len(cells)} runs"), soft_wrap=True)
    for hint in dict.fromkeys(hint for cell in cells for hint in hints_of(cell.config)):
        console.print(note(hint), soft_wrap=True)
    return grid, cells


def hints_of(config: Experiment) -> list[str]:
    """Return what can be run and is hardly meant."""
    backwards = [
        f"wiring.teach: exit {student} learns from exit {teacher}, which is shallower; 4->3 lets 4 teach 3"
        for teacher, student in config.wiring.edges
        if teacher < student
    ]
    return backwards + config.doubts


def start_again_pinned(config: ProcessConfig) -> None:
    """Replace this process by the same command with allocator, threads and devices pinned; return once they are."""
    wanted = worker_environment(config, workers=1)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", "greenpose", *sys.argv[1:]], wanted)


SetOption = Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. train.epochs=5.")]
CountryOption = Annotated[str | None, typer.Option(help="ISO alpha-3 code of the electricity grid, e.g. ITA.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")]

STANDS_FOR = {
    "country": "carbon.country",
    "device": "process.device",
    "threads": "process.threads",
    "batch": "measure.batch",
    "max_seconds": "measure.max_seconds",
}
"""Options that stand for a setting."""


def changes(**given: str | float | None) -> list[str]:
    """Return what the options mean as `--set` options; a country takes the place of any other grid."""
    settings = [f"{STANDS_FOR[name]}={json.dumps(value)}" for name, value in given.items() if value is not None]
    if given.get("country") is not None:
        settings += [f"carbon.{other}=null" for other in ("intensity_g_per_kwh", "hourly", "label")]
    return settings


@contextmanager
def as_written(settings: Sequence[str] | None) -> Iterator[None]:
    """Name in every fault the option that the user wrote; `settings` are those that were written as `--set`."""
    set_by_hand = {setting.partition("=")[0].strip() for setting in settings or ()}
    try:
        yield
    except ConfigError as error:
        faults = list(error.faults)
        for name, key in STANDS_FOR.items():
            if key not in set_by_hand:
                before, option = f"--set {key}: ", f"--{name.replace('_', '-')}: "
                faults = [f.replace(before, option, 1) if f.startswith(before) else f for f in faults]
        raise ConfigError(faults) from None
