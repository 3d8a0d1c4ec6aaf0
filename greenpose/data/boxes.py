"""Detected boxes: where a detector saw subjects, to be searched for poses instead of the annotated boxes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.config import DataConfig
from greenpose.data.annotations import as_id, is_number, usable_box
from greenpose.data.check import sha256, split_files
from greenpose.data.coco import find_category, image_folders, load_document, load_json
from greenpose.data.conventions import note_detected
from greenpose.data.crops import Box, used_box
from greenpose.data.findings import Level, Notebook, errors
from greenpose.data.image_checks import ListedImage, read_pictures
from greenpose.data.images import image_reader
from greenpose.data.instances import Instance, Profile, load_profile
from greenpose.data.samples import Samples
from greenpose.errors import DataError

_EXAMPLE = '[{"image_id": 1, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]'
BOX_KINDS: dict[str, tuple[Level, str, str]] = {
    "image": ("error", "image_id", "{n} boxes are in images that the annotation file of the test split does not list"),
    "category": ("error", "category_id", "{n} boxes are of another category than the annotated subjects"),
    "numbers": ("error", "bbox", "{n} boxes are not four numbers: x, y, width, height"),
    "empty": ("error", "bbox", "{n} boxes are empty; width and height must be above 0"),
    "beside": ("error", "bbox", "{n} boxes show nothing of their image"),
    "score": ("error", "score", "{n} boxes have no score of 0 or more"),
}
"""What can be wrong with a box, and in which field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """What a file of detected boxes amounts to."""

    file: Path
    """The file."""
    sha256: str
    """Its hash."""
    instances: tuple[Instance, ...]
    """One a box, without joints, in the file's order; empty where anything is wrong."""
    scores: tuple[float, ...]
    """How sure the detector is of each."""
    faults: tuple[str, ...]
    """All that is wrong with the file and with the images that it asks for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detected:
    """The detected boxes of a split, ready to be searched."""

    file: str
    """Name of the file that they come from."""
    sha256: str
    """Its hash."""
    samples: Samples
    """One a box, without joints; their ground truth is the split's."""


def load_boxes(config: DataConfig, annotated: Samples) -> Detected | None:
    """Return the detected boxes of the test split `annotated`; None where the annotated ones are to be searched.

    A box is cropped as it stands: the reference code cleans annotated boxes only. Depth is seen through the window of
    the annotated ones.

    Raises:
        DataError: with all faults of the file, or naming the images that cannot be read.
    """
    found = _sound_boxes(config)
    if found is None:
        return None
    samples = Samples.build(
        found.instances,
        image_reader(window=annotated.window),
        window=annotated.window,
        profile=annotated.profile,
        framing=replace(annotated.framing, as_given=True),
        truth=annotated.instances if annotated.truth is None else annotated.truth,
        box_scores=found.scores,
    )
    return Detected(file=found.file.name, sha256=found.sha256, samples=samples)


def num_boxes(config: DataConfig) -> int:
    """Return how many detected boxes are to be searched; 0 where the annotated ones are.

    Raises:
        DataError: with all faults of the file.
    """
    found = _sound_boxes(config)
    return 0 if found is None else len(found.instances)


def _sound_boxes(config: DataConfig) -> Boxes | None:
    found = None if config.detections is None else inspect_boxes(config)
    if found is not None and found.faults:
        raise DataError(found.faults)
    return found


def inspect_boxes(config: DataConfig) -> Boxes:
    """Return the configured file of detected boxes as far as it can be read; no image is decoded.

    The boxes are held against the test split's annotation file, whose own faults are not repeated.

    Raises:
        DataError: the folder has no annotation file of the test split.
    """
    root, profile = Path(config.root or ""), load_profile(config.profile)
    file, annotations = root / (config.detections or ""), split_files(root, named=config.annotations)["test"]
    notebook, elsewhere = Notebook(str(file)), Notebook(str(annotations))
    entries, digest = _load(file, notebook)
    document = load_document(annotations, elsewhere) or {}
    categories = find_category(document, profile, elsewhere)[1] if document else frozenset()
    pictures: dict[int, ListedImage] = {}
    if entries and categories:
        folders = image_folders(annotations, root / config.images)
        pictures = read_pictures({**document, "annotations": entries}, folders, notebook)
        listed = {as_id(image.get("id")) for image in document["images"]} - {None}
        _note(entries, pictures, notebook, listed=listed, categories=categories)
        if not errors(notebook.findings):
            note_kind(entries, pictures, document["annotations"], notebook)
    faults = errors(notebook.findings)
    sound = entries if pictures and not faults else []
    return Boxes(
        file=file,
        sha256=digest,
        instances=tuple(_instance(n, entry, pictures, profile) for n, entry in enumerate(sound, start=1)),
        scores=tuple(float(entry["score"]) for entry in sound),
        faults=tuple(faults),
    )


def _load(file: Path, notebook: Notebook) -> tuple[list[dict[str, Any]], str]:
    """Return the file's entries and its hash; no entries after noting what is wrong with it."""
    entries, content = load_json(file, notebook)
    if not content:
        return [], ""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        notebook.add("error", f"is no list of detected boxes, such as {_EXAMPLE}")
        return [], ""
    if not entries:
        notebook.add("error", "holds no box; set data.detections to null to take the annotated ones")
    return entries, sha256(content)


def _note(
    entries: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, ListedImage],
    notebook: Notebook,
    *,
    listed: set[int | None],
    categories: frozenset[int],
) -> None:
    """Note every kind of fault that occurs, with the first few boxes that have it."""
    seen: dict[str, list[str]] = {}
    for number, entry in enumerate(entries):
        image_id = as_id(entry.get("image_id"))
        kinds = [
            *([] if image_id in listed else ["image"]),
            *([] if as_id(entry.get("category_id")) in categories else ["category"]),
            *box_faults(entry.get("bbox"), None if image_id is None else pictures.get(image_id)),
            *([] if is_score(entry.get("score")) else ["score"]),
        ]
        for kind in kinds:
            seen.setdefault(kind, []).append(f"[{number}] has {entry.get(BOX_KINDS[kind][1])!r}")
    notebook.count_kinds(BOX_KINDS, seen)


def note_kind(
    entries: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, ListedImage],
    annotations: Sequence[Mapping[str, Any]],
    notebook: Notebook,
) -> None:
    """Refuse boxes that are corners: held against their image and the boxes annotated there."""
    known: dict[int, list[Box]] = {number: [] for number in pictures}
    for one in annotations:
        number = as_id(one.get("image_id"))
        if number in known and (box := usable_box(one.get("bbox"), pictures[number].size)):
            known[number].append(box)
    owners = [(as_box(entry["bbox"]), as_id(entry["image_id"])) for entry in entries]
    placed = [(box, pictures[number].size, known[number]) for box, number in owners if number in known]
    note_detected(placed, notebook, field="bbox")


def box_faults(value: Any, picture: ListedImage | None) -> Iterator[str]:
    """Yield what is wrong with a detected box: its kind of fault."""
    if not isinstance(value, list) or len(value) != 4 or not all(is_number(side) for side in value):
        yield "numbers"
    elif min(value[2:]) <= 0:
        yield "empty"
    elif picture is not None and used_box(as_box(value), picture.size, as_given=True) is None:
        yield "beside"


def is_score(value: Any) -> bool:
    """Return whether a value says how sure a detector is."""
    return is_number(value) and value >= 0


def as_box(value: Sequence[float]) -> Box:
    """Return four numbers as a box."""
    x, y, width, height = (float(side) for side in value)
    return x, y, width, height


def _instance(number: int, entry: Mapping[str, Any], pictures: Mapping[int, ListedImage], profile: Profile) -> Instance:
    """Return where a detector saw a subject; nobody labelled a joint there."""
    image_id, box = as_id(entry["image_id"]), as_box(entry["bbox"])
    assert image_id is not None
    picture = pictures[image_id]
    return Instance(
        id=number,
        image_id=image_id,
        image=str(picture.file),
        subject=picture.subject,
        image_size=picture.size,
        box=box,
        area=math.prod(box[2:]),
        joints=np.zeros((profile.num_keypoints, 2)),
        visibility=np.zeros(profile.num_keypoints, dtype=np.intp),
    )
