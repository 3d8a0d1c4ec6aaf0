"""What the log of windows beside a record still tells: power over time, and the blocks behind each measurement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from greenpose.errors import RecordError
from greenpose.metering import Window
from greenpose.record import Record
from greenpose.store.folder import RunFolder
from greenpose.store.records import files_of, log_of, outermost, phase_of, read_record

IDLE = 0
"""Place of the idle machine among exits, which count from 1."""


class Stretch(NamedTuple):
    """One outermost window, on a clock that runs through all attempts."""

    phase: str
    """What it was for, by the first word of its name."""
    start: float
    """Seconds from the start of the first attempt; what lay between two attempts is left out."""
    seconds: float
    """Wall time."""
    joules: float
    """Energy of all metered components."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the log of one run tells beyond its record."""

    run: str
    """Name of the run."""
    config_hash: str
    """SHA-256 of its configuration."""
    run_finished_at: str
    """When it finished: the log belongs to this record and no other."""
    stretches: tuple[Stretch, ...]
    """Outermost windows in the order of time."""
    blocks: Mapping[int, tuple[float, ...]]
    """For each exit the joules an image in each block, in order, without the block that warmed up."""


def traces(paths: Iterable[Path]) -> list[Trace]:
    """Return what the logs beside records tell; nothing of those that are not there, or damaged as their records."""
    found = []
    for file in dict.fromkeys(file for path in paths for file in files_of(path) if file.name == "record.json"):
        try:
            record = read_record(file)
        except RecordError:
            continue  # whoever reads the records says so
        if windows := log_of(RunFolder(file.parent)).windows:
            found.append(trace(record, windows))
    return found


def trace(record: Record, windows: Sequence[Window]) -> Trace:
    """Return what the windows of a run tell."""
    return Trace(
        run=record.name,
        config_hash=record.config_hash,
        run_finished_at=record.finished_at,
        stretches=tuple(_stretches(outermost(list(windows)))),
        blocks=_blocks(windows),
    )


def _stretches(roots: Sequence[Window]) -> list[Stretch]:
    """Return windows on one clock: each attempt begins where the one before it ended."""
    began, found = 0.0, list[Stretch]()
    for attempt in sorted({window.attempt for window in roots}):
        mine = sorted((each for each in roots if each.attempt == attempt), key=lambda each: each.started_s)
        found += [Stretch(phase_of(each), began + each.started_s, each.seconds, each.energy.mid) for each in mine]
        began = max(each.start + each.seconds for each in found)
    return found


def _blocks(windows: Sequence[Window]) -> dict[int, tuple[float, ...]]:
    """Return joules an image of each exit in the blocks that may be believed, of the last attempt that measured.

    In every block each exit and the idle machine had one window, in an order drawn anew; the first block warmed up.
    """
    metered = [window for window in windows if window.name.startswith("inference ")]
    last = max((window.attempt for window in metered), default=0)
    places: dict[int, list[Window]] = {}
    for window in metered:
        if window.attempt == last and (place := _place(window)) is not None:
            places.setdefault(place, []).append(window)
    blocks = list(zip(*places.values(), strict=False))[1:]
    believed = [block for block in blocks if all(window.sound for window in block)] or blocks
    columns = zip(*believed, strict=True) if believed else ()
    told = dict(zip(places, columns, strict=False))
    return {
        exit_: tuple(each.energy.mid / each.items for each in mine)
        for exit_, mine in sorted(told.items())
        if exit_ != IDLE and all(each.items for each in mine)
    }


def _place(window: Window) -> int | None:
    """Return the exit that a window measured, `IDLE` for the idle machine; None for what else there may be."""
    *_, kind, number = f"  {window.name}".split(" ")
    if kind == "exit" and number.isdecimal():
        return int(number)
    return IDLE if number == "idle" else None
