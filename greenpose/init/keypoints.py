"""The profile of a data set: what its files say of their keypoints, and what has to be guessed or assumed of them."""

import re
from collections.abc import Iterator, Mapping, Sequence

from greenpose.config.profile import Pair, Profile
from greenpose.data.instances import load_profile, profile_names
from greenpose.init.labelled_set import Labelled

SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("lf", "rf"),
    ("lh", "rh"),
    ("lb", "rb"),
    ("lft", "rgt"),
    ("top", "bot"),
    ("top", "bottom"),
)
"""Words of names that stand for two sides, the surest first."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
SIGMA = 0.05
"""OKS spread of a keypoint that nobody has measured: about the geometric mean of COCO's 0.025 to 0.107 (Lin et al.
2014; pycocotools, Params.setKpParams)."""
LIMBS = frozenset(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
"""Joints by which a person is told from an animal, of which a nose and ears are labelled too."""


def guessed_pairs(names: Sequence[str]) -> tuple[Pair, ...]:
    """Return the pairs of keypoints whose names differ by a side only, as left_ear and right_ear, LEye and REye."""
    words = [tuple(word.lower() for word in WORD.findall(name)) for name in names]
    pairs: list[Pair] = []
    for one, other in SIDES:
        paired = {end for pair in pairs for end in pair}
        for number in range(len(names)):
            partner = _partner(number, words, names, one, other)
            if partner is not None and not {number, partner} & paired:
                pairs.append((number, partner))
                paired |= {number, partner}
    return tuple(sorted(pairs))


def _partner(number: int, words: Sequence[tuple[str, ...]], names: Sequence[str], one: str, other: str) -> int | None:
    """Return the keypoint whose name is this one's with one side changed into the other; None where there is none."""
    own = words[number]
    for place in (place for place, word in enumerate(own) if word == one):
        wanted = (*own[:place], other, *own[place + 1 :])
        if wanted in words:
            return words.index(wanted)
    whole = names[number].lower()
    if one == "left" and one in whole:  # also within a word, as leftear
        lowered = [name.lower() for name in names]
        wanted_name = whole.replace(one, other, 1)
        return lowered.index(wanted_name) if wanted_name in lowered else None
    return None


def propose_profile(labelled: Labelled, *, name: str) -> tuple[Profile, dict[str, str]]:
    """Return the profile of a data set, and by its keys why each is so.

    One with the keypoints of a profile that ships has that one's sigmas.
    """
    known = _shipped(labelled.keypoints)
    pairs, why_pairs = _pairs(labelled, known)
    skeleton, why_skeleton = _skeleton(labelled, known)
    human = _human_sigmas(labelled.keypoints)
    assumed = tuple(human.get(_joint(each), SIGMA) for each in labelled.keypoints)
    profile = Profile(
        name=name,
        category=labelled.category,
        keypoints=labelled.keypoints,
        skeleton=skeleton,
        flip_pairs=pairs,
        sigmas=known.sigmas if known else assumed,
        sigma_source=known.sigma_source if known else _source(labelled.keypoints),
        area=labelled.area,
    )
    return profile, {
        "keypoints": "In the order in which the files have them; pairs below count them from 0.",
        "skeleton": why_skeleton,
        "flip_pairs": why_pairs,
        "sigmas": "How far a prediction may be off before OKS calls it wrong, in square roots of the area. "
        + (f"Those of the profile {known.name}." if known else "Label some images twice to measure your own."),
        "area": {
            "box": "The area that OKS divides by is that of the box.",
            "drawn": "The area that OKS divides by is the one that the annotations have.",
            "mask": "The area that OKS divides by is that of the silhouette.",
        }[labelled.area],
    }


def _shipped(keypoints: Sequence[str]) -> Profile | None:
    profiles = map(load_profile, profile_names())
    return next((profile for profile in profiles if profile.keypoints == tuple(keypoints)), None)


def _pairs(labelled: Labelled, known: Profile | None) -> tuple[tuple[Pair, ...], str]:
    names = labelled.keypoints
    if labelled.flip_pairs is not None:
        return labelled.flip_pairs, "Keypoints that change places in a mirror, as the files say."
    if known:
        return known.flip_pairs, f"Keypoints that change places in a mirror: those of the profile {known.name}."
    pairs = guessed_pairs(names)
    if not pairs:
        none = "None was guessed: no two names differ by a side only. Write [0, 1] for two that change places in a"
        return (), f"{none} mirror; without them train.mirror must stay 0."
    told = ", ".join(f"{names[a]} and {names[b]}" for a, b in pairs)
    text = f"GUESSED from the names: {told} change places in a mirror. Look at them before you set train.mirror."
    views = any(_differ_by(names[a], names[b], "top") for a, b in pairs)
    return pairs, text + (" Top and bottom do only if they are two sides, not two views: else delete them." * views)


def _differ_by(one: str, other: str, side: str) -> bool:
    return any(side in {word.lower() for word in WORD.findall(name)} for name in (one, other))


def _skeleton(labelled: Labelled, known: Profile | None) -> tuple[tuple[Pair, ...], str]:
    if labelled.skeleton:
        return labelled.skeleton, "Limbs, as the files join their keypoints; for pictures only."
    if known:
        return known.skeleton, f"Limbs: those of the profile {known.name}; for pictures only."
    return (), "Limbs: the files join no keypoints. Write [0, 1] to draw one; for pictures only."


def _human_sigmas(names: Sequence[str]) -> Mapping[str, float]:
    """Return COCO's sigmas by joint, sides left out; none where the names are not mostly those of a person's limbs."""
    profile = load_profile("coco")
    known = {_joint(name): sigma for name, sigma in zip(profile.keypoints, profile.sigmas, strict=True)}
    joints = {_joint(name) for name in names}
    human = len(joints & {*known}) > len(joints) / 2 and len(joints & LIMBS) >= len(LIMBS) / 2
    return known if human else {}


def _joint(name: str) -> str:
    sides = {side for pair in SIDES[:2] for side in pair}
    return "_".join(word.lower() for word in WORD.findall(name) if word.lower() not in sides)


def _source(names: Sequence[str]) -> str:
    return "; ".join(_sources(names))


def _sources(names: Sequence[str]) -> Iterator[str]:
    known = _human_sigmas(names)
    human = [name for name in names if _joint(name) in known]
    if human:
        yield f"COCO's own, measured on adults in photographs, of {', '.join(human)}"
    if len(human) < len(names):
        yield f"{'else ' if human else ''}assumed: {SIGMA}, about the geometric mean of COCO's 0.025 to 0.107"
