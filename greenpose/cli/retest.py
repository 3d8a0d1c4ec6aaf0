"""`greenpose retest`: judge the exits of finished runs anew by another decoding of their heatmaps."""

import enum
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.subject import DeviceOption, as_written, changes, find_subject
from greenpose.errors import ConfigError
from greenpose.formatting import plain
from greenpose.metrics import AP, PERCENT
from greenpose.subject import Subject
from greenpose.tables import Cell, Column, terminal_table

if TYPE_CHECKING:
    from greenpose.config.experiment import Decode
    from greenpose.run.retest import Retested


class DecodingKind(enum.StrEnum):
    """As `data.decode` of an experiment."""

    QUARTER = "quarter"
    DARK = "dark"
    UDP = "udp"


@with_manners
def retest(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    decode: Annotated[DecodingKind, typer.Option(help="How heatmaps are decoded now.")] = DecodingKind.DARK,
    exits: Annotated[list[int] | None, typer.Option("--exit", help="Exit to judge; repeatable. Default: all.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. data.root=DIR.")] = None,
    device: DeviceOption = None,
    manner: Manner = PLAIN,
) -> None:
    """Judge finished runs anew on their test patients by another decoding, without training; records stay as they are.

    A difference is paired: both decodings are of the same heatmaps, and judged on the same resampled patients.

    Examples:
      greenpose retest runs/quick/HRNet4-OKD-DS-d23a76c6
      greenpose retest runs/quick/* --decode dark --exit 4
    """
    with as_written(settings):
        subjects = _subjects(runs, [*changes(device=device), *(settings or [])], exits or [])
    judged = _judged(subjects, decode.value, err(quiet=manner.quiet))
    if manner.json:
        print_json({"runs": [_document(subject, found, decode.value) for subject, found in judged]})
    else:
        _show(judged, decode.value, out())


def _subjects(runs: Sequence[Path], settings: list[str], exits: list[int]) -> list[Subject]:
    """Return the finished runs that are meant.

    Raises:
        ConfigError: with what is wrong with each that is none.
    """
    found, faults = list[Subject](), list[str]()
    for run in runs:
        try:
            subject = find_subject(run, settings=settings, exits=exits)
        except ConfigError as error:
            faults += error.faults
            continue
        found.append(subject)
        if subject.trained is None:
            faults.append(f"{run}: nothing is trained there to be judged; give the folder of a finished run")
    if faults:
        raise ConfigError(faults)
    return found


def _judged(subjects: Sequence[Subject], decode: "Decode", console: Console) -> list[tuple[Subject, list["Retested"]]]:
    """Return each run with what its exits are worth now.

    Raises:
        ConfigError: with every run that cannot be decoded so.
    """
    from greenpose.run.retest import retest as judge_anew
    from greenpose.run.retest import undecodable

    faults = [fault for each in subjects if (fault := undecodable(each.config, decode, source=each.source))]
    if faults:
        raise ConfigError(faults)
    judged = []
    for subject in subjects:
        assert subject.trained is not None, "only finished runs are judged"
        console.print(subject.name, style="dim")
        judged.append((subject, judge_anew(subject.config, subject.trained, subject.exits, decode)))
    return judged


def _document(subject: Subject, found: Sequence["Retested"], decode: str) -> dict[str, Any]:
    """Return a run's exits as plain data: AP as fractions, by either decoding."""
    have = subject.config.data.decode
    return {
        "run": subject.name,
        "folder": subject.source,
        "config_hash": subject.config_hash,
        "exits": [
            {
                "exit": one.exit,
                "ap": {have: one.before, decode: one.after},
                "ap_change": one.after - one.before,
                "ap_change_interval": None if math.isnan(one.interval[0]) else one.interval,
                "resampled": {one.unit: one.groups},
            }
            for one in found
        ],
    }


def _show(judged: Sequence[tuple[Subject, Sequence["Retested"]]], decode: str, console: Console) -> None:
    columns = ("run", "exit", "decoded by", Column(head=AP.label, unit=AP.unit), decode, "difference, points", "95 %")
    rows = [_cells(subject, one) for subject, found in judged for one in found]
    console.print(terminal_table(columns, rows))
    over = {f"{one.groups} {one.unit}" for _, found in judged for one in found}
    console.print(f"\n95 %: paired bootstrap over {' or '.join(sorted(over))} of the test split.", soft_wrap=True)


def _cells(subject: Subject, one: "Retested") -> tuple[Cell, ...]:
    low, high = (PERCENT * end for end in one.interval)
    ends = "one group" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
    change = PERCENT * (one.after - one.before)
    aps = (plain(PERCENT * ap, 4) for ap in (one.before, one.after))
    return subject.name, str(one.exit), subject.config.data.decode, *aps, f"{change:+.2f}", ends
