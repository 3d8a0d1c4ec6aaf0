"""One synthetic patient and the annotated depth frames taken of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from greenpose.config import SyntheticConfig
from greenpose.data.instances import Instance
from greenpose.data.synthetic.body import JOINTS, NOSE, Body, Build, draw_build, pose
from greenpose.data.synthetic.scene import FAR_MM, Bed, Canvas, Moment, lay_blanket, lay_tube, make_bed, reach_in
from greenpose.data.synthetic.sensor import Camera, Sensor, bank, draw_camera, draw_sensor, sense
from greenpose.data.synthetic.spec import Purpose, Spec, stream

_HIDDEN_MM = 14.0
"""A joint is hidden when something is this much nearer than its own flesh."""
_MELT_MM = 9.0
"""Limbs and trunk run into one another over this depth."""
_LIMB_REACH_MM = 32.0
"""More than the radius at any limb's far end; the near ends lie within the trunk."""
_FOLD_FRAMES = 8
"""Folds of cloth and skin are drawn anew after this many frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A depth frame and its annotation, made from the skeleton and not from the noisy image."""

    depth: UInt16[np.ndarray, "h w"]
    """mm; 0 is no return."""
    joints: Float[np.ndarray, "12 2"]
    """Column and row in px in the order of `JOINTS`; (0, 0) where unlabelled."""
    visibility: Int[np.ndarray, "12"]
    """0 unlabelled (out of frame, or left out under the blanket), 1 labelled but hidden, 2 visible."""
    box: tuple[float, float, float, float]
    """x, y, width and height in px of the infant's pixels, those under blanket or adult included."""
    area: float
    """Number of the infant's pixels, those under blanket or adult included."""
    patient: int
    """The patient's number within the set."""
    index: int
    """The frame's number within the patient; 10 are about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """An infant, its bed and the camera above it."""

    spec: Spec
    """The set it belongs to."""
    number: int
    """Which patient of the set."""
    build: Build
    """Proportions and habits."""
    camera: Camera
    """The camera, which stays in place."""
    bed: Bed
    """What it lies in."""
    sensor: Sensor
    """What the frames are taken with."""

    def frame(self, index: int) -> Frame:
        """Return frame `index`, counted from 0; it is the same whether or not others are drawn."""
        body = pose(self.build, index)
        surface = self.bed.depth.copy()
        mask = self._draw_body(surface, body, index)
        lay_tube(surface, self.camera, self.bed, body.points[NOSE])
        moment = Moment(spec=self.spec, patient=self.number, index=index, trunk_mm=self.build.trunk_mm)
        covered = lay_blanket(surface, self.bed, moment)
        reach_in(surface, self.camera, moment)
        joints, visibility = self._annotate(surface, body, covered, index)
        box, area = _extent(mask)
        return Frame(
            depth=sense(surface, self.sensor, self.spec, patient=self.number, index=index),
            joints=joints,
            visibility=visibility,
            box=box,
            area=area,
            patient=self.number,
            index=index,
        )

    def _draw_body(self, surface: Float[np.ndarray, "h w"], body: Body, index: int) -> "_Mask":
        """Bring the infant into the surface and return its pixels."""
        seen = self.camera.project(body.points)
        px_per_mm = self.camera.focal_px / seen[:, 2:]
        canvas = self._canvas(seen, body, px_per_mm)
        for centre, axes in body.masses:
            flat = (axes[:2] @ self.camera.turn[:2].T) * px_per_mm[centre]
            canvas.ellipsoid(seen[centre], flat, float(axes[2, 2]))
        for first, second, ra, rb in body.limbs:
            canvas.capsule(seen[first], seen[second], (ra, rb))
        height, width = canvas.depth.shape
        fields = bank(self.spec)
        rng = stream(self.spec, Purpose.FOLDS, patient=self.number, frame=index // _FOLD_FRAMES)
        folds = fields.window(fields.fine, rng)[:height, :width]
        depth = canvas.depth - np.float32(0.5 + 7 * self.build.looseness) * folds
        behind = surface[canvas.top : canvas.top + height, canvas.left : canvas.left + width]
        mask = depth < behind
        np.minimum(behind, depth, out=behind)
        return _Mask(pixels=mask, left=canvas.left, top=canvas.top)

    def _canvas(
        self, seen: Float[np.ndarray, "point 3"], body: Body, px_per_mm: Float[np.ndarray, "point 1"]
    ) -> Canvas:
        """Return an empty canvas that holds the whole infant, as far as it is in the frame."""
        reach = np.full((len(seen), 1), _LIMB_REACH_MM * (1 + self.build.looseness))
        for centre, axes in body.masses:
            reach[centre] = np.abs(axes).max()
        size = np.array(self.spec.size)
        left, top = np.clip((seen[:, :2] - reach * px_per_mm).min(axis=0) - 1, 0, size).astype(int).tolist()
        right, bottom = np.clip((seen[:, :2] + reach * px_per_mm).max(axis=0) + 2, 0, size).astype(int).tolist()
        depth = np.full((bottom - top, right - left), FAR_MM, dtype=np.float32)
        return Canvas(depth=depth, left=left, top=top, focal_px=self.camera.focal_px, blend_mm=_MELT_MM)

    def _annotate(
        self,
        surface: Float[np.ndarray, "h w"],
        body: Body,
        covered: Bool[np.ndarray, "h w"] | None,
        index: int,
    ) -> tuple[Float[np.ndarray, "12 2"], Int[np.ndarray, "12"]]:
        seen = self.camera.project(body.points[: len(JOINTS)])
        at = np.rint(seen[:, :2]).astype(int)
        width, height = self.spec.size
        in_frame = ((at >= 0) & (at < [width, height])).all(axis=1)
        column, row = np.clip(at, 0, [width - 1, height - 1]).T
        hidden = surface[row, column] < seen[:, 2] - body.joint_radii - _HIDDEN_MM
        left_out = np.zeros(len(JOINTS), dtype=bool)
        if covered is not None:
            rng = stream(self.spec, Purpose.LABEL, patient=self.number, frame=index)
            left_out = covered[row, column] & (rng.random(len(JOINTS)) < 0.5)
            hidden |= covered[row, column]
        visibility = np.where(left_out | ~in_frame, 0, np.where(hidden, 1, 2))
        return np.where(visibility[:, None] > 0, seen[:, :2], 0.0), visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mask:
    pixels: Bool[np.ndarray, "h w"]
    left: int
    top: int


def _extent(mask: _Mask) -> tuple[tuple[float, float, float, float], float]:
    """Return the box around a mask's pixels and their number."""
    columns, rows = (np.flatnonzero(mask.pixels.any(axis=axis)) for axis in (0, 1))
    if not len(columns):
        return (0.0, 0.0, 0.0, 0.0), 0.0
    x, y = mask.left + int(columns[0]), mask.top + int(rows[0])
    width, height = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    return (float(x), float(y), float(width), float(height)), float(np.count_nonzero(mask.pixels))


def admit(spec: Spec, patient: int) -> Patient:
    """Return one patient of a set."""
    camera, build = draw_camera(spec, patient), draw_build(spec, patient)
    bed = make_bed(spec, patient, camera, trunk_mm=build.trunk_mm)
    return Patient(spec=spec, number=patient, build=build, camera=camera, bed=bed, sensor=draw_sensor(spec, patient))


_FIRST_PATIENT = {"train": 0, "val": 1_000_000, "test": 2_000_000}
"""Numbers far apart, so that no patient is in two splits however many there are."""


def generate(config: SyntheticConfig, split: str) -> Iterator[tuple[Instance, np.ndarray]]:
    """Yield each generated instance of a split with its depth frame in mm; frames without the infant are left out."""
    spec = Spec(seed=config.seed, size=config.size, yaw_spread_deg=config.yaw_spread_deg)
    first, number = _FIRST_PATIENT[split], 0
    for patient_number in range(getattr(config.patients, split)):
        patient = admit(spec, first + patient_number)
        for step in range(getattr(config.frames, split)):
            frame = patient.frame(step * config.frame_step)
            if not frame.visibility.any():
                continue
            number += 1
            name = f"patient{patient_number:04d}/{frame.index:06d}.png"
            instance = Instance(
                id=number,
                image_id=number,
                image=name,
                subject=f"{split}-{patient_number:04d}",
                image_size=config.size,
                box=frame.box,
                area=frame.area,
                joints=frame.joints,
                visibility=frame.visibility,
            )
            yield instance, frame.depth
