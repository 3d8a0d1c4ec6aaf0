"""What GreenPose bears: kills, rivals, broken disks, damaged files and hostile words, many of each and seeded.

Every test has a short form, which the ordinary suite runs, and a full one (`make torture`), whose figures are printed.
"""

import os
import random

import pytest

SEED = int(os.environ.get("GREENPOSE_TORTURE_SEED", "12"))
SHARE = float(os.environ.get("GREENPOSE_TORTURE_SHARE", "1"))
"""Part of the full counts that is done, for a machine with less time; with other seeds, other parts."""

AT_LENGTH = pytest.param(True, id="full", marks=pytest.mark.torture)
SIZES = pytest.mark.parametrize("full", [pytest.param(False, id="short"), AT_LENGTH])
LENGTH = pytest.mark.parametrize("full", [AT_LENGTH])
"""For what does not hold yet."""


def size(full, *, short, whole):
    """Return how many of something are tried."""
    return max(short, round(SHARE * whole)) if full else short


def dice(name):
    """Return the random numbers of one test."""
    return random.Random(f"{SEED} {name}")
