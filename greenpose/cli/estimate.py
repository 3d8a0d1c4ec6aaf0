"""`greenpose estimate`: what an experiment or a grid will cost, before it is run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.subject import (
    CountryOption,
    DeviceOption,
    FileArgument,
    GridOption,
    OnlyOption,
    SeedOption,
    SetOption,
    as_written,
    changes,
    find_cells,
    start_again_pinned,
)
from greenpose.config.grid import select

if TYPE_CHECKING:
    from greenpose.run.estimate import Footprint, GridEstimate, RunEstimate

SCHEMA = "greenpose.estimate/1"


@with_manners
def estimate(
    file: FileArgument = None,
    grid: GridOption = False,
    seconds: Annotated[float, typer.Option(min=1, help="Time for trial steps on this machine.")] = 20.0,
    seed: SeedOption = None,
    settings: SetOption = None,
    only: OnlyOption = None,
    country: CountryOption = None,
    device: DeviceOption = None,
    manner: Manner = PLAIN,
) -> None:
    """Say what runs will cost in time, energy and CO2, each with its interval, without running them.

    Short real epochs of a few images are trained on this machine, validated and written down; what they cost is
    multiplied by the epochs and images of each run.

    Examples:
      greenpose estimate experiments/table1_small.yaml --grid --seed 1 --seed 2 --seed 3
      greenpose estimate experiments/openfield.yaml --set data.root=DIR
    """
    chosen = [*(settings or []), *changes(country=country, device=device)]
    with as_written(settings):
        asked, cells = find_cells(file, err(quiet=manner.quiet), as_grid=grid, settings=chosen, seeds=seed or [])
    cells = select(cells, only or [])
    start_again_pinned(cells[0].config.process)
    with err(quiet=manner.quiet).status("starting") as status:
        from greenpose.run.estimate import estimate as estimate_runs

        found = estimate_runs(
            cells, seconds=seconds, on_progress=lambda line: status.update(Text(f"trial steps: {line}"))
        )
    if manner.json:
        print_json(_document(asked.name, found))
        return
    from greenpose.cli.estimate_table import show

    show(found, out(), command=_command(file, is_grid=grid), verbose=manner.verbose)


def _command(file: Path | None, *, is_grid: bool) -> str:
    """Return the command that runs what was estimated, further options left out."""
    return " ".join(["greenpose run", *(["--grid"] if is_grid else []), *([str(file)] if file else [])])


def _document(name: str, found: "GridEstimate") -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "grid": name,
        "runs": [_run(run) for run in found.runs],
        "total": {"training": footprint(found.training), "whole": footprint(found.whole)},
        "energy_kind": found.kind,
        "calibration": {
            "seconds": found.seconds,
            "blocks": found.blocks,
            "setups": found.setups,
            "setups_measured": found.measured,
            "foreign_cpu_share": found.neighbours.busy,
        },
    }


def _run(run: "RunEstimate") -> dict[str, Any]:
    return {
        "name": run.cell.name,
        "experiment": run.cell.experiment,
        "axes": run.cell.axes,
        "params": run.params,
        "macs": run.macs,
        "is_measured": run.is_measured,
        "earliest_end_epoch": run.earliest_end,
        "training": footprint(run.training),
        "whole": footprint(run.whole),
    }


def footprint(of: "Footprint") -> dict[str, Any]:
    """Return what a run is expected to cost as JSON has it, with both intervals of each quantity."""
    return {
        name: {"value": amount.value, "type_a": list(amount.type_a or ()), "type_b": list(amount.type_b or ())}
        for name, amount in of.items()
    }
