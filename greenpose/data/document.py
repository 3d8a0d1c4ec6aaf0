"""Instances as a COCO keypoints document, for the evaluator and for files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from greenpose.data.instance import Instance
from greenpose.data.profile import Profile

CATEGORY_ID = 1
"""The one category of every document written here."""


def coco_document(instances: Sequence[Instance], profile: Profile, *, seen: Sequence[Instance] = ()) -> dict[str, Any]:
    """Return images, annotations (in order, numbered from 1) and the category; joints unlabelled are 0, 0, 0.

    The images of those that are only `seen`, as by a detector, are listed too.
    """
    images = {instance.image_id: _image(instance) for instance in (*instances, *seen)}
    return {
        "info": {"description": f"{profile.name} keypoints", "area": profile.area},
        "images": list(images.values()),
        "annotations": [_annotation(instance, number) for number, instance in enumerate(instances, start=1)],
        "categories": [_category(profile)],
    }


def _image(instance: Instance) -> dict[str, Any]:
    width, height = instance.image_size
    image = {"id": instance.image_id, "file_name": instance.image, "width": width, "height": height}
    return image | ({"patient": instance.subject} if instance.subject else {})


def _annotation(instance: Instance, number: int) -> dict[str, Any]:
    labelled = (instance.visibility > 0)[:, None]
    rows = np.column_stack([np.where(labelled, instance.joints, 0), instance.visibility])
    return {
        "id": number,
        "image_id": instance.image_id,
        "category_id": CATEGORY_ID,
        "iscrowd": int(instance.crowd),
        "bbox": [float(side) for side in instance.box],
        "area": float(instance.area),
        "segmentation": [],
        "num_keypoints": int(labelled.sum()),
        "keypoints": [value for x, y, flag in rows.tolist() for value in (x, y, int(flag))],
    }


def _category(profile: Profile) -> dict[str, Any]:
    return {
        "id": CATEGORY_ID,
        "name": profile.category,
        "supercategory": profile.category,
        "keypoints": list(profile.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in profile.skeleton],
    }
