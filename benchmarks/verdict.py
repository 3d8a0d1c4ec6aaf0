"""What a benchmark ends with."""

from collections.abc import Sequence


def conclude(faults: Sequence[str]) -> int:
    """Print whether the promised figures were reached, and return the exit code."""
    for fault in faults:
        print(f"not reached: {fault}")
    print("verdict: " + ("not reached" if faults else "reached"))
    return 1 if faults else 0
