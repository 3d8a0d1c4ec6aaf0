"""Small profiles and instances to test with, and small COCO folders that a test can spoil."""

import copy
import json
import zlib

import cv2
import numpy as np

from greenpose.data.coco import inspect_split
from greenpose.data.findings import errors
from greenpose.data.instances import Instance, Profile
from greenpose.errors import DataError

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


NAMES = list(PROFILE.keypoints)


def document(count=3, *, first=1, prefix="frame", size=(40, 30)):
    """Return a sound COCO document of `count` images with one annotated subject each."""
    images = [
        {"id": n, "file_name": f"{prefix}{n}.png", "width": size[0], "height": size[1]}
        for n in range(first, first + count)
    ]
    annotations = [
        {
            "id": 10 + n,
            "image_id": image["id"],
            "category_id": 3,
            "bbox": [5.0, 6.0, 20.0, 18.0],
            "area": 300.0,
            "iscrowd": 0,
            "num_keypoints": 3,
            "keypoints": [10.0, 10.0, 2, 15.0 + n, 20.0, 1, 20.0, 12.0, 2],
        }
        for n, image in enumerate(images)
    ]
    categories = [{"id": 3, "name": "stick", "keypoints": [NAMES[0], NAMES[1] + " ", NAMES[2]], "skeleton": [[1, 2]]}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(root, split="train", *, content=None, pixels=None):
    """Write a document and its images below `root`; return the annotation file and the image folder."""
    content = document() if content is None else content
    for image in content["images"]:
        if isinstance(image.get("file_name"), str):
            file = root / "images" / image["file_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(zlib.crc32(image["file_name"].encode())).integers(
                0, 256, (30, 40), dtype=np.uint8
            )
            cv2.imwrite(str(file), noise if pixels is None else pixels)
    file = root / "annotations" / f"person_keypoints_{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file, root / "images"


def spoilt(**changes):
    """Return a sound document with the second annotation changed; a value of `...` removes the key."""
    content = copy.deepcopy(document())
    annotation = content["annotations"][1]
    for key, value in changes.items():
        if value is ...:
            del annotation[key]
        else:
            annotation[key] = value
    return content


def read_split(annotations, images_dir, profile):
    """Return the instances of a COCO file.

    Raises:
        DataError: with every error that was found.
    """
    split = inspect_split(annotations, images_dir, profile)
    if faults := errors(split.findings):
        raise DataError(faults)
    return list(split.instances)
