"""The preparation of BabyPose: from exports to a COCO folder, with the account of what was made."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from greenpose import __version__
from greenpose.data.annotations import LEFT_OUT, MENDED, Pose, is_box_area
from greenpose.data.check import FILE, SPLITS, check_folder, sha256, sums_text
from greenpose.data.findings import DataFinding, errors
from greenpose.data.folders import whole_folder
from greenpose.data.images import window_depth
from greenpose.data.instances import Instance, coco_document
from greenpose.data.raw.images import ROTATION_DEG, Images, Tell, image_findings, make_images, turn_pose
from greenpose.data.raw.plan import Export, RawFrame, RawPlan, Request, make_plan
from greenpose.data.raw.splits import By, Division, patient_name
from greenpose.errors import DataError
from greenpose.schema import Document


class Depth(Document):
    """What the images hold."""

    bits: Literal[8, 16]
    """Bits per channel as written: 16 is depth in mm, 8 grey or colour."""
    grey_of_depth_mm: tuple[float, float] | None
    """The window, near and far, through which 16-bit depth became grey 1 to 255, 0 staying "no return"; null where
    pixels are as in the raw files."""
    inside_share: float | None
    """Share of all returned depths inside that window; null without one."""


class Areas(Document):
    """What the area is that OKS divides by; figures of different kinds cannot be compared."""

    drawn_boxes: int
    """Annotations with an area of their own that is their box's, as of a rectangle drawn by hand."""
    drawn_silhouettes: int
    """Annotations with an area of their own that is another, as of an outline drawn by hand."""
    boxes: int
    """Annotations without one of their own, which got their box's."""


class Counts(Document):
    """How much there is of a split."""

    patients: int
    """Patients: the sample's size, since frames of one are nearly alike."""
    images: int
    """Images."""
    annotations: int
    """Annotated subjects, each with at least one labelled keypoint."""
    areas: Areas
    """What their areas are."""


class PatientNote(Document):
    """What became of one patient's export."""

    patient: str
    """pzN."""
    splits: list[str]
    """Where its frames are; more than one only where frames were dealt out."""
    export: str
    """Its export, below the raw folder."""
    export_sha256: str
    """SHA-256 of the export."""
    sources_sha256: str
    """SHA-256 of the lines that `sha256sum` prints of its used images, sorted by path below the raw folder."""
    images_listed: int
    """Images that the export lists."""
    images: int
    """Images that were written."""
    annotations: int
    """Annotations that were written."""
    missing: list[str]
    """Annotated images that were not there, as listed."""
    broken: list[str]
    """Annotated images that were no whole images, with the fault."""
    left_out: dict[str, int]
    """Annotations that were not used, by kind; see `docs/data.md`."""
    mended: dict[str, int]
    """Annotations that were used, but not quite as written, by kind; see `docs/data.md`."""


class Remark(Document):
    """One thing to know."""

    level: Literal["warning", "note"]
    """`warning`: look at it; `note`: handled, for the record."""
    where: str
    """File and field, below the raw folder."""
    message: str
    """What is there, how often, and what was done."""


class Manifest(Document):
    """What a prepared data set was made from, how, and what was left out; nothing in it depends on when or where."""

    schema_: Literal["greenpose.manifest/1"] = Field(default="greenpose.manifest/1", alias="schema")
    """Version of this layout."""
    made_by: str
    """The program and its version."""
    profile: str
    """Which keypoints were wanted."""
    rotated_deg: int
    """By how much images, joints and boxes were turned."""
    split: Division
    """Who is in which split."""
    depth: Depth
    """What the images hold."""
    counts: dict[str, Counts]
    """How much there is of each split."""
    patients: list[PatientNote]
    """What became of each patient's export."""
    remarks: list[Remark]
    """What was found on the way."""
    sums_sha256: str
    """SHA-256 of `SHA256SUMS`, which holds that of every other file."""


def split_document(placed: Sequence[RawFrame], request: Request, *, by: By) -> dict[str, Any]:
    """Return the COCO document of a split's frames, poses upright and numbered from 1."""
    pairs = [(one, pose) for one in placed for pose in one.poses]
    instances = [_instance(one, pose, number) for number, (one, pose) in enumerate(pairs, start=1)]
    document = coco_document(instances, request.profile)
    document["info"] |= {"split_by": by, "rotated_deg": ROTATION_DEG}
    if request.window is not None:
        document["info"] |= {"grey_of_depth_mm": [float(end) for end in request.window]}
    for entry, one in zip(document["images"], placed, strict=True):
        file = one.picture.file.relative_to(request.raw)
        entry |= {"source_id": one.source_id, "source": file.as_posix()}
    for entry, (_, pose) in zip(document["annotations"], pairs, strict=True):
        entry |= {
            "source_id": pose.id,
            "bbox_source": "drawn" if pose.drawn_box else "joints",
            "area_source": "drawn" if pose.drawn_area else "bbox",
        }
    return document


def _instance(one: RawFrame, pose: Pose, number: int) -> Instance:
    size = one.picture.size
    turned = turn_pose(pose, size)
    return Instance(
        id=number,
        image_id=one.image_id,
        image=one.name,
        subject=patient_name(one.patient),
        image_size=size,
        box=turned.box,
        area=turned.area,
        joints=turned.joints,
        visibility=turned.visibility,
    )


def account(
    plan: RawPlan, division: Division, images: Images, *, findings: Iterable[DataFinding], sums_sha256: str
) -> Manifest:
    """Return the manifest: the same for the same raw folder, wherever and whenever it is made."""
    raw, window = plan.request.raw, plan.request.window
    return Manifest(
        made_by=f"greenpose {__version__}",
        profile=plan.request.profile.name,
        rotated_deg=ROTATION_DEG,
        split=division,
        depth=Depth(
            bits=8 if window else plan.bits,
            grey_of_depth_mm=(float(window[0]), float(window[1])) if window else None,
            inside_share=images.seen.share,
        ),
        counts={split: _counts([one for one in images.placed if one.split == split]) for split in SPLITS},
        patients=[_patient(export, images, raw) for export in plan.exports],
        remarks=[
            Remark(level=finding.level, where=_below(finding.where, raw), message=_below(finding.message, raw))
            for finding in findings
            if finding.level != "error"
        ],
        sums_sha256=sums_sha256,
    )


def _below(text: str, raw: Path) -> str:
    """Return a text without the place of the raw folder, which is none of the data's."""
    return re.sub(rf"(?<![\w/.-]){re.escape(str(raw))}(/|(?=:|$))", "", text).removeprefix(": ")


def _counts(placed: Sequence[RawFrame]) -> Counts:
    poses = [pose for one in placed for pose in one.poses]
    drawn = [is_box_area(pose.area, pose.box) for pose in poses if pose.drawn_area]
    return Counts(
        patients=len({one.patient for one in placed}),
        images=len(placed),
        annotations=len(poses),
        areas=Areas(drawn_boxes=sum(drawn), drawn_silhouettes=len(drawn) - sum(drawn), boxes=len(poses) - len(drawn)),
    )


def _patient(export: Export, images: Images, raw: Path) -> PatientNote:
    placed = [one for one in images.placed if one.patient == export.patient.number]
    sources = {one.picture.file.relative_to(raw).as_posix(): images.sources[one.image_id] for one in placed}
    broken = [*export.broken, *images.broken.get(export.patient.number, ())]
    return PatientNote(
        patient=export.patient.name,
        splits=[split for split in SPLITS if any(one.split == split for one in placed)],
        export=export.patient.file.relative_to(raw).as_posix(),
        export_sha256=sha256(export.patient.file.read_bytes()),
        sources_sha256=sha256(sums_text(sources).encode()),
        images_listed=export.num_listed,
        images=len(placed),
        annotations=sum(len(one.poses) for one in placed),
        missing=list(export.missing),
        broken=[_below(text, raw) for text in broken],
        left_out={kind: export.seen[kind] for kind in LEFT_OUT if kind in export.seen},
        mended={kind: export.seen[kind] for kind in MENDED if kind in export.seen},
    )


MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A data set that was made."""

    manifest: Manifest
    """What it was made from, how, and what was left out."""
    swept: bool
    """Whether the remains of an attempt that was killed were removed first."""


def _silent(done: int, total: int) -> None:
    del done, total


def prepare(request: Request, out: Path, *, tell: Tell = _silent) -> Prepared:
    """Return what was made of a raw folder in the new folder `out`.

    Images, joints and boxes are turned upright; 16-bit depth is kept, or seen through the window that is asked for.
    `out` appears whole or not at all, and only if `check_folder` finds nothing that forbids its use.

    Raises:
        DataError: `out` is in use, or with every fault of the raw folder.
    """
    _check_request(request)
    with whole_folder(out) as unfinished:
        plan = make_plan(request)
        images = make_images(plan, None if errors(plan.findings) else unfinished.path, tell=tell)
        findings = [*plan.findings, *image_findings(images, plan)]
        faults = errors(findings)
        if faults or plan.division is None:
            raise DataError(faults)
        sums = images.sums | _write_annotations(unfinished.path, plan, images, by=plan.division.by)
        digest = _write(unfinished.path / FILE, sums_text(sums))
        manifest = account(plan, plan.division, images, findings=findings, sums_sha256=digest)
        _write(unfinished.path / MANIFEST, manifest.model_dump_json(by_alias=True, indent=1) + "\n")
        _audit(unfinished.path, out, request)
    return Prepared(manifest=manifest, swept=unfinished.swept)


def _check_request(request: Request) -> None:
    if not request.raw.is_dir():
        raise DataError([f"{request.raw}: no such folder; it should hold annotations/pzN.json and images/"])
    if request.window is not None:
        window_depth(np.zeros((1, 1), np.uint16), request.window)  # refuses an empty one


def _write_annotations(root: Path, plan: RawPlan, images: Images, *, by: By) -> dict[str, str]:
    """Return the SHA-256 of each annotation file, by its path below `root`."""
    sums: dict[str, str] = {}
    for split in SPLITS:
        placed = [one for one in images.placed if one.split == split]
        name = f"annotations/person_keypoints_{split}.json"
        sums[name] = _write(root / name, json.dumps(split_document(placed, plan.request, by=by)))
    return sums


def _write(file: Path, text: str) -> str:
    """Return the SHA-256 of a text after writing it to a file."""
    data = text.encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return sha256(data)


def _audit(root: Path, out: Path, request: Request) -> None:
    """Refuse what `greenpose data check` would refuse.

    Raises:
        DataError: with everything that forbids the use of what was made.
    """
    faults = errors(check_folder(root, profile=request.profile).findings)
    if faults:
        raise DataError([fault.replace(str(root), str(out)) for fault in faults])
