"""A labelled data set, whatever wrote it: its subjects by split, keypoints and images, and three splits of fewer."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from greenpose.config.profile import Area, Pair
from greenpose.data.annotations import box_around
from greenpose.data.check import SPLITS
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


PART = 0.15
"""Part of all images that is validated on, and that is tested on; a default."""
SEED = 0
"""Seed of the draw of subjects, and of images that belong to none."""
FEWEST = 3
"""Subjects of whom each split can have one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThreeSplits:
    """Three splits, and how they came about."""

    splits: Mapping[str, tuple[Instance, ...]]
    """The subjects of each."""
    how: str
    """In words, with what it means for the test."""
    shares_subjects: bool
    """Whether a subject or film is in several of them."""
    made: bool
    """Whether they are not the folder's own."""


def divided(splits: Mapping[str, tuple[Instance, ...]], *, anew: bool = False) -> ThreeSplits:
    """Return three splits: the folder's own as far as it has them, unless they are wanted `anew`.

    What lacks is taken out of the training split; without one, everything is divided.

    Raises:
        DataError: there are too few images.
    """
    own = {split: its for split, its in splits.items() if split in SPLITS and its}
    if len(own) == len(SPLITS) and not anew:
        return _division(own, "the folder's own splits", made=False)
    kept = {} if anew or "train" not in own else {split: its for split, its in own.items() if split != "train"}
    pool = [one for split, its in splits.items() if split not in kept for one in its]
    num_images = len({one.image for its in splits.values() for one in its})
    lacking = [split for split in ("test", "val") if split not in kept]
    if len({one.image for one in pool}) < len(lacking) + 1:
        text = (
            f"{num_images} labelled images are too few: train, val and test need one each, and a few hundred to learn"
        )
        raise DataError([text])
    taken, how = _taken(pool, lacking, part=PART * num_images)
    every = "train, val and test" if len(lacking) == 2 else f"{lacking[0]} (the folder has none)"
    return _division({**kept, **taken}, f"{every} divided {how}", made=True)


def _division(splits: Mapping[str, Sequence[Instance]], how: str, *, made: bool) -> ThreeSplits:
    owners: dict[str, set[str]] = {}
    for split, instances in splits.items():
        for one in instances:
            owners.setdefault(one.subject, set()).add(split)
    several = sorted(name for name, its in owners.items() if name and len(its) > 1)
    if several:
        how += f"; {first_few(several)} in several splits: the test says nothing about new subjects or films"
    ordered = {split: tuple(splits[split]) for split in SPLITS}
    return ThreeSplits(splits=ordered, how=how, shares_subjects=bool(several), made=made)


def _taken(pool: Sequence[Instance], lacking: Sequence[str], *, part: float) -> tuple[dict[str, list[Instance]], str]:
    """Return what is taken out of a pool for each lacking split, the rest as `train`, and by what it was dealt out."""
    groups: dict[str, list[Instance]] = {}
    known = all(one.subject for one in pool) and len({one.subject for one in pool}) >= FEWEST
    one_film = not known and len({one.subject for one in pool}) == 1 and pool[0].subject
    for one in pool:
        groups.setdefault(one.subject if known else one.image, []).append(one)
    names = sorted(groups)
    if not one_film:
        random.Random(SEED).shuffle(names)
    found: dict[str, list[Instance]] = {}
    for place, split in enumerate(lacking):
        left = len(lacking) - place  # one group is kept for each that follows, and one to train on
        its: list[Instance] = []
        while len(names) > left and len({one.image for one in its}) < max(1.0, part):
            its += groups[names.pop()]
        found[split] = its
    found["train"] = [one for name in names for one in groups[name]]
    return found, _by_what(known=known, num=len(groups), film=pool[0].subject if one_film else "")


def _by_what(*, known: bool, num: int, film: str) -> str:
    if known:
        return f"by subject or film ({num} of them, drawn with seed {SEED}): the test is of new ones"
    if film:
        return f"by time, since all images are of {film}: the end of it is validated and tested on"
    why = "no file says which subject or film an image is of, so that one may be in several splits"
    return f"by image, drawn with seed {SEED}: {why}"
