"""Experiments and grids: their schema, how their YAML is read, and how a grid becomes named runs."""

from greenpose.config.accounting import CarbonConfig, MeasureConfig
from greenpose.config.experiment import (
    DataConfig,
    Experiment,
    HRNetConfig,
    ModelConfig,
    ProcessConfig,
    SplitNumbers,
    SyntheticConfig,
)
from greenpose.config.grid import Cell, Grid, expand
from greenpose.config.load import load_experiment, load_grid
from greenpose.config.own_network import OwnNetworkConfig
from greenpose.config.training import AugmentConfig, TrainConfig
from greenpose.config.wiring import Edge, LossConfig, Wiring, WiringConfig
from greenpose.config.yaml_files import packaged_experiment, read_yaml

__all__ = [
    "AugmentConfig",
    "CarbonConfig",
    "Cell",
    "DataConfig",
    "Edge",
    "Experiment",
    "Grid",
    "HRNetConfig",
    "LossConfig",
    "MeasureConfig",
    "ModelConfig",
    "OwnNetworkConfig",
    "ProcessConfig",
    "SplitNumbers",
    "SyntheticConfig",
    "TrainConfig",
    "Wiring",
    "WiringConfig",
    "expand",
    "load_experiment",
    "load_grid",
    "packaged_experiment",
    "read_yaml",
]
