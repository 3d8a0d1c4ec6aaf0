"""`greenpose estimate`: what an experiment or a grid will cost, before it is run, and the table of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
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
from greenpose.formatting import percent, plain, plural, prefix, truly, with_prefix
from greenpose.tables import Cell, Column, number_cell, number_columns, terminal_notes, terminal_table

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


DURATIONS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
LONGEST = 1.5
"""A duration is shown in a unit from this many of them on."""
SCALED = "*"


Units = Mapping[str, tuple[float, str]]
"""One unit for each number, so that a column's numbers compare: the record's unit to it, and its name."""


def units_of(runs: "Sequence[RunEstimate]") -> Units:
    """Return the units in which the dearest run reads best."""
    dearest = max((run.whole for run in runs), key=lambda whole: whole["seconds"].known)
    seconds = dearest["seconds"].known
    length, name = next((unit for unit in DURATIONS if seconds >= LONGEST * unit[0]), DURATIONS[-1])
    wh, wh_name = prefix(dearest["energy_kwh"].known * 1e3)
    g, g_name = prefix(dearest["co2eq_g"].known)
    return {"seconds": (1 / length, name), "energy_kwh": (1e3 / wh, f"{wh_name}Wh"), "co2eq_g": (1 / g, f"{g_name}g")}


def show(found: "GridEstimate", console: Console, *, command: str, verbose: bool = False) -> None:
    """Print an estimate; `command` runs what was estimated. All runs are listed apart where it is `verbose`."""
    console.print(_table(found, verbose=verbose))
    console.print()
    console.print(terminal_notes(_notes(found, command)))


def _table(found: "GridEstimate", *, verbose: bool) -> Table:
    units = units_of(found.runs)
    rows: list[tuple[Cell, ...]] = []
    for run, count in _groups(found.runs, apart=verbose):
        label = (run.cell.name if verbose else run.cell.experiment) + ("" if run.is_measured else SCALED)
        sizes = with_prefix(run.params, "").strip(), with_prefix(run.macs, "").strip()
        title = f"{label} x{count}" if count > 1 else label
        rows.append((title, *sizes, "training", *_cells(run.training, units)))
        rows.append(("", "", "", "whole", *_cells(run.whole, units)))
    everything = f"all {len(found.runs)} runs"
    if len(found.runs) > 1:
        rows.append((everything, "", "", "training", *_cells(found.training, units)))
        rows.append(("", "", "", "whole", *_cells(found.whole, units)))
    costs = [
        Column(head=head, unit=unit)
        for head, (_, unit) in zip(("time", "energy", "CO2eq"), units.values(), strict=True)
    ]
    return terminal_table(("run", *number_columns("params", "MACs/image"), "", *costs), rows, bold={everything})


def _groups(runs: "Sequence[RunEstimate]", *, apart: bool) -> "Iterator[tuple[RunEstimate, int]]":
    """Yield runs that cost the same, such as those of several seeds, as one with their number."""
    groups: dict[tuple[object, ...], list[RunEstimate]] = {}
    for run in runs:
        key = (run.cell.name,) if apart else (run.cell.experiment, run.training["seconds"].value)
        groups.setdefault(key, []).append(run)
    for alike in groups.values():
        yield alike[0], len(alike)


def _cells(footprint: "Footprint", units: Units) -> list[Cell]:
    amounts = [footprint[name] * factor for name, (factor, _) in units.items()]
    return [number_cell(amount.text()) if amount.value and amount.type_a else "not read" for amount in amounts]


def _notes(found: "GridEstimate", command: str) -> Iterator[tuple[str, str]]:
    yield "interval", "where a run on this machine will lie in 95 of 100 cases, for all of its epochs"
    yield from _early(found.runs)
    yield "whole", "training, data, test, metering of inference; starting Python, seconds a run, is not metered"
    experiments = {run.cell.experiment for run in found.runs}
    if len(experiments) < len(found.runs):
        yield "x", "so many runs that cost the same, such as several seeds; the line is for one of them"
    yield from _energy(found)
    yield "obtained", _provenance(found)
    if found.measured < found.setups:
        yield SCALED, "not tried itself: scaled by multiply-accumulates from setups that were; more time: --seconds"
    if found.neighbours.doubled > 1 or found.neighbours.slowdown > 1:
        yield "mind", "others are at work here, who may leave or become more: left alone, intervals are much narrower"
    yield "next", f"{command}, with the same options"
    yield "", f"{_budget(found)} ends a training that would go beyond all upper ends, its checkpoint kept"


def _early(runs: "Sequence[RunEstimate]") -> Iterator[tuple[str, str]]:
    """Say which runs may be over sooner."""
    ends = dict.fromkeys((run.earliest_end, run.cell.config.train.epochs) for run in runs if run.earliest_end)
    for earliest, epochs in ends:
        yield "sooner", f"early stopping may end a training from epoch {earliest} of {epochs} on"


def _energy(found: "GridEstimate") -> Iterator[tuple[str, str]]:
    """Say how energy is obtained, and how far it can be off as an absolute figure."""
    whole = found.whole["energy_kwh"]
    if whole.factors is None:
        yield "energy", "nothing here reads energy; see greenpose doctor"
        return
    yield "energy", f"{found.kind}, as in the runs: {truly(*whole.factors)} what is shown, all alike"


def _provenance(found: "GridEstimate") -> str:
    tried = f"{found.measured} of {plural(found.setups, 'setup')}" if found.setups > 1 else "its setup"
    others = f"; others kept {percent(found.neighbours.busy)} of the CPUs busy" if found.neighbours.busy else ""
    return (
        f"{plain(found.seconds, 2)} s on this machine: {tried} trained for {found.blocks} short epochs of real steps, "
        f"times epochs and images{others}"
    )


def _budget(found: "GridEstimate") -> str:
    """Return a budget that each run should keep: the dearest one's upper end, rounded up to two digits."""
    highest, longest = (_upper_end(found, name) for name in ("energy_kwh", "seconds"))
    if not highest:
        return f"--budget-seconds {math.ceil(longest)}"
    step = 10.0 ** (math.floor(math.log10(highest)) - 1)
    return f"--budget-kwh {plain(math.ceil(highest / step) * step, 2)}"


def _upper_end(found: "GridEstimate", name: str) -> float:
    amounts = (run.whole[name] for run in found.runs)
    return max(amount.type_a.high if amount.type_a else amount.known for amount in amounts)
