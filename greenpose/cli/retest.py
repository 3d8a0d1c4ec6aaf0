"""`greenpose retest`: judge the exits of finished runs anew by another decoding of their heatmaps."""

import enum
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.subject import DeviceOption, as_written, changes, find_finished, start_again_pinned
from greenpose.config.experiment import Decode
from greenpose.errors import ConfigError
from greenpose.formatting import ends, plain
from greenpose.metering import ExitMeasurement
from greenpose.metrics import AP, PERCENT
from greenpose.subject import Subject
from greenpose.tables import Cell, Column, Heading, quantity_cell, terminal_notes, terminal_table

if TYPE_CHECKING:
    from greenpose.run.retest import Retested


Judged: TypeAlias = "tuple[Subject, list[Retested], Mapping[int, ExitMeasurement]]"
"""A run, its exits judged anew, and what a second pass costs where that was measured."""


class DecodingKind(enum.StrEnum):
    """As `data.decode` of an experiment."""

    QUARTER = "quarter"
    DARK = "dark"
    UDP = "udp"


@with_manners
def retest(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    decode: Annotated[
        DecodingKind | None,
        typer.Option(
            help="How heatmaps are decoded now. Default: dark; with --flip, as the run does.", show_default=False
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average heatmaps with those of mirrored images.")] = False,
    measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="With --flip: measure what the second pass costs.")
    ] = True,
    exits: Annotated[list[int] | None, typer.Option("--exit", help="Exit to judge; repeatable. Default: all.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. data.root=DIR.")] = None,
    device: DeviceOption = None,
    manner: Manner = PLAIN,
) -> None:
    """Judge finished runs anew on their test patients by another decoding, without training; records stay as they are.

    A difference is paired: both are of the same weights, and judged on the same resampled patients. Mirrors cost a
    second pass for each image, which is measured in turns with one pass.

    Examples:
      greenpose retest runs/quick/HRNet4-OKD-DS-d23a76c6
      greenpose retest runs/quick/* --decode dark --flip --exit 4
    """
    with as_written(settings):
        subjects = _subjects(runs, [*changes(device=device), *(settings or [])], exits or [])
    wish: Decode | None = None if decode is None else decode.value
    _require(subjects, wish, flip=flip)
    if flip and measured:
        start_again_pinned(subjects[0].config.process)
    judged = _judged(subjects, wish, err(quiet=manner.quiet), flip=flip, measured=measured)
    if manner.json:
        print_json({"runs": [_document(*one) for one in judged]})
    else:
        _show(judged, out())


def _subjects(runs: Sequence[Path], settings: list[str], exits: list[int]) -> list[Subject]:
    """Return the finished runs that are meant.

    Raises:
        ConfigError: with what is wrong with each that is none.
    """
    found, faults = list[Subject](), list[str]()
    for run in runs:
        try:
            found.append(find_finished(run, "nothing is trained there to be judged", settings=settings, exits=exits))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return found


def _decoded(subject: Subject, wish: Decode | None, *, flip: bool) -> Decode:
    return wish or (subject.config.data.decode if flip else "dark")


def _require(subjects: Sequence[Subject], wish: Decode | None, *, flip: bool) -> None:
    """Refuse what says nothing of a run.

    Raises:
        ConfigError: with all of it.
    """
    from greenpose.run.retest import refusals

    faults = [
        fault
        for each in subjects
        for fault in refusals(each.config, _decoded(each, wish, flip=flip), flip=flip, source=each.source)
    ]
    if faults:
        raise ConfigError(faults)


def _judged(
    subjects: Sequence[Subject], wish: Decode | None, console: Console, *, flip: bool, measured: bool
) -> list[Judged]:
    """Return each run, what its exits are worth now, and what a second pass costs where it is measured."""
    from greenpose.run.retest import price_of_mirrors
    from greenpose.run.retest import retest as judge_anew

    judged = list[Judged]()
    for subject in subjects:
        console.print(subject.name, style="dim")
        config, folder, exits = subject.config, subject.trained, subject.exits
        assert folder is not None, "only finished runs are judged"
        found = judge_anew(config, folder, exits, _decoded(subject, wish, flip=flip), flip=flip)
        judged.append((subject, found, price_of_mirrors(config, folder, exits) if flip and measured else {}))
    return judged


def _document(subject: Subject, found: Sequence["Retested"], prices: Mapping[int, ExitMeasurement]) -> dict[str, Any]:
    """Return a run's exits as plain data: AP as fractions, by either way; costs as ratios to a single pass."""
    exits: list[dict[str, Any]] = [
        {
            "exit": one.exit,
            "ap": dict(zip(one.ways, (one.before, one.after), strict=True)),
            "ap_change": one.after - one.before,
            "ap_change_interval": None if math.isnan(one.interval[0]) else one.interval,
            "resampled": {one.unit: one.groups},
        }
        for one in found
    ]
    for entry, one in zip(exits, found, strict=True):
        if price := prices.get(one.exit):
            ratios = {name.replace("_per_item", ""): ratio for name, ratio in price.ratios.items()}
            entry["two_passes_over_one"] = {
                name: {"value": ratio.value, "interval": ratio.type_a, "kind": ratio.kind}
                for name, ratio in ratios.items()
            }
    return {"run": subject.name, "folder": subject.source, "config_hash": subject.config_hash, "exits": exits}


def _show(judged: Sequence[Judged], console: Console) -> None:
    priced = any(prices for *_, prices in judged)
    columns: tuple[Heading, ...] = ("run", "exit", "tested by", AP, "now by", AP)
    columns += (Column(head="difference", unit="points"), "95 %", *(["times the joules"] if priced else []))
    rows = [_cells(subject, one, prices) for subject, found, prices in judged for one in found]
    console.print(terminal_table(columns, rows))
    over = " or ".join(sorted({f"{one.groups} {one.unit}" for _, found, _ in judged for one in found}))
    notes = [("95 %", f"of the difference: paired bootstrap over {over} of the test split")]
    if any(one.ways[1].endswith("flip") for _, found, _ in judged for one in found):
        notes.append(("+flip", "every image is run twice, as it is and mirrored: twice the multiply-accumulates"))
    console.print(terminal_notes(notes))


def _cells(subject: Subject, one: "Retested", prices: Mapping[int, ExitMeasurement]) -> tuple[Cell, ...]:
    low, high = (PERCENT * end for end in one.interval)
    both = "one group" if math.isnan(low) else ends(f"{low:+.2f}", f"{high:+.2f}")
    was, now = (plain(PERCENT * ap, 4) for ap in (one.before, one.after))
    change = f"{PERCENT * (one.after - one.before):+.2f}"
    return subject.name, str(one.exit), one.ways[0], was, one.ways[1], now, change, both, *_price(prices.get(one.exit))


def _price(price: ExitMeasurement | None) -> Iterator[Cell]:
    """Yield what two passes draw over what one does; no cell where that was not measured."""
    if price is not None:
        ratio = price.ratios.get("energy_j_per_item")
        yield "not measured" if ratio is None else quantity_cell(ratio)
