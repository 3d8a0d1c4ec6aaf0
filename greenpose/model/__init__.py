"""Multi-exit HRNet: blocks, exits, sub-networks, folding, pretrained weights."""

from greenpose.model.architecture import SIZE_MULTIPLE, Architecture, check_input_size
from greenpose.model.hrnet import HRNet, IncrementalForward, PoseNetwork, SubNetwork, initialise
from greenpose.model.network import ExitNetwork, Network, Shape, build, check_network
from greenpose.model.own import OwnExitNetwork, OwnNetwork, OwnShape
from greenpose.model.weights import InBfloat16, LoadReport, fold_batchnorm, load_weights

__all__ = [
    "SIZE_MULTIPLE",
    "Architecture",
    "ExitNetwork",
    "HRNet",
    "InBfloat16",
    "IncrementalForward",
    "LoadReport",
    "Network",
    "OwnExitNetwork",
    "OwnNetwork",
    "OwnShape",
    "PoseNetwork",
    "Shape",
    "SubNetwork",
    "build",
    "check_input_size",
    "check_network",
    "fold_batchnorm",
    "initialise",
    "load_weights",
]
