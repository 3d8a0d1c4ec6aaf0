"""The plan for a raw tree: each patient's export, and all that speaks against it, before an image is decoded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from greenpose.data.annotations import Pose, as_id
from greenpose.data.coco import check_ids, find_category, load_document, read_poses
from greenpose.data.findings import DataFinding, Notebook, errors, first_few
from greenpose.data.image_checks import DEPTH_BITS, ListedImage, is_file, listed_name, search_pictures, subject_of
from greenpose.data.images import Window
from greenpose.data.instances import Profile
from greenpose.data.raw.splits import Division, RawPatient, Wish, divide, find_patients, patient_name, patient_number
from greenpose.errors import FaultsError


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrame:
    """One image with its poses, as the patient was filmed, and its place in the data set."""

    patient: int
    """The patient's number."""
    source_id: int
    """Id of the image in the export."""
    picture: ListedImage
    """The image file."""
    poses: tuple[Pose, ...]
    """Its usable annotations."""
    split: str = ""
    """Its split; "" until it is placed."""
    image_id: int = 0
    """Its number in the whole set, from 1."""

    @property
    def name(self) -> str:
        """Return the path of its image below `images`."""
        return f"{self.split}/{self.image_id:012d}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export amounts to."""

    patient: RawPatient
    """Whose it is."""
    num_listed: int = 0
    """Images that it lists."""
    frames: tuple[RawFrame, ...] = ()
    """Images with usable annotations, by their ids."""
    missing: tuple[str, ...] = ()
    """Annotated images that are not there, as listed."""
    broken: tuple[str, ...] = ()
    """Annotated images that are no whole images: path and fault."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """How many annotations are of each kind that needs a word."""
    findings: tuple[DataFinding, ...]
    """What is wrong or odd."""


def read_export(patient: RawPatient, raw: Path, profile: Profile, *, allow_missing: bool = False) -> Export:
    """Return a patient's export as far as it can be read, and every finding; never raises for what is in it."""
    notebook = Notebook(str(patient.file))
    document = load_document(patient.file, notebook)
    names, categories = find_category(document, profile, notebook) if document else ((), frozenset[int]())
    if document is None or not names:
        return Export(patient=patient, findings=tuple(notebook.findings))
    pictures, missing, broken = search_pictures(
        document,
        notebook,
        find=partial(locate, raw, patient.name),
        below=raw / "images",
        inside=[(raw / "images").resolve()],
        patient=patient.name,
        allow_missing=allow_missing,
    )
    box_area = profile.area == "box"
    poses, reading = read_poses(document, names, categories, pictures, notebook, box_area=box_area)
    check_ids(document["annotations"], notebook)
    frames = _frames(poses, pictures, patient)
    _note_other_patients(document, frames, patient, notebook)
    if not frames and not errors(notebook.findings):
        notebook.add("error", "nothing usable is left; move this export away to go without the patient")
    return Export(
        patient=patient,
        num_listed=len(document["images"]),
        frames=frames,
        missing=tuple(missing),
        broken=tuple(broken),
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


def _frames(poses: Sequence[Pose], pictures: Mapping[int, ListedImage], patient: RawPatient) -> tuple[RawFrame, ...]:
    of_image: defaultdict[int, list[Pose]] = defaultdict(list)
    for pose in poses:
        of_image[pose.image_id].append(pose)
    return tuple(
        RawFrame(
            patient=patient.number,
            source_id=image_id,
            picture=pictures[image_id],
            poses=tuple(sorted(some, key=attrgetter("id"))),
        )
        for image_id, some in sorted(of_image.items())
    )


def _note_other_patients(
    document: Mapping[str, Any], frames: Sequence[RawFrame], patient: RawPatient, notebook: Notebook
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for."""

    raw: Path
    """Folder with `annotations/pzN.json` and `images/`."""
    profile: Profile
    """Which keypoints are wanted."""
    wish: Wish = field(default_factory=Wish)
    """Which split."""
    window: Window | None = None
    """Nearest and farthest depth, in mm, that 16-bit images become grey between; None to keep them as they are."""
    allow_missing: bool = False
    """Whether missing and broken images are left out, instead of being errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPlan:
    """A raw tree, read."""

    request: Request
    """What is asked for."""
    exports: tuple[Export, ...]
    """Every patient's export."""
    division: Division | None
    """Who is in which split; None where that cannot be told."""
    placed: tuple[RawFrame, ...]
    """Every usable frame, by patient and id; all in one split where there is no division."""
    bits: Literal[8, 16]
    """Bits per channel of the images: 8, or 16 for depth."""
    findings: tuple[DataFinding, ...]
    """What is wrong or odd; nothing may be written with errors."""


def make_plan(request: Request) -> RawPlan:
    """Return what there is to do; never raises for what is in the tree."""
    notebook = Notebook(str(request.raw))
    patients = find_patients(request.raw, notebook)
    exports = tuple(
        read_export(patient, request.raw, request.profile, allow_missing=request.allow_missing) for patient in patients
    )
    frames = [frame for export in exports for frame in export.frames]
    _note_claims(frames, notebook)
    bits = _note_bits(frames, request.window, notebook)
    division = _divide([patient.number for patient in patients], request.wish, notebook) if patients else None
    return RawPlan(
        request=request,
        exports=exports,
        division=division,
        placed=_place(exports, division),
        bits=bits,
        findings=(*notebook.findings, *(finding for export in exports for finding in export.findings)),
    )


def _divide(found: Sequence[int], wish: Wish, notebook: Notebook) -> Division | None:
    try:
        division = divide(found, wish)
    except FaultsError as error:
        for fault in error.faults:
            notebook.add("error", fault)
        return None
    if division.by == "frame":
        notebook.add("warning", division.note, field="split")
    return division


def _place(exports: Sequence[Export], division: Division | None) -> tuple[RawFrame, ...]:
    dealt: list[RawFrame] = []
    for export in exports:
        count = len(export.frames)
        splits = division.deal(export.patient.number, count) if division else ["train"] * count
        dealt += [replace(frame, split=split) for frame, split in zip(export.frames, splits, strict=True)]
    return tuple(replace(frame, image_id=number) for number, frame in enumerate(dealt, start=1))


def _note_claims(frames: Sequence[RawFrame], notebook: Notebook) -> None:
    """Refuse that two listed images are one file: it would be in the set twice, perhaps in two splits."""
    owners: defaultdict[Path, list[str]] = defaultdict(list)
    for frame in frames:
        owners[frame.picture.file].append(f"{patient_name(frame.patient)} image {frame.source_id}")
    twice = [f"{file.name} by {' and '.join(names)}" for file, names in owners.items() if len(names) > 1]
    notebook.count("error", twice, "{n} files are claimed by several images", field="images")


def _note_bits(frames: Sequence[RawFrame], window: Window | None, notebook: Notebook) -> Literal[8, 16]:
    """Return the bits per channel of all images; refuse a mixture, and a window for what is no depth."""
    deep = {patient_name(frame.patient) for frame in frames if frame.picture.bits == DEPTH_BITS}
    flat = {patient_name(frame.patient) for frame in frames if frame.picture.bits != DEPTH_BITS}
    if deep and flat:
        text = f"16-bit depth ({first_few(sorted(deep))}) and 8-bit images ({first_few(sorted(flat))}) do not mix"
        notebook.add("error", text, field="images")
    elif flat and window is not None:
        notebook.add("error", "are 8-bit; --window is for 16-bit depth, leave it out", field="images")
    return 16 if deep else 8
