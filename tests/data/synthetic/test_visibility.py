"""A joint is flagged hidden when something lies over it, and unlabelled when it cannot be seen or guessed."""

import numpy as np
import pytest

from greenpose.data.synthetic import Spec, admit
from tests.data.synthetic import frames

CLEAR = {"size": (160, 120), "noise_gain": 0.0, "blanket": 0.0, "adult_arm": 0.0}


def depth_at_joints(frame, joints):
    column, row = np.clip(np.rint(joints).astype(int), 0, [159, 119]).T
    return frame.depth[row, column].astype(int)


def pairs(patients, **changes):
    """Yield (unobstructed, obstructed) frames that differ in what lies over the infant only."""
    for patient in patients:
        bare, other = admit(Spec(**CLEAR), patient), admit(Spec(**(CLEAR | changes)), patient)
        for index in (0, 70):
            yield bare.frame(index), other.frame(index)


def test_an_adults_arm_hides_the_joints_under_it_and_no_others():
    num_hidden = 0
    for bare, reached in pairs(range(10), adult_arm=1.0):
        before, after = depth_at_joints(bare, bare.joints), depth_at_joints(reached, bare.joints)
        returned = (before > 0) & (after > 0) & (bare.visibility == 2)
        over = returned & (before - after > 90)
        assert (reached.visibility[over] == 1).all()
        clear = returned & (before == after)
        assert (reached.visibility[clear] == 2).all()
        num_hidden += over.sum()
    assert num_hidden >= 10


def test_under_a_blanket_joints_are_hidden_or_left_out_and_elsewhere_unchanged():
    flags, elsewhere = [], []
    for bare, laid in pairs(range(16), blanket=1.0):
        before, after = depth_at_joints(bare, bare.joints), depth_at_joints(laid, bare.joints)
        under = (before > 0) & (after > 0) & (np.abs(before - after) > 4)
        flags += laid.visibility[under].tolist()
        clear = (before > 0) & (before == after) & (bare.visibility == 2)
        elsewhere += laid.visibility[clear].tolist()
    assert 2 not in flags
    assert np.mean(np.array(elsewhere) == 2) > 0.98  # cloth may lie as deep as what it covers
    assert 0.3 < np.mean(np.array(flags) == 0) < 0.7


def test_box_and_area_do_not_depend_on_what_lies_over_the_infant():
    for bare, other in pairs(range(3), blanket=1.0, adult_arm=1.0):
        assert bare.box == other.box
        assert bare.area == other.area


def test_unlabelled_joints_are_at_the_origin_and_labelled_ones_in_the_frame():
    spec = Spec(size=(96, 32), blanket=1.0)  # so low that heads and feet are cut off
    out = 0
    for patient in range(12):
        for frame in frames(spec, patient, [0]):
            gone = frame.visibility == 0
            assert (frame.joints[gone] == 0).all()
            assert (frame.joints[~gone] > -0.5).all()
            assert (frame.joints[~gone] < np.array([95.5, 31.5])).all()
            out += gone.sum()
    assert out >= 10


def test_out_of_frame_joints_are_unlabelled():
    low, full = Spec(**(CLEAR | {"size": (160, 40)})), Spec(**CLEAR)
    for patient in range(8):
        [cut], [whole] = frames(low, patient, [0]), frames(full, patient, [0])
        outside = np.abs(whole.joints[:, 1] - 59.5) > 20.5
        assert (cut.visibility[outside & (whole.visibility > 0)] == 0).all()


def test_most_joints_are_visible_without_anything_over_the_infant():
    flags = np.concatenate([frame.visibility for patient in range(12) for frame in frames(Spec(**CLEAR), patient, [0])])
    assert (flags == 2).mean() > 0.85


@pytest.mark.parametrize("spec", [Spec(size=(16, 16)), Spec(size=(33, 47)), Spec(size=(64, 20), blanket=1.0)])
def test_any_size_can_be_drawn(spec):
    for patient in range(3):
        [frame] = frames(spec, patient, [0])
        assert frame.depth.shape == spec.size[::-1]
