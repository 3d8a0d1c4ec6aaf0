"""The infant: its proportions, how it moves, and where its joints are in the bed's frame.

The bed's frame is in mm: x to the image's right when the head is up, y to the feet, z up from the mattress.
The infant lies on its back, so its right side is at negative x.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from greenpose.data.synthetic.spec import Purpose, Spec, stream

JOINTS = (
    "right_hand",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_hand",
    "right_foot",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_foot",
)
"""The order of a frame's joints, which is BabyPose's."""

_SIDES = np.array([-1.0, 1.0])
"""x sign of the right and the left side."""

ANGLES = np.array([
    # mean, sd, lowest, highest, in degrees
    [-46, 31, -88, 75],  # arm azimuth: from lateral, positive to the head
    [19, 13, -5, 60],  # arm elevation
    [90, 33, 5, 145],  # elbow flexion
    [58, 52, -80, 150],  # forearm plane: 0 to the head, 90 up
    [50, 19, 5, 88],  # thigh abduction
    [44, 29, 0, 88],  # thigh elevation
    [90, 32, 12, 145],  # knee flexion
    [68, 20, 0, 110],  # shank plane: 0 down, 90 to the midline
], dtype=float)  # fmt: skip
"""Joint angles of a supine infant, one row an angle.

Source: chosen so that the trunk-normalised joints fall as in the real motion behind MINI-RGBD (Hesse et al., 2018).
"""

_SWINGS = np.array([0.8, 0.5, 0.35])
_SWING_CYCLES = np.array([[0.003, 0.01], [0.01, 0.03], [0.03, 0.1]])
"""Relative size of a slow, a middle and a quick swing, and the range of each one's cycles per frame."""

_ROOT_SD = np.array([5.0, 5.0, 3.0, 22.0])
"""Motion of the whole infant: shift in x and y (mm), turn (degrees); and the head's turn (degrees)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One infant's proportions and habits."""

    trunk_mm: float
    """From between the shoulders to between the hips."""
    fatness: float
    """Factor on the limbs' radii."""
    looseness: float
    """Thickness added by clothes, as a share of the radius; 0 is bare."""
    angle_means: Float[np.ndarray, "angle 2"]
    """Habitual joint angles in degrees, right and left."""
    swings: Float[np.ndarray, "20 3"]
    """Size of each of three swings, in sd, per moving quantity."""
    cycles: Float[np.ndarray, "20 3"]
    """Cycles per frame of each swing."""
    phases: Float[np.ndarray, "20 3"]
    """Phase of each swing in radians."""


def draw_build(spec: Spec, patient: int) -> Build:
    """Return the proportions and habits of a patient."""
    rng = stream(spec, Purpose.BUILD, patient=patient)
    clothed = rng.random() < spec.clothing
    looseness = float(rng.uniform(0.12, 0.3))
    trunk_mm = float(np.clip(rng.normal(130, 12), 100, 160))
    fatness = float(np.clip(rng.normal(1, 0.12), 0.75, 1.3))
    mean, sd = ANGLES[:, :1], ANGLES[:, 1:2]
    angle_means = mean + 0.7 * sd * rng.normal(size=(len(ANGLES), 2))
    rng = stream(spec, Purpose.MOTION, patient=patient)
    moving = 2 * len(ANGLES) + len(_ROOT_SD)
    low, high = _SWING_CYCLES.T
    return Build(
        trunk_mm=trunk_mm,
        fatness=fatness,
        looseness=looseness if clothed else 0.0,
        angle_means=angle_means,
        swings=_SWINGS * rng.uniform(0.6, 1.4, (moving, 1)),
        cycles=rng.uniform(low, high, (moving, 3)),
        phases=rng.uniform(0, 2 * np.pi, (moving, 3)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An infant at one moment: named points, the limbs between them and the rounded masses around them."""

    points: Float[np.ndarray, "point 3"]
    """mm in the bed's frame; the first twelve are the joints."""
    joint_radii: Float[np.ndarray, "12"]
    """mm of flesh around each joint."""
    limbs: tuple[tuple[int, int, float, float], ...]
    """Tapered capsules: first point, second point, and the radius at each in mm."""
    masses: tuple[tuple[int, Float[np.ndarray, "3 3"]], ...]
    """Ellipsoids: centre point, and one semi-axis a row in mm, the last one up."""


def pose(build: Build, index: int) -> Body:
    """Return the infant at frame `index` (10 frames are about a second)."""
    swing = (build.swings * np.sin(2 * np.pi * build.cycles * index + build.phases)).sum(axis=1)
    angles = build.angle_means + ANGLES[:, 1:2] * swing[:16].reshape(8, 2)
    angles = np.radians(np.clip(angles, ANGLES[:, 2:3], ANGLES[:, 3:4]))
    root = swing[16:] * _ROOT_SD
    points, masses = _trunk(build, head_turn=float(np.radians(root[3])))
    _add_arms(points, build, angles[:4])
    _add_legs(points, build, angles[4:])
    _lift(points, masses, build)
    return _assemble(points, masses, build, root)


_RIGHT = np.array([0, 1, 2, 6, 7, 8, 12, 14])
"""Hand, elbow, shoulder, foot, knee, hip, fingertip and toe of the right side."""
_LEFT = np.array([5, 4, 3, 11, 10, 9, 13, 15])
_HAND, _ELBOW, _SHOULDER, _FOOT, _KNEE, _HIP, _FINGERS, _TOES = np.stack([_RIGHT, _LEFT], axis=1)
_HEAD, _NECK, NOSE, _CHEST, _BELLY, _PELVIS = range(16, 22)

_UPPER_ARM, _FOREARM, _HANDS = 16.0, 12.5, 13.5
_THIGH, _KNEES, _ANKLE, _FEET = 23.0, 16.5, 12.5, 11.0
"""Limb radii in mm of an infant whose trunk is 130 mm long."""


def _trunk(build: Build, *, head_turn: float) -> tuple[Float[np.ndarray, "22 3"], list[tuple[int, np.ndarray]]]:
    t = build.trunk_mm
    loose = 1 + 0.5 * build.looseness
    points = np.zeros((22, 3))
    points[_SHOULDER] = np.stack([_SIDES * 0.35, [-0.5, -0.5], [0.27, 0.27]], axis=1)
    points[_HIP] = np.stack([_SIDES * 0.20, [0.5, 0.5], [0.26, 0.26]], axis=1)
    turned = np.array([np.sin(head_turn), 0.0, np.cos(head_turn)])
    points[_HEAD] = [0.10 * np.sin(head_turn), -1.02, 0.37]
    points[_NECK] = [0, -0.55, 0.27]
    points[NOSE] = points[_HEAD] + [0, 0.06, 0] + 0.34 * turned
    points[_CHEST] = [0, -0.26, 0.27]
    points[_BELLY] = [0, 0.10, 0.29]
    points[_PELVIS] = [0, 0.40, 0.26]
    axes = (
        (_HEAD, np.diag([0.36, 0.45, 0.36])),
        (_CHEST, np.diag([0.39 * loose, 0.46, 0.26 * loose])),
        (_BELLY, np.diag([0.38 * loose, 0.48, 0.29 * loose])),
        (_PELVIS, np.diag([0.37 * loose, 0.34, 0.25 * loose])),
    )
    return points * t, [(centre, semi_axes * t) for centre, semi_axes in axes]


def _add_arms(points: Float[np.ndarray, "22 3"], build: Build, angles: Float[np.ndarray, "4 2"]) -> None:
    azimuth, elevation, flexion, plane = angles
    flat = np.zeros(2)
    upper = np.stack([
        _SIDES * np.cos(elevation) * np.cos(azimuth),
        -np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation),
    ], axis=1)  # fmt: skip
    to_head = np.stack([-_SIDES * np.sin(azimuth), -np.cos(azimuth), flat], axis=1)
    to_ceiling = np.stack([
        -_SIDES * np.sin(elevation) * np.cos(azimuth),
        np.sin(elevation) * np.sin(azimuth),
        np.cos(elevation),
    ], axis=1)  # fmt: skip
    lower = _bend(upper, to_head, to_ceiling, flexion=flexion, plane=plane)
    t = build.trunk_mm
    points[_ELBOW] = points[_SHOULDER] + 0.44 * t * upper
    points[_HAND] = points[_ELBOW] + 0.40 * t * lower
    points[_FINGERS] = points[_HAND] + 0.16 * t * lower


def _add_legs(points: Float[np.ndarray, "22 3"], build: Build, angles: Float[np.ndarray, "4 2"]) -> None:
    abduction, elevation, flexion, plane = angles
    flat = np.zeros(2)
    thigh = np.stack([
        _SIDES * np.cos(elevation) * np.sin(abduction),
        np.cos(elevation) * np.cos(abduction),
        np.sin(elevation),
    ], axis=1)  # fmt: skip
    to_bed = np.stack([
        _SIDES * np.sin(elevation) * np.sin(abduction),
        np.sin(elevation) * np.cos(abduction),
        -np.cos(elevation),
    ], axis=1)  # fmt: skip
    to_midline = np.stack([-_SIDES * np.cos(abduction), np.sin(abduction), flat], axis=1)
    shank = _bend(thigh, to_bed, to_midline, flexion=flexion, plane=plane)
    t = build.trunk_mm
    points[_KNEE] = points[_HIP] + 0.52 * t * thigh
    points[_FOOT] = points[_KNEE] + 0.48 * t * shank
    sole = 0.35 * shank + np.stack([0.45 * _SIDES, flat + 0.45, flat + 0.7], axis=1)
    points[_TOES] = points[_FOOT] + 0.26 * t * sole / np.linalg.norm(sole, axis=1, keepdims=True)


def _bend(
    along: Float[np.ndarray, "2 3"],
    first: Float[np.ndarray, "2 3"],
    second: Float[np.ndarray, "2 3"],
    *,
    flexion: Float[np.ndarray, "2"],
    plane: Float[np.ndarray, "2"],
) -> Float[np.ndarray, "2 3"]:
    """Return the direction of the next segment, bent from `along` in the plane between `first` and `second`."""
    aside = np.cos(plane)[:, None] * first + np.sin(plane)[:, None] * second
    return np.asarray(np.cos(flexion)[:, None] * along + np.sin(flexion)[:, None] * aside)


def _lift(points: Float[np.ndarray, "22 3"], masses: list[tuple[int, np.ndarray]], build: Build) -> None:
    """Rest limb ends on the mattress, or on the trunk and head where they lie over them."""
    ends = np.concatenate([_ELBOW, _HAND, _FINGERS, _KNEE, _FOOT, _TOES])
    radii = build.fatness * np.repeat([_FOREARM, _HANDS, _HANDS, _KNEES, _ANKLE, _FEET], 2)
    floor = np.zeros(len(ends))
    for centre, axes in masses:
        away = (points[ends, :2] - points[centre, :2]) / np.diag(axes)[:2]
        inside = np.clip(1 - np.square(away).sum(axis=1), 0, None)
        top = points[centre, 2] + axes[2, 2] * np.sqrt(inside)
        floor = np.maximum(floor, np.where(inside > 0, top, 0))
    points[ends, 2] = np.maximum(points[ends, 2], floor + radii)


def _assemble(
    points: Float[np.ndarray, "22 3"],
    masses: list[tuple[int, np.ndarray]],
    build: Build,
    root: Float[np.ndarray, "4"],
) -> Body:
    """Return the body after the whole infant has shifted and turned on the mattress."""
    shift_x, shift_y, turn_deg, _ = root
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return Body(
        points=points @ turn + [shift_x, shift_y, 0.0],
        joint_radii=_joint_radii(build),
        limbs=_limbs(build),
        masses=tuple((centre, axes @ turn) for centre, axes in masses),
    )


def _joint_radii(build: Build) -> Float[np.ndarray, "12"]:
    size = build.fatness * build.trunk_mm / 130
    radii = np.empty(12)
    radii[[*_HAND, *_ELBOW]] = _FOREARM * size
    radii[_SHOULDER] = 0.22 * build.trunk_mm
    radii[_FOOT] = _ANKLE * size
    radii[_KNEE] = _KNEES * size
    radii[_HIP] = 0.25 * build.trunk_mm
    return radii


def _limbs(build: Build) -> tuple[tuple[int, int, float, float], ...]:
    size = build.fatness * build.trunk_mm / 130
    loose = size * (1 + build.looseness)
    neck, nose = 0.20 * build.trunk_mm, 0.055 * build.trunk_mm
    limbs: list[tuple[int, int, float, float]] = [(_NECK, _HEAD, neck, neck), (NOSE, NOSE, nose, nose)]
    for side in range(2):
        chain = (
            (_SHOULDER, _ELBOW, 1.1 * _UPPER_ARM * loose, _FOREARM * loose),
            (_ELBOW, _HAND, _FOREARM * loose, 0.85 * _FOREARM * size),
            (_HAND, _FINGERS, _FOREARM * size, 0.75 * _HANDS * size),
            (_HIP, _KNEE, _THIGH * loose, _KNEES * loose),
            (_KNEE, _FOOT, _KNEES * loose, _ANKLE * size),
            (_FOOT, _TOES, _ANKLE * size, 0.8 * _FEET * size),
        )
        limbs += [(int(first[side]), int(second[side]), a, b) for first, second, a, b in chain]
    return tuple(limbs)
