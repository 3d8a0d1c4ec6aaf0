"""Whether what `greenpose init` writes runs, and costs what it said: `python -m benchmarks.init`, about 40 minutes.

Twenty-one folders of labels in every layout that is read are made up; with `--shared DIR` those of real images below
it are taken too. Each goes through the command line as a newcomer's would: `greenpose init`, `greenpose run --dry-run`,
then the run itself to the end; with `--shrink` one epoch of it instead, which holds no forecast. Time and energy of the
run's record are held against the intervals that init has printed.

Promised: every experiment runs, and 95 % of the intervals hold the truth.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import conclude
from greenpose.record import Record
from greenpose.store import collect
from tests.init import folders

PROMISED = 0.95
HOURS = 0.004
"""Longest training that is asked for: some fifteen seconds."""
SMALLER = ("train.epochs=1", "measure.max_blocks=1", "measure.max_seconds=1", "measure.step_blocks=1")
FOLDERS: Mapping[str, Callable[[Path], object]] = {
    "coco": folders.coco,
    "coco-occluded": lambda root: folders.coco(root, hidden=True),
    "coco-roboflow": lambda root: folders.coco(root, layout="roboflow"),
    "coco-official": lambda root: folders.coco(root, layout="official"),
    "coco-flat": lambda root: folders.coco(root, layout="flat"),
    "coco-one-file": lambda root: folders.coco(root, layout="pooled"),
    "coco-no-test": lambda root: folders.coco(root, layout="half"),
    "yolo-roboflow": folders.yolo,
    "yolo-ultralytics": lambda root: folders.yolo(root, layout="images/split"),
    "yolo-two-numbers": lambda root: folders.yolo(root, values=2),
    "yolo-occluded": lambda root: folders.yolo(root, hidden=True),
    "deeplabcut": folders.deeplabcut,
    "deeplabcut-older": lambda root: folders.deeplabcut(root, flat=True),
    "deeplabcut-one-film": lambda root: folders.deeplabcut(root, films=1),
    "lightning": folders.lightning,
    "sleap": folders.sleap,
    "sleap-embedded": lambda root: folders.sleap(root, embedded=True),
    "sleap-two-films": lambda root: folders.sleap(root, films=2),
    "labelstudio": folders.label_studio,
    "labelstudio-sleap-io": lambda root: folders.label_studio(root, through="sleap-io"),
    "raw-depth": lambda root: _called(
        "data", "synth", str(root), "--patients", "4", "2", "2", "--frames", "4", "2", "2"
    ),
}


class Outcome(NamedTuple):
    """What became of a folder."""

    name: str
    layout: str
    ran: bool
    seconds: tuple[float, float, float] | None
    """What the run took, and the ends of its interval; None where it was not run to its end."""
    kwh: tuple[float, float, float] | None
    """Likewise."""
    first_report: float
    """Wall seconds from the folder to the report."""


def _called(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "greenpose", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def outcome(root: Path, place: Path, *, shrink: bool, seconds: float) -> Outcome:
    """Return what became of one folder, worked on in a place of its own."""
    place.mkdir()
    began = time.perf_counter()
    options = ("--country", "ITA", "--hours", str(HOURS), "--seconds", str(seconds), "--name", root.name, "--json")
    made = _called("init", str(root), *options, cwd=place)
    if made.returncode:
        print(made.stdout or made.stderr)
        return Outcome(root.name, "?", False, None, None, 0.0)
    found = json.loads(made.stdout)
    smaller = [word for setting in SMALLER for word in ("--set", setting)] if shrink else []
    planned = _called("run", "experiment.yaml", "--dry-run", cwd=place)
    ran = _called("run", "experiment.yaml", *smaller, cwd=place)
    took = time.perf_counter() - began
    if planned.returncode or ran.returncode:
        print(planned.stderr, ran.stderr)
    whole = {} if shrink or ran.returncode else found["whole"]
    records = [one for one in collect([place / "runs"]) if isinstance(one, Record)] if whole else []
    truth = {
        key: sum(getattr(phase, key) for one in records for phase in one.phases) for key in ("seconds", "energy_kwh")
    }
    held: dict[str, Any] = {key: (truth[key], *whole[key]["type_a"]) for key in whole if key in truth}
    fine = planned.returncode == ran.returncode == 0
    return Outcome(root.name, found["layout"], fine, held.get("seconds"), held.get("energy_kwh"), took)


def sources(place: Path, shared: Path | None) -> Iterator[Path]:
    """Yield every folder, made just now or there already."""
    place.mkdir()
    for name, make in FOLDERS.items():
        make(place / name)
        yield place / name
    yield from sorted(each for each in shared.glob("*/") if (each / "annotations").is_dir()) if shared else ()


def show(found: Outcome) -> None:
    """Print a line."""
    told = [f"{found.name:22} {found.layout:12} {'runs' if found.ran else 'FAILS':6}{found.first_report:6.0f} s"]
    for what, factor, unit in ((found.seconds, 1.0, "s"), (found.kwh, 1e3, "Wh")):
        if what is not None:
            truth, low, high = (value * factor for value in what)
            told.append(f"{truth:8.3g} in [{low:.3g}, {high:.3g}] {unit} {'yes' if low <= truth <= high else 'NO'}")
    print("  ".join(told), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder of COCO folders")
    parser.add_argument("--shrink", action="store_true", help="one epoch each: does it run at all?")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for trial steps")
    parser.add_argument("--only", nargs="*", help="names of folders")
    given = parser.parse_args()
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for root in sources(Path(folder) / "labels", given.shared):
            if not given.only or root.name in given.only:
                found.append(outcome(root, Path(folder) / root.name, shrink=given.shrink, seconds=given.seconds))
                show(found[-1])
    intervals = [each for one in found for each in (one.seconds, one.kwh) if each is not None]
    held = sum(low <= truth <= high for truth, low, high in intervals)
    faults = [f"{one.name} does not run" for one in found if not one.ran]
    if intervals:
        print(f"{held} of {len(intervals)} intervals hold, {PROMISED:.0%} promised")
        faults += ["forecasts hold too seldom"] if held < PROMISED * len(intervals) else []
    return conclude(faults)


if __name__ == "__main__":
    sys.exit(main())
