"""Crops are cut as the paper cuts them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from greenpose.data import batch_of, load_profile
from greenpose.data.crops import (
    box_to_center_scale,
    clean_box,
    crop,
    crop_matrix,
    flip_images,
    flip_joints,
    flip_partners,
    flip_visibility,
    transform_points,
)
from greenpose.errors import DataError
from tests.training.samples import PROFILE, dots

_GOLDEN = Path(__file__).parents[1] / "golden"
_CASES = [case for case in json.loads((_GOLDEN / "affine_golden.json").read_text())["cases"] if not case["rot"]]
_SMALL_SET = json.loads((_GOLDEN / "ap_small_golden.json").read_text())


def _smooth_image():
    y, x = np.mgrid[:480, :640].astype(np.float64)
    planes = [127.5 + 127.5 * wave for wave in (np.sin(x / 17 + y / 29), np.cos(x / 23 - y / 13), np.sin(x * y / 3000))]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: f"{c['box_xywh']}")
def test_a_box_gives_the_papers_matrix(case):
    size = tuple(case["output_wh"])
    center, scale = box_to_center_scale(case["box_xywh"], size)
    matrix = crop_matrix(center, scale, size)
    np.testing.assert_allclose(center, case["center"], atol=1e-5)
    np.testing.assert_allclose(scale, case["scale"], atol=1e-6)
    np.testing.assert_allclose(matrix, case["matrix"], atol=1e-5)
    points = np.array(case["points"], dtype=np.float64)
    np.testing.assert_allclose(transform_points(points, matrix), case["points_transformed"], atol=1e-4)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: f"{c['box_xywh']}")
def test_a_crop_has_the_papers_grey_levels(case):
    size = tuple(case["output_wh"])
    center, scale = box_to_center_scale(case["box_xywh"], size)
    cut = crop(_smooth_image(), crop_matrix(center, scale, size), size)
    samples = cut.reshape(-1)[case["crop_sample_idx"]].astype(int)
    assert np.abs(samples - case["crop_samples"]).max() <= 2
    np.testing.assert_allclose(cut.sum((0, 1), dtype=np.int64), case["crop_sum_per_channel"], rtol=1e-4)
    assert np.count_nonzero((cut == 0).all(-1)) == pytest.approx(case["crop_zero_pixels"], rel=0.01)


def test_boxes_of_a_whole_set_get_the_papers_centers_and_scales():
    for annotation, expected in zip(_SMALL_SET["gt"]["annotations"], _SMALL_SET["expected_center_scale"], strict=True):
        center, scale = box_to_center_scale(clean_box(annotation["bbox"], (640, 480)), (192, 256))
        np.testing.assert_allclose(center, expected["center"], atol=1e-4)
        np.testing.assert_allclose(scale, expected["scale"], atol=1e-6)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 40), (10, 20, 29, 39)),
        ((-5, 20, 30, 40), (0, 20, 29, 39)),
        ((90, 20, 30, 40), (90, 20, 9, 39)),
        ((10, 20, 1, 40), None),
        ((120, 20, 30, 40), None),
        ((0, 0, 0, 0), None),
    ],
)
def test_a_box_is_moved_into_the_image_and_loses_a_pixel(box, expected):
    assert clean_box(box, (100, 80)) == expected


def test_a_grey_image_stays_grey():
    matrix = crop_matrix((20.0, 15.0), (0.1, 0.1), (8, 8))
    grey = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    assert crop(grey, matrix, (8, 8)).shape == (8, 8)


SIDES = flip_partners(PROFILE)


def test_left_and_right_of_an_infant_change_places_and_nothing_else_does():
    profile = load_profile("babypose")
    names, sides = profile.keypoints, flip_partners(profile)
    for name, side in zip(names, sides, strict=True):
        partner = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert names[side] == partner


def test_a_profile_without_partners_is_refused():
    with pytest.raises(DataError, match=r"profile dots: has no flip_pairs, without which train\.mirror must be 0"):
        flip_partners(PROFILE.model_copy(update={"flip_pairs": ()}))


@given(arrays(np.uint8, (3, 4, 5)), arrays(np.bool_, 3))
def test_an_image_that_is_turned_has_each_pixel_on_the_other_side_and_the_others_stay(images, which):
    turned = flip_images(images, which)
    for image, here, is_turned in zip(images, turned, which, strict=True):
        np.testing.assert_array_equal(here, np.fliplr(image) if is_turned else image)
    np.testing.assert_array_equal(flip_images(turned, which), images)


@given(st.integers(0, 2**31), arrays(np.bool_, 4))
def test_a_second_mirror_undoes_the_first(seed, which):
    rng = np.random.default_rng(seed)
    joints = rng.integers(0, 64, (4, 2, 2)).astype(np.float32)
    visibility = rng.integers(0, 2, (4, 2))
    twice = flip_joints(flip_joints(joints, which, width=64, sides=SIDES), which, width=64, sides=SIDES)
    np.testing.assert_array_equal(twice, joints)
    seen = flip_visibility(visibility, which, sides=SIDES)
    np.testing.assert_array_equal(seen[which], visibility[which][:, ::-1])
    np.testing.assert_array_equal(flip_visibility(seen, which, sides=SIDES), visibility)


def test_in_a_mirrored_batch_every_joint_still_lies_on_its_dot_and_takes_its_partner_s_name():
    """Joint a is white and joint b black: in the mirror a target for a stands where the black dot is."""
    samples, indices = dots(6), np.arange(6)
    which = np.array([True, False, True, True, False, True])
    batch = batch_of(samples, indices, flipped=which)
    for number, is_turned in enumerate(which):
        for joint, grey in enumerate((0, 255) if is_turned else (255, 0)):
            row, column = np.unravel_index(batch.heatmaps[number, joint].argmax(), batch.heatmaps.shape[2:])
            assert batch.images[number, 4 * row, 4 * column] == grey


def test_a_single_pixel_stays_under_its_joint():
    images = np.zeros((1, 5, 8), np.uint8)
    images[0, 2, 3] = 255
    joints = np.array([[[3.0, 2.0], [0.0, 0.0]]], np.float32)
    which = np.array([True])
    ((row, column),) = np.argwhere(flip_images(images, which)[0] == 255)
    turned = flip_joints(joints, which, width=8, sides=SIDES)
    assert turned[0, SIDES[0]].tolist() == [column, row]


def test_colours_are_turned_like_greys():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    turned = flip_images(images, np.array([True, False]))
    np.testing.assert_array_equal(turned, [np.fliplr(images[0]), images[1]])


def test_without_mirrors_a_batch_is_as_it_was():
    samples, indices = dots(4), np.arange(4)
    plain, none = batch_of(samples, indices), batch_of(samples, indices, flipped=np.zeros(4, bool))
    np.testing.assert_array_equal(plain.images, none.images)
    np.testing.assert_array_equal(plain.heatmaps, none.heatmaps)
