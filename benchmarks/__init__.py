"""The figures that GreenPose promises, counted: `python -m benchmarks.NAME` prints them and a verdict."""

from collections.abc import Sequence


def conclude(faults: Sequence[str]) -> int:
    """Print whether the promised figures were reached, and return the exit code."""
    for fault in faults:
        print(f"not reached: {fault}")
    print("verdict: " + ("not reached" if faults else "reached"))
    return 1 if faults else 0
