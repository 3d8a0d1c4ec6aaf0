"""CPU time that telling a tracker takes while a run is under way: `python -m benchmarks.trackers`, in three minutes.

A run is played back at the pace of a real one: an epoch every few seconds, with the windows that training writes. Each
tracker reads along in a fresh process, as `greenpose run --log` does; its own and its helper processes' CPU time is
held against the time that passed, which is what a run of one thread uses meanwhile.
"""

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import psutil

from greenpose.store import RunFolder
from greenpose.trackers import KINDS, Following, opened

EPOCHS, EPOCH_S, TICK_S = 16, 4.0, 0.2
"""The last is how often `greenpose run` looks whether its runs have ended."""
WINDOWS = 8
"""Windows of an epoch: its parts once a second, training, validation, checkpoint."""
CONFIG = {"name": "played back", "seed": 0, "carbon": {"country": "ITA"}}


def cpu_seconds() -> float:
    """Return what this process and its helpers have used."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(each.cpu_times()[:4]) for each in processes)


def write_epoch(folder: RunFolder, epoch: int) -> None:
    """Write what a run writes of an epoch."""
    ends = {"seconds": 1.0, "started_at": "2026-11-30T06:00:00+00:00", "joules": {"cpu": [1.0, 2.0, 3.0]}}
    with folder.windows.open("a") as log:
        for number in range(WINDOWS):
            line = {"name": f"train/epoch {epoch}", "parent": number or None, **ends}
            log.write(json.dumps(line, separators=(",", ":")) + "\n")
    aps = {str(exit_): 0.5 for exit_ in (1, 2, 3, 4)}
    terms = {f"label {exit_}": 0.1 for exit_ in aps}
    with folder.epochs.open("a") as log:
        log.write(json.dumps({"epoch": epoch, "loss": 0.1, "lr": 0.01, "terms": terms, "ap": aps}) + "\n")


def play(kind: str, place: Path) -> dict[str, float]:
    """Return the CPU-seconds of opening a tracker, of beginning a run in it, and of telling it of the run."""
    folder = RunFolder(place / "run")
    folder.path.mkdir()
    marks = [cpu_seconds()]
    following = Following({kind: opened(f"{kind}:{place / 'store'}")})
    marks.append(cpu_seconds())
    following.begin(folder, "grid", "run", CONFIG)
    marks.append(cpu_seconds())
    began = time.monotonic()
    for epoch in range(1, EPOCHS + 1):
        while time.monotonic() - began < epoch * EPOCH_S:
            following.look()
            time.sleep(TICK_S)
        write_epoch(folder, epoch)
    following.look()
    marks.append(cpu_seconds())
    took = time.monotonic() - began
    opening, beginning, telling = (after - before for before, after in pairwise(marks))
    return {"opening": opening, "beginning": beginning, "telling": telling, "run": took, "share": telling / took}


def main(kinds: list[str]) -> None:
    """Print one line for each tracker."""
    if len(kinds) == 2 and kinds[0] == "--one":
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(play(kinds[1], Path(place))))
        return
    for kind in kinds or [*KINDS]:
        done = subprocess.run([sys.executable, __file__, "--one", kind], stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{kind}: opening {found['opening']:.2f} CPU-s, beginning {found['beginning']:.2f}, telling "
            f"{found['telling']:.2f} in {found['run']:.0f} s of a run: {100 * found['share']:.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
