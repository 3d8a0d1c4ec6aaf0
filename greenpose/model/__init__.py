"""Multi-exit HRNet: blocks, exits, sub-networks, folding, pretrained weights."""

from greenpose.model.architecture import SIZE_MULTIPLE, STRIDE, Architecture, check_input_size
from greenpose.model.hrnet import HRNet, IncrementalForward, PoseNetwork, SubNetwork, initialise
from greenpose.model.weights import LoadReport, fold_batchnorm, load_weights

__all__ = [
    "SIZE_MULTIPLE",
    "STRIDE",
    "Architecture",
    "HRNet",
    "IncrementalForward",
    "LoadReport",
    "PoseNetwork",
    "SubNetwork",
    "check_input_size",
    "fold_batchnorm",
    "initialise",
    "load_weights",
]
