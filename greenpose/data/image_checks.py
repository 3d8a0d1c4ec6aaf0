"""The check of the images that a COCO file lists: where each lies, how large it is, whose it is."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from greenpose.data.annotations import as_id
from greenpose.data.findings import Level, Notebook, first_few
from greenpose.data.images import Header, read_header
from greenpose.errors import DataError

_PATIENT = re.compile(r"(pz|patient|pat|subject|subj|sub|infant|baby)[-_ ]?\d+", re.IGNORECASE)
"""A folder of such a name holds one patient's images; `pzN` is the babyPose set's."""
DEPTH_BITS = 16
"""Bits per channel of raw depth."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""File names that Windows keeps for devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage(Header):
    """One listed image that is there, and what its file says of itself."""

    file: Path
    """Where it lies."""
    subject: str
    """Patient, "" when unknown."""


def read_pictures(
    document: Mapping[str, Any], folders: Sequence[Path], notebook: Notebook, *, allow_missing: bool = False
) -> dict[int, ListedImage]:
    """Return the annotated images that are there and whole, by id; the rest is noted.

    An image is looked for in each of the folders in turn.
    """
    inside = tuple(folder.resolve() for folder in folders if folder.parent != folders[0])
    find = partial(_find, folders)
    return search_pictures(document, notebook, find=find, below=folders[0], inside=inside, allow_missing=allow_missing)[
        0
    ]


def search_pictures(
    document: Mapping[str, Any],
    notebook: Notebook,
    *,
    find: Callable[[Mapping[str, Any]], Path | None],
    below: Path,
    inside: Sequence[Path],
    patient: str = "",
    allow_missing: bool = False,
) -> tuple[dict[int, ListedImage], list[str], list[str]]:
    """Return the annotated images that are there and whole, by id, and those that are missing or broken, as text.

    `find` gives the path of a listed image. Nothing is read outside of the folders `inside`, whatever a name or a link
    says; `below` is the one to name where an image is missing. All are the `patient`'s, if one is named. Whatever is
    odd is noted; a missing or broken image is an error unless `allow_missing`.
    """
    known = _annotated(_by_id(document["images"], notebook), document["annotations"], notebook)
    found: dict[int, ListedImage] = {}
    missing: list[Mapping[str, Any]] = []
    broken: list[str] = []
    astray: list[str] = []
    for image_id, entry in known.items():
        file = find(entry)
        if file is None:
            missing.append(entry)
        elif not any(file.resolve().is_relative_to(folder) for folder in inside):
            astray.append(f"{listed_name(entry)} is {file.resolve()}")
        else:
            try:
                found[image_id] = listed_image(file, patient or subject_of(entry))
            except DataError as error:
                broken += error.faults
    text = "{n} file names or links lead outside the data folder and are not read; copy the images into it"
    notebook.count("error", astray, text, field="images.file_name")
    if missing:
        patients = Counter(patient or subject_of(entry) or "patient unknown" for entry in missing)
        _note_missing(list(map(listed_name, missing)), patients, below, notebook, allow_missing=allow_missing)
    note_broken(broken, notebook, allow_missing=allow_missing)
    _note_sizes(known, found, notebook)
    _note_depth(found, notebook)
    _note_shown_otherwise(found, notebook)
    return found, list(map(listed_name, missing)), broken


def listed_image(file: Path, subject: str = "") -> ListedImage:
    """Return what an image file says of itself.

    Raises:
        DataError: it is missing, empty, truncated, too large or no image.
    """
    return ListedImage(file=file, subject=subject, **asdict(read_header(file)))


def _note_shown_otherwise(pictures: Mapping[int, ListedImage], notebook: Notebook) -> None:
    """Note images that other programs show otherwise than they are read here: turned, moving, or not at all."""
    files = pictures.values()
    turned = [f"{one.file.name} has {one.orientation}" for one in files if one.orientation != 1]
    text = (
        "{n} images have an EXIF orientation, by which annotation tools turn them and others do not: nobody can tell "
        "which pixels the joints are meant for; save them upright without it, and look at the joints in them"
    )
    notebook.count("error", turned, text, field="images")
    moving = [one.file.name for one in files if one.animated]
    notebook.count("warning", moving, "{n} images have several frames; the first one is taken", field="images")
    reserved = [one.file.name for one in files if _RESERVED.fullmatch(one.file.name)]
    notebook.count("note", reserved, "{n} file names cannot be used on Windows", field="images.file_name")


def is_file(path: Path) -> bool:
    """Return whether a file is there; a name that no file can have, as one that is too long, is that of none."""
    try:
        return path.is_file()
    except OSError:
        return False


def subject_of(entry: Mapping[str, Any]) -> str:
    """Return the patient that an image or annotation names, or whose folder it lies in; "" where none is told."""
    for key in ("patient", "subject"):
        if entry.get(key) not in (None, ""):
            return str(entry[key]).strip()
    for key in ("file_name", "path"):
        for part in PurePosixPath(_path(entry, key)).parent.parts:
            if _PATIENT.fullmatch(part):
                return part
    return ""


def _path(entry: Mapping[str, Any], key: str = "file_name") -> str:
    return str(entry.get(key) or "").replace("\\", "/")


def listed_name(entry: Mapping[str, Any]) -> str:
    """Return what a file calls an image: its path, else its file name."""
    return _path(entry, "path") or _path(entry) or f"image {entry.get('id')} has no file_name"


def _by_id(entries: Sequence[Mapping[str, Any]], notebook: Notebook) -> dict[int, Mapping[str, Any]]:
    ids = [as_id(entry.get("id")) for entry in entries]
    notebook.count(
        "error",
        [repr(entry.get("id")) for entry, image_id in zip(entries, ids, strict=True) if image_id is None],
        "{n} images have no whole number as id",
        field="images.id",
    )
    times = Counter(image_id for image_id in ids if image_id is not None)
    notebook.count(
        "error",
        [image_id for image_id, number in times.items() if number > 1],
        "{n} ids are those of several images",
        field="images.id",
    )
    return {image_id: entry for entry, image_id in zip(entries, ids, strict=True) if image_id is not None}


def _annotated(
    known: Mapping[int, Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]], notebook: Notebook
) -> dict[int, Mapping[str, Any]]:
    wanted = {as_id(annotation.get("image_id")) for annotation in annotations}
    idle = [_path(entry) for image_id, entry in known.items() if image_id not in wanted]
    notebook.count("note", idle, "{n} images have no annotation and are not used", field="images")
    return {image_id: entry for image_id, entry in known.items() if image_id in wanted}


def _find(folders: Sequence[Path], entry: Mapping[str, Any]) -> Path | None:
    name = _path(entry)
    candidates = (folder / name for folder in folders) if name else ()
    return next((file for file in candidates if is_file(file)), None)


def _note_missing(
    names: Sequence[str], patients: Mapping[str, int], below: Path, notebook: Notebook, *, allow_missing: bool
) -> None:
    level, consequence = _verdict(allow_missing=allow_missing)
    by_patient = first_few(f"{patient}: {number}" for patient, number in patients.items())
    text = f"{len(names)} images are not below {below}: {first_few(names)}; by patient {by_patient}; {consequence}"
    notebook.add(level, text, field="images.file_name")


def note_broken(broken: Sequence[str], notebook: Notebook, *, allow_missing: bool) -> None:
    """Note images that are no whole images: left out where that is allowed, else an error."""
    level, consequence = _verdict(allow_missing=allow_missing)
    notebook.count(level, broken, "{n} image files are broken; " + consequence, field="images")


def _verdict(*, allow_missing: bool) -> tuple[Level, str]:
    return ("warning", "left out") if allow_missing else ("error", "without them it would be another set")


def _note_sizes(
    entries: Mapping[int, Mapping[str, Any]], pictures: Mapping[int, ListedImage], notebook: Notebook
) -> None:
    told = {i: (as_id(entries[i].get("width")), as_id(entries[i].get("height"))) for i in pictures}
    wrong = [
        f"{picture.file.name} is {picture.size[0]} x {picture.size[1]}, listed {told[i][0]} x {told[i][1]}"
        for i, picture in pictures.items()
        if None not in told[i] and told[i] != picture.size
    ]
    text = "{n} images have another size than listed, so that joints would be in the wrong place"
    notebook.count("error", wrong, text, field="images.width")
    unknown = [picture.file.name for i, picture in pictures.items() if None in told[i]]
    notebook.count("note", unknown, "{n} images are listed without a size; it is taken from the file", field="images")


def _note_depth(pictures: Mapping[int, ListedImage], notebook: Notebook) -> None:
    deep = [picture.file.name for picture in pictures.values() if picture.bits == DEPTH_BITS]
    if len(deep) in {0, len(pictures)}:
        notebook.count("note", deep, "{n} images are 16-bit depth, read through a window of near and far mm")
    else:
        text = "{n} images are 16-bit depth and the others 8-bit; no one window suits both"
        notebook.count("error", deep, text, field="images")
