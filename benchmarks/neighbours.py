"""Neighbours that are a nuisance on purpose: they compute, stream through memory, and pause, at random."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NEIGHBOUR = """
import random, sys, time
import numpy as np
order = random.Random(int(sys.argv[1]))
large = np.ones(8_000_000)
while True:
    until, streams = time.monotonic() + order.uniform(0.01, 0.5), order.random() < 0.5
    while time.monotonic() < until:
        if streams:
            large *= 1.0000001
        else:
            sum(range(20_000))
    if order.random() < 0.2:
        time.sleep(order.uniform(0.01, 0.3))
"""


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Let so many processes be busy beside the block."""
    processes = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(number)]) for number in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
