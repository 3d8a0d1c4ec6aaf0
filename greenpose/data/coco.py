"""A split from a COCO keypoints file of any origin, with everything that was found on the way."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.data.annotations import KINDS, AnnotationReading, Pose, as_id, is_box_area, is_number
from greenpose.data.conventions import note_conventions
from greenpose.data.findings import DataFinding, Notebook, errors
from greenpose.data.image_checks import DEPTH_BITS, ListedImage, read_pictures, subject_of
from greenpose.data.images import Window
from greenpose.data.instances import Instance, Profile

_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What a COCO file and its images amount to."""

    file: Path
    """The annotation file."""
    keypoints: tuple[str, ...] = ()
    """Names of the keypoints, stripped of blanks."""
    instances: tuple[Instance, ...] = ()
    """What can be used, in the file's order."""
    aside: tuple[Instance, ...] = ()
    """Crowds and subjects without a labelled joint, in those images: not to be found, and no mistake when found."""
    findings: tuple[DataFinding, ...]
    """What is wrong or odd; the instances are only good without errors."""
    window: Window | None = None
    """The depth window in mm that the file itself recommends, None when it doesn't."""
    by_frame: bool = False
    """Whether the file itself says that frames were dealt out, and not patients."""
    depth: bool = False
    """Whether images are 16-bit depth, which needs a window."""

    @property
    def num_images(self) -> int:
        """Return how many images show a usable instance."""
        return len({instance.image for instance in self.instances})

    @property
    def num_box_areas(self) -> int:
        """Return how many areas are those of their box, as of a drawn rectangle; the others are of a silhouette."""
        return sum(is_box_area(instance.area, instance.box) for instance in self.instances)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the known patients, sorted."""
        return tuple(sorted({instance.subject for instance in self.instances} - {""}))

    @property
    def labelled(self) -> dict[str, int]:
        """Return how often each keypoint is labelled."""
        counts = np.sum([instance.visibility > 0 for instance in self.instances], axis=0, dtype=np.intp)
        return dict(zip(self.keypoints, np.broadcast_to(counts, len(self.keypoints)).tolist(), strict=True))


def inspect_split(annotations: Path, images_dir: Path, profile: Profile | None = None) -> Split:
    """Return a COCO keypoints file as far as it can be read, and every finding; never raises for what is in it.

    Without a profile the file's own category says which keypoints there are.
    """
    notebook = Notebook(str(annotations))
    document = load_document(annotations, notebook)
    if document is None:
        return Split(file=annotations, findings=tuple(notebook.findings))
    names, categories = find_category(document, profile, notebook)
    window = window_of(document)
    if not names:
        return Split(file=annotations, findings=tuple(notebook.findings), window=window)
    pictures = read_pictures(document, image_folders(annotations, images_dir), notebook)
    poses, reading = read_poses(
        document, names, categories, pictures, notebook, box_area=bool(profile and profile.area == "box")
    )
    check_ids(document["annotations"], notebook)
    _note_files(pictures, notebook)
    subjects = _subjects(document["annotations"])
    instances = _instances(poses, pictures, subjects, notebook)
    if not instances and not errors(notebook.findings):
        notebook.add("error", "nothing usable is left: a split needs at least one annotation with labelled keypoints")
    return Split(
        file=annotations,
        keypoints=names,
        instances=tuple(instances),
        aside=tuple(_instance(pose, pose.id, pictures, subjects) for pose in reading.aside),
        findings=tuple(notebook.findings),
        window=window,
        by_frame=_info(document).get("split_by") == "frame",
        depth=any(picture.bits == DEPTH_BITS for picture in pictures.values()),
    )


def window_of(document: Mapping[str, Any]) -> Window | None:
    """Return the depth window in mm that a COCO document recommends, None when it doesn't."""
    window = _info(document).get("depth_window_mm")
    usable = isinstance(window, list) and len(window) == 2 and all(is_number(end) for end in window)
    return (float(window[0]), float(window[1])) if usable and window else None


def _info(document: Mapping[str, Any]) -> Mapping[str, Any]:
    info = document.get("info")
    return info if isinstance(info, dict) else {}


def load_document(file: Path, notebook: Notebook) -> dict[str, Any] | None:
    """Return a COCO document with its three lists, or None after noting what is wrong with it."""
    document, content = load_json(file, notebook)
    if not content:
        return None
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else "no mapping"
        text = f"is no COCO document: it holds {kind}; results of a detector look so, annotations do not"
        notebook.add("error", text)
        return None
    wrong = [key for key in _LISTS if not _is_list_of_entries(document.get(key))]
    notebook.count("error", wrong, "{n} of the three lists of a COCO document are missing or no lists of entries")
    return None if wrong else document


def load_json(file: Path, notebook: Notebook) -> tuple[Any, bytes]:
    """Return what a JSON file holds, and its bytes; no bytes after noting why it cannot be read."""
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_once)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except UnicodeEncodeError as error:
        half = str(error.object)[max(0, error.start - 20) : error.start]
        fault = f"holds half a character (a lone surrogate) behind {half!r}; write the whole one, or none"
    except RecursionError:
        fault = "is nested too deeply to be a COCO document"
    except ValueError as error:
        fault = f"is not JSON: {str(error).partition('; use sys.')[0]}"
    else:
        return value, content or b"null"
    notebook.add("error", fault)
    return None, b""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, a key given twice refused: which one counts would be the reader's choice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ValueError(f"key {twice[0]!r} is given twice")
    return found


def _is_list_of_entries(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def find_category(
    document: Mapping[str, Any], profile: Profile | None, notebook: Notebook
) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return the keypoint names and the ids of the categories that have them; no names after an error."""
    _note_category_ids(document["categories"], notebook)
    named = {as_id(c.get("id")): _names(c) for c in document["categories"]}
    posed = {number: names for number, names in named.items() if names and number is not None}
    if profile is None:
        kinds = set(posed.values())
        if len(kinds) == 1:
            _note_skeleton(document["categories"], frozenset(posed), None, notebook)
            return kinds.pop(), frozenset(posed)
        found = "several categories have different ones" if kinds else "no category names any"
        notebook.add("error", f"which keypoints are meant? {found}; name a profile", field="categories.keypoints")
        return (), frozenset()
    fitting = frozenset(number for number, names in posed.items() if names == profile.keypoints)
    if not fitting and not posed and len(named) == 1 and None not in named:
        text = f"the category names no keypoints; they are taken for those of profile {profile.name}, in its order"
        notebook.add("warning", text, field="categories.keypoints")
        fitting = frozenset(number for number in named if number is not None)
    _note_skeleton(document["categories"], fitting, profile, notebook)
    if not fitting:
        notebook.add("error", _difference(document["categories"], profile), field="categories.keypoints")
        return (), frozenset()
    return profile.keypoints, fitting


def _note_category_ids(categories: Sequence[Mapping[str, Any]], notebook: Notebook) -> None:
    """Note categories that no annotation can name: without a whole number as id, or with another one's."""
    worded = [f"{one.get('name')!r} has {one.get('id')!r}" for one in categories if as_id(one.get("id")) is None]
    notebook.count("error", worded, "{n} categories have no whole number as id", field="categories.id")
    owners: dict[int, list[str]] = {}
    for one in categories:
        if (number := as_id(one.get("id"))) is not None:
            owners.setdefault(number, []).append(repr(one.get("name")))
    twice = [f"{number} is {' and '.join(names)}" for number, names in owners.items() if len(names) > 1]
    notebook.count("error", twice, "{n} ids are those of several categories", field="categories.id")


def _note_skeleton(
    categories: Sequence[Mapping[str, Any]], wanted: frozenset[int], profile: Profile | None, notebook: Notebook
) -> None:
    """Warn where a file joins its keypoints otherwise than the profile: they may be others, or counted from 0."""
    for one in categories:
        pairs = _pairs(one.get("skeleton")) if as_id(one.get("id")) in wanted else set()
        count = len(_names(one)) or (profile.num_keypoints if profile else 0)
        ours = {frozenset(end + 1 for end in pair) for pair in profile.skeleton} if profile else set()
        name, strange = repr(one.get("name")), sorted(sorted(pair) for pair in pairs - ours)
        if any(0 in pair for pair in pairs):
            text = f"{name} counts keypoints from 0 in its skeleton, COCO from 1; it is drawn as the profile says"
        elif any(not 1 <= end <= count for pair in pairs for end in pair):
            text = f"{name} joins keypoints that are not there: it has {count}"
        elif ours and strange:
            joined = (
                f"{name} joins {', '.join(map(str, strange[:5]))}, which profile {profile and profile.name} does not"
            )
            text = f"{joined}; are the joints in the same order?"
        else:
            continue
        notebook.add("warning", text, field="categories.skeleton")


def _pairs(skeleton: Any) -> set[frozenset[int]]:
    """Return which keypoints a file joins, as it counts them; what is no pair is left out."""
    pairs = skeleton if isinstance(skeleton, list) else []
    ends = [[as_id(end) for end in pair] for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return {frozenset(end for end in pair if end is not None) for pair in ends if None not in pair}


def _names(category: Mapping[str, Any]) -> tuple[str, ...]:
    names = category.get("keypoints")
    return tuple(str(name).strip() for name in names) if isinstance(names, list) else ()


def _difference(categories: Sequence[Mapping[str, Any]], profile: Profile) -> str:
    """Return in which way each category's keypoints are not the profile's."""
    return f"no category has the keypoints of profile {profile.name}: " + "; ".join(
        f"{category.get('name')!r} {_how_different(_names(category), profile.keypoints)}" for category in categories
    )


def _how_different(names: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if not names:
        return "names none"
    if names == wanted:
        return "has them, but no id of its own"
    if sorted(names) == sorted(wanted):
        return "has them in another order: " + ", ".join(names)
    lacking = [name for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    parts = [f"has {len(names)} instead of {len(wanted)}"] if len(names) != len(wanted) else []
    parts += [f"lacks {', '.join(lacking)}"] if lacking else []
    parts += [f"has also {', '.join(extra)}"] if extra else []
    return ", ".join(parts)


def image_folders(annotations: Path, images_dir: Path) -> list[Path]:
    """Return where the images of an annotation file are looked for, in turn."""
    inner = sorted(entry for entry in images_dir.glob("*") if entry.name in annotations.stem and entry.is_dir())
    file = annotations.resolve()
    around = [images_dir.resolve(), images_dir.parent.resolve()]
    beside = [images_dir.parent] if [file.is_relative_to(folder) for folder in around] == [False, True] else []
    return [images_dir, *reversed(inner), *beside, annotations.parent]


def read_poses(
    document: Mapping[str, Any],
    names: Sequence[str],
    categories: frozenset[int],
    pictures: Mapping[int, ListedImage],
    notebook: Notebook,
    *,
    box_area: bool,
) -> tuple[list[Pose], AnnotationReading]:
    """Return the usable poses, and the reading that knows what became of the others.

    Those whose image is listed but missing were accounted for with the images.
    """
    absent = {as_id(entry.get("id")) for entry in document["images"]} - set(pictures) - {None}
    entries = [entry for entry in document["annotations"] if as_id(entry.get("image_id")) not in absent]
    sizes = {image_id: picture.size for image_id, picture in pictures.items()}
    reading = AnnotationReading(num_keypoints=len(names), categories=categories, image_sizes=sizes, box_area=box_area)
    poses = reading.poses(entries)
    without = reading.seen.get("no keypoints", [])
    if without and len(without) == len(entries):
        del reading.seen["no keypoints"]
        text = "none of the {n} annotations has keypoints: is this the right file?"
        notebook.count("error", without, text, field="annotations.keypoints")
    notebook.count_kinds(KINDS, reading.seen, within="annotations.")
    note_conventions(poses, sizes, notebook)
    return poses, reading


def check_ids(entries: Sequence[Mapping[str, Any]], notebook: Notebook) -> None:
    """Note annotations that share an id, or name their image by a text."""
    times = Counter(as_id(entry.get("id")) for entry in entries)
    twice = [number for number, count in times.items() if count > 1 and number is not None]
    notebook.count("error", twice, "{n} ids are those of several annotations", field="annotations.id")
    worded = [entry["image_id"] for entry in entries if isinstance(entry.get("image_id"), str)]
    notebook.count("note", worded, "{n} annotations give it as text; read as a number", field="annotations.image_id")


def _note_files(pictures: Mapping[int, ListedImage], notebook: Notebook) -> None:
    """Refuse one file under several ids: it would be in the set twice, and judged once for each."""
    owners: dict[Path, list[int]] = {}
    for image_id, picture in pictures.items():
        owners.setdefault(picture.file.resolve(), []).append(image_id)
    twice = [f"{file.name} is {' and '.join(map(str, ids))}" for file, ids in owners.items() if len(ids) > 1]
    notebook.count("error", twice, "{n} files are listed as several images", field="images.file_name")


def _subjects(entries: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return the patient of each annotation that names one itself."""
    return {number: subject_of(entry) for entry in entries if (number := as_id(entry.get("id"))) is not None}


def _instances(
    poses: Sequence[Pose], pictures: Mapping[int, ListedImage], subjects: Mapping[int, str], notebook: Notebook
) -> list[Instance]:
    renumber = any(pose.id < 1 for pose in poses)
    if renumber:
        notebook.add("note", "ids below 1 are in use; annotations are numbered anew from 1", field="annotations.id")
    return [
        _instance(pose, number if renumber else pose.id, pictures, subjects)
        for number, pose in enumerate(poses, start=1)
    ]


def _instance(pose: Pose, number: int, pictures: Mapping[int, ListedImage], subjects: Mapping[int, str]) -> Instance:
    picture = pictures[pose.image_id]
    return Instance(
        id=number,
        image_id=pose.image_id,
        image=str(picture.file),
        subject=picture.subject or subjects[pose.id],
        image_size=picture.size,
        box=pose.box,
        area=pose.area,
        joints=pose.joints,
        visibility=pose.visibility,
        crowd=pose.crowd,
    )
