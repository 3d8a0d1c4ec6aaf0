"""Experiments and grids: their schema, how their YAML is read, and how a grid becomes named runs."""

from greenpose.config.accounting import CarbonConfig, MeasureConfig
from greenpose.config.experiment import (
    DataConfig,
    Experiment,
    LossConfig,
    ModelConfig,
    ProcessConfig,
    SplitNumbers,
    SyntheticConfig,
    TrainConfig,
    WiringConfig,
)
from greenpose.config.grid import Cell, Grid, expand
from greenpose.config.load import load_experiment, load_grid
from greenpose.config.read import packaged_experiment, read_yaml

__all__ = [
    "CarbonConfig",
    "Cell",
    "DataConfig",
    "Experiment",
    "Grid",
    "LossConfig",
    "MeasureConfig",
    "ModelConfig",
    "ProcessConfig",
    "SplitNumbers",
    "SyntheticConfig",
    "TrainConfig",
    "WiringConfig",
    "expand",
    "load_experiment",
    "load_grid",
    "packaged_experiment",
    "read_yaml",
]
