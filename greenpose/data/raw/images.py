"""The images of raw frames, read, turned and written; those that cannot be are gathered."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from greenpose.data.annotations import Pose
from greenpose.data.check import sha256
from greenpose.data.findings import DataFinding, Level, Notebook
from greenpose.data.image_checks import note_broken
from greenpose.data.images import Window, decode_stored, encode_png, read_bytes, window_depth
from greenpose.data.raw.plan import RawFrame, RawPlan
from greenpose.errors import DataError

ROTATION_DEG = 180


def turn_image(image: np.ndarray) -> np.ndarray:
    """Return an image upside down; every pixel is kept as it is."""
    return np.ascontiguousarray(image[::-1, ::-1])


def turn_pose(pose: Pose, image_size: tuple[int, int]) -> Pose:
    """Return a pose in its turned image: pixel x goes to width - 1 - x, y to height - 1 - y; left stays left.

    An unlabelled joint stays at 0, 0: turned like the others, as in the paper's script, it would look like a joint in
    the far corner. The box moves by whole pixels like the joints, hence its 1 px.
    """
    last = np.array(image_size) - 1
    labelled = (pose.visibility > 0)[:, None]
    x, y, width, height = pose.box
    box = (float(last[0]) - x - width, float(last[1]) - y - height, width, height)
    return replace(pose, joints=np.where(labelled, last - pose.joints, 0.0), box=box)


_FEWEST = 0.01


@dataclass(slots=True, kw_only=True)
class DepthRange:
    """How much of the depth lies inside the window, over all frames so far."""

    returns: int = 0
    """Pixels with a depth."""
    inside: int = 0
    """Those of them that lie between near and far."""
    nearest_mm: int = 65535
    """The nearest depth."""
    farthest_mm: int = 0
    """The farthest depth."""

    def add(self, depth: np.ndarray, window: Window) -> None:
        """Count another frame's depths."""
        near, far = float(window[0]), float(window[1])
        there = depth[depth > 0]
        self.returns += int(there.size)
        self.inside += int(((there >= near) & (there <= far)).sum())
        if there.size:
            self.nearest_mm = min(self.nearest_mm, int(there.min()))
            self.farthest_mm = max(self.farthest_mm, int(there.max()))

    @property
    def share(self) -> float | None:
        """Return the share of depths inside the window, None where there was no depth."""
        return self.inside / self.returns if self.returns else None

    @property
    def fault(self) -> str:
        """Return what is wrong with the window, "" for nothing: one that shows nothing is a slip or in another unit."""
        if self.share is not None and self.share >= _FEWEST:
            return ""
        if not self.returns:
            return "holds nothing: the images have no depths at all"
        span = f"they go from {self.nearest_mm} to {self.farthest_mm}, in mm if the files are as they should be"
        return f"holds {100 * self.inside / self.returns:.2g} % of the depths; {span}"


Tell: TypeAlias = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""


@dataclass(slots=True, kw_only=True)
class Images:
    """What became of the images."""

    placed: list[RawFrame] = field(default_factory=list)
    """Frames whose image is whole, in order."""
    sums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each written image, by its path in the data set."""
    sources: dict[int, str] = field(default_factory=dict)
    """SHA-256 of each frame's own file, by the frame's number in the set."""
    broken: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Images that look whole from outside and cannot be decoded, with the fault, by patient."""
    seen: DepthRange = field(default_factory=DepthRange)
    """How the window fits."""


def make_images(plan: RawPlan, root: Path | None, *, tell: Tell) -> Images:
    """Return what became of the images after writing them below `root`; without one they are only decoded."""
    images = Images()
    for done, one in enumerate(plan.placed, start=1):
        try:
            _make(one, root, images, plan.request.window)
        except DataError as error:
            images.broken[one.patient] += error.faults
        tell(done, len(plan.placed))
    return images


def _make(one: RawFrame, root: Path | None, images: Images, window: Window | None) -> None:
    file = one.picture.file
    data = read_bytes(file)
    stored = decode_stored(data, file, thorough=True)
    images.placed.append(one)
    images.sources[one.image_id] = sha256(data)
    if root is None:
        return
    if window is not None and stored.dtype != np.uint16:
        raise DataError([f"{file}: has changed: it was 16-bit depth, and is an 8-bit image, which takes no window"])
    if window is not None:
        images.seen.add(stored, window)
        stored = window_depth(stored, window)
    png = encode_png(turn_image(stored))
    name = f"images/{one.name}"
    images.sums[name] = sha256(png)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(png)


def image_findings(images: Images, plan: RawPlan) -> list[DataFinding]:
    """Return what only the pixels told: broken images, copies in another split, a window that shows nothing."""
    findings: list[DataFinding] = []
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
    first: dict[str, RawFrame] = {}
    copies = []
    for one in images.placed:
        other = first.setdefault(images.sources[one.image_id], one)
        file, twin = one.picture.file, other.picture.file
        if other.split != one.split and twin != file:
            copies.append(f"{one.split} {file} = {other.split} {twin}")
    return copies
