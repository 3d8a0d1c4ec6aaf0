"""Multi-exit HRNet: blocks, exits, sub-networks, pretrained weights."""

from greenpose.model.architecture import SIZE_MULTIPLE, STRIDE, Architecture, check_input_size
from greenpose.model.hrnet import HRNet, PoseNetwork, SubNetwork
from greenpose.model.initialise import initialise
from greenpose.model.weights import LoadReport, Mismatch, load_weights

__all__ = [
    "SIZE_MULTIPLE",
    "STRIDE",
    "Architecture",
    "HRNet",
    "LoadReport",
    "Mismatch",
    "PoseNetwork",
    "SubNetwork",
    "check_input_size",
    "initialise",
    "load_weights",
]
