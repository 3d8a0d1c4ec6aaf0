"""The runs that a file describes, as `run` and `estimate` find and check them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from greenpose.cli.console import note
from greenpose.config import Cell, Experiment, expand, load_experiment, load_grid, packaged_experiment, read_yaml
from greenpose.config.grid import placed
from greenpose.config.load import is_grid
from greenpose.config.read import experiment_file
from greenpose.errors import ConfigError

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
    from greenpose.cli.preflight import CHECKED, faults_of

    distinct = {cell.config.model_dump_json(include=set(CHECKED)): cell.config for cell in cells}
    faults = list(dict.fromkeys(fault for config in distinct.values() for fault in faults_of(config)))
    if faults:
        raise ConfigError([placed(fault, where, overrides) for fault in faults])
