"""A labelled data set, whatever wrote it: its subjects by split, their keypoints, and where the images are."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from greenpose.config.profile import Area, Pair
from greenpose.data.annotations import box_around
from greenpose.data.findings import first_few
from greenpose.data.instances import Instance
from greenpose.errors import DataError

Pixels = Callable[[Instance], Path | np.ndarray]
"""Gives an instance's image: a file as it is, or what was decoded of a film (grey or RGB)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """What a folder of labels holds."""

    files: tuple[Path, ...]
    """Those that were read."""
    category: str
    """What is labelled."""
    keypoints: tuple[str, ...]
    """Names, in the files' order."""
    skeleton: tuple[Pair, ...]
    """Pairs of keypoints that the files join."""
    splits: Mapping[str, tuple[Instance, ...]]
    """Subjects by split; "" for those of no split. An image's name is its path below the folder."""
    pixels: Pixels
    """Where the image of each is had."""
    flip_pairs: tuple[Pair, ...] | None = None
    """Pairs that the files say to change places in a mirror; None where they do not say."""
    area: Area = "box"
    """Which area the annotations have."""
    in_place: Mapping[str, Any] | None = None
    """Settings of `data` that read the folder as it lies there; None where a copy has to be made."""
    remarks: tuple[str, ...] = field(default=())
    """What was left out or taken for something, in words."""

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Return the subjects of all splits."""
        return tuple(instance for split in self.splits.values() for instance in split)


def framed(
    joints: Float[np.ndarray, "keypoint 2"],
    visibility: Int[np.ndarray, " keypoint"],
    *,
    image: str,
    size: tuple[int, int],
    subject: str = "",
    box: tuple[float, float, float, float] | None = None,
) -> Instance | None:
    """Return an instance, numbered later; without a box, one is made around its joints. None where none is labelled."""
    labelled = visibility > 0
    around = box or (box_around(joints[labelled], size) if labelled.any() else None)
    if around is None:
        return None
    return Instance(
        id=1,
        image_id=1,
        image=image,
        subject=subject,
        image_size=size,
        box=around,
        area=around[2] * around[3],
        joints=np.where(labelled[:, None], joints, 0.0),
        visibility=visibility,
    )


def num_labelled(instances: Iterable[Instance]) -> int:
    """Return how many have a labelled joint: crowds and boxes alone are neither trained on nor tested."""
    return sum(bool(one.visibility.any()) for one in instances)


def numbered(splits: Mapping[str, Iterable[Instance]]) -> dict[str, tuple[Instance, ...]]:
    """Return instances with ids of their own, and one for each image."""
    images: dict[str, int] = {}
    count = 0
    found: dict[str, tuple[Instance, ...]] = {}
    for split, instances in splits.items():
        renamed: list[Instance] = []
        for instance in instances:
            count += 1
            number = images.setdefault(instance.image, len(images) + 1)
            renamed.append(replace(instance, id=count, image_id=number))
        found[split] = tuple(renamed)
    return found


def told_subjects(instances: Sequence[Instance]) -> Sequence[Instance]:
    """Return instances without subjects where every image has its own: these are names of images, nothing more."""
    images = {instance.image: instance.subject for instance in instances}
    if len(set(images.values())) < len(images):
        return instances
    return [replace(instance, subject="") for instance in instances]


def missing_images(missing: Sequence[object], of: int, *, where: Path) -> list[str]:
    """Return in words which of the labelled images are not there."""
    if not missing:
        return []
    lie = "give the folder that they lie in, or put them back"
    return [f"{where}: {len(missing)} of {of} labelled images are missing ({first_few(missing)}); {lie}"]


def labelled_twice(files: Mapping[Path, Iterable[str]]) -> list[str]:
    """Return in words which files label the same images: versions of one work, of which one is meant."""
    times = Counter(image for images in files.values() for image in set(images))
    twice = {image for image, count in times.items() if count > 1}
    if not twice:
        return []
    among = [file for file, images in files.items() if twice & set(images)]
    names = first_few(file.name for file in among)
    text = f"{len(twice)} images are labelled in several files ({names}); name the one that holds"
    return [f"{among[0].parent}: {text}, e.g. greenpose init {among[-1]}"]


def several_skeletons(kinds: Mapping[tuple[str, ...], Sequence[str]], *, where: Path, remedy: str) -> DataError:
    """Return the fault of a folder whose labels are of several sets of keypoints, by who has which."""
    each = "; ".join(f"{first_few(owners)}: {first_few(names)}" for names, owners in kinds.items())
    return DataError([f"{where}: labels of {len(kinds)} different sets of keypoints ({each}); {remedy}"])
