"""Upright: BabyPose is filmed head down, so that image, joints and box are turned by 180 degrees."""

from dataclasses import replace

import numpy as np

from greenpose.data.annotations import Pose

ROTATION_DEG = 180


def turn_image(image: np.ndarray) -> np.ndarray:
    """Return an image upside down; every pixel is kept as it is."""
    return np.ascontiguousarray(image[::-1, ::-1])


def turn_pose(pose: Pose, image_size: tuple[int, int]) -> Pose:
    """Return a pose in its turned image: pixel x goes to width - 1 - x, y to height - 1 - y; left stays left.

    An unlabelled joint stays at 0, 0: turned like the others, as in the paper's script, it would look like a joint in
    the far corner. The box moves by whole pixels like the joints, hence its 1 px.
    """
    last = np.array(image_size) - 1
    labelled = (pose.visibility > 0)[:, None]
    x, y, width, height = pose.box
    box = (float(last[0]) - x - width, float(last[1]) - y - height, width, height)
    return replace(pose, joints=np.where(labelled, last - pose.joints, 0.0), box=box)
