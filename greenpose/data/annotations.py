"""One COCO annotation as a pose: what can be mended is mended and counted, what can't is a fault."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Bool, Float, Int

from greenpose.data.crops import Box, clean_box
from greenpose.data.findings import Level

_MARGIN_SHARE = 0.15
_MARGIN_PX = 8.0
"""A box made from joints is larger by this share of its longer side, at least by these pixels; assumed."""
_PLACEHOLDER = 1.0
"""Square pixels; an area of as much or less is none: tools write 1, or the share of the image."""
_LEAST_OF_BOX, MOST_OF_BOX = 0.01, 1.1
"""Areas beyond these shares of their box are doubted: a silhouette fills some of it, and no more than it; assumed."""
_ASTRAY_PX, _ASTRAY_SHARE = 2.0, 0.1
"""How far outside its box a joint may lie, in pixels and shares of its sides, before it counts as outside; assumed."""
_LONGEST_ID = 100
"""Digits of an id that is written as a text; a longer one is no number."""

KINDS: dict[str, tuple[Level, str, str]] = {
    "bad id": ("error", "id", "{n} annotations have no whole number as id"),
    "lost": ("error", "image_id", "{n} annotations belong to no listed image"),
    "length": ("error", "keypoints", "{n} annotations have not three numbers for every keypoint"),
    "number": ("error", "keypoints", "{n} annotations hold something that is no finite number"),
    "flag": ("error", "keypoints", "{n} annotations have a visibility that is not 0, 1 or 2"),
    "flagless": ("error", "iscrowd", "{n} annotations have an iscrowd that is neither 0 nor 1"),
    "twice": ("error", "id", "{n} annotations are there again under another id: same image, box and joints"),
    "huge area": (
        "error",
        "area",
        "{n} annotations have an area, or a box in its place, larger than their image: OKS calls any pose there right",
    ),
    "nowhere": ("error", "bbox", "{n} annotations have no box and no labelled joint inside the image"),
    "other category": ("warning", "category_id", "{n} annotations are of another category and left out"),
    "no keypoints": ("warning", "keypoints", "{n} annotations have no keypoints and are left out"),
    "hidden": (
        "warning",
        "keypoints",
        "{n} annotations have joints with v=0 although x and y are given; these are taken as unlabelled, "
        "but if v tells occlusion in this file, write 1 for them",
    ),
    "origin": (
        "warning",
        "keypoints",
        "{n} annotations have joints at 0, 0 with v=1 or 2; these are taken as unlabelled, as some tools export them",
    ),
    "astray": (
        "warning",
        "bbox",
        "{n} annotations have most of their joints outside their box, which is x, y, width, height in pixels",
    ),
    "outside": ("warning", "keypoints", "{n} annotations have labelled joints outside their image"),
    "no box": ("warning", "bbox", "{n} annotations have no usable box; it is made from their joints"),
    "no area": ("warning", "area", "{n} annotations have no area; width x height of the box is taken for OKS"),
    "unit area": (
        "warning",
        "area",
        "{n} annotations have an area of 1 or less, a placeholder or share; width x height of the box is taken for OKS",
    ),
    "small area": (
        "warning",
        "area",
        "{n} annotations have an area below a hundredth of their box: OKS hardly calls a pose there right",
    ),
    "wide area": ("warning", "area", "{n} annotations have an area larger than their box, as of another image size"),
    "crowd": ("note", "iscrowd", "{n} annotations are crowds and left out"),
    "minus one": ("note", "keypoints", "{n} annotations have joints at -1, -1; these are taken as unlabelled"),
    "unlabelled": ("note", "keypoints", "{n} annotations have no labelled joint and are left out"),
    "recount": ("note", "num_keypoints", "{n} annotations count their keypoints otherwise; counted anew"),
}
"""What an annotation can be: how bad that is, in which field it is seen, and what is said of all of a kind."""
LEFT_OUT = ("other category", "no keypoints", "crowd", "unlabelled")
"""Kinds of annotations that are neither trained on nor asked for."""
MENDED = ("hidden", "origin", "outside", "minus one", "no box", "no area", "unit area", "recount")
"""Kinds of annotations that are used, but not quite as they are written."""
_ASIDE = ("crowd", "no keypoints", "unlabelled")
"""Kinds that are left out of training and test, but at whose boxes a result is not wrong (COCO's rule)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """What an annotation says once it is mended."""

    id: int
    """As in the file."""
    image_id: int
    """As in the file."""
    box: Box
    """In image pixels."""
    area: float
    """In square pixels."""
    joints: Float[np.ndarray, "keypoint 2"]
    """In image pixels; (0, 0) where unlabelled."""
    visibility: Int[np.ndarray, " keypoint"]
    """0, 1 or 2."""
    crowd: bool = False
    """Whether the box is around many subjects."""
    drawn_box: bool = True
    """Whether the box is the file's own; else it is made from the joints."""
    drawn_area: bool = True
    """Whether the area is the file's own; else it is the box's."""


@dataclass(slots=True, kw_only=True)
class AnnotationReading:
    """One pass over a file's annotations."""

    num_keypoints: int
    categories: frozenset[int]
    """Those that are wanted."""
    image_sizes: Mapping[int, tuple[int, int]]
    box_area: bool
    """Whether the profile's area is that of the box."""
    seen: dict[str, list[int | str]] = field(default_factory=dict)
    """Annotations of each kind that needs a word."""
    aside: list[Pose] = field(default_factory=list)
    """Crowds and subjects without a labelled joint: they need not be found, and to find them is not wrong."""

    def note(self, kind: str, name: int | str) -> None:
        """Remember that an annotation is of a kind."""
        self.seen.setdefault(kind, []).append(name)

    def poses(self, entries: Sequence[Mapping[str, Any]]) -> list[Pose]:
        """Return the poses that can be used, in the file's order."""
        found = [pose for entry in entries if (pose := self._pose(entry)) is not None]
        first: dict[tuple[object, ...], int] = {}
        for pose in found:
            same = first.setdefault((pose.image_id, pose.box, pose.joints.tobytes()), pose.id)
            if same != pose.id:
                self.note("twice", f"{pose.id} = {same}")
        return found

    def _pose(self, entry: Mapping[str, Any]) -> Pose | None:
        number = as_id(entry.get("id"))
        if number is None:
            self.note("bad id", repr(entry.get("id")))
            return None
        kind = self._left_out(entry)
        image_id = as_id(entry.get("image_id"))
        if image_id is None or image_id not in self.image_sizes:
            self.note(kind or "lost", number)
            return None
        joints = self._joints(entry, number) if kind is None else None
        if joints is not None and not joints.any():
            kind = "unlabelled"
        if kind is not None:
            self.note(kind, number)
            self._put_aside(entry, number, image_id, kind)
            return None
        return None if joints is None else self._framed(entry, number, image_id, joints)

    def _put_aside(self, entry: Mapping[str, Any], number: int, image_id: int, kind: str) -> None:
        """Keep the box of what is not judged, where there is one."""
        box = usable_box(entry.get("bbox"), self.image_sizes[image_id]) if kind in _ASIDE else None
        if box is None:
            return
        self.aside.append(
            Pose(
                id=number,
                image_id=image_id,
                box=box,
                area=self._drawn_area(entry) or box[2] * box[3],
                joints=np.zeros((self.num_keypoints, 2)),
                visibility=np.zeros(self.num_keypoints, dtype=np.intp),
                crowd=kind == "crowd",
            )
        )

    def _left_out(self, entry: Mapping[str, Any]) -> str | None:
        if as_id(entry.get("category_id")) not in self.categories:
            return "other category"
        if (crowd := crowd_flag(entry.get("iscrowd"))) is not False:
            return "crowd" if crowd else "flagless"
        return None if entry.get("keypoints") else "no keypoints"

    def _joints(self, entry: Mapping[str, Any], number: int) -> np.ndarray | None:
        """Return rows of x, y and visibility, zeros where unlabelled; None where nothing is to be had."""
        values = entry["keypoints"]
        if not isinstance(values, list) or len(values) != 3 * self.num_keypoints:
            self.note("length", number)
            return None
        if not all(is_number(value) for value in values):
            self.note("number", number)
            return None
        rows = np.array(values, dtype=np.float64).reshape(-1, 3)
        absent = (rows[:, :2] == -1).all(1)
        if not np.isin(rows[~absent, 2], (0, 1, 2)).all():
            self.note("flag", number)
            return None
        if absent.any():
            self.note("minus one", number)
        return self._labelled(rows * ~absent[:, None], entry, number)

    def _labelled(self, rows: np.ndarray, entry: Mapping[str, Any], number: int) -> np.ndarray:
        labelled = rows[:, 2] > 0
        if rows[~labelled, :2].any():
            self.note("hidden", number)
        if labelled.any() and "num_keypoints" in entry and as_id(entry["num_keypoints"]) != labelled.sum():
            self.note("recount", number)
        if (unmarked := labelled & ~rows[:, :2].any(1)).any():
            self.note("origin", number)
        return rows * (labelled & ~unmarked)[:, None]

    def _framed(self, entry: Mapping[str, Any], number: int, image_id: int, rows: np.ndarray) -> Pose | None:
        size = self.image_sizes[image_id]
        points = rows[rows[:, 2] > 0, :2]
        if ((points < 0) | (points > size)).any():
            self.note("outside", number)
        drawn = usable_box(entry.get("bbox"), size)
        box = drawn or box_around(points, size)
        if drawn is None:
            self.note("no box" if box else "nowhere", number)
        if box is None:
            return None
        if drawn is not None and _astray(points, drawn):
            self.note("astray", number)
        area = self._area(entry, number, box)
        if area > math.prod(size):
            self.note("huge area", number)
        return Pose(
            id=number,
            image_id=image_id,
            box=box,
            area=area,
            joints=rows[:, :2],
            visibility=rows[:, 2].astype(np.intp),
            drawn_box=drawn is not None,
            drawn_area=self._drawn_area(entry) is not None,
        )

    def _area(self, entry: Mapping[str, Any], number: int, box: Box) -> float:
        drawn, of_box = self._drawn_area(entry), box[2] * box[3]
        if drawn is None:
            if not self.box_area:
                self.note("unit area" if is_number(entry.get("area")) and entry["area"] > 0 else "no area", number)
            return of_box
        if drawn < _LEAST_OF_BOX * of_box:
            self.note("small area", number)
        if drawn > MOST_OF_BOX * of_box:
            self.note("wide area", number)
        return drawn

    def _drawn_area(self, entry: Mapping[str, Any]) -> float | None:
        """Return the annotation's own area; None where it has none, a placeholder, or the profile's is the box's."""
        area = entry.get("area")
        return float(area) if not self.box_area and is_number(area) and float(area) > _PLACEHOLDER else None


def _astray(points: Float[np.ndarray, "joint 2"], box: Box) -> bool:
    """Return whether more than half of some joints lie clearly outside a box."""
    x, y, width, height = box
    return bool(outside(points, (x, y, x + width, y + height)).mean() > 0.5)


def outside(points: Float[np.ndarray, "joint 2"], corners: Box) -> Bool[np.ndarray, " joint"]:
    """Return which joints lie clearly outside a box, given as x1, y1, x2, y2."""
    low, high = np.array(corners[:2]), np.array(corners[2:])
    slack = _ASTRAY_PX + _ASTRAY_SHARE * (high - low)
    beyond: np.ndarray = ((points < low - slack) | (points > high + slack)).any(1)
    return beyond


def as_id(value: object) -> int | None:
    """Return a whole number, also from "12" and 12.0; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= _LONGEST_ID and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def crowd_flag(value: object) -> bool | None:
    """Return whether `iscrowd` says so; None for what is neither yes nor no. Not given is no; "0" is no, not a text."""
    if value is None or value == "":
        return False
    flag = {"false": 0, "true": 1}.get(value.strip().lower(), value) if isinstance(value, str) else value
    number = int(flag) if isinstance(flag, bool) else as_id(flag)
    return bool(number) if number in {0, 1} else None


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether this is a finite number that fits a float, and not a word or a truth value."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # also of whole numbers that no float holds, and nan is not


def is_box_area(area: float, box: Box) -> bool:
    """Return whether an area is that of the box, as of a drawn rectangle, within 1 %; a silhouette's is smaller."""
    return math.isclose(area, box[2] * box[3], rel_tol=0.01)


def usable_box(value: Any, image_size: tuple[int, int]) -> Box | None:
    """Return a box of four numbers of which something lies in the image, or None."""
    if not isinstance(value, list) or len(value) != 4 or not all(is_number(side) for side in value):
        return None
    x, y, width, height = (float(side) for side in value)
    return (x, y, width, height) if clean_box((x, y, width, height), image_size) else None


def box_around(points: Float[np.ndarray, "joint 2"], image_size: tuple[int, int]) -> Box | None:
    """Return a box around joints with a margin, cut to the image, or None where all lie outside."""
    low, high = points.min(0), points.max(0)
    margin = max(_MARGIN_PX, _MARGIN_SHARE * float((high - low).max()))
    left, top = np.maximum(low - margin, 0).tolist()
    right, bottom = np.minimum(high + margin, image_size).tolist()
    box = (left, top, right - left, bottom - top)
    inside = ((points >= 0) & (points < image_size)).all(1).any()
    return box if inside and clean_box(box, image_size) else None
