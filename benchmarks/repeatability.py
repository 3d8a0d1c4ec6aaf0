"""Whether the same work measured in two processes agrees: `python -m benchmarks.repeatability`, about nine minutes.

Each repeat measures the exits of the default grid's small network twice, in two fresh, pinned processes one after the
other, as `greenpose measure` does it. The two **agree** if their estimates differ by no more than the two Type A
half-widths put together in quadrature: of independent estimates with 95 % intervals, 95 % do. Promised: 90 % or more of
all repeats, for J/image of each exit and for the ratio of the exits.

A run's interval comes from its own blocks. What makes runs differ beyond it is the machine: beside neighbours its speed
changes slowly, so that a run's blocks resemble one another more than another run's. The interval counts that in
(`widening` in greenpose/intervals.py) as far as a run can see it. Most of a modelled J/image is the power of
an idle machine and of memory times wall time, which neighbours stretch at will: where they crowd the machine the
promise is not kept, and the last line says how crowded it was.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import conclude
from benchmarks.job import small_job
from greenpose.metering import pinned_environment

AGREE = 0.90
CROWDED = "other processes' share of the CPU"
SETTINGS = ("measure.min_window_seconds=0.3", "measure.max_blocks=12", "measure.max_seconds=9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An estimate of one process."""

    value: float
    """The estimate."""
    half: float
    """Half its Type A interval."""

    def agrees(self, other: "Found") -> bool:
        """Return whether two estimates differ by no more than their intervals allow."""
        return abs(self.value - other.value) <= math.hypot(self.half, other.half)


def once() -> dict[str, tuple[float, float, float]]:
    """Return what this process finds: each quantity with the ends of its interval."""
    from greenpose.run.measure import measure

    config = small_job(*SETTINGS)
    found = measure(config, exits=config.model.exits).exits
    quantities = {f"exit {number}, J/image": each.energy_j_per_item for number, each in found.items()}
    quantities |= {f"exit {number}, CPU-s/image": each.cpu_s_per_item for number, each in found.items()}
    quantities["ratio of J/image"] = found[min(found)].ratios["energy_j_per_item"]
    foreign = statistics.median(each.foreign_cpu_share or 0.0 for each in found.values())
    stated = {name: (each.known, *each.type_a) for name, each in quantities.items() if each and each.type_a}
    return stated | {CROWDED: (foreign, foreign, foreign)}


def measured() -> dict[str, Found]:
    """Return what a fresh, pinned process finds."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.repeatability", "--once"],
        env=os.environ | pinned_environment(),
        capture_output=True,
        check=True,
    )
    quantities: dict[str, Any] = json.loads(done.stdout)
    return {name: Found(value=value, half=(high - low) / 2) for name, (value, low, high) in quantities.items()}


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="Whether the same work measured in two processes agrees.")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--once", action="store_true", help="measure in this process and print JSON")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once()))
        return 0
    pairs = []
    for number in range(1, arguments.repeats + 1):
        pairs.append((measured(), measured()))
        print(f"{number}: {_shown(*pairs[-1])}", flush=True)
    names = [name for name in pairs[0][0] if name != CROWDED]
    faults = [fault for name in names for fault in _judge(name, [(a[name], b[name]) for a, b in pairs])]
    shares = sorted(found[CROWDED].value for pair in pairs for found in pair)
    print(f"{CROWDED}: {statistics.median(shares):.0%} in the median run, {shares[-1]:.0%} at most")
    return conclude(faults)


def _shown(first: dict[str, Found], second: dict[str, Found]) -> str:
    return ", ".join(
        f"{name} {first[name].value / second[name].value - 1:+.1%} {'ok' if first[name].agrees(second[name]) else 'NO'}"
        for name in first
        if name != CROWDED
    )


def _judge(name: str, pairs: list[tuple[Found, Found]]) -> list[str]:
    """Print how often a quantity's estimates agree, and how far runs and blocks scatter."""
    share = statistics.fmean(first.agrees(second) for first, second in pairs)
    runs = [found for pair in pairs for found in pair]
    middle = statistics.median(found.value for found in runs)
    half = statistics.median(found.half for found in runs) / middle
    spread = statistics.stdev(found.value for found in runs) / middle
    print(
        f"{name}: {share:.0%} of {len(pairs)} agree; half-width of a run ±{half:.1%}, two standard deviations of"
        f" runs ±{2 * spread:.1%}"
    )
    return [f"{name}: {share:.0%} agree, promised {AGREE:.0%}"] if share < AGREE and "J/image" in name else []


if __name__ == "__main__":
    sys.exit(main())
