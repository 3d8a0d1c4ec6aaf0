"""The scene around an infant: mattress, crib, nest roll, tube, blanket, an adult's forearm; its canvas.

Each solid touches only the pixels of its own bounding box, which is where the generator's speed comes from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from greenpose.data.synthetic.sensor import Camera, bank
from greenpose.data.synthetic.spec import Purpose, Spec, stream

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


BLANKET_FRAMES = 60
"""A blanket is laid anew, or taken away, after this many frames."""
ADULT_ARM_FRAMES = 25
"""A forearm stays for this many frames."""

_LUMP_MM = 3.5
_POOL_PX = 8
"""Native px per node of the cloth that the blanket is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One frame of one patient, as far as the surroundings care."""

    spec: Spec
    """The set."""
    patient: int
    """Which patient of the set."""
    index: int
    """Which frame of the patient."""
    trunk_mm: float
    """The infant's trunk length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """What one patient lies in; all of it stays where it is."""

    depth: Float[np.ndarray, "h w"]
    """Distance in mm to mattress, crib and nest roll."""
    x: Float[np.ndarray, "h w"]
    """Bed x in mm where each pixel's ray meets the mattress."""
    y: Float[np.ndarray, "h w"]
    """Bed y in mm, likewise."""
    tube: Float[np.ndarray, "3 3"] | None
    """The far points of a tube in the bed's frame, in mm; it starts at the infant's nose. None without one."""
    tube_mm: float
    """Radius of the tube."""
    has_blanket: bool
    """Whether this patient is covered now and then."""


def make_bed(spec: Spec, patient: int, camera: Camera, *, trunk_mm: float) -> Bed:
    """Return the bed of a patient, roomy enough for an infant of that trunk length."""
    rng = stream(spec, Purpose.BED, patient=patient)
    has_crib, has_nest, has_tube = rng.random(3) < spec.clutter
    depth, x, y = camera.plane(0.0)
    depth -= np.float32(_LUMP_MM) * bank(spec).window(bank(spec).coarse, rng)
    crib = _draw_crib(rng)
    if has_crib:
        _raise_crib(depth, (x, y), camera, crib)
    nest = _draw_nest(rng, trunk_mm)
    if has_nest:
        _lay_roll(depth, camera, *nest)
    tube, tube_mm = _draw_tube(rng, trunk_mm)
    has_blanket = bool(rng.random() < spec.blanket)
    return Bed(depth=depth, x=x, y=y, tube=tube if has_tube else None, tube_mm=tube_mm, has_blanket=has_blanket)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crib:
    half_mm: tuple[float, float]
    wall_mm: float
    thick_mm: float
    floor_mm: float
    turn_rad: float


def _draw_crib(rng: np.random.Generator) -> _Crib:
    return _Crib(
        half_mm=(float(rng.uniform(215, 330)), float(rng.uniform(290, 390))),
        wall_mm=float(rng.uniform(40, 150)),
        thick_mm=float(rng.uniform(8, 25)),
        floor_mm=float(rng.uniform(120, 500)),
        turn_rad=float(rng.normal(0, 0.1)),
    )


def _raise_crib(
    depth: Float[np.ndarray, "h w"],
    ground: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]],
    camera: Camera,
    crib: _Crib,
) -> None:
    """Put walls around the mattress: the rim seen from above, the inner faces, and the floor beyond."""
    outside = _beyond(*ground, crib)
    if outside.max() <= 0:
        return
    rim_depth, *rim_ground = camera.plane(crib.wall_mm)
    outside_rim = _beyond(rim_ground[0], rim_ground[1], crib)
    share_of_wall = np.clip(outside / np.maximum(outside - outside_rim, 1e-3), 0, 1)
    face = depth + share_of_wall * (rim_depth - depth)
    beyond_rim = np.where(outside_rim < crib.thick_mm, rim_depth, depth + np.float32(crib.floor_mm))
    walls = np.where(outside_rim > 0, beyond_rim, face)
    np.copyto(depth, walls, where=outside > 0)


def _beyond(x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"], crib: _Crib) -> Float[np.ndarray, "h w"]:
    """Return how many mm each bed point lies outside the mattress; negative inside."""
    c, s = float(np.cos(crib.turn_rad)), float(np.sin(crib.turn_rad))
    return np.maximum(np.abs(c * x + s * y) - crib.half_mm[0], np.abs(c * y - s * x) - crib.half_mm[1])


def _draw_nest(rng: np.random.Generator, trunk_mm: float) -> tuple[Float[np.ndarray, "point 3"], float]:
    """Return the spine and the radius of a rolled towel laid around the infant, open at the head."""
    radius = float(rng.uniform(20, 38))
    half_x = rng.uniform(1.2, 1.5) * trunk_mm + radius
    half_y = rng.uniform(1.55, 1.8) * trunk_mm + radius
    ends = np.radians(rng.uniform(95, 160, 2))
    around = np.linspace(-ends[0], ends[1], 21)
    wobble = 1 + 0.04 * rng.normal(size=2) @ np.stack([np.sin(2 * around), np.cos(3 * around)])
    spine = np.stack([half_x * wobble * np.sin(around), half_y * wobble * np.cos(around)], axis=1)
    return np.column_stack([spine, np.full(len(around), 0.55 * radius)]), radius


def _lay_roll(
    depth: Float[np.ndarray, "h w"], camera: Camera, spine: Float[np.ndarray, "point 3"], radius_mm: float
) -> None:
    canvas = Canvas(depth=depth, left=0, top=0, focal_px=camera.focal_px, blend_mm=0.0)
    seen = camera.project(spine)
    for a, b in pairwise(seen):
        canvas.capsule(a, b, (radius_mm, radius_mm))


def _draw_tube(rng: np.random.Generator, trunk_mm: float) -> tuple[Float[np.ndarray, "3 3"], float]:
    side = 1.0 if rng.random() < 0.5 else -1.0
    bend = np.array([side * rng.uniform(0.5, 0.9), rng.uniform(-1.5, -0.7)]) * trunk_mm
    away = bend + np.array([side * rng.uniform(60, 150), rng.uniform(-120, 60)])
    exit_ = away + np.array([side * rng.uniform(100, 300), rng.uniform(-150, 150)])
    return np.column_stack([np.stack([bend, away, exit_]), [20.0, 6.0, 30.0]]), float(rng.uniform(2.0, 3.6))


def lay_tube(surface: Float[np.ndarray, "h w"], camera: Camera, bed: Bed, nose: Float[np.ndarray, "3"]) -> None:
    """Draw the patient's tube, if any, from the nose over the edge of the bed."""
    if bed.tube is None:
        return
    seen = camera.project(np.vstack([nose, bed.tube]))
    canvas = Canvas(depth=surface, left=0, top=0, focal_px=camera.focal_px, blend_mm=0.0)
    for a, b in pairwise(seen):
        canvas.capsule(a, b, (bed.tube_mm, bed.tube_mm))


def lay_blanket(surface: Float[np.ndarray, "h w"], bed: Bed, moment: Moment) -> Bool[np.ndarray, "h w"] | None:
    """Cover the scene from somewhere on the trunk to the feet, and return what is covered; None without a blanket."""
    rng = stream(moment.spec, Purpose.BLANKET, patient=moment.patient, frame=moment.index // BLANKET_FRAMES)
    laid = rng.random() < 0.5
    if not (bed.has_blanket and laid):
        return None
    edge_mm, slope, half_mm = rng.uniform(-0.1, 0.9) * moment.trunk_mm, rng.normal(0, 0.12), rng.uniform(190, 280)
    fields = bank(moment.spec)
    below = bed.y - float(slope) * bed.x - np.float32(7) * fields.window(fields.coarse, rng)
    covered = (below > float(edge_mm)) & (np.abs(bed.x) < float(half_mm)) & (bed.y < np.float32(330))
    cloth = _drape(surface, pool_px=max(1, round(_POOL_PX * moment.spec.px_scale)))
    cloth -= 6 + np.float32(1.6) * fields.window(fields.fine, rng)
    np.copyto(surface, cloth, where=covered)
    return np.asarray(covered)


def _drape(surface: Float[np.ndarray, "h w"], *, pool_px: int) -> Float[np.ndarray, "h w"]:
    """Return a smooth cloth that rests on the nearest parts of a surface."""
    height, width = surface.shape
    padded = np.pad(surface, ((0, -height % pool_px), (0, -width % pool_px)), mode="edge")
    pooled = _lowest([padded[k::pool_px] for k in range(pool_px)])
    pooled = _lowest([pooled[:, k::pool_px] for k in range(pool_px)])
    nodes = _along_both(pooled, _lowest, reach=1)
    for _ in range(3):
        nodes = _along_both(nodes, _mean, reach=2)
    return _between(_between(nodes, height, pool_px).T, width, pool_px).T


def _along_both(
    nodes: Float[np.ndarray, "h w"], merge: Callable[[Sequence[np.ndarray]], np.ndarray], *, reach: int
) -> Float[np.ndarray, "h w"]:
    for _ in range(2):
        padded = np.pad(nodes, ((reach, reach), (0, 0)), mode="edge")
        nodes = merge([padded[k : k + len(nodes)] for k in range(2 * reach + 1)]).T
    return nodes


def _lowest(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.min(parts, axis=0))


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(parts, axis=0))


def _between(nodes: Float[np.ndarray, "nodes w"], length: int, spacing_px: int) -> Float[np.ndarray, "length w"]:
    """Return rows interpolated linearly between rows at the centres of blocks of `spacing_px`.

    Written without a matrix product: on a busy machine the matrix library's threads cost more than they save.
    """
    at = np.clip((np.arange(length, dtype=np.float32) + 0.5) / spacing_px - 0.5, 0, len(nodes) - 1)
    below = np.minimum(at.astype(np.intp), max(0, len(nodes) - 2))
    share = (at - below).astype(np.float32)[:, None]
    first, second = nodes[below], nodes[np.minimum(below + 1, len(nodes) - 1)]
    return np.asarray(first + share * (second - first))


def reach_in(surface: Float[np.ndarray, "h w"], camera: Camera, moment: Moment) -> bool:
    """Draw an adult's forearm and hand over the infant, if one reaches in at that frame, and return whether."""
    block, since = divmod(moment.index, ADULT_ARM_FRAMES)
    rng = stream(moment.spec, Purpose.ADULT_ARM, patient=moment.patient, frame=block)
    if rng.random() >= moment.spec.adult_arm:
        return False
    place = rng.normal(0, [0.45, 0.7]) * moment.trunk_mm
    height = rng.uniform(95, 150)
    angle = rng.uniform(0, 2 * np.pi)
    drift = np.sin(rng.uniform(0.05, 0.25, 3) * since + rng.uniform(0, 6, 3)) * [14, 14, 8]
    wrist = np.array([*place, height]) + drift
    out = np.array([np.cos(angle), np.sin(angle), 0.25])
    _draw_adult(surface, camera, wrist=wrist, out=out / np.linalg.norm(out), spread=rng.uniform(-0.35, 0.35, 4))
    return True


def _draw_adult(
    surface: Float[np.ndarray, "h w"],
    camera: Camera,
    *,
    wrist: Float[np.ndarray, "3"],
    out: Float[np.ndarray, "3"],
    spread: Float[np.ndarray, "4"],
) -> None:
    """Draw forearm, palm and fingers; `out` points from the wrist to the elbow, fingers spread in radians."""
    canvas = Canvas(depth=surface, left=0, top=0, focal_px=camera.focal_px, blend_mm=6.0)
    across = np.array([-out[1], out[0], 0.0])
    knuckles = wrist - 75 * out - [0, 0, 12]
    rows = [wrist, wrist + 420 * out, knuckles]
    for finger in range(4):
        root = knuckles + (finger - 1.5) * 17 * across
        rows += [root, root - (70 * out - 70 * spread[finger] * across) - [0, 0, 22]]
    rows += [wrist - 20 * out + 30 * across, wrist - 75 * out + 62 * across - [0, 0, 10]]
    seen = camera.project(np.stack(rows))
    canvas.capsule(seen[0], seen[1], (27.0, 42.0))
    for side in (-1, 1):
        edge = camera.project(np.stack([wrist + side * 10 * across, knuckles + side * 20 * across]))
        canvas.capsule(edge[0], edge[1], (22.0, 17.0))
    for first in range(3, len(rows), 2):
        canvas.capsule(seen[first], seen[first + 1], (10.0, 8.0))
