"""Poses and images: skeletons, heatmaps, crops, COCO folders, and splits that are ready to train on."""
