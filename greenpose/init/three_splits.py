"""Three splits of a data set that has fewer: by subject or film where these are known, else by image, and said so."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from greenpose.data.check import SPLITS
from greenpose.data.findings import first_few
from greenpose.data.instances import Instance
from greenpose.errors import DataError

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
