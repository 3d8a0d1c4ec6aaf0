"""What metering costs before it measures: `python -m benchmarks.start`, about a minute.

Promised: importing `greenpose.metering` loads neither torch nor pandas, and takes at most IMPORT_LIMIT times the CPU
time that importing numpy takes beside it; the first reading is taken within 50 ms of
`greenpose.meter()`; codecarbon's start, which takes seconds, lies outside windows. Each line is the median of fresh
processes.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from typing import Any

from benchmarks import conclude
from greenpose.formatting import with_prefix

REPEATS = 9
UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""Set, Python would compile this package anew in every process, and numpy, as installed, never."""
FIRST_READING_SECONDS = 0.05
IMPORT_LIMIT = 1.5
"""What the import may take, times what numpy's takes."""
NOT_WANTED = ("torch", "pandas", "codecarbon", "matplotlib")

METER = """
    import json, sys, time
    began, cpu = time.perf_counter(), time.process_time()
    import greenpose
    greenpose.metering.Meter
    imported, cpu = time.perf_counter(), time.process_time() - cpu
    loaded = sorted(sys.modules)
    meter = greenpose.meter(country="ITA")
    with meter:
        read = time.perf_counter()
    print(json.dumps({"import": imported - began, "cpu": cpu, "first reading": read - imported, "loaded": loaded}))
"""
NUMPY = """
    import json, time
    cpu = time.process_time()
    import numpy
    print(json.dumps({"cpu": time.process_time() - cpu}))
"""
CODECARBON = """
    import json, time
    import greenpose
    with greenpose.meter(country="ITA") as meter:
        began = time.perf_counter()
        with meter.window("checked", crosscheck=True) as opened:
            pass
        took = time.perf_counter() - began
    checked = opened.result.crosscheck
    print(json.dumps({"start": took, "window": opened.result.seconds, "missing": checked.missing}))
"""


def fresh(program: str, cache: str) -> Any:
    """Return what a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != UNCOMPILED} | {"GREENPOSE_CACHE": cache},
    )
    return json.loads(done.stdout)


def main() -> int:
    """Measure, print, and return 0 if the promise is kept."""
    with tempfile.TemporaryDirectory() as cache:
        return conclude([*_meter(cache), *_codecarbon(cache)])


def _meter(cache: str) -> list[str]:
    found, numpy = zip(*((fresh(METER, cache), fresh(NUMPY, cache)) for _ in range(REPEATS)), strict=True)
    for what in ("import", "first reading"):
        times = sorted(each[what] for each in found)
        print(f"{what}: {_text(statistics.median(times))} (best {_text(times[0])}, worst {_text(times[-1])})")
    faults = [f"importing greenpose.metering loads {name}" for name in NOT_WANTED if name in found[0]["loaded"]]
    print(f"modules loaded by the import: {len(found[0]['loaded'])}, of them not wanted: {len(faults)}")
    cost = statistics.median(here["cpu"] / there["cpu"] for here, there in zip(found, numpy, strict=True))
    print(f"CPU time of the import: {cost:.2f} times numpy's; at most {IMPORT_LIMIT} times")
    faults += [f"the import takes {cost:.2f} times numpy's CPU time"] if cost > IMPORT_LIMIT else []
    first = statistics.median(each["first reading"] for each in found)
    if first > FIRST_READING_SECONDS:
        faults.append(f"first reading after {_text(first)}, promised {_text(FIRST_READING_SECONDS)}")
    return faults


def _codecarbon(cache: str) -> list[str]:
    """Look at codecarbon's start, once a process."""
    runs = [fresh(CODECARBON, cache) for _ in range(4)]
    start, window = (statistics.median(run[what] for run in runs) for what in ("start", "window"))
    print(f"codecarbon: {_text(start)} around a window of {_text(window)}")
    faults = [f"codecarbon: {run['missing']}" for run in runs if run["missing"]]
    if any(run["window"] > FIRST_READING_SECONDS for run in runs):
        faults.append("codecarbon's start lies inside a window")
    return faults


def _text(seconds: float) -> str:
    return with_prefix(seconds, "s")


if __name__ == "__main__":
    sys.exit(main())
