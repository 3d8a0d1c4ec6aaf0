"""Poses and images: skeletons, heatmaps, crops, COCO folders, and splits that are ready to train on."""

from greenpose.data.crops import MEAN, STD, Framing
from greenpose.data.heatmaps import decode_heatmaps, encode_heatmaps
from greenpose.data.images import image_reader
from greenpose.data.instances import Instance, load_profile
from greenpose.data.samples import Batch, Samples, batch_of, batches, in_turn

__all__ = [
    "MEAN",
    "STD",
    "Batch",
    "Framing",
    "Instance",
    "Samples",
    "batch_of",
    "batches",
    "decode_heatmaps",
    "encode_heatmaps",
    "image_reader",
    "in_turn",
    "load_profile",
]
