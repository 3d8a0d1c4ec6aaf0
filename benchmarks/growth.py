"""What grows with what: `python -m benchmarks.growth [SECTION ...]`, one to four minutes a section.

Throughput of training, peak memory and the record's size against image size, width, exits and the number of frames.
Every line is a whole run of its own, from data to record, in a fresh process as a grid starts it, with one thread.
Throughput is that of the last epoch; memory is the most that the kernel ever saw the process hold.

Promised: memory is flat in the number of frames: from 1000 to 100 000 it grows by less than what a frame's annotations
are, 2 kB, however large the frames. Crops stay in a file; only the annotations are in memory.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import conclude
from greenpose.config import Cell, Grid, expand
from greenpose.grid import Planned, plan, run_all
from greenpose.metering import read_windows, this_machine
from greenpose.record import Record
from greenpose.store import RunFolder, collect

ANNOTATION_BYTES = 2000
"""A frame's annotations: ids, names, box and twelve joints as Python holds them."""
FEW = 1000
"""Frames from which on growth is judged: below, other things are larger."""
PEAK = "peak-bytes"
BASE: dict[str, Any] = {
    "data": {
        "input_size": [96, 128],
        "synthetic": {
            "size": [160, 120],
            "patients": {"train": 2, "val": 2, "test": 2},
            "frames": {"train": 16, "val": 4, "test": 4},
        },
    },
    "model": {"exits": [3, 4], "width": 16},
    "wiring": {"teach": ["4->3"], "supervise": [3, 4]},
    "loss": {"kd_weight": 500},
    "train": {"epochs": 2, "batch": 8},
    "measure": {"batch": 4, "min_window_seconds": 0.05, "max_blocks": 3, "max_seconds": 3, "step_blocks": 3},
    "carbon": {"country": "ITA"},
}
Change = Mapping[str, Any]
UNTAUGHT: Change = {"wiring.teach": [], "wiring.supervise": None}


def _alone(exit_: int) -> Change:
    return {"model.exits": [exit_], **UNTAUGHT}


def _frames(count: int) -> Change:
    """Return a set of so many frames, a hundred of each patient, and the least network to go through them with."""
    return {
        "data.input_size": [32, 32],
        "data.synthetic.size": [32, 24],
        "data.synthetic.patients": {"train": max(1, count // 100), "val": 2, "test": 2},
        "data.synthetic.frames": {"train": min(100, count), "val": 4, "test": 4},
        "model": {"exits": [2], "width": 2, "stem_width": 2, "modules": [1, 1, 1], "blocks": 1},
        **UNTAUGHT,
        "train": {"epochs": 1, "batch": 64},
    }


SECTIONS: dict[str, dict[str, Change]] = {
    "size": {f"{w}x{h}": {"data.input_size": [w, h]} for w, h in ((64, 64), (96, 128), (192, 256), (288, 384))},
    "width": {f"W{width}": {"model.width": width} for width in (8, 16, 32, 48)},
    "exits": {
        "exit 2": _alone(2),
        "exit 3": _alone(3),
        "exit 4": _alone(4),
        "exits 3, 4": {},
        "exits 2, 3, 4": {
            "model.exits": [2, 3, 4],
            "wiring": {"teach": ["4->2", "4->3"], "supervise": [2, 3, 4]},
        },
        "exits 1, 2, 3, 4": {
            "model.exits": [1, 2, 3, 4],
            "wiring": {"teach": ["4->1", "4->2", "4->3"], "supervise": [1, 2, 3, 4]},
        },
    },
    "frames": {f"{count} frames": _frames(count) for count in (100, 1000, 10_000)},
    "many-frames": {f"{count} frames": _frames(count) for count in (1000, 100_000)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one run showed."""

    frames: int
    """Images trained on."""
    images_per_second: float
    """Of the last epoch."""
    peak_bytes: int
    """Most memory of the process."""
    record_bytes: int
    """Size of the record."""
    making_seconds: float
    """What generating the data took."""


def main() -> int:
    """Run, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="What grows with what.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} [all]")
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        return watch(arguments.watch)
    unknown = sorted({*arguments.sections} - {*SECTIONS})
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    print(f"{this_machine().cpu}, one thread\n")
    faults = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GREENPOSE_CACHE"] = cache
        for name in arguments.sections or SECTIONS:
            print("| run | images/s in training | peak memory | record | data made in |\n|---|---|---|---|---|")
            points = [_point(label, change) for label, change in SECTIONS[name].items()]
            print(flush=True)
            faults += growth_faults(points) if "frames" in name else []
    return conclude(faults)


def growth_faults(points: list[Point]) -> list[str]:
    """Return where memory grew by more than annotations from one point to the next."""
    many = [point for point in points if point.frames >= FEW]
    faults = []
    for fewer, more in pairwise(many):
        each = (more.peak_bytes - fewer.peak_bytes) / (more.frames - fewer.frames)
        if each > ANNOTATION_BYTES:
            faults.append(f"memory grows by {each:.0f} bytes a frame to {more.frames}, promised {ANNOTATION_BYTES}")
    return faults


def watch(folder: Path) -> int:
    """Do a run in a process of its own and leave its peak memory beside its record; this one holds next to nothing."""
    done = subprocess.run([sys.executable, "-m", "greenpose", "worker", str(folder), "--quiet"], check=False)
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (folder / PEAK).write_text(str(peak), encoding="utf-8")
    return done.returncode


def _point(label: str, change: Change) -> Point:
    """Return what one run showed, and print it as a line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        [planned] = plan([_cell(change)], folder)
        [outcome] = run_all([planned], command=_watched)
        if outcome.code:
            raise SystemExit(f"{label}: {planned.folder.log.read_text(encoding='utf-8')}")
        point = _read(planned.folder)
    print(
        f"| {label} | {point.images_per_second:.3g} | {point.peak_bytes / 1e6:.0f} MB |"
        f" {point.record_bytes / 1e3:.0f} kB | {point.making_seconds:.1f} s |",
        flush=True,
    )
    return point


def _cell(change: Change) -> Cell:
    [cell] = expand(Grid(name="growth", base=BASE, experiments={"point": dict(change)}), where="growth")
    return cell


def _watched(planned: Planned, *, quiet: bool) -> list[str]:
    del quiet
    return [sys.executable, "-m", "benchmarks.growth", "--watch", str(planned.folder.path)]


def _read(folder: RunFolder) -> Point:
    [record] = collect([folder.path])
    assert isinstance(record, Record)
    epochs = [one for one in read_windows(folder.windows) if one.name.startswith("train/epoch") and one.parent is None]
    return Point(
        frames=record.images["train"],
        images_per_second=epochs[-1].items / epochs[-1].seconds,
        peak_bytes=int((folder.path / PEAK).read_text(encoding="utf-8")),
        record_bytes=folder.record.stat().st_size,
        making_seconds=next(phase.seconds for phase in record.phases if phase.name == "data"),
    )


if __name__ == "__main__":
    sys.exit(main())
