"""One subject in one image: what every source of poses, files, generator or detector, is read into."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # arrays have no single truth value to compare by
class Instance:
    """One annotated subject in one image, or where a detector saw one."""

    id: int
    """Annotation id, unique in its split and at least 1 (COCO's evaluator reads 0 as "unmatched")."""
    image_id: int
    """Id of the image in its split; several instances may share it."""
    image: str
    """Path of the image file, or a name for a generated frame."""
    subject: str
    """Patient or other individual, "" when unknown: what train and test sets must not share."""
    image_size: tuple[int, int]
    """Width and height of the image in pixels."""
    box: tuple[float, float, float, float]
    """x, y, width and height of the box around the subject, in image pixels."""
    area: float
    """Square pixels, as OKS uses it; which area that is says the profile."""
    joints: Float[np.ndarray, "keypoint 2"]
    """x and y of each keypoint in image pixels; (0, 0) where unlabelled."""
    visibility: Int[np.ndarray, " keypoint"]
    """COCO's flag of each keypoint: 0 unlabelled, 1 labelled but occluded, 2 visible."""
    crowd: bool = False
    """Whether the box is around many subjects that nobody told apart."""
