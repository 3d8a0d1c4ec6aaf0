"""COCO in any layout: files named by their split, folders named so (as Roboflow's), or one file and no split at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.config.profile import Area, Pair
from greenpose.data.annotations import as_id
from greenpose.data.check import SPLITS, check_folder, split_files, splits_in
from greenpose.data.coco import Split, image_folders, inspect_split, load_document
from greenpose.data.findings import Notebook, errors, first_few
from greenpose.data.instances import Instance, Profile
from greenpose.errors import DataError
from greenpose.init.labelled_set import Labelled, labelled_twice, numbered, several_skeletons

TRIED = 5
"""Images by which the folder that they lie in is told."""
Documents = Mapping[Path, Mapping[str, Any]]


def read_coco(root: Path, files: Sequence[Path], *, category: str | None = None) -> Labelled:
    """Return what COCO files below a folder hold: as it lies there, where three splits are told; else to be divided.

    Raises:
        DataError: with every fault of every file.
    """
    notebooks = {file: Notebook(str(file)) for file in files}
    documents = {file: found for file in files if (found := load_document(file, notebooks[file])) is not None}
    faults = [fault for notebook in notebooks.values() for fault in errors(notebook.findings)]
    if faults:
        raise DataError(faults)
    chosen = _category(root, documents, category)
    posed = {file: document for file, document in documents.items() if _has(document, chosen)}
    wanted = _profile(chosen)
    folder = _images_folder(root, posed)
    splits = {file: inspect_split(file, folder, wanted) for file in posed}
    faults = [fault for split in splits.values() for fault in errors(split.findings)]
    by_split: dict[str, list[Path]] = {}
    for file in posed:
        by_split.setdefault(_split_of(file), []).append(file)
    faults += labelled_twice({file: [one.image for one in split.instances] for file, split in splits.items()})
    if faults:
        raise DataError(faults)
    found = {name: [one for file in its for one in _all(splits[file], root)] for name, its in by_split.items()}
    return Labelled(
        files=tuple(posed),
        category=wanted.category,
        keypoints=wanted.keypoints,
        skeleton=wanted.skeleton,
        splits=numbered(found),
        pixels=lambda instance: root / instance.image,
        area=_area(list(splits.values())),
        in_place=_in_place(root, folder, by_split),
        remarks=tuple(_remarks(list(splits.values()), [file for file in documents if file not in posed])),
    )


def _has(document: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Return whether a file labels the keypoints that are meant, under any category, or some without naming them."""
    named = [entry["keypoints"] for entry in document["categories"] if entry.get("keypoints")]
    return chosen["keypoints"] in named or (not named and any(one.get("keypoints") for one in document["annotations"]))


def _category(root: Path, documents: Documents, wanted: str | None) -> Mapping[str, Any]:
    """Return the category that is meant: the one with keypoints, or of several the one that is named.

    Raises:
        DataError: no category has keypoints, or several have different ones.
    """
    posed = [
        (file, entry)
        for file, document in documents.items()
        for entry in document["categories"]
        if entry.get("keypoints") and wanted in (None, entry.get("name"))
    ]
    kinds: dict[tuple[str, ...], list[str]] = {}
    for file, entry in posed:
        kinds.setdefault(tuple(map(str, entry["keypoints"])), []).append(f"{entry.get('name')} in {file.name}")
    if len(kinds) > 1:
        remedy = "name one: --category NAME, or give the file of one instead of the folder"
        raise several_skeletons(kinds, where=root, remedy=remedy)
    return posed[0][1] if posed else _unnamed(root, documents, wanted)


def _unnamed(root: Path, documents: Documents, wanted: str | None) -> Mapping[str, Any]:
    """Return a category for keypoints that no file names, from how many an annotation has."""
    entries = [entry for document in documents.values() for entry in document["annotations"]]
    lengths = {len(entry["keypoints"]) // 3 for entry in entries if isinstance(entry.get("keypoints"), list)} - {0}
    names = sorted({str(one.get("name")) for document in documents.values() for one in document["categories"]})
    if wanted is not None:
        raise DataError([f"--category {wanted}: no category of that name has keypoints; there are {first_few(names)}"])
    if len(lengths) != 1 or len(names) != 1:
        text = "no annotation has keypoints: these are boxes only" if entries else "there are no annotations in it"
        raise DataError([f"{root}: {text}; label the joints, then greenpose init again"])
    return {"name": names[0], "keypoints": [f"keypoint_{number}" for number in range(lengths.pop())]}


def _profile(category: Mapping[str, Any]) -> Profile:
    """Return a category as a profile to read by; its sigmas mean nothing yet."""
    names = tuple(str(name).strip() for name in category["keypoints"])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError([f"category {category.get('name')!r}: keypoints named more than once: {first_few(twice)}"])
    return Profile(
        name="init",
        category=str(category.get("name") or "subject"),
        keypoints=names,
        skeleton=_skeleton(category, len(names)),
        sigmas=(0.05,) * len(names),
        sigma_source="none",
    )


def _skeleton(category: Mapping[str, Any], count: int) -> tuple[Pair, ...]:
    """Return the pairs that a category joins, counted from 0; COCO counts from 1, some tools from 0."""
    given = category.get("skeleton")
    pairs = (
        [[as_id(end) for end in pair] for pair in given if isinstance(pair, list)] if isinstance(given, list) else []
    )
    whole = [(a, b) for a, b in (pair for pair in pairs if len(pair) == 2) if a is not None and b is not None]
    first = 0 if any(0 in pair for pair in whole) else 1
    moved = [(a - first, b - first) for a, b in whole]
    return tuple((a, b) for a, b in dict.fromkeys(moved) if a != b and min(a, b) >= 0 and max(a, b) < count)


def _images_folder(root: Path, documents: Documents) -> Path:
    """Return the folder by which images of every file are found: `images`, the folder itself, or one in it."""
    folders = [root / "images", root, *sorted(entry for entry in root.glob("*/") if entry.name != "images")]
    return next((folder for folder in folders if all(_finds(folder, *each) for each in documents.items())), folders[0])


def _finds(folder: Path, file: Path, document: Mapping[str, Any]) -> bool:
    names = [str(entry.get("file_name") or "-").replace("\\", "/") for entry in document["images"][:TRIED]]
    return any((place / name).is_file() for place in image_folders(file, folder) for name in names)


def _split_of(file: Path) -> str:
    """Return the split that a file's name or its folder's tells; "" for none."""
    for name in (file.stem, file.parent.name):
        told = splits_in(name)
        if len(told) == 1:
            return told.pop()
    return ""


def _all(split: Split, root: Path) -> list[Instance]:
    """Return what a file holds, crowds too, with images named by their paths below the folder."""
    base = root.resolve()
    return [
        replace(one, image=Path(one.image).resolve().relative_to(base).as_posix())
        for one in (*split.instances, *split.aside)
    ]


def _area(splits: Sequence[Split]) -> Area:
    count = sum(len(split.instances) for split in splits)
    return "box" if sum(split.num_box_areas for split in splits) == count else "drawn"


def _in_place(root: Path, folder: Path, files: Mapping[str, Sequence[Path]]) -> dict[str, Any] | None:
    """Return the settings that read the folder as it is: it has one file for each of the three splits."""
    if set(files) != set(SPLITS) or any(len(its) > 1 for its in files.values()):
        return None
    named = {split: str(files[split][0].relative_to(root)) for split in SPLITS}
    settings: dict[str, Any] = {"root": str(root.resolve()), "images": folder.relative_to(root).as_posix()}
    try:
        told = {split: str(file.relative_to(root)) for split, file in split_files(root).items()}
    except DataError:
        told = {}
    return settings if told == named else settings | {"annotations": named}


def _remarks(splits: Sequence[Split], without: Sequence[Path]) -> list[str]:
    warned = [finding for split in splits for finding in split.findings if finding.level == "warning"]
    left = [f"without these keypoints and left out: {first_few(file.name for file in without)}"] if without else []
    return [*left, *map(str, warned)]


def check_in_place(settings: Mapping[str, Any], profile: Profile) -> tuple[list[str], bool]:
    """Return the faults by which a folder would not train as it lies there, and whether its images are raw depth."""
    named = settings.get("annotations")
    checked = check_folder(
        Path(settings["root"]), profile=profile, images=settings.get("images", "images"), named=named
    )
    return errors(checked.findings), any(split.depth and not split.window for split in checked.splits.values())


def depth_window(files: Sequence[Path], read: Any) -> tuple[float, float]:
    """Return the depths in mm between which 98 % of the pixels of some images lie, but for those without any."""
    depths = np.concatenate([pixels[pixels > 0].ravel()[::101] for pixels in map(read, files)])
    near, far = np.percentile(depths, (1, 99))
    return float(np.floor(near / 10) * 10), float(np.ceil(far / 10 + 1) * 10)
