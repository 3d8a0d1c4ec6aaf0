"""The infant's joints fall where those of real infants do, on the side where they belong."""

import numpy as np
import pytest

from greenpose.data.synthetic import JOINTS, Spec
from greenpose.data.synthetic.body import draw_build, pose
from greenpose.data.synthetic.sensor import draw_camera

MINI_RGBD = {
    # mean x, mean y, sd x, sd y in trunk lengths about the trunk's middle, y to the feet
    "right_elbow": (-0.57, -0.30, 0.10, 0.11),
    "left_elbow": (0.57, -0.30, 0.10, 0.11),
    "right_hand": (-0.75, -0.28, 0.35, 0.40),
    "left_hand": (0.61, -0.20, 0.35, 0.40),
    "right_knee": (-0.43, 0.67, 0.15, 0.24),
    "left_knee": (0.43, 0.67, 0.15, 0.24),
    "right_foot": (-0.17, 1.03, 0.21, 0.28),
    "left_foot": (0.17, 1.03, 0.21, 0.28),
}
RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 2, 3, 8, 9


def seen_at(spec, patient, indices):
    """Return image positions of the joints without rendering."""
    build, camera = draw_build(spec, patient), draw_camera(spec, patient)
    return [camera.project(pose(build, index).points[:12])[:, :2] for index in indices]


def seen_joints(spec, patient, index):
    return seen_at(spec, patient, [index])[0]


def along_trunk(joints):
    """Return joints in trunk lengths about the trunk's middle, x to the infant's left, y to its feet."""
    shoulders = joints[[RIGHT_SHOULDER, LEFT_SHOULDER]].mean(axis=0)
    hips = joints[[RIGHT_HIP, LEFT_HIP]].mean(axis=0)
    length = np.linalg.norm(hips - shoulders)
    down = (hips - shoulders) / length
    return (joints - (shoulders + hips) / 2) @ np.array([[down[1], -down[0]], down]).T / length


@pytest.fixture(scope="module")
def normalised():
    return np.stack(
        [along_trunk(joints) for patient in range(120) for joints in seen_at(Spec(), patient, range(0, 600, 150))]
    )


@pytest.mark.parametrize("name", MINI_RGBD)
def test_joints_are_spread_as_in_mini_rgbd(normalised, name):
    """Hesse et al. (2018): means within .2 trunk lengths, spreads within a factor of two."""
    ours = normalised[:, JOINTS.index(name)]
    mean_x, mean_y, sd_x, sd_y = MINI_RGBD[name]
    assert np.abs(ours.mean(axis=0) - [mean_x, mean_y]).max() < 0.2
    ratio = ours.std(axis=0) / [sd_x, sd_y]
    assert (ratio > 0.5).all()
    assert (ratio < 2).all()


def test_shoulders_are_a_third_of_a_trunk_from_the_middle(normalised):
    assert normalised[:, RIGHT_SHOULDER, 0].mean() == pytest.approx(-0.35, abs=0.03)


@pytest.mark.parametrize("patient", range(12))
def test_no_view_mirrors_the_infant(patient):
    """From its left shoulder's direction to its feet's is a clockwise turn in the image, as the infant faces us."""
    joints = seen_joints(Spec(), patient, 0)
    to_left = joints[LEFT_SHOULDER] - joints[RIGHT_SHOULDER]
    to_feet = joints[RIGHT_HIP] - joints[RIGHT_SHOULDER]
    assert to_left[0] * to_feet[1] - to_left[1] * to_feet[0] > 0


def test_views_are_spread_over_all_directions_or_head_up():
    def feet_directions(spec):
        down = [(j := seen_joints(spec, p, 0))[RIGHT_HIP] - j[RIGHT_SHOULDER] for p in range(80)]
        return np.degrees(np.arctan2([d[0] for d in down], [d[1] for d in down]))

    around = feet_directions(Spec())
    assert np.histogram(around, bins=4, range=(-180, 180))[0].min() >= 10
    assert np.abs(feet_directions(Spec(yaw_spread_deg=0.0))).max() < 35


def test_the_yaw_spread_changes_only_the_view():
    """Same build and motion; the camera keeps its distance and tilt and turns about the bed's vertical."""
    wide, level = Spec(), Spec(yaw_spread_deg=0.0)
    for patient in range(5):
        bodies = [pose(draw_build(spec, patient), 33) for spec in (wide, level)]
        assert np.array_equal(bodies[0].points, bodies[1].points)
        one, other = draw_camera(wide, patient), draw_camera(level, patient)
        assert np.allclose(one.shift, other.shift)
        assert one.mattress_mm == pytest.approx(other.mattress_mm)
        between = other.turn.T @ one.turn
        assert np.linalg.det(between) == pytest.approx(1)
        assert between[2, 2] == pytest.approx(1)


def test_nothing_sinks_into_the_mattress():
    for patient in range(10):
        for index in (0, 111):
            assert (pose(draw_build(Spec(), patient), index).points[:, 2] > 5).all()


def test_infants_move_a_little_between_frames():
    steps = [
        np.linalg.norm(seen_joints(Spec(), p, i + 1) - seen_joints(Spec(), p, i), axis=1)
        for p in range(20)
        for i in (0, 57)
    ]
    assert 1 < np.mean(steps) < 4
    assert np.percentile(steps, 95) < 12
