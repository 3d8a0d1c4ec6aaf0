"""Commands that measure start again as a pinned process: allocator and threads act only from a process's very start."""

import os
import sys

from greenpose.config import ProcessConfig
from greenpose.grid import worker_environment


def start_again_pinned(config: ProcessConfig) -> None:
    """Replace this process by the same command with allocator, threads and devices pinned; return once they are."""
    wanted = worker_environment(config, workers=1)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", "greenpose", *sys.argv[1:]], wanted)
