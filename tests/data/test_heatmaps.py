"""Heatmaps follow the paper's conventions, and decoding undoes encoding."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenpose.data.heatmaps import decode_heatmaps, encode_heatmaps, find_peaks
from tests.recipe import S, f32, u

_GOLDEN = Path(__file__).parents[1] / "golden"
_SIZES = {"input_size": (192, 256), "heatmap_size": (48, 64)}


def _golden(name):
    return json.loads((_GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("case", _golden("target_golden")["joints"], ids=lambda c: f"{c['joint_xy']}v{c['vis']}")
def test_a_joint_is_drawn_as_the_paper_draws_it(case):
    maps, weight = encode_heatmaps([case["joint_xy"]], [case["vis"]], **_SIZES, sigma=2)
    drawn = maps[0]
    assert weight[0] == case["target_weight"]
    assert drawn.sum(dtype=np.float64) == pytest.approx(case["sum"], abs=1e-5)
    assert drawn.max() == pytest.approx(case["max"], abs=1e-6)
    assert np.count_nonzero(drawn) == case["n_nonzero"]
    if case["n_nonzero"]:
        rows, columns = np.nonzero(drawn)
        assert [columns.min(), rows.min(), columns.max(), rows.max()] == case["bbox_nonzero_xyxy"]
        assert [drawn.argmax() % 48, drawn.argmax() // 48] == case["argmax_xy"]


def test_a_window_that_is_not_whole_is_cut_as_the_papers_code_cuts_it():
    maps, weight = encode_heatmaps([[51.2, 64.0]], [1], input_size=(100, 130), heatmap_size=(48, 64), sigma=1.5)
    rows, columns = np.nonzero(maps[0])
    assert maps.sum(dtype=np.float64) == pytest.approx(14.10278, abs=5e-6)
    assert (len(rows), weight[0]) == (100, 1)
    assert (maps[0].argmax() % 48, maps[0].argmax() // 48) == (25, 32)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 29, 27, 36)


def drawn_into_a_frame(joint, *, input_size, heatmap_size, sigma):
    """The paper's way: a patch with the Gaussian is made, and what of it lies in the frame goes there."""
    frame, reach = np.zeros(heatmap_size[::-1]), sigma * 3
    spots = [
        int(place / (large / small) + 0.5) for place, large, small in zip(joint, input_size, heatmap_size, strict=True)
    ]
    begins, ends = [int(spot - reach) for spot in spots], [int(spot + reach + 1) for spot in spots]
    if any(b >= size for b, size in zip(begins, heatmap_size, strict=True)) or any(end < 0 for end in ends):
        return frame, 0
    side = np.arange(0, 2 * reach + 1)
    bell = np.exp(-((side - (2 * reach + 1) // 2) ** 2) / (2 * sigma**2))
    (left, top), (right, bottom) = [
        [max(0, b) for b in begins],
        [min(e, n) for e, n in zip(ends, heatmap_size, strict=True)],
    ]
    patch = np.outer(bell, bell)[top - begins[1] : bottom - begins[1], left - begins[0] : right - begins[0]]
    frame[top:bottom, left:right] = patch
    return frame, 1


@given(
    x=st.floats(-60, 260),
    y=st.floats(-60, 260),
    sigma=st.floats(0.2, 4) | st.sampled_from([1.0, 1.1, 1.2, 1.25, 1.4, 1.5, 4 / 3, 2.0, 2.5]),
    input_size=st.sampled_from([(192, 256), (100, 130), (128, 128), (64, 96)]),
)
def test_any_sigma_at_any_stride_is_drawn_as_the_papers_code_draws_it(x, y, sigma, input_size):
    sizes = {"input_size": input_size, "heatmap_size": (48, 64), "sigma": sigma}
    maps, weight = encode_heatmaps([[x, y]], [1], **sizes)
    frame, counted = drawn_into_a_frame((x, y), **sizes)
    np.testing.assert_allclose(maps[0], frame, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(maps[0] > 0, frame.astype(np.float32) > 0)
    assert weight[0] == counted


def test_a_batch_is_encoded_as_its_images_one_by_one():
    joints = 300 * np.random.default_rng(0).random((2, 3, 5, 2)) - 40
    visibility = np.random.default_rng(1).integers(0, 2, (2, 3, 5))
    maps, weight = encode_heatmaps(joints, visibility, **_SIZES, sigma=2)
    assert maps.shape == (2, 3, 5, 64, 48)
    for place in np.ndindex(2, 3):
        one_map, one_weight = encode_heatmaps(joints[place], visibility[place], **_SIZES, sigma=2)
        np.testing.assert_array_equal(maps[place], one_map)
        np.testing.assert_array_equal(weight[place], one_weight)


def test_tensors_are_taken_like_arrays():
    joints = torch.tensor([[[96.0, 128.0], [12.0, 20.0]]])
    maps, weight = encode_heatmaps(joints, torch.ones(1, 2), **_SIZES, sigma=2)
    expected, _ = encode_heatmaps(joints.numpy(), np.ones((1, 2)), **_SIZES, sigma=2)
    np.testing.assert_array_equal(maps, expected)
    decoded, peaks = decode_heatmaps(
        torch.from_numpy(maps), torch.tensor([[96.0, 128.0]]), torch.tensor([[0.96, 1.28]])
    )
    np.testing.assert_allclose(decoded, [[[96, 128], [12, 20]]], atol=1e-4)
    np.testing.assert_array_equal(peaks, weight)


@given(x=st.floats(0, 191), y=st.floats(0, 255), sigma=st.sampled_from([1.0, 4 / 3, 2.0, 3.0]))
def test_decoding_finds_an_encoded_joint_within_half_a_heatmap_pixel(x, y, sigma):
    maps, _ = encode_heatmaps([[[x, y]]], [[1]], **_SIZES, sigma=sigma)
    decoded, peaks = decode_heatmaps(maps, [[96, 128]], [[0.96, 1.28]], shift=False)
    assert peaks > 0
    # On the last column and row the nearest pixel may lie outside the map: one pixel there.
    limit = np.where(np.array([x, y]) < np.array([190, 254]), 2, 4)
    assert (np.abs(decoded[0, 0] - [x, y]) <= limit + 1e-9).all()


def test_decoding_gives_the_papers_final_predictions():
    golden = _golden("final_preds_golden")
    maps = f32(S("A:hm", (4, 12, 64, 48)))
    for b, j, y, x, value in golden["edits"]:
        maps[b, j, slice(None) if y == "all" else y, slice(None) if x == "all" else x] = value
    center = np.stack([f32(100 + 50 * u("A:cx", 4)), f32(200 + 50 * u("A:cy", 4))], -1)
    s = f32(0.5 + u("A:s", 4)).astype(np.float64)
    scale = f32(np.stack([0.75 * s, s], -1))
    np.testing.assert_allclose(center, golden["center"], atol=1e-6)
    np.testing.assert_allclose(scale, golden["scale"], atol=1e-6)
    shifted, peaks = decode_heatmaps(maps, center, scale)
    unshifted, _ = decode_heatmaps(maps, center, scale, shift=False)
    np.testing.assert_allclose(shifted, golden["preds_post_process"], atol=1e-4)
    np.testing.assert_allclose(unshifted, golden["preds_no_post_process"], atol=1e-4)
    np.testing.assert_allclose(peaks, np.reshape(golden["maxvals"], (4, 12)), atol=1e-7)
    np.testing.assert_array_equal(find_peaks(maps)[0], golden["max_preds_heatmap_xy"])


def test_a_map_that_is_not_a_number_decodes_to_finite_places():
    decoded, _ = decode_heatmaps(np.full((1, 1, 16, 12), np.nan, dtype=np.float32), [[6.0, 8.0]], [[0.06, 0.08]])
    assert np.isfinite(decoded).all()


def test_a_map_without_a_positive_value_peaks_at_the_origin():
    maps = np.full((1, 2, 16, 12), -1.0, dtype=np.float32)
    maps[0, 0, 8, 5] = -0.5
    maps[0, 1, 8, 5] = 0.5
    peaks, values = find_peaks(maps)
    np.testing.assert_array_equal(peaks, [[[0, 0], [5, 8]]])
    np.testing.assert_array_equal(values, [[-0.5, 0.5]])
