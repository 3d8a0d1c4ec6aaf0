"""Inputs: what the user named, as images in order: files, folders, globs, a COCO file's images, the frames of films."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from greenpose.config.yaml_files import meant
from greenpose.data.annotations import as_id
from greenpose.data.coco import find_category, image_folders, load_document
from greenpose.data.crops import Box
from greenpose.data.findings import Notebook, errors
from greenpose.data.image_checks import ListedImage, listed_name, read_pictures
from greenpose.data.images import Window, as_rgb, decode_stored, header_of, read_bytes, window_depth
from greenpose.data.instances import CATEGORY_ID, Profile
from greenpose.errors import DataError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
"""Endings of the files that are taken from a folder as images."""
FILMS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Endings of films."""
DEFAULT_RATE = 25.0
"""Frames per second of a film that does not say it."""
_TRANSPOSED = 5
"""The least EXIF orientation that changes width and height."""
_QUIET_AND_LOCAL = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file"}
"""What OpenCV's reader of films is told: to leave words to us, and to open nothing that a film names on the network."""


class View(NamedTuple):
    """One image that is to be searched, or the reason why it cannot be."""

    id: int
    """Id of the image in the results."""
    file: Path
    """The image's file, or the film's."""
    frame: int | None = None
    """Number of the frame in its film, from 0; None for an image."""
    image: UInt8[np.ndarray, "height width *channel"] | None = None
    """Grey or RGB, upright; None where it could not be read."""
    fault: str = ""
    """Why it could not be read."""
    eight_bit: bool = False
    """Whether it is taken as it is although the model looks at depth through a window."""
    turned: bool = False
    """Whether it was turned as its EXIF note says."""

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of the image that was read, in pixels."""
        assert self.image is not None
        return self.image.shape[1], self.image.shape[0]

    @property
    def whole(self) -> Box:
        """Return the box of the whole image."""
        width, height = self.size
        return 0.0, 0.0, float(width), float(height)

    @property
    def name(self) -> str:
        """Return what the image is called: its path, with the number of the frame in a film."""
        return str(self.file) if self.frame is None else f"{self.file}#{self.frame}"


LONGEST_NUMBER = 20
"""Digits of a number in a file's name up to which frame 2 comes before frame 10."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What is to be searched."""

    names: tuple[str, ...]
    """Paths of images and films, in order; as text, which takes a third of what paths do where there are very many."""
    ids: tuple[int, ...] = ()
    """Ids of the images in their COCO file; empty where images are numbered from 1, frames of films too."""
    document: dict[str, Any] | None = None
    """The COCO file that was named; None for plain files."""
    coco: Path | None = None
    """Where it lies."""
    pictures: dict[int, ListedImage] | None = None
    """What is known of the images of a COCO file."""
    categories: frozenset[int] = frozenset()
    """Ids of the categories of a COCO file that have the model's keypoints."""

    @property
    def category(self) -> int:
        """Return the id of the category that results are of."""
        return min(self.categories, default=CATEGORY_ID)

    @property
    def files(self) -> Iterator[Path]:
        """Return images and films, in order."""
        return map(Path, self.names)

    def count(self) -> int:
        """Return how many images there are, those of films by what these say of themselves."""
        return sum(film_length(file) if is_film(file) else 1 for file in self.files)

    def views(self, window: Window | None) -> Iterator[View]:
        """Yield every image in order, read as a model does that looks at depth through `window`."""
        number = 0
        for place, file in enumerate(self.files):
            if is_film(file):
                for view in _frames(file, number, windowed=window is not None):
                    number += view.image is not None
                    yield view
            else:
                number += 1
                yield _read(self.ids[place] if self.ids else number, file, window)


def is_film(file: Path) -> bool:
    """Return whether a file is taken for a film, by the ending of its name."""
    return file.suffix.lower() in FILMS


def find_inputs(named: Sequence[str], profile: Profile) -> Inputs:
    """Return what is to be searched for poses of a profile.

    Raises:
        DataError: with everything that is named and is not there, holds nothing, or is a COCO file of other keypoints.
    """
    listed = [name for name in named if Path(name).suffix.lower() == ".json"]
    if listed and len(named) > 1:
        others = ", ".join(name for name in named if name != listed[0])
        raise DataError(
            [f"{listed[0]}: a COCO file goes alone, since its images have ids of their own; leave out {others}"]
        )
    if listed:
        return _of_coco(Path(listed[0]), profile)
    files: dict[str, None] = {}
    faults: list[str] = []
    for name in named:
        try:
            files |= dict.fromkeys(_files(name))
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    return Inputs(names=tuple(files))


def _files(name: str) -> list[str]:
    path = Path(name)
    if path.is_dir():
        inside = (file for file in path.rglob("*") if file.suffix.lower() in (*IMAGES, *FILMS) and file.is_file())
        shown = (file for file in inside if not any(part.startswith(".") for part in file.relative_to(path).parts))
        found = list(map(str, shown))
        if not found:
            raise DataError([f"{name}: holds no image ({_endings(IMAGES)}) and no film ({_endings(FILMS)})"])
        return sorted(found, key=_in_order)
    if path.exists():
        return [str(path)]
    if glob.has_magic(name):
        matching = map(Path, glob.iglob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = sorted((str(file) for file in matching if file.is_file()), key=_in_order)
        if not found:
            raise DataError([f"{name}: matches no file from {Path.cwd()}; quote a pattern such as 'frames/**/*.png'"])
        return found
    siblings = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
    raise DataError(["; ".join(filter(None, [f"{name}: no such file or folder", meant(path, siblings)]))])


def _endings(endings: Sequence[str]) -> str:
    return ", ".join(ending.removeprefix(".") for ending in endings)


def _in_order(file: str) -> str:
    """Return what sorts frame 2 before frame 10: the name with its numbers at one length."""
    return re.sub(r"[0-9]+", lambda number: number[0].zfill(LONGEST_NUMBER), file)


def _of_coco(file: Path, profile: Profile) -> Inputs:
    """Return the images that a COCO file lists; those that are missing are found out when they are read."""
    notebook = Notebook(str(file))
    document = load_document(file, notebook)
    categories = find_category(document, profile, notebook)[1] if document is not None else frozenset()
    pictures: dict[int, ListedImage] = {}
    if document is not None:
        if not document["images"]:
            notebook.add("error", "lists no image")
        beside = file.parent.parent / "images"
        folder = beside if beside.is_dir() else file.parent
        all_wanted = {**document, "annotations": [{"image_id": entry.get("id")} for entry in document["images"]]}
        pictures = read_pictures(all_wanted, image_folders(file, folder), notebook, allow_missing=True)
    faults = errors(notebook.findings)
    if faults or document is None:
        raise DataError(faults)
    entries = {number: entry for entry in document["images"] if (number := as_id(entry.get("id"))) is not None}
    files = (pictures[i].file if i in pictures else folder / listed_name(entry) for i, entry in entries.items())
    return Inputs(
        names=tuple(map(str, files)),
        ids=tuple(entries),
        document=document,
        coco=file,
        pictures=pictures,
        categories=categories,
    )


def _read(number: int, file: Path, window: Window | None) -> View:
    try:
        data = read_bytes(file)
        header = header_of(data, file)
        stored = decode_stored(data, file)
        image = as_seen(stored, file, window)
    except DataError as error:
        return View(number, file, fault="; ".join(error.faults))
    orientation = 1 if header is None else header.orientation
    return View(
        number,
        file,
        image=upright(image, orientation),
        eight_bit=window is not None and stored.dtype == np.uint8,
        turned=orientation != 1,
    )


def as_seen(stored: np.ndarray, file: Path, window: Window | None) -> UInt8[np.ndarray, "height width *channel"]:
    """Return a decoded file as grey or RGB: 8-bit as it is, 16-bit depth through the model's window.

    Raises:
        DataError: it is depth, and the model has no window; or its channels are not known.
    """
    if stored.dtype != np.uint16:
        return as_rgb(stored, file)
    if window is None:
        said = "is 16-bit depth, and the model has no depth window, since it was trained on 8-bit images"
        raise DataError([f"{file}: {said}; give the image as it was seen there, in 8 bits"])
    return window_depth(stored, window)


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image turned as its EXIF orientation, 1 to 8, says that it is to be shown."""
    turned = image.swapaxes(0, 1) if orientation >= _TRANSPOSED else image
    if orientation in {3, 4, 7, 8}:
        turned = turned[::-1]
    if orientation in {2, 3, 6, 7}:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def open_film(file: Path) -> cv2.VideoCapture:
    """Return a film, opened.

    Raises:
        DataError: it is none that can be read here, or has no frame.
    """
    quieten()
    capture = cv2.VideoCapture(str(file.resolve()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise DataError([f"{file}: cannot be opened as a film; it is broken, or coded as OpenCV here cannot read"])
    return capture


def quieten() -> None:
    """Keep OpenCV from words of its own on films; what they mean is said here."""
    for name, value in _QUIET_AND_LOCAL.items():
        os.environ.setdefault(name, value)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def film_length(file: Path) -> int:
    """Return how many frames a film says that it has; 0 where it cannot be read or does not say it."""
    try:
        return max(0, int(open_film(file).get(cv2.CAP_PROP_FRAME_COUNT)))
    except DataError:
        return 0


def film_size(file: Path) -> tuple[int, int]:
    """Return width and height of a film's frames.

    Raises:
        DataError: it cannot be read.
    """
    capture = open_film(file)
    return int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


def film_rate(file: Path) -> float:
    """Return the frames per second of a film.

    Raises:
        DataError: it cannot be read.
    """
    rate = float(open_film(file).get(cv2.CAP_PROP_FPS))
    return rate if 0 < rate < 1000 else DEFAULT_RATE


def _frames(file: Path, before: int, *, windowed: bool) -> Iterator[View]:
    """Yield the frames of a film, numbered on from those before; one with a fault where it has none."""
    try:
        capture = open_film(file)
    except DataError as error:
        yield View(before + 1, file, fault="; ".join(error.faults))
        return
    number = 0
    while True:
        more, frame = capture.read()
        if not more:
            break
        number += 1
        yield View(before + number, file, number - 1, image=as_rgb(frame, file), eight_bit=windowed)
    told = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if not number:
        yield View(before + 1, file, fault=f"{file}: has no frame that can be read")
    elif number < told - 1:
        yield View(before + number + 1, file, fault=f"{file}: says that it has {told} frames, and ends after {number}")
