"""YOLO-pose: a line of shares of the image for each subject, in a text file beside each image, told by `data.yaml`.

Read here, since what sleap-io 0.9 makes of these files is not what they hold: coordinates are rounded to single
precision, joints that are hidden become visible, the boxes are dropped, `images/train` is not found, and lines whose
visibility is written 2.0 are passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.config.profile import Pair
from greenpose.data.annotations import is_number
from greenpose.data.findings import first_few
from greenpose.data.image_checks import listed_image
from greenpose.data.instances import Instance
from greenpose.errors import DataError
from greenpose.init.labelled_set import Labelled, framed, missing_images, numbered
from greenpose.init.layouts import IMAGES, settings_in

BOX = 5
"""Numbers of a line before its joints: class, center, width and height."""


def read_yolo(root: Path, files: Sequence[Path], *, category: str | None = None) -> Labelled:
    """Return what a data set in the layout of YOLO-pose holds.

    Raises:
        DataError: with every fault of its settings and lines.
    """
    if len(files) > 1:
        names = first_few(file.name for file in files)
        raise DataError([f"{root}: {len(files)} files of settings ({names}); name one: greenpose init {files[0]}"])
    settings = settings_in(files[0])
    count, values = _shape(files[0], settings)
    classes = _classes(settings)
    if category is not None and category not in classes.values():
        raise DataError([f"--category {category}: no such class; there are {first_few(classes.values())}"])
    wanted = {number for number, name in classes.items() if category in (None, name)}
    keypoints = _names(settings, count)
    reading = _LabelLines(root, count=count, values=values, classes=wanted)
    splits = {split: [*reading.split(folder)] for split, folder in _folders(root, settings)}
    instances = [instance for its in splits.values() for instance in its]
    if not reading.faults and not instances:
        reading.faults.append(f"{root}: no label file has a line with joints; they are looked for in labels/")
    if reading.faults:
        raise DataError(reading.faults)
    taken = [name for number, name in classes.items() if number in wanted]
    remarks = [f"{reading.empty} images have no labels and are left out"] if reading.empty else []
    remarks += [f"{reading.others} lines are of other classes and left out"] if reading.others else []
    remarks += [f"classes taken as one: {first_few(taken)}; --category NAME takes one of them"] if taken[1:] else []
    return Labelled(
        files=tuple(files),
        category=category or (taken[0] if len(taken) == 1 else "subject"),
        keypoints=keypoints,
        skeleton=_pairs(settings.get("skeleton"), count),
        flip_pairs=_flips(settings.get("flip_idx"), count),
        splits=numbered(splits),
        pixels=lambda instance: root / instance.image,
        remarks=tuple(remarks),
    )


def _shape(file: Path, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many joints a subject has, and how many numbers each."""
    if not settings:
        raise DataError([f"{file}: cannot be read: no YAML, or no keys and values"])
    shape = settings.get("kpt_shape")
    if shape is None:
        raise DataError([f"{file}: has no kpt_shape, as of boxes only; a pose data set says e.g. kpt_shape: [17, 3]"])
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape) and shape[0] > 0):
        raise DataError([f"{file}: kpt_shape: {shape} must be [joints, 2 or 3], e.g. [17, 3]"])
    if shape[1] not in (2, 3):
        raise DataError([f"{file}: kpt_shape: {shape}: a joint has 2 or 3 numbers, not {shape[1]}"])
    return shape[0], shape[1]


def _classes(settings: Mapping[str, Any]) -> dict[int, str]:
    given = settings.get("names")
    pairs = given.items() if isinstance(given, dict) else enumerate(given if isinstance(given, list) else ["subject"])
    return {int(number): str(name) for number, name in pairs}


def _names(settings: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Return the joints' names, where the file has them under any of the keys in use; else numbers."""
    for key in ("kpt_names", "node_names", "keypoint_names", "keypoints"):
        given = settings.get(key)
        given = next(iter(given.values()), None) if isinstance(given, dict) else given
        if isinstance(given, list) and len(given) == count:
            return tuple(str(name).strip() for name in given)
    return tuple(f"keypoint_{number}" for number in range(count))


def _pairs(given: Any, count: int) -> tuple[Pair, ...]:
    pairs = given if isinstance(given, list) else []
    whole = [tuple(pair) for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return tuple((a, b) for a, b in whole if {a, b} <= set(range(count)) and a != b)


def _flips(given: Any, count: int) -> tuple[Pair, ...] | None:
    """Return the pairs that `flip_idx` swaps; None where there is no such key, or it swaps nothing there is."""
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(map(str, range(count))):
        return None
    return tuple((number, other) for number, other in enumerate(given) if number < other and given[other] == number)


def _folders(root: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the splits and the folders of their images, of those that are there."""
    path = Path(str(settings.get("path") or "."))
    bases = [root / path, root, root / path.name]
    named = {split: str(settings[split]) for split in ("train", "val", "test") if settings.get(split)}
    found = False
    for split, place in named.items():
        inner = Path(*[part for part in Path(place).parts if part not in ("..", ".")])  # Roboflow: ../train/images
        folder = next((each for base in bases for each in (base / place, base / inner) if each.is_dir()), None)
        if folder is not None and folder.resolve().is_relative_to(root.resolve()):
            found = True
            yield split, folder.resolve()
    if not found:
        places = first_few(named.values())
        raise DataError([f"{root}: no folder of images that data.yaml names is in it ({places}); lists are not read"])


class _LabelLines:
    """One pass over the label files."""

    def __init__(self, root: Path, *, count: int, values: int, classes: set[int]) -> None:
        self.root = root
        self.faults: list[str] = []
        self.empty = self.others = 0
        self._count, self._values, self._classes = count, values, classes

    def split(self, folder: Path) -> Iterator[Instance]:
        """Yield the subjects of a folder of images."""
        labels = _labels_folder(folder)
        images = {each.stem: each for each in sorted(folder.iterdir()) if each.suffix.lower() in IMAGES}
        texts = {each.stem: each for each in sorted(labels.glob("*.txt"))} if labels.is_dir() else {}
        if not images and not texts:
            self.faults.append(f"{folder}: no images")
        self.faults += missing_images(
            [texts[stem].name for stem in texts if stem not in images], len(texts), where=folder
        )
        self.empty += sum(stem not in texts for stem in images)
        for stem, image in images.items():
            if stem in texts:
                yield from self._subjects(image, texts[stem])

    def _subjects(self, image: Path, text: Path) -> Iterator[Instance]:
        try:
            lines = text.read_text(encoding="utf-8").splitlines()
            size = listed_image(image).size
        except (DataError, ValueError) as error:
            self.faults.append(f"{text}: {error}")
            return
        name = image.relative_to(self.root.resolve()).as_posix()
        for number, line in enumerate(lines, start=1):
            fields = self._fields(line, where=f"{text}: line {number}")
            found = self._instance(fields, name, size) if fields else None
            if found is not None:
                yield found

    def _fields(self, line: str, *, where: str) -> list[float]:
        """Return a line's numbers; none where it is empty, of another class, or at fault."""
        try:
            fields = [float(word) for word in line.split()]
        except ValueError:
            self.faults.append(f"{where}: holds something that is no number: {line[:40]!r}")
            return []
        wanted = BOX + self._count * self._values
        if not fields or int(fields[0]) not in self._classes:
            self.others += bool(fields)
            return []
        if len(fields) != wanted or not all(map(is_number, fields)):
            only = " (a box only)" if len(fields) == BOX else ""
            self.faults.append(f"{where}: has {len(fields)} numbers{only}; kpt_shape makes it {wanted}")
            return []
        if max(fields[1:BOX]) > 1.5:  # shares of the image are at most 1; a box may hang over its edge
            self.faults.append(f"{where}: the box {fields[1:BOX]} is in pixels; YOLO's are shares of the image")
            return []
        return fields

    def _instance(self, fields: Sequence[float], name: str, size: tuple[int, int]) -> Instance | None:
        sides = np.array(size, dtype=np.float64)
        rows = np.array(fields[BOX:]).reshape(self._count, self._values)
        given = rows[:, 2].astype(np.intp) if rows.shape[1] > 2 else np.where(rows.any(1), 2, 0)
        (x, y), (width, height) = np.array(fields[1:3]) * sides, np.array(fields[3:BOX]) * sides
        box = (float(x - width / 2), float(y - height / 2), float(width), float(height))
        return framed(rows[:, :2] * sides, given, image=name, size=size, box=box if width > 0 else None)


def _labels_folder(images: Path) -> Path:
    """Return where the labels of a folder of images lie: by Ultralytics' rule the last `images` becomes `labels`."""
    parts = list(images.parts)
    for place in reversed(range(len(parts))):
        if parts[place] == "images":
            return Path(*parts[:place], "labels", *parts[place + 1 :])
    beside = images.parent / "labels"
    return beside if beside.is_dir() else images
