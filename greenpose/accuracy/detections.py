"""From decoded keypoints to COCO results: scores, and one result where several boxes found the same subject."""

from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float, Int

_CONFIDENT_ABOVE = 0.2
"""Keypoints with a lower peak do not count towards a pose's score; the paper's value."""
_SAME_ABOVE = 0.9
"""Two poses with a greater OKS are one; the paper's value."""


def rescore(peaks: Any, box_score: Any = 1.0, threshold: float = _CONFIDENT_ABOVE) -> Any:
    """Return the score of each pose: the mean of its peaks above `threshold` times its box's score, 0 without any.

    `peaks` [..., keypoint] and `box_score` [...] may be arrays or numbers; a single pose gives a float.
    """
    peaks = np.asarray(peaks, dtype=np.float64)
    confident = peaks > threshold
    total = np.where(confident, peaks, 0).sum(-1)
    scores = total / np.maximum(confident.sum(-1), 1) * np.asarray(box_score, dtype=np.float64)
    return scores if scores.ndim else float(scores)


def detect(
    joints: Float[np.ndarray, "pose keypoint 2"],
    peaks: Float[np.ndarray, "pose keypoint"],
    *,
    image_ids: Sequence[int] | np.ndarray,
    areas: Sequence[float] | Float[np.ndarray, " pose"],
    sigmas: Sequence[float],
    box_scores: Sequence[float] | Float[np.ndarray, " pose"] | None = None,
    category_id: int = 1,
) -> list[dict[str, Any]]:
    """Return poses as COCO results, one for each subject that several boxes of an image found.

    Joints are in image pixels; `areas` in square pixels say how large each subject is (the reference code takes its
    crop's), `box_scores` how sure its box is (1 for annotated boxes). Order is kept.
    """
    scores = rescore(peaks, 1.0 if box_scores is None else box_scores)
    image_of = [int(image) for image in image_ids]  # plain numbers: an array makes floats of ids around 2^63
    images = {image: place for place, image in enumerate(dict.fromkeys(image_of))}
    places = np.array([images[image] for image in image_of], dtype=np.intp)
    sizes = np.asarray(areas, dtype=np.float64)
    kept: list[int] = []
    for place in images.values():
        here = np.flatnonzero(places == place)
        kept += here[oks_nms(joints[here], scores[here], sizes[here], sigmas)].tolist()
    rows = np.concatenate([joints, peaks[..., None]], -1)
    return [
        {
            "image_id": image_of[pose],
            "category_id": category_id,
            "keypoints": rows[pose].ravel().tolist(),
            "score": float(scores[pose]),
        }
        for pose in sorted(kept)
    ]


def oks_nms(
    joints: Float[np.ndarray, "pose keypoint 2"],
    scores: Float[np.ndarray, " pose"],
    areas: Float[np.ndarray, " pose"],
    sigmas: Sequence[float],
    *,
    threshold: SupportsFloat = _SAME_ABOVE,
) -> Int[np.ndarray, " kept"]:
    """Return the indices of the poses to keep, best first: none has an OKS above `threshold` with a better one.

    The sigmas are the profile's own; the reference code always takes COCO's 17 and fails on other skeletons as soon
    as an image shows two subjects.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        alike = _similarity(joints[rest], joints[best], (areas[rest] + areas[best]) / 2, np.asarray(sigmas))
        waiting = rest[alike <= float(threshold)]
    return np.array(kept, dtype=np.intp)


def _similarity(
    joints: Float[np.ndarray, "pose keypoint 2"],
    other: Float[np.ndarray, "keypoint 2"],
    areas: Float[np.ndarray, " pose"],
    sigmas: Float[np.ndarray, " keypoint"],
) -> Float[np.ndarray, " pose"]:
    """Return object keypoint similarity with all keypoints counted: mean of exp(-d² / (2 area (2 sigma)²))."""
    squared = ((joints - other) ** 2).sum(-1)
    spread = 2 * (areas[:, None] + np.spacing(1)) * (2 * sigmas) ** 2
    similarity: np.ndarray = np.exp(-squared / spread).mean(-1)
    return similarity
