import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from greenpose.data import batch_of, load_profile
from greenpose.data.crops import other_sides, turned_images, turned_joints, turned_visibility
from greenpose.errors import DataError
from tests.training.samples import PROFILE, dots

SIDES = other_sides(PROFILE)


def test_left_and_right_of_an_infant_change_places_and_nothing_else_does():
    profile = load_profile("babypose")
    names, sides = profile.keypoints, other_sides(profile)
    for name, side in zip(names, sides, strict=True):
        partner = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert names[side] == partner


def test_a_profile_without_partners_is_refused():
    with pytest.raises(DataError, match=r"profile dots: has no flip_pairs, without which train\.mirror must be 0"):
        other_sides(PROFILE.model_copy(update={"flip_pairs": ()}))


@given(arrays(np.uint8, (3, 4, 5)), arrays(np.bool_, 3))
def test_an_image_that_is_turned_has_each_pixel_on_the_other_side_and_the_others_stay(images, which):
    turned = turned_images(images, which)
    for image, here, is_turned in zip(images, turned, which, strict=True):
        np.testing.assert_array_equal(here, np.fliplr(image) if is_turned else image)
    np.testing.assert_array_equal(turned_images(turned, which), images)


@given(st.integers(0, 2**31), arrays(np.bool_, 4))
def test_a_second_mirror_undoes_the_first(seed, which):
    rng = np.random.default_rng(seed)
    joints = rng.integers(0, 64, (4, 2, 2)).astype(np.float32)
    visibility = rng.integers(0, 2, (4, 2))
    twice = turned_joints(turned_joints(joints, which, width=64, sides=SIDES), which, width=64, sides=SIDES)
    np.testing.assert_array_equal(twice, joints)
    seen = turned_visibility(visibility, which, sides=SIDES)
    np.testing.assert_array_equal(seen[which], visibility[which][:, ::-1])
    np.testing.assert_array_equal(turned_visibility(seen, which, sides=SIDES), visibility)


def test_in_a_mirrored_batch_every_joint_still_lies_on_its_dot_and_takes_its_partner_s_name():
    """Joint a is white and joint b black: in the mirror a target for a stands where the black dot is."""
    samples, indices = dots(6), np.arange(6)
    which = np.array([True, False, True, True, False, True])
    batch = batch_of(samples, indices, mirrored=which)
    for number, is_turned in enumerate(which):
        for joint, grey in enumerate((0, 255) if is_turned else (255, 0)):
            row, column = np.unravel_index(batch.heatmaps[number, joint].argmax(), batch.heatmaps.shape[2:])
            assert batch.images[number, 4 * row, 4 * column] == grey


def test_a_single_pixel_stays_under_its_joint():
    images = np.zeros((1, 5, 8), np.uint8)
    images[0, 2, 3] = 255
    joints = np.array([[[3.0, 2.0], [0.0, 0.0]]], np.float32)
    which = np.array([True])
    ((row, column),) = np.argwhere(turned_images(images, which)[0] == 255)
    turned = turned_joints(joints, which, width=8, sides=SIDES)
    assert turned[0, SIDES[0]].tolist() == [column, row]


def test_colours_are_turned_like_greys():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    turned = turned_images(images, np.array([True, False]))
    np.testing.assert_array_equal(turned, [np.fliplr(images[0]), images[1]])


def test_without_mirrors_a_batch_is_as_it_was():
    samples, indices = dots(4), np.arange(4)
    plain, none = batch_of(samples, indices), batch_of(samples, indices, mirrored=np.zeros(4, bool))
    np.testing.assert_array_equal(plain.images, none.images)
    np.testing.assert_array_equal(plain.heatmaps, none.heatmaps)
