"""The images of raw frames, read, turned and written; those that cannot be are gathered."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from greenpose.data.findings import Finding, Level, Notebook
from greenpose.data.images import Window, decode_stored, read_bytes
from greenpose.data.pictures import note_broken
from greenpose.data.raw.pixels import Seen, encode_png, upright
from greenpose.data.raw.plan import Placed, Plan
from greenpose.data.sums import sha256
from greenpose.errors import DataError

Tell: TypeAlias = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""


@dataclass(slots=True, kw_only=True)
class Images:
    """What became of the images."""

    placed: list[Placed] = field(default_factory=list)
    """Frames whose image is whole, in order."""
    sums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each written image, by its path in the data set."""
    sources: dict[int, str] = field(default_factory=dict)
    """SHA-256 of each frame's own file, by the frame's number in the set."""
    broken: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Images that look whole from outside and cannot be decoded, with the fault, by patient."""
    seen: Seen = field(default_factory=Seen)
    """How the window fits."""


def make_images(plan: Plan, root: Path | None, *, tell: Tell) -> Images:
    """Return what became of the images after writing them below `root`; without one they are only decoded."""
    images = Images()
    for done, one in enumerate(plan.placed, start=1):
        try:
            _make(one, root, images, plan.request.window)
        except DataError as error:
            images.broken[one.frame.patient] += error.faults
        tell(done, len(plan.placed))
    return images


def _make(one: Placed, root: Path | None, images: Images, window: Window | None) -> None:
    file = one.frame.picture.file
    data = read_bytes(file)
    stored = decode_stored(data, file, thorough=True)
    images.placed.append(one)
    images.sources[one.image_id] = sha256(data)
    if root is None:
        return
    if window is not None and stored.dtype != np.uint16:
        raise DataError([f"{file}: has changed: it was 16-bit depth, and is an 8-bit image, which takes no window"])
    png = encode_png(upright(stored, window=window, seen=images.seen))
    name = f"images/{one.name}"
    images.sums[name] = sha256(png)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(png)


def image_findings(images: Images, plan: Plan) -> list[Finding]:
    """Return what only the pixels told: broken images, copies in another split, a window that shows nothing."""
    findings: list[Finding] = []
    for export in plan.exports:
        notebook = Notebook(str(export.patient.file))
        broken = images.broken.get(export.patient.number, ())
        note_broken(broken, notebook, allow_missing=plan.request.allow_missing)
        findings += notebook.findings
    notebook = Notebook(str(plan.request.raw))
    if plan.division is not None:
        level: Level = "warning" if plan.division.by == "frame" else "error"
        notebook.count(level, _copies(images), "{n} images have a byte-identical copy in another split", field="images")
    if images.sums and plan.request.window is not None and images.seen.fault:
        near, far = plan.request.window
        notebook.add("error", f"{float(near):g},{float(far):g} {images.seen.fault}", field="window")
    return findings + notebook.findings


def _copies(images: Images) -> list[str]:
    """Return pairs of files of different splits that hold the same bytes."""
    first: dict[str, Placed] = {}
    copies = []
    for one in images.placed:
        other = first.setdefault(images.sources[one.image_id], one)
        file, twin = one.frame.picture.file, other.frame.picture.file
        if other.split != one.split and twin != file:
            copies.append(f"{one.split} {file} = {other.split} {twin}")
    return copies
