"""The depth camera above the bed: where a point falls in the image, and where a pixel's ray meets the bed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from greenpose.data.synthetic.spec import Purpose, Spec, stream

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
