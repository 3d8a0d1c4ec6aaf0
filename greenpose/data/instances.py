"""Instances, subjects in images: what every source of poses is read into; their profile and COCO document."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from greenpose.config.profile import Profile, is_file, own_profile, sigma_faults
from greenpose.config.yaml_files import parse_yaml
from greenpose.errors import ConfigError
from greenpose.schema import near


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


__all__ = ["Profile", "load_profile", "profile_names", "sigma_faults"]


def profile_names() -> list[str]:
    """Return the names of the packaged profiles, sorted."""
    folder = resources.files("greenpose.data") / "profiles"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_profile(profile: str | Path | Profile) -> Profile:
    """Return a packaged profile by its name, one's own by the path of its file, or the one that is given.

    Raises:
        ConfigError: no such profile (near names are given) or a faulty file (every fault is given).
    """
    if isinstance(profile, Profile):
        return profile
    if is_file(profile):
        return own_profile(Path(profile))
    if str(profile) not in profile_names():
        hint = near(str(profile), profile_names())
        raise ConfigError([f"profile {str(profile)!r} is not known; {hint} Or give the path of a .yaml file."])
    packaged = resources.files("greenpose.data") / "profiles" / f"{profile}.yaml"
    return Profile.model_validate(parse_yaml(packaged.read_text(encoding="utf-8"), where=f"{profile}.yaml"))


CATEGORY_ID = 1
"""The one category of every document written here."""


def coco_document(instances: Sequence[Instance], profile: Profile, *, seen: Sequence[Instance] = ()) -> dict[str, Any]:
    """Return images, annotations (in order, numbered from 1) and the category; joints unlabelled are 0, 0, 0.

    The images of those that are only `seen`, as by a detector, are listed too.
    """
    images = {instance.image_id: _image(instance) for instance in (*instances, *seen)}
    return {
        "info": {"description": f"{profile.name} keypoints", "area": profile.area},
        "images": list(images.values()),
        "annotations": [_annotation(instance, number) for number, instance in enumerate(instances, start=1)],
        "categories": [_category(profile)],
    }


def _image(instance: Instance) -> dict[str, Any]:
    width, height = instance.image_size
    image = {"id": instance.image_id, "file_name": instance.image, "width": width, "height": height}
    return image | ({"patient": instance.subject} if instance.subject else {})


def _annotation(instance: Instance, number: int) -> dict[str, Any]:
    labelled = (instance.visibility > 0)[:, None]
    rows = np.column_stack([np.where(labelled, instance.joints, 0), instance.visibility])
    return {
        "id": number,
        "image_id": instance.image_id,
        "category_id": CATEGORY_ID,
        "iscrowd": int(instance.crowd),
        "bbox": [float(side) for side in instance.box],
        "area": float(instance.area),
        "segmentation": [],
        "num_keypoints": int(labelled.sum()),
        "keypoints": [value for x, y, flag in rows.tolist() for value in (x, y, int(flag))],
    }


def _category(profile: Profile) -> dict[str, Any]:
    return {
        "id": CATEGORY_ID,
        "name": profile.category,
        "supercategory": profile.category,
        "keypoints": list(profile.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in profile.skeleton],
    }
