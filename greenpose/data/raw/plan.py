"""The plan for a raw tree: each patient's export, and all that speaks against it, before an image is decoded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from greenpose.data.findings import Finding, Notebook, first_few
from greenpose.data.images import Window
from greenpose.data.profile import Profile
from greenpose.data.raw.export import Export, Frame, read_export
from greenpose.data.raw.patients import find_patients, patient_name
from greenpose.data.raw.splits import Division, Wish, divide
from greenpose.errors import FaultsError

DEPTH_BITS = 16


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
class Placed:
    """A frame with its place in the data set."""

    frame: Frame
    """The frame."""
    split: str
    """Its split."""
    image_id: int
    """Its number in the whole set, from 1."""

    @property
    def name(self) -> str:
        """Return the path of its image below `images`."""
        return f"{self.split}/{self.image_id:012d}.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A raw tree, read."""

    request: Request
    """What is asked for."""
    exports: tuple[Export, ...]
    """Every patient's export."""
    division: Division | None
    """Who is in which split; None where that cannot be told."""
    placed: tuple[Placed, ...]
    """Every usable frame, by patient and id; all in one split where there is no division."""
    bits: Literal[8, 16]
    """Bits per channel of the images: 8, or 16 for depth."""
    findings: tuple[Finding, ...]
    """What is wrong or odd; nothing may be written with errors."""


def make_plan(request: Request) -> Plan:
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
    return Plan(
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


def _place(exports: Sequence[Export], division: Division | None) -> tuple[Placed, ...]:
    dealt: list[tuple[Frame, str]] = []
    for export in exports:
        count = len(export.frames)
        splits = division.deal(export.patient.number, count) if division else ["train"] * count
        dealt += zip(export.frames, splits, strict=True)
    return tuple(
        Placed(frame=frame, split=split, image_id=number) for number, (frame, split) in enumerate(dealt, start=1)
    )


def _note_claims(frames: Sequence[Frame], notebook: Notebook) -> None:
    """Refuse that two listed images are one file: it would be in the set twice, perhaps in two splits."""
    owners: defaultdict[Path, list[str]] = defaultdict(list)
    for frame in frames:
        owners[frame.picture.file].append(f"{patient_name(frame.patient)} image {frame.source_id}")
    twice = [f"{file.name} by {' and '.join(names)}" for file, names in owners.items() if len(names) > 1]
    notebook.count("error", twice, "{n} files are claimed by several images", field="images")


def _note_bits(frames: Sequence[Frame], window: Window | None, notebook: Notebook) -> Literal[8, 16]:
    """Return the bits per channel of all images; refuse a mixture, and a window for what is no depth."""
    deep = {patient_name(frame.patient) for frame in frames if frame.picture.bits == DEPTH_BITS}
    flat = {patient_name(frame.patient) for frame in frames if frame.picture.bits != DEPTH_BITS}
    if deep and flat:
        text = f"16-bit depth ({first_few(sorted(deep))}) and 8-bit images ({first_few(sorted(flat))}) do not mix"
        notebook.add("error", text, field="images")
    elif flat and window is not None:
        notebook.add("error", "are 8-bit; --window is for 16-bit depth, leave it out", field="images")
    return 16 if deep else 8
