"""A split's annotation file: COCO keypoints, with where every entry comes from."""

from collections.abc import Sequence
from typing import Any

from greenpose.data.annotations import Pose
from greenpose.data.document import coco_document
from greenpose.data.instance import Instance
from greenpose.data.raw.patients import patient_name
from greenpose.data.raw.plan import Placed, Request
from greenpose.data.raw.rotate import ROTATION_DEG, turn_pose
from greenpose.data.raw.splits import By


def split_document(placed: Sequence[Placed], request: Request, *, by: By) -> dict[str, Any]:
    """Return the COCO document of a split's frames, poses upright and numbered from 1."""
    pairs = [(one, pose) for one in placed for pose in one.frame.poses]
    instances = [_instance(one, pose, number) for number, (one, pose) in enumerate(pairs, start=1)]
    document = coco_document(instances, request.profile)
    document["info"] |= {"split_by": by, "rotated_deg": ROTATION_DEG}
    if request.window is not None:
        document["info"] |= {"grey_of_depth_mm": [float(end) for end in request.window]}
    for entry, one in zip(document["images"], placed, strict=True):
        file = one.frame.picture.file.relative_to(request.raw)
        entry |= {"source_id": one.frame.source_id, "source": file.as_posix()}
    for entry, (_, pose) in zip(document["annotations"], pairs, strict=True):
        entry |= {
            "source_id": pose.id,
            "bbox_source": "drawn" if pose.drawn_box else "joints",
            "area_source": "drawn" if pose.drawn_area else "bbox",
        }
    return document


def _instance(one: Placed, pose: Pose, number: int) -> Instance:
    size = one.frame.picture.size
    turned = turn_pose(pose, size)
    return Instance(
        id=number,
        image_id=one.image_id,
        image=one.name,
        subject=patient_name(one.frame.patient),
        image_size=size,
        box=turned.box,
        area=turned.area,
        joints=turned.joints,
        visibility=turned.visibility,
    )
