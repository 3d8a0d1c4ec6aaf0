"""`greenpose policy`: let images leave early, each at the first exit that is sure of it; what that saves and loses."""

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.measure import PATIENT
from greenpose.cli.policy_table import print_policy
from greenpose.cli.subject import DeviceOption, as_written, changes, find_finished, start_again_pinned
from greenpose.errors import ConfigError
from greenpose.files import write_text
from greenpose.record import dumps
from greenpose.record.policy import PolicyCurve
from greenpose.store import read_record
from greenpose.subject import Subject

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
