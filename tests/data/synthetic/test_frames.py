"""Frames are a function of seed, patient and frame number, and look like what such a sensor returns."""

import json
from pathlib import Path

import numpy as np
import pytest

from greenpose.data.synthetic import JOINTS, Spec, admit
from greenpose.errors import ConfigError
from tests.data.synthetic import frames

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = Spec(size=(160, 120))


def same(one, other):
    assert np.array_equal(one.depth, other.depth)
    assert np.array_equal(one.joints, other.joints)
    assert np.array_equal(one.visibility, other.visibility)
    assert (one.box, one.area, one.patient, one.index) == (other.box, other.area, other.patient, other.index)


def test_a_frame_is_the_same_alone_as_among_others_in_any_order():
    spec = Spec(size=(160, 120), blanket=1.0, adult_arm=0.5)
    batch = {frame.index: frame for frame in frames(spec, 3, [90, 4, 61])}
    list(frames(spec, 8, [4]))
    for index in (4, 61, 90):
        [alone] = frames(spec, 3, [index])
        same(alone, batch[index])


@pytest.mark.parametrize("other", [Spec(size=(160, 120), seed=1), Spec(size=(160, 120), yaw_spread_deg=90.0)])
def test_another_seed_or_view_gives_another_frame(other):
    [one], [two] = frames(SMALL, 0, [0]), frames(other, 0, [0])
    assert not np.array_equal(one.joints, two.joints)
    assert not np.array_equal(one.depth, two.depth)


def test_patients_and_moments_differ():
    shown = [frame.joints for patient in range(3) for frame in frames(SMALL, patient, [0, 40])]
    assert all(not np.array_equal(a, b) for i, a in enumerate(shown) for b in shown[:i])


def test_frames_come_in_the_order_asked_for_and_say_what_they_are():
    drawn = [(frame.patient, frame.index, frame.depth.shape) for frame in frames(SMALL, 5, [7, 2])]
    assert drawn == [(5, 7, (120, 160)), (5, 2, (120, 160))]


def test_annotations_are_those_drawn_when_the_generator_was_settled():
    """Numpy may change its random streams between releases: regenerate by intent only, then."""
    for kept in json.loads((GOLDEN / "synthetic_annotations.json").read_text())["frames"]:
        [frame] = frames(
            Spec(**{name: tuple(value) if name == "size" else value for name, value in kept["spec"].items()}),
            kept["patient"],
            [kept["index"]],
        )
        assert frame.visibility.tolist() == kept["visibility"]
        assert np.allclose(frame.joints, kept["joints"], atol=0.02)
        assert np.allclose(frame.box, kept["box"], atol=1)
        assert frame.area == pytest.approx(kept["area"], rel=0.005)


def test_depth_is_that_drawn_when_the_generator_was_settled():
    """Matrix libraries differ in the last bit, hence a millimetre and one pixel in a thousand."""
    with np.load(GOLDEN / "synthetic_depth.npz") as kept:
        for name in kept.files:
            patient, index = map(int, name.split("_"))
            [frame] = frames(Spec(size=(96, 72)), patient, [index])
            away = np.abs(frame.depth.astype(int) - kept[name])
            assert (away <= 1).mean() >= 0.999


def test_few_pixels_have_no_return():
    drawn = [frame for patient in range(10) for frame in frames(Spec(size=(160, 120)), patient, [20])]
    shares = [float((frame.depth == 0).mean()) for frame in drawn]
    assert 0.005 < np.mean(shares) < 0.06
    assert max(shares) < 0.2


def test_a_return_is_never_nearer_than_an_adults_arm_nor_farther_than_the_floor():
    for patient in range(8):
        one = admit(Spec(size=(160, 120), adult_arm=1.0), patient)
        depth = one.frame(3).depth
        seen = depth[depth > 0]
        assert seen.min() > 200
        assert seen.max() < one.camera.mattress_mm + 800


def test_the_mattress_is_where_the_patient_says():
    """Bare mattress fills most of an uncluttered frame."""
    for patient in range(5):
        one = admit(Spec(size=(160, 120), clutter=0.0, blanket=0.0, adult_arm=0.0), patient)
        depth = one.frame(0).depth
        assert abs(float(np.median(depth[depth > 0])) - one.camera.mattress_mm) < 40


def test_the_box_holds_every_visible_joint():
    for patient in range(12):
        for frame in frames(SMALL, patient, [0, 75]):
            x, y, width, height = frame.box
            seen = frame.joints[frame.visibility == 2]
            assert (seen >= np.array([x, y]) - 1).all()
            assert (seen <= np.array([x + width, y + height])).all()
            assert 0.15 < frame.area / (width * height) < 0.75  # limbs leave room in their box


def test_a_larger_frame_shows_the_same_infant():
    [small] = frames(Spec(size=(160, 120)), 2, [9])
    [large] = frames(Spec(size=(320, 240)), 2, [9])
    labelled = (small.visibility > 0) & (large.visibility > 0)
    assert labelled.sum() >= 8
    assert np.allclose(2 * small.joints[labelled] + 0.5, large.joints[labelled], atol=1e-6)
    assert large.area == pytest.approx(4 * small.area, rel=0.05)


def test_a_perfect_sensor_sees_the_same_pose():
    [plain], [perfect] = frames(SMALL, 1, [5]), frames(Spec(size=(160, 120), noise_gain=0.0), 1, [5])
    assert np.array_equal(plain.joints, perfect.joints)
    assert (perfect.depth == 0).sum() < (plain.depth == 0).sum()


def test_every_frame_has_noise_of_its_own():
    """Where nothing moves, two frames still differ."""
    one, other = frames(SMALL, 0, [0, 1])
    still = (slice(0, 20), slice(0, 160))
    assert (one.depth[still] != other.depth[still]).mean() > 0.3


def test_noise_grows_with_its_gain():
    """Compare with the perfect sensor where both return something."""
    away = []
    for gain in (0.5, 2.0):
        [noisy] = frames(Spec(size=(160, 120), noise_gain=gain), 1, [5])
        [perfect] = frames(Spec(size=(160, 120), noise_gain=0.0), 1, [5])
        both = (noisy.depth > 0) & (perfect.depth > 0)
        away.append(np.abs(noisy.depth.astype(int) - perfect.depth)[both].mean())
    assert 0 < away[0] < away[1]


def test_there_are_twelve_joints_mirrored_about_the_middle():
    assert len(JOINTS) == 12
    for half in (JOINTS[:6], JOINTS[6:]):
        assert [name.replace("right", "left") for name in half[:3]] == list(reversed(half[3:]))


def test_all_faults_of_a_spec_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        Spec(seed=-1, size=(8, 8), yaw_spread_deg=200.0, blanket=1.5, noise_gain=-1.0)
    places = [fault.split(":")[0] for fault in caught.value.faults]
    assert sorted(places) == [
        f"synthetic.{name}" for name in ("blanket", "noise_gain", "seed", "size", "yaw_spread_deg")
    ]
