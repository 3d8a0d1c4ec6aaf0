"""Boxes: where in each image a subject is looked for: as a file says, everywhere, or where something stands out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from greenpose.data.annotations import as_id, box_around, crowd_flag, is_number
from greenpose.data.boxes import BOX_KINDS, as_box, box_faults, is_score, note_kind
from greenpose.data.coco import find_category, load_document, load_json
from greenpose.data.crops import Box
from greenpose.data.findings import Level, Notebook, errors, first_few
from greenpose.data.image_checks import ListedImage, listed_image
from greenpose.data.instances import Profile
from greenpose.errors import DataError
from greenpose.predict.auto_boxes import Standout
from greenpose.predict.inputs import Inputs, View, film_length, film_size, is_film

Located = tuple[Box, float]
"""A box in image pixels, and how sure it is that a subject is there."""
AUTO, WHOLE = "auto", "whole"
"""What stands in the place of a file of boxes."""
_KINDS: dict[str, tuple[Level, str, str]] = BOX_KINDS | {
    "image": ("error", "image_id", "{n} boxes are in images that were not given; give these too, or leave them out"),
    "category": ("error", "category_id", "{n} boxes are of another category than the model's subjects"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Where to look in each image."""

    of: Callable[[View], Sequence[Located]]
    """Gives the boxes of an image; asked once for each, in order."""
    as_given: bool
    """Whether a box is cropped as it stands; annotated ones are cleaned first, as in training and test."""
    said: str
    """Whose boxes these are, in words."""
    rough: Standout | None = None
    """What guesses the boxes; None where nothing is guessed."""
    awaited: dict[int, int] = field(default_factory=dict)
    """Boxes of each image by its id that no image has been asked for yet; of a film, which may end early."""


def find_regions(named: str | None, inputs: Inputs, profile: Profile, *, of_depth: bool = False) -> Regions:
    """Return where to look: what is named, else the boxes of the COCO file that is searched, else whole images.

    `of_depth` says whether the model looks at depth.

    Raises:
        DataError: with everything that is wrong with the file, or with the boxes in it.
    """
    if named == AUTO:
        standout = Standout(of_depth=of_depth)
        return Regions(of=standout, as_given=True, said=f"found roughly, {standout.said}", rough=standout)
    if named is not None and named != WHOLE:
        return _of_file(Path(named), inputs, profile)
    if named is None and inputs.coco is not None and inputs.document and inputs.document["annotations"]:
        return _annotated(inputs.coco, inputs.document, inputs, inputs.categories)
    return Regions(of=lambda view: [(view.whole, 1.0)], as_given=True, said="the whole image")


def _of_file(file: Path, inputs: Inputs, profile: Profile) -> Regions:
    notebook = Notebook(str(file))
    value, content = load_json(file, notebook)
    if content and isinstance(value, list):
        return _detected(file, value, inputs)
    document = load_document(file, notebook) if content else None
    categories = find_category(document, profile, notebook)[1] if document is not None else frozenset()
    faults = errors(notebook.findings)
    if faults or document is None:
        raise DataError(faults)
    return _annotated(file, document, inputs, categories)


def _detected(file: Path, entries: Sequence[Any], inputs: Inputs) -> Regions:
    """Return a detector's boxes; images are named by their ids in the COCO file, else numbered in order from 1."""
    notebook = Notebook(str(file))
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        notebook.add("error", "is no list of boxes, such as [{image_id: 1, bbox: [x, y, width, height], score: 0.9}]")
        raise DataError(errors(notebook.findings))
    pictures = _pictures_of({as_id(entry.get("image_id")) for entry in entries}, inputs)
    listed = {number for number, picture in pictures.items() if picture is not _ABSENT}
    known = {number: picture for number, picture in pictures.items() if isinstance(picture, ListedImage)}
    seen: dict[str, list[str]] = {}
    for place, entry in enumerate(entries):
        number = as_id(entry.get("image_id"))
        kinds = [
            *([] if number in listed else ["image"]),
            *([] if not inputs.categories or as_id(entry.get("category_id")) in inputs.categories else ["category"]),
            *box_faults(entry.get("bbox"), None if number is None else known.get(number)),
            *([] if is_score(entry.get("score")) else ["score"]),
        ]
        for kind in kinds:
            seen.setdefault(kind, []).append(f"[{place}] has {entry.get(_KINDS[kind][1])!r}")
    notebook.count_kinds(_KINDS, seen)
    _refuse_turned(known.values(), notebook)
    if not errors(notebook.findings):
        note_kind(entries, known, [] if inputs.document is None else inputs.document["annotations"], notebook)
    return _by_id(
        ((as_id(one["image_id"]) or 0, one["bbox"], one["score"]) for one in entries), notebook, as_given=True
    )


def _annotated(file: Path, document: Mapping[str, Any], inputs: Inputs, categories: frozenset[int]) -> Regions:
    """Return the boxes of a COCO file's annotations, those of crowds left out; without a box, one around the joints.

    Where another file or plain images are searched, images are told by their file names; a film's box holds all along.
    """
    notebook = Notebook(str(file))
    names = {
        as_id(entry.get("id")): str(entry.get("file_name") or "").replace("\\", "/") for entry in document["images"]
    }
    same = inputs.coco is not None
    given: Mapping[int, int | Path] = {n: n for n in inputs.ids} if same else _given(names, inputs.files)
    pictures: dict[Any, ListedImage | None] = dict(inputs.pictures or {}) if same else {}
    found: list[tuple[Any, list[float], float]] = []
    seen: dict[str, list[str]] = {}
    for entry in document["annotations"]:
        if as_id(entry.get("category_id")) not in categories or crowd_flag(entry.get("iscrowd")):
            continue
        number = as_id(entry.get("image_id"))
        key = None if number is None else given.get(number)
        if key is not None and key not in pictures:
            pictures[key] = _picture(key) if isinstance(key, Path) else None
        picture = pictures.get(key)
        box = _own_box(entry, picture)
        kinds = [*([] if key is not None else ["image"]), *box_faults(box, picture)]
        for kind in kinds:
            value = names.get(number) or number if kind == "image" else box
            seen.setdefault(kind, []).append(f"annotation {entry.get('id')} has {value!r}")
        if not kinds:
            found.append((key, box, 1.0))
    notebook.count_kinds(_KINDS, seen)
    _refuse_turned([picture for picture in pictures.values() if picture is not None], notebook)
    if not found and not seen:
        notebook.add("error", "has no annotation with a box; --boxes whole looks everywhere")
    return _by_id(found, notebook, as_given=False)


def _by_id(found: Any, notebook: Notebook, *, as_given: bool) -> Regions:
    """Return boxes that are named by an image's id, or by its file.

    Raises:
        DataError: with what is wrong, if anything is.
    """
    if faults := errors(notebook.findings):
        raise DataError(faults)
    boxes: dict[Any, list[Located]] = {}
    for key, box, score in found:
        boxes.setdefault(key, []).append((as_box(box), float(score)))
    awaited = {key: len(some) for key, some in boxes.items() if isinstance(key, int)}

    def of(view: View) -> Sequence[Located]:
        return [*boxes.get(view.id, ()), *boxes.get(view.file, ())]

    kind = "detected" if as_given else "annotated"
    return Regions(of=of, as_given=as_given, said=f"those {kind} in {notebook.where}", awaited=awaited)


def _own_box(entry: Mapping[str, Any], picture: ListedImage | None) -> Any:
    """Return an annotation's box; where it has none, one around its labelled joints."""
    box, joints = entry.get("bbox"), entry.get("keypoints")
    drawn = isinstance(box, list) and len(box) == 4 and any(box)
    if drawn or picture is None or not isinstance(joints, list) or len(joints) % 3 or not all(map(is_number, joints)):
        return box
    rows = np.array(joints, dtype=np.float64).reshape(-1, 3)
    around = box_around(rows[rows[:, 2] > 0, :2], picture.size) if (rows[:, 2] > 0).any() else None
    return box if around is None else list(around)


_ABSENT = object()


def _pictures_of(numbers: set[int | None], inputs: Inputs) -> dict[int, Any]:
    """Return what is known of the images with some ids: `_ABSENT` if not given, None if it cannot be read."""
    if inputs.coco is not None:
        known, listed = inputs.pictures or {}, {*inputs.ids}
        return {n: known.get(n) if n in listed else _ABSENT for n in numbers if n is not None}
    found: dict[int, Any] = {n: _ABSENT for n in numbers if n is not None}
    first = 1
    for file in inputs.files:
        after = first + (film_length(file) if is_film(file) else 1)
        inside = [n for n in found if first <= n < after]
        if inside:
            found |= dict.fromkeys(inside, _picture(file))
        first = after
    return found


def _picture(file: Path) -> ListedImage | None:
    """Return what is known of an image or of a film's frames; None where it cannot be read, which is told later."""
    try:
        return ListedImage(file=file, size=film_size(file), subject="", bits=8) if is_film(file) else listed_image(file)
    except DataError:
        return None


def _given(names: Mapping[int | None, str], files: Iterable[Path]) -> dict[int, Path]:
    """Return the file that was given for each image of a COCO file: the one whose path ends in its file name.

    A file name without a folder, or of other folders, is told by its last part where only one file has it.
    """
    called: dict[str, list[Path]] = {}
    for file in files:
        called.setdefault(file.name, []).append(file)
    found: dict[int, Path] = {}
    for number, name in names.items():
        some = called.get(PurePosixPath(name).name, []) if name else []
        ending = [file for file in some if f"/{file.as_posix()}".endswith(f"/{name.removeprefix('./')}")]
        if number is not None and len(ending or some) == 1:
            found[number] = (ending or some)[0]
    return found


def _refuse_turned(pictures: Any, notebook: Notebook) -> None:
    turned = [f"{picture.file.name} has {picture.orientation}" for picture in pictures if picture.orientation != 1]
    text = "{n} images with boxes have an EXIF orientation: are boxes meant before or after turning? Save them upright"
    notebook.count("error", turned, text)


def unasked(regions: Regions) -> Iterator[str]:
    """Yield what became of boxes whose images never came."""
    if regions.awaited:
        numbers = first_few(sorted(regions.awaited))
        yield f"{sum(regions.awaited.values())} boxes are in images that never came ({numbers}): the film ended before"
