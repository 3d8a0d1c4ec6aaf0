"""The runs that a file describes, as `run` and `estimate` find and check them."""

from collections.abc import Sequence
from pathlib import Path

from greenpose.config import Cell, expand, load_experiment, load_grid, packaged_experiment
from greenpose.errors import ConfigError


def find_cells(
    file: Path | None, *, is_grid: bool, settings: Sequence[str] = (), seeds: Sequence[int] = ()
) -> tuple[str, list[Cell]]:
    """Return a file's name for its runs, and the runs; without a file those of the packaged quick grid.

    Raises:
        ConfigError: with everything that would stop one of them later: unknown countries, profiles, data folders.
    """
    path = file or packaged_experiment("quick")
    load = load_grid if is_grid or file is None else load_experiment
    grid = load(path, settings=settings, seeds=seeds)
    cells = expand(grid, where=str(path))
    _check_beforehand(cells)
    return grid.name, cells


def _check_beforehand(cells: Sequence[Cell]) -> None:
    from greenpose.cli.preflight import CHECKED, faults_of

    distinct = {cell.config.model_dump_json(include=set(CHECKED)): cell.config for cell in cells}
    faults = list(dict.fromkeys(fault for config in distinct.values() for fault in faults_of(config)))
    if faults:
        raise ConfigError(faults)
