"""`greenpose measure`: latency, energy and CO2 per image of every exit of a trained run or an untrained experiment."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from greenpose.cli.artefact_costs import measure_and_tell, split_sources
from greenpose.cli.console import PLAIN, Manner, err, out, print_json, with_manners
from greenpose.cli.measure_table import print_costs, print_notes, title
from greenpose.cli.progress import Blocks
from greenpose.cli.subject import (
    CountryOption,
    DeviceOption,
    as_written,
    changes,
    find_subject,
    start_again_pinned,
)
from greenpose.errors import ConfigError
from greenpose.formatting import listed
from greenpose.subject import Subject

if TYPE_CHECKING:
    from greenpose.run.measure import Measurement

PATIENT = ("measure.max_blocks=200", "measure.max_seconds=120")
"""A run spares little time for its inference; a measurement on its own takes what its intervals need."""
PRECISE = ("measure.rel_ci=0.02", "measure.max_blocks=2000", "measure.max_seconds=900")


@with_manners
def measure(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Run folder, experiment, or grid with --only, also by its shipped name; or artefacts that "
            "greenpose export wrote, with their run. Default: the paper's HRNet-W32.",
            show_default=False,
        ),
    ] = None,
    precise: Annotated[
        bool, typer.Option("--precise", help="Until blocks agree to within 2 % instead of 5 %; 15 minutes at most.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: the source's, or 1.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images per call. Default: the source's, or 8.")] = None,
    exits: Annotated[
        list[int] | None, typer.Option("--exit", help="Exit to measure; repeatable. Default: all.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Experiment of a grid file, * allowed.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Dotted key=value, e.g. model.width=48.")] = None,
    country: CountryOption = None,
    device: DeviceOption = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Begin no block after this time. Default: 120; precise: 900.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Append every metered window to this file (JSON lines).")] = None,
    manner: Manner = PLAIN,
) -> None:
    """Measure what an image costs at every exit: latency, energy, CO2. No data set is needed.

    Every exit runs as its own truncated network, in turn and in random order, until blocks of that agree well enough.
    Model files of artefacts take turns with the exits of their run in torch; what they cost is kept with its record.

    Examples:
      greenpose measure runs/quick/HRNet4-OKD-DS-d23a76c6
      greenpose measure experiments/quick.yaml --only HRNet4-OKD-DS --precise
      greenpose measure runs/quick/HRNet4-OKD-DS-d23a76c6/exported
    """
    artefacts, source = split_sources(sources or [])
    options = changes(country=country, device=device, threads=threads, batch=batch, max_seconds=max_seconds)
    chosen = [*PATIENT, *(PRECISE if precise else ()), *options, *(settings or [])]
    if artefacts:
        with as_written(settings):
            _refuse({"--only": only, "--exit": exits, "--device": device})
            measure_and_tell(artefacts, source, chosen, log, manner)
        return
    with as_written(settings):
        subject = _subject(source, chosen, [only] if only else [], exits or [], log)
    start_again_pinned(subject.config.process)
    found = _measure(subject, log, err(quiet=manner.quiet), verbose=manner.verbose)
    if manner.json:
        print_json(found.as_dict())
    else:
        _show(found, out(), verbose=manner.verbose)


def _refuse(given: Mapping[str, object]) -> None:
    """Refuse what says nothing to artefacts.

    Raises:
        ConfigError: naming all of it.
    """
    names = [name for name, value in given.items() if value]
    if names:
        raise ConfigError(
            [f"{listed(names)}: an artefact is one exit, on the CPU, and all exits of its run take turns with it"]
        )


def _subject(source: Path | None, settings: list[str], only: list[str], exits: list[int], log: Path | None) -> Subject:
    """Return what is to be measured, after everything that is wrong was found.

    Raises:
        ConfigError: with all of it.
    """
    faults = [] if log is None or log.parent.is_dir() else [f"--log {log}: there is no folder {log.parent}"]
    try:
        subject = find_subject(source, settings=settings, only=only, exits=exits)
    except ConfigError as error:
        raise ConfigError([*error.faults, *faults]) from None
    if faults:
        raise ConfigError(faults)
    return subject


def _measure(subject: Subject, log: Path | None, console: Console, *, verbose: bool) -> "Measurement":

    with Blocks(console, subject.config.measure, verbose=verbose) as blocks:
        from greenpose.run.measure import compose_measurement
        from greenpose.run.measure import measure as measure_exits

        measured = measure_exits(
            subject.config, exits=subject.exits, trained=subject.trained, log=log, on_progress=blocks.on_progress
        )
        return compose_measurement(
            measured,
            subject.config,
            source=subject.source,
            name=subject.name,
            config_hash=subject.config_hash,
            trained=subject.trained is not None,
        )


def _show(found: "Measurement", console: Console, *, verbose: bool) -> None:

    console.print(title(found))
    console.print()
    print_costs(found, console, verbose=verbose)
    print_notes(found, console, verbose=verbose)
