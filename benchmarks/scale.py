"""What very many runs cost to look at: `python -m benchmarks.scale [--records N] [--quick]`, about ten minutes.

Promised: the plan of a finished grid of 10 000 runs in 5 s and 300 MB; with 100 000 runs the status of a folder and the
plan of a resume in 10 s each, the report of their experiments in 120 s, each below 2 GiB; a run of a grid costs the
runner 3 s of cold CPU at most, which is 1 % of one of five minutes, and 200 runs that do nothing cost four times what
50 do; the scheduler is asked once in 30 s at most. The runs are the published ones of Table 1, with other seeds and
numbers, in folders as a run leaves them, which are removed at the end. Every line is a fresh process; judged by CPU
time, which neighbours move least. `--quick` makes 1000 runs, and promises their part of the time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import conclude
from greenpose.formatting import exact, with_prefix

ROOT = Path(__file__).parent.parent
GRID = ROOT / "experiments" / "table1_small.yaml"
EXPERIMENTS, VARIANTS = 10, 20
"""Experiments, and records of each that differ in their numbers; beyond, in their seed and what hangs on it alone."""
COLD_SECONDS = 3.0
"""CPU time that a run of a grid may take which is not its own work."""
FEW, MANY, UNEVEN = 50, 200, 0.15
"""Runs that do nothing, of two grids, and how far the ratio of what they cost may lie from theirs."""
WATCHED_SECONDS, ASKED_SECONDS = 3600, 30
"""How long jobs are watched, by a clock that is set; how often the scheduler may be asked at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One way of looking at very many runs, and what it may take."""

    name: str
    """What it is."""
    words: tuple[str, ...]
    """What Python is given; RUNS, GRID and PAGE stand for where those lie."""
    seconds: Mapping[int, float]
    """Most seconds of CPU time, by the number of runs that they are promised for."""
    memory_bytes: Mapping[int, int]
    """Most memory, likewise."""


COLLECT = """import sys, pathlib
from greenpose.store import stream
print(sum(1 for _ in stream([pathlib.Path(sys.argv[1])])))
"""
LOOKS = (
    Look(
        name="plan of a resume",
        words=("-m", "greenpose", "run", "--grid", "GRID", "--out", "RUNS", "--dry-run"),
        seconds={10_000: 5, 100_000: 10},
        memory_bytes={10_000: 300 * 10**6, 100_000: 2 << 30},
    ),
    Look(
        name="status",
        words=("-m", "greenpose", "status", "RUNS"),
        seconds={100_000: 10},
        memory_bytes={100_000: 2 << 30},
    ),
    Look(
        name="every record read", words=("-c", COLLECT, "RUNS"), seconds={100_000: 120}, memory_bytes={100_000: 2 << 30}
    ),
    Look(
        name="report of experiments",
        words=("-m", "greenpose", "report", "RUNS", "-o", "PAGE"),
        seconds={100_000: 120},
        memory_bytes={100_000: 2 << 30},
    ),
)
"""What is done with very many runs, cheapest first."""
RUNNER = """
    import json, resource, shutil, sys
    from pathlib import Path
    from greenpose.config import expand, load_grid
    from greenpose.grid import plan, run_all, write_down
    grid, runs, model = map(Path, sys.argv[1:])
    def used():
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (0, -1)))
    planned = plan(expand(load_grid(grid), where=str(grid)), runs)
    write_down(planned[0])
    began = used()
    done = run_all(planned, command=lambda one, quiet: ["cp", str(model), str(one.folder.record)])
    assert {each.state.value for each in done} == {"done"}
    print(json.dumps((used() - began) / len(done)))
"""
"""Does a grid whose worker copies a record, and prints the CPU-seconds of a run."""
WORKER = "import greenpose.cli.app; from greenpose.run import execute"
"""What a worker loads before its own work begins."""
ASKS = """
    from pathlib import Path
    from greenpose.scheduler import Queue
    now = 0.0
    queue = Queue(Path("nowhere"), clock=lambda: now)
    while now < {seconds}:
        queue.gone({{"1_0"}})
        now += 1.0
"""


def main() -> int:
    """Make the runs, look at them, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="What very many runs cost to look at.")
    parser.add_argument("--records", type=int, default=100_000, help="most runs in a folder")
    parser.add_argument("--quick", action="store_true", help="1000 runs")
    parser.add_argument("--make", type=Path, help="make the runs in this folder, and end")
    given = parser.parse_args()
    if given.make:
        make(given.make, given.records)
        return 0
    most = 1000 if given.quick else given.records
    faults = [*_runner(), *_scheduler()]
    for number in sorted({min(most, 10_000), most}):
        faults += _looked_at(number)
    return conclude(faults)


def make(folder: Path, number: int) -> None:
    """Write `GRID` and the folders of so many of its runs, as finished runs leave them, below a folder."""
    from greenpose.config import expand
    from greenpose.config.load import load_grid

    grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))
    grid["experiments"] = dict(list(grid["experiments"].items())[:EXPERIMENTS])
    seeds = -(-number // EXPERIMENTS)
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid | {"axes": {"seed": list(range(1, seeds + 1))}}))
    cells = expand(load_grid(folder / "grid.yaml"), where=str(folder / "grid.yaml"))[:number]
    models = _models()
    configs: dict[str, str] = {}
    for cell in cells:
        run = folder / "runs" / cell.name
        run.mkdir(parents=True)
        own = {
            "@NAME": cell.name,
            "@HASH": cell.config_hash,
            '"@SEED"': str(cell.config.seed),
            "'@SEED'": str(cell.config.seed),
        }
        if cell.experiment not in configs:
            told = {"name": "@NAME", "grid": cell.grid, "axes": {"seed": "@SEED"}, "config_hash": "@HASH"}
            experiment = cell.config.model_dump(mode="json") | {"seed": "@SEED"}
            configs[cell.experiment] = yaml.safe_dump(
                told | {"experiment": experiment, "annotations_sha256": {}}, sort_keys=False
            )
        (run / "config.yaml").write_text(_filled(configs[cell.experiment], own))
        kinds = models[cell.experiment]
        (run / "record.json").write_text(_filled(kinds[cell.config.seed % len(kinds)], own))


def _models() -> dict[str, list[str]]:
    """Return the text of some records of each experiment, with marks where a run's own name, hash and seed stand."""
    from tests.report.published import documents

    models: dict[str, list[str]] = {}
    for run in documents(experiments=11, seeds=VARIANTS):
        marked = run | {"name": "@NAME", "config_hash": "@HASH", "seed": "@SEED", "axes": {"seed": "@SEED"}}
        marked["config"] = run["config"] | {"seed": "@SEED"}
        models.setdefault(run["experiment"], []).append(json.dumps(marked, indent=1, ensure_ascii=False) + "\n")
    return models


def _filled(text: str, own: Mapping[str, str]) -> str:
    for mark, value in own.items():
        text = text.replace(mark, value)
    return text


def _looked_at(number: int) -> Iterator[str]:
    """Look at so many runs in every way, print what that took, and yield what is beyond the promise."""
    with tempfile.TemporaryDirectory(prefix="greenpose-scale-") as place:
        folder = Path(place)
        fresh(["-m", "benchmarks.scale", "--make", place, "--records", str(number)])
        stand_for = {"RUNS": str(folder / "runs"), "GRID": str(folder / "grid.yaml"), "PAGE": str(folder / "page.html")}
        for look in LOOKS:
            name = f"{exact(number)} runs, {look.name}"
            try:
                seconds, wall, memory, _ = fresh([stand_for.get(word, word) for word in look.words])
            except subprocess.CalledProcessError as error:
                yield f"{name}: ended with code {error.returncode}"
                continue
            print(
                f"{name}: {seconds:.1f} s of CPU time, {wall:.1f} s by the clock, {with_prefix(memory, 'B')}",
                flush=True,
            )
            yield from _beyond(name, seconds, "s", _promised(look.seconds, number))
            yield from _beyond(name, memory, "B", look.memory_bytes.get(number))


def _promised(seconds: Mapping[int, float], number: int) -> float | None:
    """Return the promise for so many runs: its own, or between the numbers that there are promises for, its part."""
    most = max(seconds)
    return seconds.get(number, 2 + seconds[most] * number / most if number < most else None)


def _beyond(name: str, value: float, unit: str, most: float | None) -> list[str]:
    if most is None or value <= most:
        return []
    return [f"{name}: {with_prefix(value, unit)}, promised {with_prefix(most, unit)}"]


def fresh(words: Sequence[str], **environment: str) -> tuple[float, float, int, str]:
    """Return CPU-seconds, seconds and the most bytes of memory of a process of Python's, and what it printed.

    Raises:
        CalledProcessError: if it fails.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, *words], stdout=said, cwd=ROOT, env=os.environ | environment)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, words)
        said.seek(0)
        printed = said.read().decode()
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, 1024 * used.ru_maxrss, printed


def _runner() -> list[str]:
    """Look at what the runner adds to a run: its own part, and the start of a worker."""
    start = min(fresh(["-c", WORKER])[0] for _ in range(3))
    costs = {number: _of_nothing(number) for number in (FEW, MANY)}
    ratio = MANY * costs[MANY] / (FEW * costs[FEW])
    whole = start + costs[MANY]
    print(f"a run of a grid: {costs[MANY]:.3f} s of CPU time in the runner, {start:.2f} s to start its worker")
    print(f"{MANY} runs that do nothing cost {ratio:.2f} times what {FEW} do")
    even = abs(ratio / (MANY / FEW) - 1) <= UNEVEN
    faults = [] if even else [f"{MANY} runs cost {ratio:.2f} times what {FEW} do"]
    return faults + _beyond("what a run of a grid adds", whole, "s", COLD_SECONDS)


def _of_nothing(number: int) -> float:
    """Return the CPU-seconds of each of so many runs that do nothing."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))
        some = {name: grid["experiments"][name] for name in list(grid["experiments"])[:5]}
        seeds = list(range(1, number // len(some) + 1))
        (folder / "grid.yaml").write_text(yaml.safe_dump(grid | {"experiments": some, "axes": {"seed": seeds}}))
        model = next(GRID.parent.parent.glob("reports/table1_small/*/record.json"))
        words = ["-c", textwrap.dedent(RUNNER), str(folder / "grid.yaml"), str(folder / "runs"), str(model)]
        cost: Any = json.loads(fresh(words)[3])
        return float(cost)


def _scheduler() -> list[str]:
    """Count how often the scheduler is asked while jobs are watched, by one that counts."""
    with tempfile.TemporaryDirectory() as place:
        asked, squeue = Path(place, "asked"), Path(place, "squeue")
        squeue.write_text(f"#!/bin/sh\necho once >> {asked}\necho 1_0\n")
        squeue.chmod(0o755)
        program = textwrap.dedent(ASKS).format(seconds=WATCHED_SECONDS)
        fresh(["-c", program], PATH=f"{place}:{os.environ['PATH']}")
        number = len(asked.read_text().splitlines())
    print(f"the scheduler is asked {number} times in {WATCHED_SECONDS} s of watching")
    most = WATCHED_SECONDS // ASKED_SECONDS
    return [f"the scheduler is asked {number} times, promised {most}"] if number > most else []


if __name__ == "__main__":
    sys.exit(main())
