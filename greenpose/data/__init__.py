"""Poses and images: skeletons, heatmaps, crops, COCO folders, and splits that are ready to train on."""

from greenpose.data.crops import Framing
from greenpose.data.heatmaps import decode_heatmaps, encode_heatmaps
from greenpose.data.images import image_reader, read_image, window_depth
from greenpose.data.instance import Instance
from greenpose.data.normalise import MEAN, STD, normalise
from greenpose.data.profile import Profile, load_profile, profile_names
from greenpose.data.samples import Batch, Samples, batches

__all__ = [
    "MEAN",
    "STD",
    "Batch",
    "Framing",
    "Instance",
    "Profile",
    "Samples",
    "batches",
    "decode_heatmaps",
    "encode_heatmaps",
    "image_reader",
    "load_profile",
    "normalise",
    "profile_names",
    "read_image",
    "window_depth",
]
