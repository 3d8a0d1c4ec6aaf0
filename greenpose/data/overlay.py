"""Poses drawn on images: readable on dark depth and on colour photographs; sides differ in shape, dash and colour."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

from greenpose.data.heatmaps import CONFIDENT_ABOVE
from greenpose.data.instances import Profile

LEAST_PX = 480
"""Longer side that a picture has at least: smaller images are drawn on an enlarged copy."""
FAINT = 0.4
"""Opacity of what the network is not sure of."""
_SMALLEST = 0.6
"""Size of a joint of confidence 0, of that of confidence 1."""
_RADIUS, _LINE, _EDGE = 4.5, 2.5, 1.25
"""Radius of a joint, width of a limb, and of the dark edge of both, in pixels of a picture `LEAST_PX` long."""
_SUBJECT = 0.4
"""Length of a subject, of the picture's, below which its lines and joints shrink with it, to half at most."""
_HOLLOW = 1.9
"""Radius of a true joint, of that of a found one, so that it stands around it."""
_DASH = 2.2
"""Length of a dash and of the gap after it, in widths of a limb."""
_BITS = 4
"""Fractions of a pixel that OpenCV draws in, as a power of two."""
DARK = (0, 0, 0)
"""The edge of everything: told from light backgrounds by it, from dark ones by what it is around."""
TRUE = (255, 255, 255)
"""The colour of what was annotated."""

Side = Literal["left", "right", "middle"]
Colour = tuple[int, int, int]


class Look(NamedTuple):
    """How joints and limbs of a side are drawn."""

    words: str
    """What it looks like."""
    colour: Colour
    """Their colour in RGB."""
    corners: int
    """Corners of a joint; many make it round."""
    radius: float
    """How far these lie from the joint, so that all shapes seem of one size."""
    dashed: bool
    """Whether limbs are."""


LOOKS: MappingProxyType[Side, Look] = MappingProxyType(
    {
        "left": Look(words="blue, round", colour=(100, 205, 255), corners=24, radius=1.0, dashed=False),
        "right": Look(words="orange, square", colour=(255, 175, 70), corners=4, radius=1.2, dashed=True),
        "middle": Look(words="yellow, triangle", colour=(250, 240, 130), corners=3, radius=1.4, dashed=False),
    }
)
"""The left is round, solid and blue, the right square, dashed and orange, the middle triangular and yellow: colours of
more than 40 % of white's luminance, which those who confuse red and green tell apart (after Okabe and Ito, 2008)."""


def draw_pose(
    image: UInt8[np.ndarray, "height width *channel"],
    joints: Real[np.ndarray, "*person keypoint 2"],
    confidence: Real[np.ndarray, "*person keypoint"],
    *,
    profile: Profile,
    truth: Real[np.ndarray, "*other keypoint 2"] | None = None,
    least_px: int = LEAST_PX,
) -> UInt8[np.ndarray, "tall wide 3"]:
    """Return the image, grey or RGB, in RGB with the poses of one subject or several drawn on it.

    Joints are in image pixels; those that are not finite, or lie farther beside the image than it is long, are left
    out, as are their limbs. A joint is drawn the smaller the less confident it is (from 0 to 1), and faint up to the
    confidence below which the paper does not count it; a limb is as sure as its less sure end. The `truth` is drawn
    hollow, in white. A small image is enlarged by a whole factor until its longer side has `least_px`.
    """
    canvas, zoom = _enlarged(image, least_px)
    brush = _Brush(canvas, profile)
    for true in [] if truth is None else _drawable(truth, image, zoom):
        brush.draw_hollow(true)
    sure = np.clip(np.nan_to_num(confidence), 0, 1).reshape(-1, profile.num_keypoints)
    poses = list(zip(_drawable(joints, image, zoom), sure, strict=True))
    below = canvas.copy()
    for pose, share in poses:
        brush.draw(pose, share, np.isfinite(pose[:, 0]) & (share <= CONFIDENT_ABOVE))
    cv2.addWeighted(canvas, FAINT, below, 1 - FAINT, 0, dst=canvas)
    for pose, share in poses:
        brush.draw(pose, share, share > CONFIDENT_ABOVE)
    return canvas


def side_of(profile: Profile, keypoint: int) -> Side:
    """Return the side of a keypoint: by its name, else by its place in its pair, of which the first is called left."""
    name = profile.keypoints[keypoint].lower()
    if "left" in name or "right" in name:
        return "left" if "left" in name else "right"
    return next(
        ("left" if pair[0] == keypoint else "right" for pair in profile.flip_pairs if keypoint in pair), "middle"
    )


def _enlarged(image: np.ndarray, least_px: int) -> tuple[np.ndarray, int]:
    """Return a copy in RGB, and how many of its pixels are one of the image's."""
    colour = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    zoom = -(-least_px // max(image.shape[:2]))
    if zoom <= 1:
        return np.ascontiguousarray(colour).copy(), 1
    return cv2.resize(colour, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR), zoom


def _drawable(joints: np.ndarray, image: np.ndarray, zoom: int) -> Iterator[Float[np.ndarray, "keypoint 2"]]:
    """Yield each subject's joints in pixels of the enlarged image, NaN where there is nothing to draw."""
    size = np.array(image.shape[1::-1], dtype=np.float64)
    poses = np.asarray(joints, dtype=np.float64).reshape(-1, *joints.shape[-2:])
    near = (np.abs(poses - size / 2) <= 1.5 * max(size)).all(-1)  # False for NaN
    yield from np.where(near[..., None], (poses + 0.5) * zoom - 0.5, np.nan)


class _Brush:
    """Draws poses of one profile on one picture."""

    def __init__(self, canvas: np.ndarray, profile: Profile) -> None:
        self._canvas, self._limbs = canvas, profile.skeleton
        self._sides = [side_of(profile, keypoint) for keypoint in range(profile.num_keypoints)]

    def draw(self, pose: np.ndarray, sure: np.ndarray, which: Bool[np.ndarray, " keypoint"]) -> None:
        """Draw some joints of a pose, and the limbs whose less sure end is one of them."""
        self._fit(pose)
        for pair in self._limbs:
            ends = pose[list(pair)]
            if np.isfinite(ends).all() and which[min(pair, key=lambda end: sure[end])]:
                self._limb(ends, LOOKS[self._between(pair)])
        for keypoint in np.flatnonzero(which & np.isfinite(pose[:, 0])):
            look = LOOKS[self._sides[keypoint]]
            radius = _RADIUS * (_SMALLEST + (1 - _SMALLEST) * float(sure[keypoint]))
            corners = self._corners(pose[keypoint], look, radius)
            self._line(np.vstack([corners, corners[:1]]), DARK, 0, edge=True)
            cv2.fillPoly(self._canvas, [_fixed(corners)], look.colour, cv2.LINE_AA, _BITS)

    def draw_hollow(self, pose: np.ndarray) -> None:
        """Draw a pose as thin limbs and rings."""
        self._fit(pose)
        for pair in self._limbs:
            if np.isfinite(pose[list(pair)]).all():
                self._stroke(pose[list(pair)], TRUE, 1.0)
        for keypoint in np.flatnonzero(np.isfinite(pose[:, 0])):
            corners = self._corners(pose[keypoint], LOOKS[self._sides[keypoint]], _HOLLOW * _RADIUS)
            self._stroke(np.vstack([corners, corners[:1]]), TRUE, 1.0)

    def _fit(self, pose: np.ndarray) -> None:
        """Take a width for a subject: the picture's, less for one that is small in it."""
        there, length = pose[np.isfinite(pose[:, 0])], max(self._canvas.shape[:2])
        extent = float(np.ptp(there, axis=0).max()) if len(there) > 1 else length
        self._unit = max(1.0, length / LEAST_PX) * min(1.0, max(0.5, extent / (_SUBJECT * length)))

    def _between(self, pair: tuple[int, int]) -> Side:
        """Return the side of a limb: that of its ends, of which one may be in the middle."""
        sides = {self._sides[end] for end in pair} - {"middle"}
        return sides.pop() if len(sides) == 1 else "middle"

    def _limb(self, ends: np.ndarray, look: Look) -> None:
        """Draw a line with a dark edge, or dashes on a dark line."""
        if not look.dashed:
            return self._stroke(ends, look.colour, _LINE)
        self._line(ends, DARK, _LINE, edge=True)
        length = float(np.hypot(*(ends[1] - ends[0])))
        dash = _DASH * _LINE * self._unit / max(length, 1.0)
        for start in np.arange(0, 1, 2 * dash):
            parts = np.array([[start], [min(1.0, start + dash)]])
            self._line(ends[0] + parts * (ends[1] - ends[0]), look.colour, _LINE)
        return None

    def _stroke(self, points: np.ndarray, colour: Colour, width: float) -> None:
        self._line(points, DARK, width, edge=True)
        self._line(points, colour, width)

    def _line(self, points: np.ndarray, colour: Colour, width: float, *, edge: bool = False) -> None:
        thickness = max(1, round(width * self._unit)) + 2 * edge * max(1, round(_EDGE * self._unit))
        cv2.polylines(self._canvas, [_fixed(points)], False, colour, thickness, cv2.LINE_AA, _BITS)

    def _corners(self, centre: np.ndarray, look: Look, radius: float) -> Float[np.ndarray, "corner 2"]:
        """Return a shape around a joint, standing on a side."""
        turns = (np.arange(look.corners) + 0.5) / look.corners
        angles = 2 * np.pi * turns + np.pi / 2
        corners: np.ndarray = centre + radius * look.radius * self._unit * np.column_stack(
            [np.cos(angles), np.sin(angles)]
        )
        return corners


def _fixed(points: np.ndarray) -> np.ndarray:
    """Return points as OpenCV takes them: whole numbers of fractions of a pixel."""
    fixed: np.ndarray = np.rint(points * 2**_BITS).astype(np.int32)
    return fixed
