"""The small job that is measured: the deepest experiment of the default grid, in a pinned process."""

import os
import sys
from pathlib import Path

from greenpose.config import Experiment
from greenpose.config.grid import expand
from greenpose.config.load import load_grid
from greenpose.config.yaml_files import packaged_experiment
from greenpose.metering import is_pinned, pinned_environment

EXPERIMENT = "HRNet4-OKD-DS"


def small_job(*settings: str) -> Experiment:
    """Return the experiment of the default grid that has two exits and distillation, with `key=value` settings."""
    path: Path = packaged_experiment("quick")
    cells = expand(load_grid(path, settings=settings), where=str(path))
    return next(cell.config for cell in cells if cell.experiment == EXPERIMENT)


def start_again_pinned(module: str) -> None:
    """Replace this process by the same one with allocator and threads pinned, which only acts from the very start."""
    # Where another allocator serves memory, starting again does not help.
    if not is_pinned() and pinned_environment().items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | pinned_environment())
