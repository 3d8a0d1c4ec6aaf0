"""What GreenPose bears: kills, rivals, broken disks, damaged files and hostile words, many of each and seeded.

Every test has a short form (`make test-slow`) and a full one (`make torture`), whose figures are printed.
"""

import os
import random

import pytest

SEED = int(os.environ.get("GREENPOSE_TORTURE_SEED", "12"))
SHARE = float(os.environ.get("GREENPOSE_TORTURE_SHARE", "1"))
"""Part of the full counts that is done, for a machine with less time; with other seeds, other parts."""

SIZES = pytest.mark.parametrize(
    "full",
    [
        pytest.param(False, id="short", marks=pytest.mark.slow),
        pytest.param(True, id="full", marks=pytest.mark.torture),
    ],
)


def size(full, *, short, whole):
    """Return how many of something are tried."""
    return max(short, round(SHARE * whole)) if full else short


def dice(name):
    """Return the random numbers of one test."""
    return random.Random(f"{SEED} {name}")


def conclude(name, tried, faults, **figures):
    """Print the figures of one test, and fail with what it found."""
    for fault in faults:
        print(f"\n  {fault}", end="")
    told = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in figures.items())
    print(f"\n{name}: {tried} tried, {told}{', ' if told else ''}{len(faults)} faults")
    assert not faults, "\n".join(map(str, faults[:20]))
