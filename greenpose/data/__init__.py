"""Poses and images: skeletons, heatmaps, crops, COCO folders, and splits that are ready to train on."""

from greenpose.data.check import FolderCheck, check_folder
from greenpose.data.coco import Split, inspect_split
from greenpose.data.crops import MEAN, STD, Framing
from greenpose.data.findings import DataFinding
from greenpose.data.folders import write_coco
from greenpose.data.heatmaps import decode_heatmaps, encode_heatmaps
from greenpose.data.images import image_reader, read_image, window_depth
from greenpose.data.instances import Instance, Profile, load_profile, profile_names
from greenpose.data.samples import Batch, Samples, batch_of, batches, in_turn

__all__ = [
    "MEAN",
    "STD",
    "Batch",
    "DataFinding",
    "FolderCheck",
    "Framing",
    "Instance",
    "Profile",
    "Samples",
    "Split",
    "batch_of",
    "batches",
    "check_folder",
    "decode_heatmaps",
    "encode_heatmaps",
    "image_reader",
    "in_turn",
    "inspect_split",
    "load_profile",
    "profile_names",
    "read_image",
    "window_depth",
    "write_coco",
]
