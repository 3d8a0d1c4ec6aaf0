"""The manifest of a set that was made: counts, hashes, what was left out."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from greenpose import __version__
from greenpose.data.annotations import LEFT_OUT, MENDED, is_box_area
from greenpose.data.check import SPLITS
from greenpose.data.findings import Finding
from greenpose.data.raw.export import Export
from greenpose.data.raw.images import Images
from greenpose.data.raw.manifest import Areas, Counts, Depth, Manifest, PatientNote, Remark, SplitRule
from greenpose.data.raw.patients import patient_name
from greenpose.data.raw.plan import Placed, Plan
from greenpose.data.raw.rotate import ROTATION_DEG
from greenpose.data.raw.splits import Division
from greenpose.data.sums import sha256, sums_text


def account(
    plan: Plan, division: Division, images: Images, *, findings: Iterable[Finding], sums_sha256: str
) -> Manifest:
    """Return the manifest: the same for the same raw folder, wherever and whenever it is made."""
    raw = plan.request.raw
    return Manifest(
        made_by=f"greenpose {__version__}",
        profile=plan.request.profile.name,
        rotated_deg=ROTATION_DEG,
        split=_split(division),
        depth=_depth(plan, images),
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


def _split(division: Division) -> SplitRule:
    return SplitRule(
        by=division.by,
        rule=division.rule,
        seed=division.seed,
        note=division.note,
        patients={split: [patient_name(number) for number in division.patients[split]] for split in SPLITS},
    )


def _depth(plan: Plan, images: Images) -> Depth:
    window = plan.request.window
    return Depth(
        bits=8 if window else plan.bits,
        grey_of_depth_mm=(float(window[0]), float(window[1])) if window else None,
        inside_share=images.seen.share,
    )


def _counts(placed: Sequence[Placed]) -> Counts:
    poses = [pose for one in placed for pose in one.frame.poses]
    drawn = [is_box_area(pose.area, pose.box) for pose in poses if pose.drawn_area]
    return Counts(
        patients=len({one.frame.patient for one in placed}),
        images=len(placed),
        annotations=len(poses),
        areas=Areas(drawn_boxes=sum(drawn), drawn_silhouettes=len(drawn) - sum(drawn), boxes=len(poses) - len(drawn)),
    )


def _patient(export: Export, images: Images, raw: Path) -> PatientNote:
    placed = [one for one in images.placed if one.frame.patient == export.patient.number]
    sources = {one.frame.picture.file.relative_to(raw).as_posix(): images.sources[one.image_id] for one in placed}
    broken = [*export.broken, *images.broken.get(export.patient.number, ())]
    return PatientNote(
        patient=export.patient.name,
        splits=[split for split in SPLITS if any(one.split == split for one in placed)],
        export=export.patient.file.relative_to(raw).as_posix(),
        export_sha256=sha256(export.patient.file.read_bytes()),
        sources_sha256=sha256(sums_text(sources).encode()),
        images_listed=export.num_listed,
        images=len(placed),
        annotations=sum(len(one.frame.poses) for one in placed),
        missing=list(export.missing),
        broken=[_below(text, raw) for text in broken],
        left_out=_of(export.seen, LEFT_OUT),
        mended=_of(export.seen, MENDED),
    )


def _of(seen: Mapping[str, int], kinds: Sequence[str]) -> dict[str, int]:
    return {kind: seen[kind] for kind in kinds if kind in seen}
