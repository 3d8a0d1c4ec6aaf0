"""`greenpose profile`: parameters, MACs and activation memory per exit by every counter; no training, no data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.config import packaged_experiment
from greenpose.formatting import with_prefix
from greenpose.metrics import COUNTED, MACS, PARAMS
from greenpose.subject import read_cells
from greenpose.tables import Column, number_columns, terminal_table

if TYPE_CHECKING:
    from greenpose.counting import ExitCount
    from greenpose.model import Architecture, Shape

EXITS = (1, 2, 3, 4)
PAPER_JOINTS = 12
PAPER_INPUT = (192, 256)


def _title(shape: "Shape", input_size: tuple[int, int]) -> str:
    """Return shape and input in one line."""
    from greenpose.model import OwnShape

    width, height = input_size
    if isinstance(shape, OwnShape):
        settings = "".join(f", {name} {value}" for name, value in shape.config.settings.items())
        joints = f"{shape.num_joints} joints, input {width}x{height} (width x height)"
        return f"{shape.config.factory}{settings}, {joints}"
    return (
        f"HRNet-W{shape.width}, stem {shape.stem_width}, modules {'/'.join(map(str, shape.modules))}, "
        f"{shape.blocks} blocks, {shape.num_joints} joints, input {width}x{height} (width x height)"
    )


@with_manners
def profile(
    file: Annotated[
        Path | None,
        typer.Argument(help="Experiment or grid, or the name of one that ships. Default: the paper's HRNet-W32."),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. model.width=48.")] = None,
    manner: Manner = PLAIN,
) -> None:
    """Count parameters, MACs and activation memory of every exit by every counter; no training, no data.

    Examples:
      greenpose profile
      greenpose profile experiments/quick.yaml
    """
    from greenpose.counting import count
    from greenpose.model import Architecture, OwnShape, check_network

    documents = []
    for (shape, size), used_by in _shapes(file, settings or []).items():
        with err(quiet=manner.quiet).status("counting"):
            if isinstance(shape, OwnShape):
                check_network(shape)
            counts = count(shape, size, by_counters=True)
            paper = _as_the_paper(counts, shape, size) if isinstance(shape, Architecture) else None
        title, names = _title(shape, size), list(dict.fromkeys(used_by))
        documents.append({"network": title, "experiments": names} | _document(counts, paper))
        if not manner.json:
            out().print(title, style="bold", soft_wrap=True)
            out().print(f"used by {', '.join(names)}\n", style="dim", soft_wrap=True)
            _show(counts, paper, out())
    if manner.json:
        print_json(documents)


def _shapes(file: Path | None, settings: list[str]) -> dict[tuple["Shape", tuple[int, int]], list[str]]:
    """Return the names of the experiments that use each distinct network, HRNet with all exits, at an input size."""
    from greenpose.counting import architecture_of
    from greenpose.model import Architecture

    if file is None and not settings:
        return {(Architecture(width=32, num_joints=PAPER_JOINTS, exits=EXITS), PAPER_INPUT): ["the paper"]}
    used: dict[tuple[Shape, tuple[int, int]], list[str]] = {}
    for cell in read_cells(file or packaged_experiment("table1"), settings=settings):
        shape = architecture_of(cell.config)
        shape = shape.at(EXITS) if isinstance(shape, Architecture) else shape
        used.setdefault((shape, cell.config.data.input_size), []).append(cell.experiment)
    return used


def _as_the_paper(
    counts: dict[int, "ExitCount"], shape: "Architecture", input_size: tuple[int, int]
) -> dict[str, float | None]:
    """Return the paper's way of counting exit 3 against exit 4."""
    from greenpose.counting import reference_crop, reference_share

    share = reference_share(shape)
    crop, whole = (reference_crop(shape, exit_, input_size) for exit_ in (3, 4))
    return {
        "crop_params": crop.params,
        "whole_params": whole.params,
        "params_percent": share.params,
        "crop_macs": crop.macs,
        "whole_macs": whole.macs,
        "macs_percent": share.macs,
        "macs_percent_by_paper_counter": share.macs_by_paper,
        "macs_percent_as_printed": share.macs_printed,
        "minimal_params_percent": 100 * counts[3].params / counts[4].params,
        "minimal_macs_percent": 100 * counts[3].macs / counts[4].macs,
    }


def _document(counts: dict[int, "ExitCount"], paper: dict[str, float | None] | None) -> dict[str, Any]:
    from greenpose.counting import FORMULAE

    final = counts[max(counts)]
    return {
        "exits": [
            {
                "exit": one.exit,
                "params": one.params,
                "params_percent": 100 * one.params / final.params,
                "macs": one.macs,
                "macs_percent": 100 * one.macs / final.macs,
                "macs_by_counter": dict(one.macs_by_counter),
                "macs_by_formula": {} if paper is None else {name: f.macs(one.census) for name, f in FORMULAE.items()},
                **{name: size for name, size in one.sizes.items() if name not in ("params", "macs")},
            }
            for one in counts.values()
        ],
        "formulae": {} if paper is None else {name: formula.sentence for name, formula in FORMULAE.items()},
        "paper_exit3": paper,
    }


def _show(counts: dict[int, "ExitCount"], paper: dict[str, float | None] | None, console: Console) -> None:
    console.print(_exit_table(counts, macs=MACS.words if paper is None else f"conv {MACS.words}"))
    if paper is None:
        console.print(f"One image; 1 MAC = 2 FLOPs, by torch's counter; % of exit {max(counts)}.", style="dim")
        for one in counts.values():
            console.print(f"  exit {one.exit}: {one.what}", style="dim")
        console.print()
        return
    console.print("Each exit is its minimal sub-network; one image; 1 MAC = 2 FLOPs; % of exit 4.\n", style="dim")
    console.print(_counter_table(counts))
    _explain(counts, console)
    _headline(paper, console)


_SIZES = [size for size in COUNTED if size not in (PARAMS, MACS)]
"""Columns after parameters and MACs."""


def _exit_table(counts: dict[int, "ExitCount"], *, macs: str) -> Table:
    final = counts[max(counts)]
    rows = [
        (
            str(one.exit),
            f"{one.params:,}",
            f"{100 * one.params / final.params:.2f}",
            f"{one.macs:,}",
            f"{100 * one.macs / final.macs:.2f}",
            *(with_prefix(one.sizes[size.name], size.counted_unit) for size in _SIZES),
        )
        for one in counts.values()
    ]
    sizes = (Column(head=size.words, wraps=True) for size in _SIZES)
    return terminal_table(("exit", *number_columns(PARAMS.words, "%", macs, "%"), *sizes), rows)


def _counter_table(counts: dict[int, "ExitCount"]) -> Table:
    names = next(iter(counts.values())).macs_by_counter
    rows = [(name, *(f"{one.macs_by_counter[name]:,}" for one in counts.values())) for name in names]
    return terminal_table((f"{MACS.words} by", *number_columns(*(f"exit {exit_}" for exit_ in counts))), rows)


def _explain(counts: dict[int, "ExitCount"], console: Console) -> None:
    """Say what each counter counts, whether its figures are what that gives, and exit 3's share by it."""
    from greenpose.counting import FORMULAE

    for name, formula in FORMULAE.items():
        agrees = all(formula.macs(one.census) == one.macs_by_counter[name] for one in counts.values())
        verdict = "the figures above are exactly this" if agrees else "the figures above are NOT this"
        share = 100 * counts[3].macs_by_counter[name] / counts[4].macs_by_counter[name]
        console.print(f"  {name}: {formula.sentence}; {verdict}; exit 3 is {share:.2f} % of exit 4", style="dim")


def _headline(paper: dict[str, float | None], console: Console) -> None:
    """Print the paper's way of comparing exit 3 with exit 4, and what lies behind its figures."""
    console.print("\nExit 3 against exit 4, as the paper counts", style="bold")
    rows = [
        ("the paper's crop / its whole network", f"{paper['params_percent']:.3f} %", ""),
        ("  by conv MACs", "", f"{paper['macs_percent']:.2f} %"),
        ("  by the paper's counter, exact", "", f"{paper['macs_percent_by_paper_counter']:.2f} %"),
    ]
    if paper["macs_percent_as_printed"] is not None:
        printed = f"{paper['macs_percent_as_printed']:.2f} %"
        rows.append(("  the same, as printed at 128x96 (two decimals)", "", printed))
    minimal = (f"{paper['minimal_params_percent']:.2f} %", f"{paper['minimal_macs_percent']:.2f} %")
    rows.append(("minimal sub-networks (what GreenPose reports)", *minimal))
    ways = Column(head="", words=True, wraps=True)
    console.print(terminal_table((ways, *number_columns(PARAMS.words, "compute")), rows))
    console.print(
        "The paper's headline for W32 is 27.5 % and 61.7 %: the latter is the ratio of two printed, rounded figures. "
        "Its crop keeps fusion rows and heads that exit 3 never reads.\n",
        style="dim",
        soft_wrap=True,
    )
