"""`greenpose policy`: let images leave early, each at the first exit that is sure of it; what that saves and loses."""

import enum
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.measure import PATIENT
from greenpose.cli.subject import DeviceOption, as_written, changes, find_finished, start_again_pinned
from greenpose.errors import ConfigError
from greenpose.files import write_text
from greenpose.formatting import listed, plain, plural
from greenpose.metering import MEANING
from greenpose.metrics import AP, ENERGY, MACS, PERCENT
from greenpose.quantity import MARKS
from greenpose.record import dumps
from greenpose.record.numbers import Numbers
from greenpose.record.policy import PolicyCurve, PolicyExit, PolicyPoint
from greenpose.store import read_record
from greenpose.subject import Subject
from greenpose.tables import Cell, Column, TableCell, quantity_cell, terminal_notes, terminal_table

if TYPE_CHECKING:
    from greenpose.policy import Confidence


class ConfidenceKind(enum.StrEnum):
    """What confidence is taken from."""

    PEAK = "peak"
    ENTROPY = "entropy"


@with_manners
def policy(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run with several exits.")],
    ap: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="AP to hold on the validation split, 0 to 1. Default: the deepest exit's, less 0.01."
        ),
    ] = None,
    confidence: Annotated[
        ConfidenceKind,
        typer.Option(help="How sure an exit is: its heatmaps' peaks, or how little they are spread out."),
    ] = ConfidenceKind.PEAK,
    exits: Annotated[
        list[int] | None, typer.Option("--exit", help="Exit to leave at; repeatable. Default: all.")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure energy, or only count multiply-accumulates.")
    ] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: the run's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per call. Default: the run's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. measure.max_blocks=30.")
    ] = None,
    device: DeviceOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File. Default: policy.json of the run.")
    ] = None,
    manner: Manner = PLAIN,
) -> None:
    """Let each image leave at the first exit that is sure enough of it, and compute deeper stages only for the others.

    Thresholds are calibrated on the validation split: the cheapest that hold the AP. They are judged on the test split.
    The curve is written beside the record, and the report draws it.

    Examples:
      greenpose policy runs/quick/HRNet4-OKD-DS-d23a76c6
      greenpose policy runs/quick/HRNet4-OKD-DS-d23a76c6 --ap 0.9 --confidence entropy
    """
    chosen = [*PATIENT, *changes(device=device, threads=threads, batch=batch), *(settings or [])]
    with as_written(settings):
        subject = find_finished(run, "thresholds take a trained network", settings=chosen, exits=exits or ())
    if len(subject.exits) < 2:
        raise ConfigError([f"{run}: leaving early takes two exits or more, and there is only exit {subject.exits[0]}"])
    if measured:
        start_again_pinned(subject.config.process)
    console = err(quiet=manner.quiet)
    curve, path = _find(subject, console, ap=ap, confidence=confidence.value, measured=measured, output=output)
    if manner.json:
        print_json(json.loads(dumps(curve)))
    else:
        print_policy(curve, out(), verbose=manner.verbose)
        out().print(str(path), soft_wrap=True)


def _find(
    subject: Subject,
    console: Console,
    *,
    ap: float | None,
    confidence: str,
    measured: bool,
    output: Path | None,
) -> tuple[PolicyCurve, Path]:
    """Return the curve and the file that it was written to."""
    from greenpose.policy import compose_policy, find_policy

    folder, kind = subject.trained, cast("Confidence", confidence)
    assert folder is not None
    record = read_record(folder.record)
    found = find_policy(
        subject.config,
        folder,
        exits=subject.exits,
        wanted=ap,
        confidence=kind,
        measured=measured,
        on_progress=lambda words: console.print(words, style="dim"),
    )
    curve = compose_policy(found, subject.config, record, confidence=kind)
    path = output or folder.policy
    write_text(path, dumps(curve))
    return curve, path


MOST_POINTS = 8
"""Thresholds of the curve that are shown without --verbose, the chosen ones besides."""


def print_policy(curve: PolicyCurve, console: Console, *, verbose: bool = False) -> None:
    """Print what each exit and each choice of thresholds costs and is worth, and what to know about it."""
    exits = listed([str(entry.exit) for entry in curve.exits])
    console.print(Text.assemble((curve.run, "bold"), f", leaving at exits {exits} by {curve.confidence}\n"))
    console.print(_table(curve, _shown(curve, verbose=verbose)))
    console.print()
    console.print(terminal_notes(_notes(curve)))


def _shown(curve: PolicyCurve, *, verbose: bool) -> list[int]:
    """Return the places of the points to show: all, or some evenly spaced ones and the chosen one."""
    places = range(len(curve.points))
    if verbose or len(places) <= MOST_POINTS:
        return list(places)
    spaced = {round(step * (len(places) - 1) / (MOST_POINTS - 1)) for step in range(MOST_POINTS)}
    return sorted({*spaced, curve.chosen})


def _table(curve: PolicyCurve, places: Sequence[int]) -> Table:
    units = {"leave": "%", "AP val": AP.unit, "AP test": AP.unit, "less final": "points", MACS.label: "%"}
    columns = [Column(head=head, unit=unit) for head, unit in units.items()]
    final, chosen = curve.exits[-1], _name(curve, curve.chosen)
    rows = [_exit_cells(entry, final) for entry in curve.exits]
    rows += [(_name(curve, place), *_point_cells(curve.points[place], final)) for place in places]
    return terminal_table(("", *columns, ENERGY), rows, bold={chosen})


def _name(curve: PolicyCurve, place: int) -> str:
    return f"{'→ ' if place == curve.chosen else ''}{_thresholds(curve.points[place])}"


def _exit_cells(entry: PolicyExit, final: PolicyExit) -> tuple[Cell, ...]:
    lost = "" if entry is final else plain(PERCENT * (entry.ap - final.ap), 2)
    share = plain(PERCENT * entry.macs / final.macs)
    joules = entry.quantity(ENERGY.name)
    return f"exit {entry.exit}", "all", _ap(entry, "ap_val"), _ap(entry, "ap"), lost, share, joules


def _point_cells(point: PolicyPoint, final: PolicyExit) -> tuple[Cell, ...]:
    where = " / ".join(f"{PERCENT * part:.0f}" for part in point.left.values())
    accuracies = (_ap(point, name) for name in ("ap_val", "ap", "ap_less_final"))
    return where, *accuracies, plain(PERCENT * point.macs_per_image / final.macs), point.quantity(ENERGY.name)


def _thresholds(point: PolicyPoint) -> str:
    """Return from which confidence on images leave: `2 ≥ 0.43, 3 ≥ 0.61`."""
    asked = {exit_: each for exit_, each in point.thresholds.items() if each is not None}
    return ", ".join(f"{exit_} ≥ {plain(each, 2)}" for exit_, each in asked.items()) or "nobody is asked"


def _ap(numbers: Numbers, name: str) -> TableCell:
    return quantity_cell(numbers.quantity(name) * PERCENT, AP)


def _notes(curve: PolicyCurve) -> Iterator[tuple[str, str]]:
    """Yield what to know about the table: a word, and a sentence."""
    chosen = curve.points[curve.chosen]
    places = [
        f"exit {exit_} from {plain(threshold)} on" if threshold is not None else f"exit {exit_} never"
        for exit_, threshold in chosen.thresholds.items()
    ]
    yield (
        "→ chosen",
        f"{listed(places)}: the cheapest with an AP of {100 * curve.wanted_ap:.1f} % on the validation split",
    )
    yield "leave", f"test images in percent that leave at exits {listed([str(each) for each in chosen.left])}"
    yield "MACs", f"mean of the test images, of those of exit {curve.exits[-1].exit}; heads on the way included"
    yield "calibrated", f"on {curve.size('val')}; the best of many settings there, so that its AP flatters"
    yield "judged", f"on {curve.size('test')}; 95 % intervals over {curve.resampled}"
    yield "weights", curve.weights
    if curve.trial is not None:
        yield "at work", _at_work(curve)
    energy = chosen.quantity("energy_j_per_image")
    if energy.kind in MARKS:
        yield MARKS[energy.kind]
    if energy.factors:
        yield "syst.", "systematic error, as factors: the same for all lines"
    if curve.grade is not None:
        yield f"grade {curve.grade}", MEANING[curve.grade]
    for warning in curve.warnings:
        yield "warning", warning


def _at_work(curve: PolicyCurve) -> str:
    trial = curve.trial
    assert trial is not None
    ratio = trial.quantity("relative_to_final.energy_j_per_image")
    if ratio.value is None or not trial.expected_j_per_image:
        return f"tried on {plural(trial.images, 'test image')}; energy could not be read"
    final = curve.exits[-1]
    expected = trial.expected_j_per_image / (final.energy_j_per_image or trial.expected_j_per_image)
    took = (ratio * PERCENT).text(most_decimals=1)
    return (
        f"on {plural(trial.images, 'test image')} in batches it took {took} % of exit {final.exit}'s energy, and "
        f"{plain(PERCENT * expected)} % were expected from its ways; {plural(trial.elsewhere, 'image')} left elsewhere"
    )
