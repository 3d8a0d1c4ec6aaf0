"""The preparation of BabyPose: from exports to a COCO folder, with the account of what was made."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greenpose.data.check import SPLITS, check_folder
from greenpose.data.findings import errors
from greenpose.data.images import window_depth
from greenpose.data.raw.account import account
from greenpose.data.raw.document import split_document
from greenpose.data.raw.images import Images, Tell, image_findings, make_images
from greenpose.data.raw.manifest import Manifest
from greenpose.data.raw.plan import Plan, Request, make_plan
from greenpose.data.raw.splits import By
from greenpose.data.sums import FILE, sha256, sums_text
from greenpose.data.whole import whole_folder
from greenpose.errors import DataError

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


def _write_annotations(root: Path, plan: Plan, images: Images, *, by: By) -> dict[str, str]:
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
