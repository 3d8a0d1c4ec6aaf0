"""What artefacts cost, as `measure ARTEFACT` and `export --measure` find, keep and print it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from greenpose.cli.console import Manner, err, out, print_json
from greenpose.cli.measure_table import (
    COSTS,
    DETAILS,
    Line,
    Note,
    gaps,
    origin,
    prefixed_lines,
    print_pages,
    reading,
    share_lines,
)
from greenpose.cli.progress import Blocks
from greenpose.cli.subject import find_finished, find_subject, start_again_pinned
from greenpose.errors import ConfigError, RecordError
from greenpose.formatting import listed, plural
from greenpose.metrics import AP, CPU, ENERGY, FILE, LATENCY, MEMORY, PERCENT
from greenpose.record.artefacts import PRECISIONS, ArtefactCost, Turns
from greenpose.store import RunFolder, read_record
from greenpose.subject import Subject
from greenpose.tables import terminal_notes

if TYPE_CHECKING:
    from greenpose.artefact import Artefact

SHARES = (CPU, ENERGY, LATENCY)
"""What is compared with the run's final exit in torch float32."""


def split_sources(sources: Sequence[Path]) -> tuple[list[Path], Path | None]:
    """Return which of the paths are artefacts, and the other one; None where there is none.

    Raises:
        ConfigError: if there is more than one other.
    """
    from greenpose.artefact import is_artefact

    artefacts = [path for path in sources if is_artefact(path)]
    others = [path for path in sources if path not in artefacts]
    if len(others) > 1:
        what = "an artefact is a folder with card.json, or a model file beside one"
        raise ConfigError([f"{others[1]}: measure takes one run or experiment, and artefacts of it; {what}"])
    return artefacts, others[0] if others else None


def measure_and_tell(
    paths: Sequence[Path], run: Path | None, settings: Sequence[str], log: Path | None, manner: Manner
) -> None:
    """Measure artefacts beside their run, keep what was found with the run, and print it.

    Raises:
        GreenPoseError: if they are damaged, of several runs or of another one than was named.
    """
    turns, kept = measure_and_keep(paths, run, settings, log, manner)
    if manner.json:
        print_json(as_document(turns, kept))
    else:
        print_turns(turns, kept, out(), verbose=manner.verbose)


def as_document(turns: Turns, kept: Path | None) -> dict[str, Any]:
    """Return what was found, and where it is kept, as JSON data."""
    return {"turns": turns.model_dump(mode="json"), "kept": None if kept is None else str(kept)}


def measure_and_keep(
    paths: Sequence[Path], run: Path | None, settings: Sequence[str], log: Path | None, manner: Manner
) -> tuple[Turns, Path | None]:
    """Return what artefacts cost beside their run, and the file with the run in which that is kept; None without one.

    Raises:
        GreenPoseError: if they are damaged, of several runs or of another one than was named.
    """
    from greenpose.artefact import read_artefact

    artefacts = [artefact for path in paths for artefact in read_artefact(path)]
    run = run or run_beside(artefacts)
    subject = _subject(artefacts, run, settings)
    start_again_pinned(subject.config.process)
    turns = _measured(subject, artefacts, log, err(quiet=manner.quiet), verbose=manner.verbose)
    return turns, _keep(turns, subject)


def run_beside(artefacts: Sequence["Artefact"]) -> Path | None:
    """Return the run folder that an artefact lies in, if it comes from its run by the hash of the configuration."""
    for artefact in artefacts:
        for folder in (artefact.folder / "..", artefact.folder / "../.."):
            if RunFolder(folder).record.is_file():
                try:
                    record = read_record(RunFolder(folder).record)
                except RecordError:
                    continue
                if record.config_hash == artefact.card.config_hash:
                    return Path(os.path.relpath(folder))
    return None


def _subject(artefacts: Sequence["Artefact"], run: Path | None, settings: Sequence[str]) -> Subject:
    """Return the run; without one how to measure, with the images that the artefacts take."""
    settings = [*settings, 'process.device="cpu"']
    if run is not None:
        return find_finished(run, "artefacts are held against their run", settings=settings)
    width, height = artefacts[0].card.framing.input_size
    return find_subject(None, settings=[*settings, f"data.input_size=[{width}, {height}]"])


def _measured(
    subject: Subject, artefacts: Sequence["Artefact"], log: Path | None, console: Console, *, verbose: bool
) -> Turns:

    with Blocks(console, subject.config.measure, verbose=verbose) as blocks:
        from greenpose.run.measure_artefacts import measure_artefacts

        return measure_artefacts(
            subject.config, artefacts, trained=subject.trained, log=log, on_progress=blocks.on_progress
        )


def _keep(turns: Turns, subject: Subject) -> Path | None:
    """Return where it was written, beside the record; None without a run."""
    if subject.trained is None:
        return None
    subject.trained.add_turns(turns, read_record(subject.trained.record))
    return subject.trained.artefacts


def print_turns(turns: Turns, kept: Path | None, console: Console, *, verbose: bool = False) -> None:
    """Print what each file and each exit in torch cost, and what to know about it."""
    heads = [f"torch, exit {each.exit}" if each.is_trained_network else each.file for each in turns.costs]
    files = plural(len(turns.files), "file")
    beside = [str(each.exit) for each in turns.costs if each.is_trained_network]
    against = f", beside torch at exit{'s' if len(beside) > 1 else ''} {listed(beside)}" if beside else ""
    console.print(Text.assemble((f"{files} of exit {listed(_exits(turns))}", "bold"), against))
    console.print()
    print_pages(heads, _lines(turns, verbose=verbose), console)
    console.print(terminal_notes(_notes(turns, kept, verbose=verbose)))


def _exits(turns: Turns) -> list[str]:
    return list(dict.fromkeys(str(each.exit) for each in turns.files))


def _lines(turns: Turns, *, verbose: bool) -> Iterator[Line]:

    entries, reference = turns.costs, turns.reference
    if reference is not None:
        yield from share_lines(entries, SHARES, f"torch, exit {reference.exit}")
    yield from prefixed_lines(entries, COSTS | DETAILS if verbose else COSTS)
    for metric in (FILE, MEMORY):
        yield metric.label, metric.unit, [entry.quantity(metric.name, scale=metric.scale) for entry in entries]
    yield AP.label, AP.unit, [entry.quantity("ap", scale=PERCENT) for entry in entries]
    yield "AP, change", "points", [entry.quantity("ap_change", scale=PERCENT) for entry in entries]


def _notes(turns: Turns, kept: Path | None, *, verbose: bool) -> Iterator[Note | tuple[str, str]]:

    if not turns.converged:
        yield Note("converged", "NO: blocks do not agree as well as asked; allow more with --max-seconds", "yellow")
    for warning in turns.warnings:
        yield Note("warning", warning, "yellow")
    for each in turns.files:
        yield arithmetic_note(each)
    yield from gaps(_lines(turns, verbose=verbose))
    yield Note("AP, change", "this file less torch float32 at its exit, paired over patients, as its card says")
    yield from reading(turns.costs, turns.blocks)
    yield from origin(turns)
    yield Note("instructions", listed(turns.host.get("instruction_sets") or ["none known"]))
    elsewhere = "of files that lie elsewhere, predict knows by a copy of it beside their card"
    yield Note(
        "kept", f"{kept}; {elsewhere}" if kept else "nowhere: no run was named, and none lies beside the artefact"
    )


def arithmetic_note(each: ArtefactCost) -> Note:
    """Return what a file was computed in; what its runtime does otherwise than asked is told in colour."""
    said = f"{each.runtime} computes in {each.arithmetic}: {each.evidence}"
    wanted = PRECISIONS[each.precision]
    if each.arithmetic == wanted:
        return Note(each.file, said)
    return Note(each.file, f"{wanted} was asked for; {said}", "yellow")
