"""Percentage of correct keypoints, on heatmaps."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from greenpose.data.heatmaps import find_peaks

Norm = Literal["paper", "corrected"]
_SIDES_PER_UNIT = 10
"""Distances are counted in tenths of the heatmap's sides."""


def pck(prediction: Any, target: Any, threshold: float = 0.5, *, norm: Norm = "paper") -> float:
    """Return the share of correct keypoints, averaged over the keypoints that are counted at least once.

    `prediction` and `target` are heatmaps [batch, keypoint, height, width], arrays or CPU tensors. A keypoint is
    correct when its peak lies nearer to the target's than `threshold` tenths of the heatmap. It is counted unless its
    target peaks in the first two columns or rows, where an unlabelled one has its peak too. 0 when none is counted.

    `norm="paper"` is what the paper reports as PCK@0.5: a tenth of the *height* along x and of the *width* along y,
    which are swapped, most likely by mistake. `norm="corrected"` takes the width along x and the height along y.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, after Xiao et al. (2018), `accuracy`.
    """
    correct, counted = pck_hits(prediction, target, threshold, norm=norm)
    return mean_share(correct.sum(0), counted.sum(0))


def pck_hits(
    prediction: Any, target: Any, threshold: float = 0.5, *, norm: Norm = "paper"
) -> tuple[Bool[np.ndarray, "batch keypoint"], Bool[np.ndarray, "batch keypoint"]]:
    """Return which keypoints are correct and which are counted; one is correct only if it is counted."""
    height, width = np.shape(target)[-2:]
    return peak_hits(find_peaks(prediction)[0], find_peaks(target)[0], (width, height), threshold, norm=norm)


def peak_hits(
    found: Float[np.ndarray, "batch keypoint 2"],
    wanted: Float[np.ndarray, "batch keypoint 2"],
    size: tuple[int, int],
    threshold: float = 0.5,
    *,
    norm: Norm = "paper",
) -> tuple[Bool[np.ndarray, "batch keypoint"], Bool[np.ndarray, "batch keypoint"]]:
    """Return the same from the peaks alone, in pixels of heatmaps of `size` (width, height), as `find_peaks` gives."""
    width, height = size
    sides = (height, width) if norm == "paper" else (width, height)
    distance = np.linalg.norm((found - wanted) * _SIDES_PER_UNIT / np.array(sides), axis=-1)
    counted: np.ndarray = np.all(wanted > 1, axis=-1)
    correct: np.ndarray = counted & np.less(distance, threshold)
    return correct, counted


def mean_share(correct: np.ndarray, counted: np.ndarray) -> float:
    """Return the mean over keypoints of correct/counted; a keypoint that is never counted is left out."""
    known = counted > 0
    return float(np.mean(correct[known] / counted[known])) if known.any() else 0.0
