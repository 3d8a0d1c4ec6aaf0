"""Crops are cut as the paper cuts them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.data.crops import (
    box_to_center_scale,
    clean_box,
    crop,
    crop_matrix,
    invert_matrix,
    transform_points,
)

_GOLDEN = Path(__file__).parents[1] / "golden"
_CASES = json.loads((_GOLDEN / "affine_golden.json").read_text())["cases"]
_SMALL_SET = json.loads((_GOLDEN / "ap_small_golden.json").read_text())


def _smooth_image():
    y, x = np.mgrid[:480, :640].astype(np.float64)
    planes = [127.5 + 127.5 * wave for wave in (np.sin(x / 17 + y / 29), np.cos(x / 23 - y / 13), np.sin(x * y / 3000))]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: f"{c['box_xywh']}r{c['rot']}")
def test_a_box_gives_the_papers_matrix(case):
    size = tuple(case["output_wh"])
    center, scale = box_to_center_scale(case["box_xywh"], size)
    matrix = crop_matrix(center, scale, size, rotation_deg=float(case["rot"]))
    np.testing.assert_allclose(center, case["center"], atol=1e-5)
    np.testing.assert_allclose(scale, case["scale"], atol=1e-6)
    np.testing.assert_allclose(matrix, case["matrix"], atol=1e-5)
    np.testing.assert_allclose(invert_matrix(matrix), case["inverse_matrix"], atol=1e-4)
    points = np.array(case["points"], dtype=np.float64)
    np.testing.assert_allclose(transform_points(points, matrix), case["points_transformed"], atol=1e-4)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: f"{c['box_xywh']}r{c['rot']}")
def test_a_crop_has_the_papers_grey_levels(case):
    size = tuple(case["output_wh"])
    center, scale = box_to_center_scale(case["box_xywh"], size)
    cut = crop(_smooth_image(), crop_matrix(center, scale, size, rotation_deg=float(case["rot"])), size)
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


@given(
    x=st.floats(-50, 500),
    y=st.floats(-50, 500),
    width=st.floats(2, 600),
    height=st.floats(2, 600),
    rotation=st.floats(-180, 180),
)
def test_the_way_back_undoes_the_way_there(x, y, width, height, rotation):
    center, scale = box_to_center_scale((x, y, width, height), (96, 128))
    matrix = crop_matrix(center, scale, (96, 128), rotation_deg=rotation)
    corners = np.array([[x, y], [x + width, y + height]])
    inside = transform_points(corners, matrix)
    np.testing.assert_allclose(transform_points(inside, invert_matrix(matrix)), corners, atol=1e-6)
    if rotation == 0:
        assert (inside > -1e-3).all()
        assert (inside < np.array([96, 128]) + 1e-3).all()
