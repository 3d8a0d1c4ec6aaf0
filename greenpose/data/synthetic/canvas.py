"""A z-buffer onto which rounded solids are drawn as screen-space height fields.

Each solid touches only the pixels of its own bounding box, which is where the generator's speed comes from.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FAR_MM = 1e5
"""Depth of a pixel on which nothing was drawn."""

Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A rectangle of an image with the nearest surface drawn so far."""

    depth: Float[np.ndarray, "h w"]
    """mm along the optical axis; drawn upon in place."""
    left: int
    """Image column of the first column."""
    top: int
    """Image row of the first row."""
    focal_px: float
    """Focal length in px."""
    blend_mm: float
    """Solids nearer to each other than this melt into one another; 0 keeps creases sharp."""

    def capsule(self, a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"], radii_mm: tuple[float, float]) -> None:
        """Draw a tapered limb between two projected points (column, row, mm), with a ball at either end."""
        (ua, va, za), (ub, vb, zb) = a.tolist(), b.tolist()
        ra, rb = self.focal_px * radii_mm[0] / za, self.focal_px * radii_mm[1] / zb
        du, dv = ub - ua, vb - va
        if du * du + dv * dv > 1:
            window = self._window(
                min(ua - ra, ub - rb), min(va - ra, vb - rb), max(ua + ra, ub + rb), max(va + ra, vb + rb)
            )
            if window is not None:
                columns, rows = self._offsets(window, ua, va)
                norm = du * du + dv * dv
                t = np.clip((columns * (du / norm)) + (rows * (dv / norm)), 0, 1)
                inside = np.square(ra + t * (rb - ra)) - np.square(columns - t * du) - np.square(rows - t * dv)
                mm_per_px = (za + zb) / 2 / self.focal_px
                self._melt(window, za + t * (zb - za), inside, mm_per_px)
        if abs(za - zb) > max(radii_mm) / 2 or du * du + dv * dv <= 1:
            # a limb that points at the camera is short in the image: without its ends it would show holes
            self.ball(a, radii_mm[0])
            self.ball(b, radii_mm[1])

    def ball(self, centre: Float[np.ndarray, "3"], radius_mm: float) -> None:
        """Draw a ball around a projected point (column, row, mm)."""
        u, v, z = centre.tolist()
        r = self.focal_px * radius_mm / z
        window = self._window(u - r, v - r, u + r, v + r)
        if window is not None:
            columns, rows = self._offsets(window, u, v)
            self._melt(window, z, (r * r - np.square(columns)) - np.square(rows), z / self.focal_px)

    def ellipsoid(self, centre: Float[np.ndarray, "3"], axes: Float[np.ndarray, "2 2"], height_mm: float) -> None:
        """Draw an ellipsoid around a projected point; `axes` are its two flat semi-axes in px, one a row."""
        u, v, z = centre.tolist()
        reach_u, reach_v = np.sqrt(np.square(axes).sum(axis=0)).tolist()
        window = self._window(u - reach_u, v - reach_v, u + reach_u, v + reach_v)
        if window is not None:
            columns, rows = self._offsets(window, u, v)
            (pu, qu), (pv, qv) = np.linalg.inv(axes).tolist()
            inside = 1 - np.square(columns * pu + rows * pv) - np.square(columns * qu + rows * qv)
            self._melt(window, z, inside, height_mm)

    def _window(self, left: float, top: float, right: float, bottom: float) -> Window | None:
        height, width = self.depth.shape
        first_column, last_column = max(0, int(left) - self.left), min(width, int(right) + 2 - self.left)
        first_row, last_row = max(0, int(top) - self.top), min(height, int(bottom) + 2 - self.top)
        if first_column >= last_column or first_row >= last_row:
            return None
        return slice(first_row, last_row), slice(first_column, last_column)

    def _offsets(self, window: Window, u: float, v: float) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, "h 1"]]:
        rows, columns = window
        return (
            np.arange(columns.start, columns.stop, dtype=np.float32) + (self.left - u),
            (np.arange(rows.start, rows.stop, dtype=np.float32) + (self.top - v))[:, None],
        )

    def _melt(
        self, window: Window, base: float | Float[np.ndarray, "h w"], inside: Float[np.ndarray, "h w"], height: float
    ) -> None:
        """Bring the surface `base - height * sqrt(inside)` into the buffer, where `inside` is positive."""
        surface = base - height * np.sqrt(np.maximum(inside, 0))
        surface = np.where(inside > 0, surface, np.float32(FAR_MM))
        nearest = self.depth[window]
        if self.blend_mm:
            crease = np.maximum(self.blend_mm - np.abs(surface - nearest), 0)
            np.minimum(nearest, surface, out=nearest)
            nearest -= np.square(crease) * (0.25 / self.blend_mm)
        else:
            np.minimum(nearest, surface, out=nearest)
