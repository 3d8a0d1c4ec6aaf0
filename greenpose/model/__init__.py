"""Multi-exit HRNet: blocks, exits, sub-networks, folding, pretrained weights."""

from greenpose.model.architecture import SIZE_MULTIPLE, STRIDE, Architecture, check_input_size
from greenpose.model.fold import fold_batchnorm
from greenpose.model.hrnet import HRNet, PoseNetwork, SubNetwork
from greenpose.model.initialise import initialise
from greenpose.model.passage import Passage
from greenpose.model.weights import LoadReport, Mismatch, load_weights

__all__ = [
    "SIZE_MULTIPLE",
    "STRIDE",
    "Architecture",
    "HRNet",
    "LoadReport",
    "Mismatch",
    "Passage",
    "PoseNetwork",
    "SubNetwork",
    "check_input_size",
    "fold_batchnorm",
    "initialise",
    "load_weights",
]
