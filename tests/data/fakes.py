"""Small instances and profiles to test with."""

import numpy as np

from greenpose.data.instances import Instance, Profile

PROFILE = Profile(
    name="stick",
    category="stick",
    keypoints=("head", "left", "right"),
    flip_pairs=((1, 2),),
    sigmas=(0.05, 0.1, 0.1),
    sigma_source="assumed",
)


def instance(**changes) -> Instance:
    """Return an instance of three joints in a 40 x 30 image, with any field changed."""
    fields = {
        "id": 1,
        "image_id": 1,
        "image": "frame1",
        "subject": "",
        "image_size": (40, 30),
        "box": (5.0, 5.0, 20.0, 20.0),
        "area": 400.0,
        "joints": np.array([[10.0, 10.0], [15.0, 20.0], [20.0, 12.0]]),
        "visibility": np.array([2, 1, 2]),
    }
    return Instance(**(fields | changes))
