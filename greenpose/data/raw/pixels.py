"""A frame's pixels on their way into the data set: turned upright, depth seen through a window where asked for."""

from dataclasses import dataclass

import cv2
import numpy as np

from greenpose.data.images import Window, window_depth
from greenpose.data.raw.rotate import turn_image

_FEWEST = 0.01


@dataclass(slots=True, kw_only=True)
class Seen:
    """How much of the depth lies inside the window, over all frames so far."""

    returns: int = 0
    """Pixels with a depth."""
    inside: int = 0
    """Those of them that lie between near and far."""
    nearest_mm: int = 65535
    """The nearest depth."""
    farthest_mm: int = 0
    """The farthest depth."""

    def add(self, depth: np.ndarray, window: Window) -> None:
        """Count another frame's depths."""
        near, far = float(window[0]), float(window[1])
        there = depth[depth > 0]
        self.returns += int(there.size)
        self.inside += int(((there >= near) & (there <= far)).sum())
        if there.size:
            self.nearest_mm = min(self.nearest_mm, int(there.min()))
            self.farthest_mm = max(self.farthest_mm, int(there.max()))

    @property
    def share(self) -> float | None:
        """Return the share of depths inside the window, None where there was no depth."""
        return self.inside / self.returns if self.returns else None

    @property
    def fault(self) -> str:
        """Return what is wrong with the window, "" for nothing: one that shows nothing is a slip or in another unit."""
        if self.share is not None and self.share >= _FEWEST:
            return ""
        if not self.returns:
            return "holds nothing: the images have no depths at all"
        span = f"they go from {self.nearest_mm} to {self.farthest_mm}, in mm if the files are as they should be"
        return f"holds {100 * self.inside / self.returns:.2g} % of the depths; {span}"


def upright(stored: np.ndarray, *, window: Window | None, seen: Seen) -> np.ndarray:
    """Return an image turned by 180 degrees: pixels as they are, or 16-bit depth as grey through the window."""
    if window is None:
        return turn_image(stored)
    seen.add(stored, window)
    return turn_image(window_depth(stored, window))


def encode_png(image: np.ndarray) -> bytes:
    """Return an image, blue first where it is in colour, as a PNG."""
    done, encoded = cv2.imencode(".png", image)
    assert done, "8-bit images and 16-bit depth always fit into a PNG"
    return bytes(encoded.tobytes())
