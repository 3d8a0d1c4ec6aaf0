"""SLEAP, DeepLabCut, Lightning Pose and Label Studio through sleap-io: what they hold, and what it passes over."""

import csv
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.config.profile import Pair
from greenpose.data.annotations import as_id
from greenpose.data.check import splits_in
from greenpose.data.findings import first_few
from greenpose.data.image_checks import listed_image
from greenpose.data.instances import Instance
from greenpose.errors import DataError, said
from greenpose.init.labelled_set import (
    Labelled,
    framed,
    labelled_twice,
    missing_images,
    numbered,
    several_skeletons,
    told_subjects,
)
from greenpose.init.layouts import IMAGES, settings_in

UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError, ImportError)
"""What readers of other people's files raise."""
HEADS = ("scorer", "individuals", "bodyparts", "coords")
"""First cells of the rows above the images of DeepLabCut's tables."""


def read_through_sleap_io(root: Path, files: Sequence[Path], *, layout: str, category: str | None = None) -> Labelled:
    """Return what label files of one of these layouts hold, a file's split told by its name where that tells one.

    Raises:
        DataError: with every fault of every file.
        ModuleNotFoundError: sleap-io is not installed.
    """
    import sleap_io  # noqa: F401 - missing, it is missing for every file

    load = {"sleap": _load_sleap, "labelstudio": _load_label_studio}.get(layout, _load_table)
    loaded: dict[Path, Any] = {}
    faults: list[str] = []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its own; what matters of them is looked at below
                loaded[file] = load(file, root)
        except DataError as error:
            faults += error.faults
        except UNREADABLE as error:
            faults.append(f"{file}: cannot be read: {said(error)}")
    if faults:
        raise DataError(faults)
    skeleton = _skeleton(root, loaded)
    reading = _Frames(root, skeleton.node_names, marks_hidden=layout == "sleap")
    read = {file: [*reading.instances(labels)] for file, labels in loaded.items()}
    faults = [*reading.faults(), *labelled_twice({file: [one.image for one in its] for file, its in read.items()})]
    if not faults and not any(read.values()):
        faults.append(f"{root}: no subject has a labelled joint in {first_few(file.name for file in files)}")
    if faults:
        raise DataError(faults)
    splits: dict[str, list[Instance]] = {}
    for file, instances in read.items():
        splits.setdefault(_split_of(file) if layout == "sleap" else "", []).extend(told_subjects(instances))
    order = _order(layout, root, files, reading.names)
    return Labelled(
        files=tuple(files),
        category=category or "subject",
        keypoints=tuple(reading.names[number] for number in order),
        skeleton=_moved(skeleton.edge_inds, order),
        flip_pairs=_moved([tuple(pair) for pair in skeleton.symmetry_inds], order) or None,
        splits=numbered({split: [_reordered(one, order) for one in its] for split, its in splits.items()}),
        pixels=reading.pixels,
        remarks=tuple(reading.remarks()),
    )


def _split_of(file: Path) -> str:
    told = splits_in(file.name.partition(".")[0])
    return told.pop() if len(told) == 1 else ""


def _load_sleap(file: Path, root: Path) -> Any:
    import sleap_io

    del root
    return sleap_io.load_slp(str(file), open_videos=True)


def _load_table(file: Path, root: Path) -> Any:
    """Return the labels of a table, all of its images there: what lacks, sleap-io passes over without a word."""
    import sleap_io

    rows = _rows(file)
    images = [_image_of(row) for row in rows if row[0] not in HEADS]
    bases = (file.parent, root, file.parent.parent, file.parent.parent.parent)
    lacking = [name for name in images if not any((base / name).is_file() for base in bases)]
    lacking = [name for name in lacking if not (file.parent / Path(name).name).is_file()]
    if faults := missing_images(lacking, len(images), where=file):
        raise DataError(faults)
    return sleap_io.load_dlc(str(file))


def _rows(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [row for row in csv.reader(lines) if row]


def _image_of(row: Sequence[str]) -> str:
    """Return the image that a row is named by: a path in one cell, or in three."""
    cells = [cell.replace("\\", "/") for cell in row[:3]]
    last = next((place for place, cell in enumerate(cells) if cell.lower().endswith(IMAGES)), 0)
    return "/".join(cells[: last + 1])


def _load_label_studio(file: Path, root: Path) -> Any:
    """Return the labels of an export, with what sleap-io asks for and Label Studio does not write.

    It wants the image's place and size under `meta`, and each rectangle to be joined with its joints; the joints are
    given in the order in which they occur, which it would draw by chance.
    """
    from sleap_io import Skeleton
    from sleap_io.io.labelstudio import parse_tasks

    tasks = [task for task in json.loads(file.read_bytes()) if _results(task)]
    results = [result for task in tasks for result in _results(task)]
    names = dict.fromkeys(
        name for result in results if result["type"] == "keypointlabels" for name in result["value"]["keypointlabels"]
    )
    if not names:
        kinds = first_few(sorted({result["type"] for result in results})) or "none"
        raise DataError([f"{file}: no task has keypoints (there are: {kinds}); label joints, and export as JSON"])
    places = {id(task): _image_of_task(task, file, root) for task in tasks}
    lacking = [str(task["data"]) for task in tasks if places[id(task)] is None]
    if faults := missing_images(lacking, len(tasks), where=file):
        raise DataError(faults)
    for task in tasks:
        _joined(task, file)
        sizes = {(one["original_height"], one["original_width"]) for one in _results(task) if "original_width" in one}
        height, width = sizes.pop()
        video = {"filename": str(places[id(task)]), "frame_idx": 0, "shape": (1, height, width, 3)}
        task["meta"] = {"video": video}
    return parse_tasks(tasks, Skeleton(nodes=list(names)))


def _results(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what was drawn in a task, by the first annotation that was not cancelled."""
    key = "annotations" if "annotations" in task else "completions"
    kept = [one for one in task.get(key) or [] if not one.get("was_cancelled")]
    if kept:
        task[key][:] = kept[:1]
    return kept[0].get("result") or [] if kept else []


def _image_of_task(task: Mapping[str, Any], file: Path, root: Path) -> Path | None:
    """Return the file of a task's image: the place it names, or one of its name below the folder."""
    video = (task.get("meta") or {}).get("video") or {}
    told = video.get("filename")
    told = told[video["frame_idx"]] if isinstance(told, list) else told
    names = [told] if isinstance(told, str) else [str(value) for value in (task.get("data") or {}).values()]
    for name in (str(name).partition("?d=")[2] or str(name) for name in names):
        base = Path(name.replace("\\", "/")).name
        short = base.partition("-")[2]  # Label Studio puts eight characters and a dash before an uploaded file's name
        exact = [
            place for place in (Path(name), file.parent / name.lstrip("/"), root / name.lstrip("/")) if place.is_file()
        ]
        below = [place for wanted in (base, short) if wanted for place in sorted(root.rglob(wanted))]
        found = [place for place in (*exact, *below) if place.suffix.lower() in IMAGES]
        if found:
            return found[0]
    return None


def _joined(task: Mapping[str, Any], file: Path) -> None:
    """Leave out rectangles that no joint belongs to; join those whose joints name them as their parents.

    Raises:
        DataError: several subjects are labelled, and nothing says which joint is whose.
    """
    results = _results(task)
    for child in [one for one in results if one.get("parentID")]:
        results.append({"type": "relation", "from_id": child["id"], "to_id": child["parentID"], "direction": "right"})
    ends = {one[end] for one in results if one["type"] == "relation" for end in ("from_id", "to_id")}
    results[:] = [one for one in results if one["type"] != "rectanglelabels" or one["id"] in ends]
    loose = Counter(
        one["value"]["keypointlabels"][0]
        for one in results
        if one["type"] == "keypointlabels" and one["id"] not in ends
    )
    twice = [name for name, count in loose.items() if count > 1]
    if twice:
        text = f"has {first_few(twice)} more than once, and no relation says whose they are; join joints and rectangles"
        raise DataError([f"{file}: task {task.get('id', '?')}: {text}"])


def _skeleton(root: Path, loaded: Mapping[Path, Any]) -> Any:
    """Return the skeleton that all files have.

    Raises:
        DataError: there are several, or none.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    found: dict[tuple[str, ...], Any] = {}
    for file, labels in loaded.items():
        used = {id(one.skeleton): one.skeleton for frame in labels.labeled_frames for one in frame.instances}
        for skeleton in list(used.values()) or labels.skeletons:
            names = tuple(sorted(skeleton.node_names))
            kinds.setdefault(names, []).append(file.relative_to(root).as_posix())
            found.setdefault(names, skeleton)
    if not found:
        raise DataError(
            [f"{root}: {first_few(file.name for file in loaded)}: no keypoints are named, and none labelled"]
        )
    if len(found) > 1:
        remedy = "give the file, or the folder, of one project"
        raise several_skeletons(
            {tuple(found[names].node_names): its for names, its in kinds.items()}, where=root, remedy=remedy
        )
    return next(iter(found.values()))


class _Frames:
    """One pass over what sleap-io has read."""

    def __init__(self, root: Path, names: Sequence[str], *, marks_hidden: bool) -> None:
        self.names = list(names)
        self._marks_hidden = marks_hidden  # others leave what was not labelled undefined
        self._root = root.resolve()
        self._sources: dict[str, Path | Callable[[], np.ndarray]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._lacking: list[str] = []
        self._count = self._predicted = self._unplaced = 0

    def instances(self, labels: Any) -> Iterator[Instance]:
        """Yield the subjects that people have labelled."""
        for frame in labels.labeled_frames:
            self._predicted += len(frame.predicted_instances)
            subjects = frame.user_instances
            if not subjects:
                continue
            self._count += 1
            image = self._image(frame)
            for one in subjects if image else ():
                found = self._instance(one, image, _group(frame.video))
                if found is not None:
                    yield found

    def _instance(self, one: Any, image: str, subject: str) -> Instance | None:
        joints = np.full((len(self.names), 2), np.nan)
        for point in one.points:
            if point["visible"]:
                joints[self.names.index(point["name"])] = point["xy"]
            elif self._marks_hidden and np.isfinite(point["xy"]).all():
                self._unplaced += 1
        labelled = np.isfinite(joints).all(1)
        visibility = np.where(labelled, 2, 0).astype(np.intp)
        return framed(np.nan_to_num(joints), visibility, image=image, size=self._sizes[image], subject=subject)

    def _image(self, frame: Any) -> str:
        """Return the name of a frame's image, once it is known where to get it; "" where it is nowhere."""
        video, number = frame.video, int(frame.frame_idx)
        listed = video.filename
        file = Path(listed[number]) if isinstance(listed, list) else Path(str(listed))
        if isinstance(listed, list) or file.suffix.lower() in IMAGES:
            return self._file(file)
        return self._frame(video, number, file)

    def _file(self, file: Path) -> str:
        place = file if file.is_file() else next(iter(sorted(self._root.rglob(file.name))), None)
        if place is None or not place.resolve().is_relative_to(self._root):
            self._lacking.append(file.name)
            return ""
        name = place.resolve().relative_to(self._root).as_posix()
        self._sources[name], self._sizes[name] = place, listed_image(place).size
        return name

    def _frame(self, video: Any, number: int, file: Path) -> str:
        """Return the name of a film's frame: embedded in the file of labels, or in a film that is there."""
        try:
            if not video.exists() and (beside := self._root / file.name).is_file():
                video.replace_filename(str(beside))
            height, width = np.asarray(video[number]).shape[:2]
        except UNREADABLE:
            self._lacking.append(f"{file.name}, frame {number}")
            return ""
        name = f"{_group(video)}/{number:06d}.png"
        self._sources[name], self._sizes[name] = lambda: _decoded(video[number]), (width, height)
        return name

    def pixels(self, instance: Instance) -> Path | np.ndarray:
        """Return the file of an instance's image, or its pixels."""
        source = self._sources[instance.image]
        return source if isinstance(source, Path) else source()

    def faults(self) -> list[str]:
        """Return in words what is missing."""
        return missing_images(self._lacking, self._count, where=self._root)

    def remarks(self) -> list[str]:
        """Return in words what was left out."""
        guessed = f"{self._predicted} predicted subjects are left out: nobody has looked at them"
        hidden = f"{self._unplaced} joints are marked as not visible, and taken as unlabelled, as their own tool does"
        told = "none of these files tells occluded joints from visible ones: all that are labelled count as visible"
        return [*([guessed] if self._predicted else []), *([hidden] if self._unplaced else []), told]


def _group(video: Any) -> str:
    """Return what the images of one film have in common: the film's name, or the folder's."""
    first = video.original_video or video
    listed = first.filename
    if isinstance(listed, list):
        return Path(listed[0]).parent.name
    file = Path(str(listed).replace("\\", "/"))
    if file.suffix.lower() in IMAGES:
        return f"{file.parent.name}/{file.stem}"
    return file.stem if first is not video or file.suffix != ".slp" else f"{file.stem}-{video.backend.dataset}"


def _decoded(frame: Any) -> np.ndarray:
    """Return a frame as grey or RGB."""
    pixels = np.ascontiguousarray(frame, dtype=np.uint8)
    return pixels[..., 0] if pixels.ndim > 2 and pixels.shape[2] == 1 else pixels


def _order(layout: str, root: Path, files: Sequence[Path], names: Sequence[str]) -> list[int]:
    """Return the places of the keypoints in the order of the project or table; sleap-io sorts those by name."""
    if layout not in ("deeplabcut", "lightning"):
        return list(range(len(names)))
    told: list[str] = []
    config = settings_in(root / "config.yaml")
    for key in ("bodyparts", "multianimalbodyparts"):
        told += map(str, config[key]) if isinstance(config.get(key), list) else []
    for row in _rows(files[0])[:4]:
        told += row[1:] if row[0] == "bodyparts" else []
    first = [name for name in dict.fromkeys(told) if name in names]
    return [names.index(name) for name in (*first, *(name for name in names if name not in first))]


def _moved(pairs: Sequence[Sequence[Any]], order: Sequence[int]) -> tuple[Pair, ...]:
    numbers = [sorted(as_id(int(end)) or 0 for end in pair) for pair in pairs]
    return tuple((order.index(a), order.index(b)) for a, b in numbers if a != b)


def _reordered(instance: Instance, order: Sequence[int]) -> Instance:
    return replace(instance, joints=instance.joints[list(order)], visibility=instance.visibility[list(order)])
