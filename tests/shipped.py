"""The experiments that ship with GreenPose, expanded."""

from greenpose.config import Experiment, expand, load_grid, packaged_experiment


def shipped(name: str) -> dict[str, Experiment]:
    """Return the experiments of a grid, by name."""
    return {cell.experiment: cell.config for cell in expand(load_grid(packaged_experiment(name)), where=name)}
