"""Boxes where nobody drew any: what stands out of its surroundings in depth, what moves in a film. Both are rough."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from greenpose.data.crops import Box
from greenpose.errors import DataError
from greenpose.predict.inputs import View

SIDE = 160
"""Longer side of the small copy in which is looked, in pixels."""
LIMB = 0.25
"""Widest part of a subject over the image's longer side: what is wider is taken for ground. Assumed."""
CENTRAL = 0.35
"""Distance from the image's centre, of its sides, at which a region counts a third of what it would there. Assumed."""
COLOURLESS = 8
"""Largest difference of the channels of a grey frame that a film's coding has touched."""
SMALLEST = 0.005
"""Least part of the image that a region has."""
LEARNT = 5
"""Frames from which on a film's background is known well enough."""
KEPT = 0.97
"""How slowly a box shrinks to where there is movement now: a limb at rest is still one. A frame's share; assumed."""


def silhouette(grey: UInt8[np.ndarray, "height width"]) -> Box | None:
    """Return the box of the largest thing near the middle of a depth image that is nearer than what is around it.

    Near is dark, 0 is no return, as in `window_depth`. The ground is what a closing with a disc of `LIMB` leaves, and
    what lies above it by more than Otsu's threshold is a thing. None where there is none.
    """
    zoom = SIDE / max(grey.shape)
    small = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    holes = (small == 0).astype(np.uint8)
    if holes.all():
        return None
    filled = cv2.medianBlur(cv2.inpaint(small, holes, 3, cv2.INPAINT_TELEA), 5)
    width = round(LIMB * SIDE) | 1
    height = cv2.morphologyEx(filled, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    _, things = cv2.threshold(height, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _scaled(_largest(things), 1 / zoom, grey.shape)


def _largest(mask: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "4"] | None:
    """Return x, y, width and height of the largest region, those far from the middle counted less."""
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    number, _, stats, centres = cv2.connectedComponentsWithStats(opened)
    if number < 2:
        return None
    middle = (centres[1:] / np.array(mask.shape[::-1]) - 0.5) / CENTRAL
    sizes = stats[1:, cv2.CC_STAT_AREA] * np.exp(-(middle**2).sum(1))
    best = 1 + int(sizes.argmax())
    if stats[best, cv2.CC_STAT_AREA] < SMALLEST * mask.size:
        return None
    box: np.ndarray = stats[best, :4].astype(np.float64)
    return box


def _scaled(box: Float[np.ndarray, "4"] | None, zoom: float, shape: tuple[int, ...]) -> Box | None:
    """Return a box in pixels of the whole image, cut to it."""
    if box is None:
        return None
    x, y, width, height = (box * zoom).tolist()
    return x, y, min(width, shape[1] - x), min(height, shape[0] - y)


class Movement:
    """Follows what moves in one film."""

    def __init__(self) -> None:
        """Begin with a film of which nothing is known."""
        self._background: Any = cv2.createBackgroundSubtractorMOG2(detectShadows=True)
        self._frames = 0
        self._box: np.ndarray | None = None

    def __call__(self, frame: UInt8[np.ndarray, "height width *channel"]) -> Box | None:
        """Return the box around what has moved lately, None as long as nothing has.

        The background is a mixture of Gaussians a pixel (OpenCV's MOG2), without shadows. The box opens at once to
        where something moves, and closes slowly.
        """
        zoom = SIDE / max(frame.shape[:2])
        mask = self._background.apply(cv2.resize(frame, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA))
        self._frames += 1
        moving = cv2.morphologyEx((mask == 255).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        if self._frames > LEARNT and moving.mean() > SMALLEST:
            x, y, width, height = cv2.boundingRect(cv2.findNonZero(moving))
            self._follow(np.array([x, y, x + width, y + height], dtype=np.float64))
        if self._box is None:
            return None
        return _scaled(np.concatenate([self._box[:2], self._box[2:] - self._box[:2]]), 1 / zoom, frame.shape)

    def _follow(self, corners: np.ndarray) -> None:
        if self._box is None:
            self._box = corners
            return
        slow = KEPT * self._box + (1 - KEPT) * corners
        self._box = np.concatenate([np.minimum(slow[:2], corners[:2]), np.maximum(slow[2:], corners[2:])])


class Standout:
    """Gives each image one box: what stands out in its depth, what moves in its film, else the whole image."""

    said = "by what stands out in depth and what moves in a film"

    def __init__(self, *, of_depth: bool) -> None:
        """Begin; `of_depth` says whether grey films show depth, as those do that a model of depth is given."""
        self._of_depth = of_depth
        self._film: tuple[Path, Movement] | None = None
        self.without = 0
        """Images in which nothing stood out or moved, which are looked at as a whole."""

    def __call__(self, view: View) -> list[tuple[Box, float]]:
        """Return the box of the image, which is as sure as any.

        Raises:
            DataError: it is a single photograph, in which nothing tells a subject from the rest.
        """
        assert view.image is not None
        grey = _as_grey(view.image)
        if grey is not None and (view.frame is None or self._of_depth):
            box = silhouette(grey)
        elif view.frame is not None:
            box = self._moving(view)
        else:
            said = "--boxes auto finds what stands out in depth or moves in a film, and this is one image in colour"
            raise DataError([f"{said}; name a file of boxes"])
        self.without += box is None
        return [(box or view.whole, 1.0)]

    def _moving(self, view: View) -> Box | None:
        if self._film is None or self._film[0] != view.file:
            self._film = view.file, Movement()
        assert view.image is not None
        return self._film[1](view.image)


def _as_grey(image: UInt8[np.ndarray, "height width *channel"]) -> np.ndarray | None:
    """Return an image without its channels, which a film of grey frames has; None where it is in colour."""
    if image.ndim == 2:
        return image
    few = image[::4, ::4].astype(np.int16)
    return image[..., 1] if np.ptp(few, axis=-1).max() <= COLOURLESS else None
