"""What tools say about the same work: `python -m benchmarks.tools` prints a table in Markdown, in about a minute.

The work is a fixed number of matrix products in one thread. Every tool meters it in a fresh, pinned process as its
documentation shows, three times in turn. Tools that are not installed are named so; to have them all, in an environment
of its own: `pip install carbontracker eco2ai zeus 'pandas<3'`. carbontracker and eco2ai ask the network where they are.
eco2ai looks every second here: its ten by default are longer than the work, of which it would then see nothing.
"""

import argparse
import contextlib
import csv
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.formatting import kwh_to_joules, significant
from greenpose.metering import meter, pinned_environment

PRODUCTS = 80
SIDE = 1000
REPEATS = 3


def work() -> None:
    """Do the work: 1.6e11 floating-point operations."""
    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    for _ in range(PRODUCTS):
        matrix @ matrix


Answer = tuple[float, float | None, float | None]
"""Joules, and the ends of the interval that the tool states; None where it states none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool and what it says of its number."""

    package: str
    """Its distribution's name."""
    measure: Callable[[], Answer]
    """Meters the work."""
    covers: str
    """What is in its number, here where there is no counter."""
    says_how: str
    """Whether its output tells how the number was obtained."""


def codecarbon(mode: str) -> Answer:
    """Return codecarbon's energy in a tracking mode."""
    package: Any = importlib.import_module("codecarbon")
    tracker = package.OfflineEmissionsTracker(
        country_iso_code="ITA", tracking_mode=mode, output_methods=[], log_level="critical", allow_multiple_runs=True
    )
    tracker.start()
    work()
    tracker.stop()
    return kwh_to_joules(tracker.final_emissions_data.energy_consumed), None, None


def greenpose() -> Answer:
    """Return our energy, with its systematic interval."""
    with meter(country="ITA") as opened, opened.window("work") as window:
        work()
    energy = window.result.energy
    return energy.mid, energy.low, energy.high


def carbontracker() -> Answer:
    """Return carbontracker's energy of the first of two epochs; it divides nothing out of its PUE."""
    package: Any = importlib.import_module("carbontracker.tracker")
    tracker = package.CarbonTracker(epochs=2, verbose=0)
    tracker.epoch_start()
    work()
    tracker.epoch_end()
    return kwh_to_joules(float(tracker.tracker.total_energy_per_epoch()[0])), None, None


def eco2ai() -> Answer:
    """Return eco2ai's energy, from the file that it writes."""
    package: Any = importlib.import_module("eco2ai")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "emission.csv"
        tracker = package.Tracker(file_name=str(table), alpha_2_code="IT", measure_period=1, ignore_warnings=True)
        tracker.start()
        work()
        tracker.stop()
        row = next(csv.DictReader(io.StringIO(table.read_text())))
    return kwh_to_joules(float(row["power_consumption(kWh)"])), None, None


def zeus() -> Answer:
    """Return zeus's energy of all that it found a counter for."""
    package: Any = importlib.import_module("zeus.monitor")
    monitor = package.ZeusMonitor(approx_instant_energy=False)
    monitor.begin_window("work")
    work()
    found = monitor.end_window("work")
    parts = (found.gpu_energy, found.cpu_energy or {}, found.dram_energy or {})
    return sum(sum(part.values()) for part in parts), None, None


TOOLS = {
    "codecarbon, machine": Tool(
        package="codecarbon",
        measure=lambda: codecarbon("machine"),
        covers="whole machine: CPU watts from load, cubed; RAM a constant",
        says_how="no",
    ),
    "codecarbon, process": Tool(
        package="codecarbon",
        measure=lambda: codecarbon("process"),
        covers="process: CPU watts from its CPU time; RAM a constant",
        says_how="no",
    ),
    "GreenPose": Tool(
        package="greenpose",
        measure=greenpose,
        covers="process and children: CPU time; its share of the idle machine and of RAM",
        says_how="yes, per component, with a grade",
    ),
    "carbontracker": Tool(
        package="carbontracker",
        measure=carbontracker,
        covers="whole machine: CPU at half of a similar model's TDP, times PUE",
        says_how="in its log",
    ),
    "eco2ai": Tool(
        package="eco2ai",
        measure=eco2ai,
        covers="process: TDP of a similar CPU, or 100 W, times load; RAM by size",
        says_how="no",
    ),
    "zeus": Tool(
        package="zeus",
        measure=zeus,
        covers="counters only: GPU, CPU package, DRAM",
        says_how="yes",
    ),
}


def once(name: str) -> dict[str, Any]:
    """Return what a tool says in this process."""
    began, used = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        joules, low, high = TOOLS[name].measure()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    return {"joules": joules, "low": low, "high": high, "seconds": seconds, "cpu_seconds": cpu_seconds}


def fresh(name: str) -> dict[str, Any] | str:
    """Return what a tool says in a process of its own, or the last line of how it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tools", "--once", name],
        env=os.environ | pinned_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What tools say about the same work.")
    parser.add_argument("--once", choices=TOOLS, help="meter the work with one tool in this process and print JSON")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once(arguments.once)))
        return 0
    there = [name for name, tool in TOOLS.items() if _version(tool.package)]
    answers: dict[str, list[dict[str, Any] | str]] = {name: [] for name in there}
    for _ in range(REPEATS):
        for name in there:
            answers[name].append(fresh(name))
    print("| tool | version | joules (range of three) | what it covers here | says how it was obtained | interval |")
    print("|---|---|---|---|---|---|")
    for name, tool in TOOLS.items():
        print(_row(name, tool, answers.get(name, [])))
    _spread([answer for each in answers.values() for answer in each if not isinstance(answer, str)])
    return 0


def _row(name: str, tool: Tool, answers: list[dict[str, Any] | str]) -> str:
    good = [answer for answer in answers if not isinstance(answer, str)]
    failed = [answer for answer in answers if isinstance(answer, str)]
    if not good:
        why = f"failed: {failed[0]}" if failed else "not installed"
        return f"| {name} | {_version(tool.package) or '-'} | {why} | {tool.covers} | {tool.says_how} | - |"
    joules = sorted(answer["joules"] for answer in good)
    shown = f"{significant(statistics.median(joules))} ({significant(joules[0])}-{significant(joules[-1])})"
    middle = sorted(good, key=lambda answer: float(answer["joules"]))[len(good) // 2]
    interval = (
        "none" if middle["low"] is None else f"{significant(middle['low'], 2)}-{significant(middle['high'], 2)} J"
    )
    return f"| {name} | {_version(tool.package)} | {shown} | {tool.covers} | {tool.says_how} | {interval} |"


def _spread(answers: list[dict[str, Any]]) -> None:
    joules = [answer["joules"] for answer in answers if answer["joules"] > 0]
    cpu = [answer["cpu_seconds"] for answer in answers]
    print(f"\nLargest over smallest answer above zero: x{max(joules) / min(joules):.1f}.")
    print(f"CPU time of a process with start and work: {min(cpu):.1f}-{max(cpu):.1f} s.")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
