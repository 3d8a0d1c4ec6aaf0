"""Whether a whole file's numbers are of another kind than COCO's: shares, percentages, or corners as boxes.

A single pose may look odd in any file; a file is judged by whether nearly all of its poses make sense as the other kind
and many do not as COCO's.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from greenpose.data.annotations import MOST_OF_BOX, Pose, is_box_area, outside
from greenpose.data.crops import Box
from greenpose.data.findings import Notebook

_SHARES, _PERCENT = 1.5, (50.0, 101.0)
"""Largest coordinate of a file that tells shares of the image, and smallest and largest that tell percentages."""
_ALL, _ALMOST_ALL, _MANY = 0.99, 0.95, 0.25
"""Shares of coordinates that are looked at, of poses that must make sense as another kind, and that must not as COCO's;
assumed."""
_EDGE, _WIDER = 90.0, 1.5
"""Joints that reach so far, and no farther in images so many times wider, may be percentages; assumed."""
_FEWEST = 5
"""Poses from which on they are held against one another."""
_SLACK_PX = 2.0
"""How far a joint or a box may leave its image; assumed."""
_CENTRE, _OFF_CENTRE = 0.1, 0.05
"""Parts of a box's sides within which joints lie in its middle, and from which on they lie beside it; assumed."""

_JOINTS = 3
"""Labelled joints from which on their middle tells something; assumed."""
_MEETS, _MOST = 0.5, 0.75
"""Overlap from which on two boxes are of one subject, and share of detected boxes that must fit better as corners."""
_BOX = "annotations.bbox"
_CORNERS = "boxes look like corners x1, y1, x2, y2; COCO's are x, y, width, height, as which "

Size = tuple[int, int]


def note_conventions(poses: Sequence[Pose], sizes: Mapping[int, Size], notebook: Notebook) -> None:
    """Refuse a file whose numbers are all of another kind than COCO's, or warn where that cannot be told."""
    if poses:
        placed = [(pose, sizes[pose.image_id]) for pose in poses]
        _note_relative(placed, notebook)
        _note_corners([(pose, size) for pose, size in placed if pose.drawn_box], notebook)


def _note_relative(placed: Sequence[tuple[Pose, Size]], notebook: Notebook) -> None:
    """Refuse shares and percentages: by the numbers alone, or by what image, box and area say against pixels."""
    reach = _reach(np.concatenate([_points(pose) for pose, _ in placed]))
    sides = np.array([size for _, size in placed], dtype=np.float64)
    text = f"all joints lie within {reach:.4g} px of their image's corner: are they {{}}? Write pixels"
    field, percentages = "annotations.keypoints", "percentages of its width and height"
    if reach <= _SHARES:
        notebook.add("error", text.format("shares of its width and height"), field=field)
    elif _may_be_percent(reach) and np.median(sides.min(1)) >= 2 * _PERCENT[1]:
        notebook.add("error", text.format(percentages), field=field)
    elif found := _told_percentages(placed, reach):
        what, against = found
        start = text.format(percentages) if what == "joints" else "are boxes percentages of the image? Write pixels"
        notebook.add("error", f"{start}; {against}", field=field if what == "joints" else _BOX)
    elif _EDGE < reach <= _PERCENT[1] and _are_wider(sides):
        notebook.add("warning", text.format(percentages), field=field)


def _reach(numbers: np.ndarray) -> float:
    """Return a number that nearly all do not exceed: one wrong one does not hide what the others are."""
    return float(np.quantile(numbers, _ALL, method="lower"))


def _may_be_percent(reach: float) -> bool:
    return _PERCENT[0] < reach <= _PERCENT[1]


def _are_wider(sides: Float[np.ndarray, "pose 2"]) -> bool:
    return len(sides) >= _FEWEST and bool((sides.max(1) >= _WIDER * _PERCENT[1]).mean() >= _ALMOST_ALL)


def _told_percentages(placed: Sequence[tuple[Pose, Size]], reach: float) -> tuple[str, str] | None:
    """Return what makes sense as percentages only, "joints" or "boxes", and how many poses tell so; else None."""
    odd = sum(_is_odd(pose, size) for pose, size in placed)
    if len(placed) < _FEWEST or odd < _MANY * len(placed):
        return None
    ends = [end for pose, _ in placed for end in (pose.box[0] + pose.box[2], pose.box[1] + pose.box[3])]
    tries = [("joints", True, True), ("joints", True, False)] if _may_be_percent(reach) else []
    tries += [("boxes", False, True)] if _may_be_percent(_reach(np.array(ends))) else []
    for what, joints, box in tries:
        still = sum(_is_odd(pose, size, joints=joints, box=box) for pose, size in placed)
        if still <= (1 - _ALMOST_ALL) * len(placed):
            why = "joints or a box beyond the image, joints outside their box, an area larger than it"
            return what, f"as pixels {odd} of {len(placed)} annotations make no sense ({why}), as percentages {still}"
    return None


def _is_odd(pose: Pose, size: Size, *, joints: bool = False, box: bool = False) -> bool:
    """Return whether joints or box leave the image, joints the box, or the area is larger: in percent or pixels."""
    by = np.array(size) / 100
    points = _points(pose) * (by if joints else 1)
    if (points > np.array(size) + _SLACK_PX).any():
        return True
    if not pose.drawn_box:
        return False
    x, y, width, height = (float(side) for side in np.array(pose.box) * (np.tile(by, 2) if box else 1))
    area = pose.area * (min(1.0, float(by.prod())) if box else 1)
    too_large = pose.drawn_area and area > MOST_OF_BOX * width * height
    corners = _far((x, y, width, height))
    return _leaves(corners, size) or bool(outside(points, corners).mean() > 0.5) or too_large


def _leaves(corners: Box, size: Size) -> bool:
    return corners[2] > size[0] + _SLACK_PX or corners[3] > size[1] + _SLACK_PX


def _points(pose: Pose) -> Float[np.ndarray, "joint 2"]:
    return pose.joints[pose.visibility > 0]


def _note_corners(placed: Sequence[tuple[Pose, Size]], notebook: Notebook) -> None:
    """Refuse boxes that only make sense as corners: as such nearly all lie in their image and hold joints and area."""
    fitting = sum(_are_corners(pose.box, size) and _hold(pose) for pose, size in placed)
    if fitting < _ALMOST_ALL * len(placed):
        return
    leaving = [list(pose.box) for pose, size in placed if _leaves(_far(pose.box), size)]
    areas = [pose for pose, _ in placed if pose.drawn_area]
    others = [pose.id for pose in areas if is_box_area(pose.area, _as_box(pose.box))]
    if leaving and len(leaving) >= _MANY * len(placed):
        notebook.count("error", leaving, _CORNERS + "{n} leave their image", field=_BOX)
    elif sum(is_box_area(pose.area, pose.box) for pose in areas) > len(areas) / 2:
        return
    elif len(others) >= max(_FEWEST, _ALMOST_ALL * len(areas)):
        notebook.count("error", others, _CORNERS + "{n} have another area than annotated", field=_BOX)
    elif beside := _upper_left(placed):
        notebook.count("error", beside, _CORNERS + "{n} hold their joints in the upper left only", field=_BOX)


def _hold(pose: Pose) -> bool:
    """Return whether a box as corners holds the joints, and is no smaller than the area."""
    width, height = _as_box(pose.box)[2:]
    enough = not pose.drawn_area or pose.area <= MOST_OF_BOX * width * height
    return enough and not outside(_points(pose), pose.box).any()


def _upper_left(placed: Sequence[tuple[Pose, Size]]) -> list[int]:
    """Return the poses whose joints are in the middle of the corners, and beside that of the box; none if few are."""
    known = [pose for pose, _ in placed if (pose.visibility > 0).sum() >= _JOINTS]
    beside = [(_off(pose, pose.box), _off(pose, _as_box(pose.box))) for pose in known]
    if len(known) < _FEWEST:
        return []
    given, corners = np.median(np.array(beside), axis=0)
    if not ((given < -_OFF_CENTRE).all() and (np.abs(corners) < _CENTRE).all()):
        return []
    return [pose.id for pose, (off, _) in zip(known, beside, strict=True) if (off < -_OFF_CENTRE).all()]


def _off(pose: Pose, box: Box) -> Float[np.ndarray, "2"]:
    """Return how far the middle of the joints lies right of and below a box's, in parts of its sides."""
    points = _points(pose)
    beside: np.ndarray = ((points.min(0) + points.max(0)) / 2 - np.array(box[:2])) / np.array(box[2:]) - 0.5
    return beside


def note_detected(boxes: Sequence[tuple[Box, Size, Sequence[Box]]], notebook: Notebook, *, field: str) -> None:
    """Refuse detected boxes, each with its image's size and annotated boxes, that only make sense as x1, y1, x2, y2.

    As such nearly all lie in their image; as x, y, width, height many leave it, or most of them meet an annotated box
    worse.
    """
    if sum(_are_corners(box, size) for box, size, _ in boxes) < _ALMOST_ALL * len(boxes):
        return
    leaving = [list(box) for box, size, _ in boxes if _leaves(_far(box), size)]
    met = [
        (box, _best(box, known), _best(_as_box(box), known)) for box, size, known in boxes if _are_corners(box, size)
    ]
    met = [one for one in met if max(one[1:]) >= _MEETS]
    worse = [list(box) for box, given, corners in met if given < corners]
    if leaving and len(leaving) >= _MANY * len(boxes):
        notebook.count("error", leaving, _CORNERS + "{n} leave their image", field=field)
    elif len(worse) >= max(_FEWEST, _MOST * len(met)):
        notebook.count("error", worse, _CORNERS + "{n} fit the annotated boxes worse", field=field)


def _best(box: Box, others: Sequence[Box]) -> float:
    """Return the largest share of a box and another one that both cover."""
    return max((_overlap(box, other) for other in others), default=0.0)


def _overlap(one: Box, other: Box) -> float:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = _far(one), _far(other)
    both = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def _far(box: Box) -> Box:
    """Return the corners of a box."""
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _as_box(corners: Box) -> Box:
    return corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]


def _are_corners(box: Box, size: Size) -> bool:
    return box[0] < box[2] <= size[0] + 1 and box[1] < box[3] <= size[1] + 1
