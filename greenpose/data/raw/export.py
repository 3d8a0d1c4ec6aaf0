"""One patient's export: its usable frames, and what became of all the others."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from greenpose.data.annotations import Pose, as_id
from greenpose.data.coco import check_ids, find_category, load_document, read_poses
from greenpose.data.findings import Finding, Notebook, errors
from greenpose.data.pictures import Picture, Pictures, Search, is_file, listed_name, search_pictures, subject_of
from greenpose.data.profile import Profile
from greenpose.data.raw.patients import Patient, patient_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One image with its poses, as the patient was filmed."""

    patient: int
    """The patient's number."""
    source_id: int
    """Id of the image in the export."""
    picture: Picture
    """The image file."""
    poses: tuple[Pose, ...]
    """Its usable annotations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export amounts to."""

    patient: Patient
    """Whose it is."""
    num_listed: int = 0
    """Images that it lists."""
    frames: tuple[Frame, ...] = ()
    """Images with usable annotations, by their ids."""
    missing: tuple[str, ...] = ()
    """Annotated images that are not there, as listed."""
    broken: tuple[str, ...] = ()
    """Annotated images that are no whole images: path and fault."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """How many annotations are of each kind that needs a word."""
    findings: tuple[Finding, ...]
    """What is wrong or odd."""


def read_export(patient: Patient, raw: Path, profile: Profile, *, allow_missing: bool = False) -> Export:
    """Return a patient's export as far as it can be read, and every finding; never raises for what is in it."""
    notebook = Notebook(str(patient.file))
    document = load_document(patient.file, notebook)
    names, categories = find_category(document, profile, notebook) if document else ((), frozenset[int]())
    if document is None or not names:
        return Export(patient=patient, findings=tuple(notebook.findings))
    search = Search(
        find=partial(locate, raw, patient.name),
        below=raw / "images",
        inside=((raw / "images").resolve(),),
        subject=lambda _: patient.name,
        allow_missing=allow_missing,
    )
    pictures = search_pictures(document, search, notebook)
    box_area = profile.area == "box"
    poses, reading = read_poses(document, names, categories, pictures.found, notebook, box_area=box_area)
    check_ids(document["annotations"], notebook)
    frames = _frames(poses, pictures, patient)
    _note_other_patients(document, frames, patient, notebook)
    if not frames and not errors(notebook.findings):
        notebook.add("error", "nothing usable is left; move this export away to go without the patient")
    return Export(
        patient=patient,
        num_listed=len(document["images"]),
        frames=frames,
        missing=pictures.missing,
        broken=pictures.broken,
        seen={kind: len(which) for kind, which in reading.seen.items()},
        findings=tuple(notebook.findings),
    )


def locate(raw: Path, patient: str, entry: Mapping[str, Any]) -> Path | None:
    """Return where an image lies that the annotation tool knew by a path of its own, as /datasets/baby_pose/pz3/x.png.

    The longest end of that path that is found below `images` counts, at least folder and file; else the patient's own
    folder is looked into.
    """
    return next((file for file in _candidates(raw, patient, entry) if is_file(file)), None)


def _candidates(raw: Path, patient: str, entry: Mapping[str, Any]) -> Iterator[Path]:
    parts = [part for part in PurePosixPath(listed_name(entry)).parts if part != "/"]
    if not parts or ".." in parts:
        return
    for start in range(len(parts) - 1):
        yield raw.joinpath("images", *parts[start:])
    yield raw / "images" / patient / parts[-1]


def _frames(poses: Sequence[Pose], pictures: Pictures, patient: Patient) -> tuple[Frame, ...]:
    of_image: defaultdict[int, list[Pose]] = defaultdict(list)
    for pose in poses:
        of_image[pose.image_id].append(pose)
    return tuple(
        Frame(
            patient=patient.number,
            source_id=image_id,
            picture=pictures.found[image_id],
            poses=tuple(sorted(some, key=_id)),
        )
        for image_id, some in sorted(of_image.items())
    )


def _id(pose: Pose) -> int:
    return pose.id


def _note_other_patients(
    document: Mapping[str, Any], frames: Sequence[Frame], patient: Patient, notebook: Notebook
) -> None:
    """Refuse images out of another patient's folder: they would bring that patient into a second split."""
    used = {frame.source_id for frame in frames}
    others = [
        listed_name(entry)
        for entry in document["images"]
        if as_id(entry.get("id")) in used and patient_number(subject_of(entry)) not in {None, patient.number}
    ]
    text = f"{{n}} images lie in another patient's folder than {patient.name}"
    notebook.count("error", others, text, field="images.path")
