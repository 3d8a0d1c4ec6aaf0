"""Writes small raw trees as the annotation tool leaves them, for a test to spoil."""

import json
import zlib
from pathlib import Path

import cv2
import numpy as np

from greenpose.data import load_profile
from greenpose.data.raw import Request

PROFILE = load_profile("babypose")
NAMES = ["left_shoulder " if name == "left_shoulder" else name for name in PROFILE.keypoints]
"""As the annotation tool has them: one ends with a blank."""
PATIENTS = (3, 4, 6, 73)
"""By the paper's split two to train on, one to validate on, one to test on."""
SIZE = (40, 31)
"""Width and height; odd ones, so that a wrong formula shows."""


def annotation(number, image_id, rng):
    """Return a drawn rectangle around twelve joints, of which one is occluded and one unlabelled."""
    joints = rng.integers((6, 6), (SIZE[0] - 6, SIZE[1] - 6), (12, 2))
    flags = [2] * 10 + [1, 0]
    rows = [[int(x), int(y), flag] if flag else [0, 0, 0] for (x, y), flag in zip(joints, flags, strict=True)]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 7,
        "segmentation": [[5, 4, 35, 4, 35, 24, 5, 24]],
        "area": 600,
        "bbox": [5.0, 4.0, 30.0, 20.0],
        "iscrowd": False,
        "isbbox": True,
        "color": "#aabbcc",
        "metadata": {},
        "keypoints": [value for row in rows for value in row],
        "num_keypoints": 11,
    }


def export(patient, count=2):
    """Return a sound export; ids are as of one server, where other patients' come before."""
    rng = np.random.default_rng(patient)
    ids = range(100 * patient, 100 * patient + count)
    images = [
        {
            "id": number,
            "dataset_id": 1,
            "path": f"/datasets/baby_pose/pz{patient}/{number:05d}_8bit.png",
            "width": SIZE[0],
            "height": SIZE[1],
            "file_name": f"{number:05d}_8bit.png",
        }
        for number in ids
    ]
    categories = [{"id": 7, "name": "infant", "keypoints": NAMES, "skeleton": [[1, 2], [2, 3]]}]
    return {
        "images": images,
        "annotations": [annotation(1000 + number, number, rng) for number in ids],
        "categories": categories,
    }


def image_file(root, patient, index=0):
    """Return the path of a patient's n-th image."""
    return root / "images" / f"pz{patient}" / f"{100 * patient + index:05d}_8bit.png"


def pixels(name, *, depth=False):
    """Return noise that is another for each name: grey, or depth in mm with holes."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if not depth:
        return rng.integers(0, 256, SIZE[::-1], dtype=np.uint8)
    return rng.integers(500, 800, SIZE[::-1], dtype=np.uint16) * (rng.random(SIZE[::-1]) > 0.1).astype(np.uint16)


def write_tree(root, patients=PATIENTS, *, count=2, depth=False):
    """Write a sound tree and return its folder."""
    for patient in patients:
        content = export(patient, count)
        write_export(root, patient, content)
        for image in content["images"]:
            file = root / "images" / image["path"].removeprefix("/datasets/baby_pose/")
            file.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(file), pixels(image["path"], depth=depth))
    return root


def write_export(root, patient, content):
    """Write one export."""
    file = root / "annotations" / f"pz{patient}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def change(root, patient, edit):
    """Change an export by a function of its document."""
    file = root / "annotations" / f"pz{patient}.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def request(root, **options):
    """Return what is asked of a tree."""
    return Request(raw=root, profile=PROFILE, **options)


def read(out: Path, split):
    """Return a split's written annotations."""
    return json.loads((out / "annotations" / f"person_keypoints_{split}.json").read_text())


def stored(file):
    """Return an image as it is stored."""
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
