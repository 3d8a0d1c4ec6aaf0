"""Joints as heatmaps and back: as the paper's networks were trained and scored, by DARK, or by UDP."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, SupportsFloat

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from greenpose.config.experiment import Decode

_DRAWN_ABOVE = 0.5
"""A keypoint with at most this weight gets no peak."""
SCALE_UNIT_PX = 200.0
"""The scale of a box is its size over 200 px, as in MPII's annotations, which this convention comes from."""
_QUARTER_PX = 0.25
_REACH_SIGMAS = 2.5
"""How far DARK's blur reaches: 11 and 17 pixels wide for sigma 2 and 3, as its code has them."""
_LEAST = 1e-10
"""What a map is raised to before its logarithm is taken, as in DARK's code."""
CONFIDENT_ABOVE = 0.2
"""Keypoints with a lower peak do not count towards a pose's score; the paper's value."""


def encode_heatmaps(
    joints: Any,
    visibility: Any,
    *,
    input_size: Sequence[int],
    heatmap_size: Sequence[int],
    sigma: SupportsFloat,
    decode: Decode = "quarter",
) -> tuple[Float32[np.ndarray, "*batch keypoint height width"], Float32[np.ndarray, "*batch keypoint"]]:
    """Return a Gaussian of height 1 around each joint, and how much each keypoint counts.

    `joints` [..., keypoint, 2] are in pixels of the network's input, `visibility` [..., keypoint] is what the weight
    becomes (0 and 1 in training: clip COCO's 2 first); sizes are (width, height), `sigma` is in heatmap pixels. Both
    may be arrays or CPU tensors, with any number of leading dimensions.

    Heatmaps are drawn for how they will be decoded: for `quarter` the peak sits on a whole heatmap pixel, for `dark`
    and `udp` at the joint, between pixels. The Gaussian ends `3 sigma` from the joint's pixel. Kept from the reference
    code: the pixel is rounded towards zero, so that a joint up to 1.5 pixels left of or above the frame peaks at column
    or row 0; a joint outside whose window touches the frame is drawn; one whose window is just off it, on the left or
    above, counts as all-zero map with its weight; further out the weight is 0. Where `3 sigma` is not whole, the
    window, of `6 sigma + 1` pixels, has its ends cut to whole pixels, towards zero, and for `quarter` the peak in its
    middle: up to a pixel beside the joint's, and less of the Gaussian on the right and below.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, after Sun et al. (2019), `generate_target`;
    between pixels Zhang et al. (2020), section 3.2, https://arxiv.org/abs/1910.06278, and Huang et al. (2020),
    section 3.3, https://arxiv.org/abs/1911.07524.
    """
    joints = np.asarray(joints, dtype=np.float64)
    weight = np.asarray(visibility, dtype=np.float32)
    spread = float(sigma)
    places = joints / (extent(input_size, decode=decode) / extent(heatmap_size, decode=decode))
    peaks = np.trunc(places + 0.5)
    first, end = np.trunc(peaks - 3 * spread), np.trunc(peaks + 3 * spread + 1)
    outside = (first >= np.asarray(heatmap_size)) | (end < 0)
    weight = np.where(outside.any(-1), np.float32(0), weight)
    middles = first + (6 * spread + 1) // 2 if decode == "quarter" else places
    along_x, along_y = (
        _profiles(first[..., axis], end[..., axis], middles[..., axis], heatmap_size[axis], sigma=spread)
        for axis in (0, 1)
    )
    along_y[weight <= _DRAWN_ABOVE] = 0
    heatmaps: np.ndarray = along_y[..., :, None] * along_x[..., None, :]
    return heatmaps, weight


def _profiles(
    first: Float[np.ndarray, "*batch keypoint"],
    end: Float[np.ndarray, "*batch keypoint"],
    middle: Float[np.ndarray, "*batch keypoint"],
    length: int,
    *,
    sigma: float,
) -> Float32[np.ndarray, "*batch keypoint length"]:
    """Return the Gaussian along one axis, from its first pixel to before its end; two make a two-dimensional one."""
    pixels = np.arange(length)
    distance = (pixels - middle[..., None]).astype(np.float32)
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


def extent(size: Sequence[int], *, decode: Decode) -> Float[np.ndarray, "2"]:
    """Return what width and height are reckoned by: pixels, or for `udp` the intervals between their middles.

    Source: Huang et al. (2020), section 3.2, https://arxiv.org/abs/1911.07524.
    """
    return np.asarray(size, dtype=np.float64) - (decode == "udp")


def decode_heatmaps(
    heatmaps: Any,
    centers: Any,
    scales: Any,
    *,
    shift: bool = True,
    decode: Decode = "quarter",
    sigma: SupportsFloat = 2.0,
) -> tuple[Float[np.ndarray, "batch keypoint 2"], Float[np.ndarray, "batch keypoint"]]:
    """Return each keypoint's place in image pixels and the value of its peak.

    `heatmaps` [batch, keypoint, height, width] come from crops with `centers` [batch, 2] in image pixels and `scales`
    [batch, 2] = (width, height) / 200; arrays or CPU tensors. With `shift` a peak moves: by `quarter`, a quarter of
    a heatmap pixel towards its higher neighbour, except within one pixel of the left and upper border and on the last
    row and column; by `dark` and `udp`, to where a Gaussian of `sigma` has its maximum. `udp` is for heatmaps of crops
    that were cut for it; `dark` and `quarter` share theirs, so that either decodes what was trained for the other.
    A map without a positive value gives the crop's upper left corner, with its peak value to tell.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, after Sun et al. (2019), `get_final_preds`;
    Zhang et al. (2020), https://arxiv.org/abs/1910.06278; Huang et al. (2020), https://arxiv.org/abs/1911.07524.
    """
    heatmaps = np.asarray(heatmaps)
    peaks, values = find_peaks(heatmaps)
    if shift and decode == "quarter":
        peaks += _QUARTER_PX * _uphill(heatmaps, peaks.astype(np.intp))
    elif shift:
        peaks += _towards_maximum(heatmaps, peaks.astype(np.intp), float(sigma))
    size = extent((heatmaps.shape[-1], heatmaps.shape[-2]), decode=decode)
    image_px_per_pixel = np.asarray(scales, dtype=np.float64) * SCALE_UNIT_PX / size
    if decode != "udp":  # one factor for x and y, from the widths alone: the crop has the heatmap's aspect
        image_px_per_pixel = image_px_per_pixel[:, :1]
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


def _towards_maximum(
    heatmaps: np.ndarray, peaks: Int[np.ndarray, "batch keypoint 2"], sigma: float
) -> Float[np.ndarray, "batch keypoint 2"]:
    """Return the step from each peak to the maximum of the paraboloid that the blurred map's logarithm is there.

    The logarithm of a Gaussian is one everywhere, so that from any pixel one Newton step, -H^-1 g, ends at its maximum.
    The blur by the target's own Gaussian takes further maxima away, which networks draw beside the first. Peaks on the
    border stay, and so do those that are no maximum of the blurred map; no step is longer than a pixel in x or in y,
    from where the derivatives say nothing. DARK scales the blurred map to the height that it had: a constant in the
    logarithm, left out.

    Source: Zhang et al. (2020), section 3.1, equations 3 to 8, https://arxiv.org/abs/1910.06278.
    """
    height, width = heatmaps.shape[-2:]
    inner = ((peaks > 0) & (peaks < (width - 1, height - 1))).all(-1)
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number has no maximum
        logs = np.log(np.maximum(_blurred_around(heatmaps, peaks, sigma), _LEAST))
        before, middle, after = logs[3::-2], logs[4], logs[5::2]  # in x and in y
        slope, bend = (after - before) / 2, after - 2 * middle + before
        twist = (logs[8] - logs[6] - logs[2] + logs[0]) / 4
        curved = bend[0] * bend[1] - twist**2
        known = inner & (curved > 0) & (bend[0] < 0)
        steps = twist * slope[::-1] - bend[::-1] * slope
    return np.moveaxis(np.clip(np.where(known, steps, 0) / np.where(known, curved, 1), -1, 1), 0, -1)


def _blurred_around(
    heatmaps: np.ndarray, peaks: Int[np.ndarray, "batch keypoint 2"], sigma: float
) -> Float[np.ndarray, "9 batch keypoint"]:
    """Return the maps, blurred by a Gaussian, at each peak and its eight neighbours; around a map all is 0.

    Nothing else of the blurred maps is made. Around a map DARK's code has 0 too; UDP's has the map's mirror, by which
    joints near its border move outwards by up to a pixel.
    """
    height, width = heatmaps.shape[-2:]
    kernel = _kernel(sigma, heatmaps.dtype)
    side = math.isqrt(len(kernel))
    steps = np.arange(side) - side // 2
    columns, rows = peaks.reshape(-1, 2).T
    middles = (np.arange(len(rows)) * height + rows) * width + columns
    window = (steps[:, None] * width + steps).reshape(-1)
    patches = heatmaps.reshape(-1).take(middles[:, None] + window, mode="wrap").reshape(-1, side, side)
    for places, end, lines in ((rows, height, patches), (columns, width, patches.swapaxes(1, 2))):
        around = (places[:, None] + steps).view(np.uintp)  # what is negative is too large
        lines[around >= end] = 0
    blurred = patches.reshape(len(patches), -1) @ kernel
    return np.ascontiguousarray(blurred.T).reshape(9, *peaks.shape[:-1])


@lru_cache
def _kernel(sigma: float, dtype: np.dtype[Any]) -> Float[np.ndarray, "window 9"]:
    """Return the weights of the pixels around a peak in the blurred map at it and at its neighbours, row after row."""
    reach = math.ceil(_REACH_SIGMAS * sigma)
    bell = cv2.getGaussianKernel(2 * reach + 1, sigma)[:, 0]
    along = np.stack([np.pad(bell, (place, 2 - place)) for place in range(3)])
    return np.ascontiguousarray(np.kron(along, along).T, dtype=dtype)
