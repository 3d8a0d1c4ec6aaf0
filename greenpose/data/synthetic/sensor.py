"""The depth sensor and its camera: disparity noise and steps, one-sided shadows, frayed edges, holes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt16

from greenpose.data.synthetic.camera import FOCAL_PX
from greenpose.data.synthetic.spec import Purpose, Spec, stream
from greenpose.data.synthetic.texture import Bank, bank

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
