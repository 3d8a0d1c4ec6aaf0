"""The depth sensor and its camera: disparity noise and steps, one-sided shadows, frayed edges, holes.

Drawing fresh noise for each frame would cost more than rendering the infant.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from greenpose.data.synthetic.spec import Purpose, Spec, stream

_COARSE_PX, _FINE_PX = 70.0, 11.0
"""Grid spacing of the smooth fields, in native px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Random fields of twice a frame's width and height, each of unit variance unless said otherwise."""

    size: tuple[int, int]
    """Width and height of the windows that are taken, in px."""
    coarse: Float[np.ndarray, "h w"]
    """Varies over about 70 native px."""
    fine: Float[np.ndarray, "h w"]
    """Varies over about 11 native px."""
    grain: Float[np.ndarray, "h w"]
    """Disparity noise of the sensor at gain 1, in px: mostly per pixel, partly shared with neighbours."""
    dice: UInt8[np.ndarray, "h w"]
    """Uniform over 0 to 255."""

    def window(self, field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a random frame-sized part of one of the fields, as a view."""
        width, height = self.size
        left = int(rng.integers(0, field.shape[1] - width + 1))
        top = int(rng.integers(0, field.shape[0] - height + 1))
        return field[top : top + height, left : left + width]


def bank(spec: Spec) -> Bank:
    """Return the random fields that all patients of a set share."""
    return _bank(spec.seed, spec.size)


@lru_cache(maxsize=2)
def _bank(seed: int, size: tuple[int, int]) -> Bank:
    spec = Spec(seed=seed, size=size)
    rng = stream(spec, Purpose.BANK)
    shape = (2 * size[1], 2 * size[0])
    coarse = _smooth(rng, shape, spacing_px=max(2.0, _COARSE_PX * spec.px_scale))
    fine = _smooth(rng, shape, spacing_px=max(1.5, _FINE_PX * spec.px_scale))
    white = rng.standard_normal(shape, dtype=np.float32)
    patches = white + np.roll(white, 1, axis=0)
    patches += np.roll(patches, 1, axis=1)
    grain = np.float32(0.05) * white + np.float32(0.025) * patches + np.float32(0.05) * np.roll(coarse, 99, axis=1)
    dice = rng.integers(0, 256, shape, dtype=np.uint8)
    return Bank(size=size, coarse=coarse, fine=fine, grain=grain, dice=dice)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], *, spacing_px: float) -> Float[np.ndarray, "h w"]:
    rows, columns = (_spread(length, spacing_px) for length in shape)
    knots = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    field = rows @ knots @ columns.T
    return np.asarray((field - field.mean()) / field.std())


def _spread(length: int, spacing_px: float) -> Float[np.ndarray, "length knots"]:
    """Return the weights that spread values on knots over `length` pixels with a bell of .6 spacings."""
    knots = np.arange(-2, int(length / spacing_px) + 4, dtype=np.float32)
    away = np.arange(length, dtype=np.float32)[:, None] / np.float32(spacing_px) - knots
    weights = np.exp(-np.square(away) / np.float32(2 * 0.6**2))
    return np.asarray(weights / np.sqrt(np.square(weights).sum(axis=1, keepdims=True)))


FOCAL_PX = 570.0
"""Focal length at 640 px width. Source: Orbbec Astra, depth field of view 58.4 degrees (product sheet, 2016)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A pinhole camera fixed for one patient."""

    size: tuple[int, int]
    """Width and height in px."""
    focal_px: float
    """Focal length in px of this size."""
    turn: Float[np.ndarray, "3 3"]
    """Bed axes to camera axes (x right, y down, z away); orthogonal."""
    shift: Float[np.ndarray, "3"]
    """The bed's origin in camera axes, mm."""

    @property
    def mattress_mm(self) -> float:
        """Return the distance to the mattress at the image's centre, along the optical axis."""
        up = self.turn[:, 2]
        return float(up @ self.shift / up[2])

    def project(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Return column and row in px and distance in mm of points in the bed's frame."""
        seen = points @ self.turn.T + self.shift
        z = seen[:, 2:]
        centre = (np.array(self.size) - 1) / 2
        return np.concatenate([self.focal_px * seen[:, :2] / z + centre, z], axis=1)

    def plane(
        self, height_mm: float
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Return distance, bed x and bed y (mm) at which each pixel's ray meets the plane `height_mm` over the bed."""
        width, height = self.size
        columns = ((np.arange(width) - (width - 1) / 2) / self.focal_px).astype(np.float32)
        rows = ((np.arange(height) - (height - 1) / 2) / self.focal_px).astype(np.float32)[:, None]
        along_x, along_y, up = ([float(value) for value in axis] for axis in self.turn.T)
        far = float(self.turn[:, 2] @ self.shift) + height_mm
        z = far / ((up[0] * columns + up[2]) + up[1] * rows)
        x = z * ((along_x[0] * columns + along_x[2]) + along_x[1] * rows) - float(self.turn[:, 0] @ self.shift)
        y = z * ((along_y[0] * columns + along_y[2]) + along_y[1] * rows) - float(self.turn[:, 1] @ self.shift)
        return z, x, y


def draw_camera(spec: Spec, patient: int) -> Camera:
    """Return the camera of a patient: some 680 mm above the mattress, from any side, nearly level."""
    rng = stream(spec, Purpose.VIEW, patient=patient)
    distance_mm = float(np.clip(rng.normal(680, 60), 560, 850))
    yaw = np.radians(rng.uniform(-1, 1) * spec.yaw_spread_deg)
    pitch, roll = np.radians(np.clip(rng.normal(0, [5, 4]), -11, 11))
    aside_mm = np.clip(rng.normal(0, 18, 2), -40, 40)
    c, s = np.cos(yaw), np.sin(yaw)
    about_up = np.array([[c, -s, 0], [s, c, 0], [0, 0, -1]])
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(roll), np.sin(roll)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    tilt = about_x @ about_y
    return Camera(
        size=spec.size,
        focal_px=FOCAL_PX * spec.px_scale,
        turn=tilt @ about_up,
        shift=tilt @ np.array([*aside_mm, 0.0]) + [0.0, 0.0, distance_mm],
    )


BASELINE_MM = 75.0
"""Projector to camera. Source: Orbbec Astra (product sheet, 2016)."""
_STEPS_PER_PX = 8.0
"""Disparities are told apart to an eighth of a px, which is 1.4 mm at .7 m."""
_SHADOW_PX, _LONGEST_SHADOW_PX = 1.5, 64.0
_EDGE_MM, _FRAY_MM = 4.0, 8.0
"""Depth differences between neighbours from which an edge jitters, and from which returns get lost."""
_BLOB_SD = 3.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """The sensor of one patient."""

    gain: float
    """Factor on noise and dropouts."""
    projector_right: bool
    """Whether shadows fall to the right of what casts them."""


def draw_sensor(spec: Spec, patient: int) -> Sensor:
    """Return the sensor of a patient."""
    rng = stream(spec, Purpose.SENSOR, patient=patient)
    gain = float(np.exp(np.clip(rng.normal(0, 0.3), -0.6, 0.6))) * spec.noise_gain
    return Sensor(gain=gain, projector_right=bool(rng.integers(2)))


def sense(
    surface: Float[np.ndarray, "h w"], sensor: Sensor, spec: Spec, *, patient: int, index: int
) -> UInt16[np.ndarray, "h w"]:
    """Return the depth frame in mm that the sensor makes of a true surface in mm; 0 is no return."""
    rng = stream(spec, Purpose.SHOT, patient=patient, frame=index)
    fields = bank(spec)
    edges, rise = _edges(surface, 1 / spec.px_scale)
    frayed = _jitter(surface, edges, fields, rng) if sensor.gain else surface
    disparity = np.float32(FOCAL_PX * BASELINE_MM) / frayed
    lost = _shadow(disparity, sensor, 1 / spec.px_scale)
    steps = disparity * np.float32(_STEPS_PER_PX)
    if sensor.gain:
        steps += np.float32(_STEPS_PER_PX * sensor.gain) * fields.window(fields.grain, rng)
        _punch(lost, edges, rise, sensor, fields, rng)
    np.rint(steps, out=steps)
    depth = np.divide(np.float32(FOCAL_PX * BASELINE_MM * _STEPS_PER_PX), np.maximum(steps, 1), out=steps)
    depth += np.float32(0.5)
    depth[lost] = 0
    return depth.astype(np.uint16)


def _edges(surface: Float[np.ndarray, "h w"], native_px: float) -> tuple[np.ndarray, Float[np.ndarray, " edge"]]:
    """Return the flat indices of the pixels at depth edges, and the depth difference in mm per native px there."""
    rise = np.zeros_like(surface)
    np.abs(surface[:, 1:] - surface[:, :-1], out=rise[:, 1:])
    down = np.abs(surface[1:] - surface[:-1])
    np.maximum(rise[1:], down, out=rise[1:])
    edges = np.flatnonzero(rise > _EDGE_MM * native_px)
    return edges, rise.ravel()[edges] / np.float32(native_px)


def _jitter(
    surface: Float[np.ndarray, "h w"], edges: np.ndarray, fields: Bank, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return the surface with pixels at depth edges replaced by one of their neighbours."""
    throw = fields.window(fields.dice, rng)[np.unravel_index(edges, surface.shape)].astype(np.intp)
    offset = throw % 3 - 1 + (throw // 3 % 3 - 1) * surface.shape[1]
    frayed = surface.copy()
    frayed.ravel()[edges] = surface.ravel()[np.clip(edges + offset, 0, surface.size - 1)]
    return frayed


def _shadow(disparity: Float[np.ndarray, "h w"], sensor: Sensor, native_px: float) -> np.ndarray:
    """Return where something nearer, on the projector's side, keeps its light away."""
    columns = np.arange(disparity.shape[1], dtype=np.float32) * np.float32(native_px)
    hit = (disparity if sensor.projector_right else disparity[:, ::-1]) + columns
    foremost = hit.copy()
    reach = 1
    while reach * native_px < _LONGEST_SHADOW_PX and reach < hit.shape[1]:  # doubling beats a running maximum threefold
        foremost[:, reach:] = np.maximum(foremost[:, reach:], foremost[:, :-reach])
        reach *= 2
    dark = np.asarray(foremost - hit > _SHADOW_PX)
    return dark if sensor.projector_right else dark[:, ::-1]


def _punch(
    lost: np.ndarray,
    edges: np.ndarray,
    rise: Float[np.ndarray, " edge"],
    sensor: Sensor,
    fields: Bank,
    rng: np.random.Generator,
) -> None:
    """Lose returns at steep edges, and in the odd patch."""
    throw = fields.window(fields.dice, rng)
    at = np.unravel_index(edges, lost.shape)
    chance = np.clip((rise - _FRAY_MM) * (16 * sensor.gain), 0, 90)
    lost[at] |= throw[at] < chance
    patches = np.flatnonzero(fields.window(fields.fine, rng) > _BLOB_SD - 0.2 * sensor.gain)
    at = np.unravel_index(patches, lost.shape)
    lost[at] |= throw[at] < 140
