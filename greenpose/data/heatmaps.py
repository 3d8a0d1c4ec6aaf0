"""Joints as heatmaps and back, by the conventions that the paper's networks were trained and scored with."""

from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float, Float32

_DRAWN_ABOVE = 0.5
"""A keypoint with at most this weight gets no peak."""
SCALE_UNIT_PX = 200.0
"""The scale of a box is its size over 200 px, as in MPII's annotations, which this convention comes from."""
_QUARTER_PX = 0.25
CONFIDENT_ABOVE = 0.2
"""Keypoints with a lower peak do not count towards a pose's score; the paper's value."""


def encode_heatmaps(
    joints: Any,
    visibility: Any,
    *,
    input_size: Sequence[int],
    heatmap_size: Sequence[int],
    sigma: SupportsFloat,
) -> tuple[Float32[np.ndarray, "*batch keypoint height width"], Float32[np.ndarray, "*batch keypoint"]]:
    """Return a Gaussian of height 1 around each joint, and how much each keypoint counts.

    `joints` [..., keypoint, 2] are in pixels of the network's input, `visibility` [..., keypoint] is what the weight
    becomes (0 and 1 in training: clip COCO's 2 first); sizes are (width, height), `sigma` is in heatmap pixels. Both
    may be arrays or CPU tensors, with any number of leading dimensions.

    The peak sits on a whole heatmap pixel and the Gaussian ends `3 sigma` from it. Kept from the reference code: the
    pixel is rounded towards zero, so that a joint up to 1.5 pixels left of or above the frame peaks at column or row
    0; a joint outside whose window touches the frame is drawn; one whose window is just off it, on the left or above,
    counts as all-zero map with its weight; further out the weight is 0. Where `3 sigma` is not whole, the window, of
    `6 sigma + 1` pixels, has its ends cut to whole pixels, towards zero, and the peak in its middle: up to a pixel
    beside the joint's, and less of the Gaussian on the right and below.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, after Sun et al. (2019), `generate_target`.
    """
    joints = np.asarray(joints, dtype=np.float64)
    weight = np.asarray(visibility, dtype=np.float32)
    spread = float(sigma)
    stride = np.asarray(input_size, dtype=np.float64) / np.asarray(heatmap_size)
    peaks = np.trunc(joints / stride + 0.5)
    first, end = np.trunc(peaks - 3 * spread), np.trunc(peaks + 3 * spread + 1)
    outside = (first >= np.asarray(heatmap_size)) | (end < 0)
    weight = np.where(outside.any(-1), np.float32(0), weight)
    along_x = _profiles(first[..., 0], end[..., 0], heatmap_size[0], sigma=spread)
    along_y = _profiles(first[..., 1], end[..., 1], heatmap_size[1], sigma=spread)
    along_y[weight <= _DRAWN_ABOVE] = 0
    heatmaps: np.ndarray = along_y[..., :, None] * along_x[..., None, :]
    return heatmaps, weight


def _profiles(
    first: Float[np.ndarray, "*batch keypoint"],
    end: Float[np.ndarray, "*batch keypoint"],
    length: int,
    *,
    sigma: float,
) -> Float32[np.ndarray, "*batch keypoint length"]:
    """Return the Gaussian along one axis, from its first pixel to before its end; two make a two-dimensional one."""
    middle = (6 * sigma + 1) // 2
    pixels = np.arange(length)
    distance = (pixels - (first + middle)[..., None]).astype(np.float32)
    values: np.ndarray = np.exp(distance**2 * np.float32(-0.5 / sigma**2))
    values[(pixels < first[..., None]) | (pixels >= end[..., None])] = 0
    return values


def find_peaks(
    heatmaps: Any,
) -> tuple[Float[np.ndarray, "*batch keypoint 2"], Float[np.ndarray, "*batch keypoint"]]:
    """Return x and y of each map's highest pixel, the first of equals in reading order, and its value.

    A map without a positive value peaks at (0, 0), as in the reference code.
    """
    heatmaps = np.asarray(heatmaps)
    *leading, height, width = heatmaps.shape
    flat = heatmaps.reshape(*leading, height * width)
    index = flat.argmax(-1)
    values = np.take_along_axis(flat, index[..., None], -1)[..., 0]
    peaks = np.stack([index % width, index // width], -1).astype(np.float64)
    return peaks * (values > 0)[..., None], values


def decode_heatmaps(
    heatmaps: Any, centers: Any, scales: Any, *, shift: bool = True
) -> tuple[Float[np.ndarray, "batch keypoint 2"], Float[np.ndarray, "batch keypoint"]]:
    """Return each keypoint's place in image pixels and the value of its peak.

    `heatmaps` [batch, keypoint, height, width] come from crops with `centers` [batch, 2] in image pixels and `scales`
    [batch, 2] = (width, height) / 200; arrays or CPU tensors. With `shift` a peak moves a quarter of a heatmap pixel
    towards its higher neighbour, except within one pixel of the left and upper border and on the last row and column.
    A map without a positive value gives the crop's upper left corner, with its peak value to tell.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, after Sun et al. (2019), `get_final_preds`.
    """
    heatmaps = np.asarray(heatmaps)
    peaks, values = find_peaks(heatmaps)
    if shift:
        peaks += _QUARTER_PX * _uphill(heatmaps, peaks.astype(np.intp))
    size = np.array([heatmaps.shape[-1], heatmaps.shape[-2]])
    # One factor for x and y, from the widths alone: the crop has the heatmap's aspect.
    image_px_per_pixel = np.asarray(scales, dtype=np.float64)[:, :1] * SCALE_UNIT_PX / size[0]
    offset = (peaks - size / 2) * image_px_per_pixel[:, None]
    return np.asarray(centers, dtype=np.float64)[:, None] + offset, values


def _uphill(heatmaps: np.ndarray, peaks: np.ndarray) -> Float[np.ndarray, "batch keypoint 2"]:
    """Return per axis -1, 0 or 1: on which side of its peak a map is higher."""
    height, width = heatmaps.shape[-2:]
    x, y = peaks[..., 0], peaks[..., 1]
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    x, y = np.where(inner, x, 0), np.where(inner, y, 0)
    batch, keypoint = np.ogrid[: heatmaps.shape[0], : heatmaps.shape[1]]
    slope_x = heatmaps[batch, keypoint, y, x + 1] - heatmaps[batch, keypoint, y, x - 1]
    slope_y = heatmaps[batch, keypoint, y + 1, x] - heatmaps[batch, keypoint, y - 1, x]
    slope = np.stack([slope_x, slope_y], -1, dtype=np.float64)
    return np.where(inner[..., None], np.sign(slope), 0.0)
