"""PCK is the paper's, with the corrected one beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from greenpose.accuracy import pck, pck_hits
from tests.recipe import exit_output, peaks, targets

_GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pck_golden.json").read_text())
_TARGET = targets("A", 4, 12, (48, 64))[0]


def _spot(x, y, size=(48, 64)):
    heatmap = np.zeros((1, 1, size[1], size[0]), dtype=np.float32)
    heatmap[0, 0, y, x] = 1
    return heatmap


def _shifted():
    mx, my, _ = peaks("A", 4, 12, (48, 64))
    x = np.clip(mx + _GOLDEN["shifted"]["dx"], 0, 47)
    y = np.clip(my + _GOLDEN["shifted"]["dy"], 0, 63)
    maps = np.zeros((4, 12, 64, 48), dtype=np.float32)
    np.put_along_axis(maps.reshape(4, 12, -1), (y * 48 + x)[..., None], 1.0, -1)
    return maps


@pytest.mark.parametrize("name", ["exit1", "exit2", "exit3", "exit4", "shifted"])
def test_pck_is_the_papers(name):
    prediction = _shifted() if name == "shifted" else exit_output("A", int(name[-1]), _TARGET)
    assert pck(prediction, _TARGET) == pytest.approx(_GOLDEN[name]["avg"], abs=1e-12)
    correct, counted = pck_hits(prediction, _TARGET)
    np.testing.assert_allclose(correct.sum(0) / counted.sum(0), _GOLDEN[name]["acc"][1:], atol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "paper", "corrected"), [(23, 30, 1, 0), (24, 30, 0, 0), (20, 33, 0, 1), (20, 34, 0, 0), (21, 32, 1, 1)]
)
def test_the_papers_tolerance_is_wide_along_x_and_the_corrected_one_along_y(x, y, paper, corrected):
    """At 48 x 64 half a tenth is 2.4 px of the width and 3.2 px of the height."""
    assert pck(_spot(x, y), _spot(20, 30)) == paper
    assert pck(_spot(x, y), _spot(20, 30), norm="corrected") == corrected


@pytest.mark.parametrize(("x", "y"), [(1, 30), (30, 1), (0, 0)])
def test_a_target_in_the_first_columns_or_rows_is_not_counted(x, y):
    assert pck(_spot(x, y), _spot(x, y)) == 0.0
    assert not pck_hits(_spot(x, y), _spot(x, y))[1].any()


def test_the_threshold_itself_is_too_far():
    """At 60 px three are half a tenth exactly."""
    size = (60, 60)
    assert pck(_spot(33, 30, size), _spot(30, 30, size)) == 0.0
    assert pck(_spot(33, 30, size), _spot(30, 30, size), threshold=0.51) == 1.0


def test_every_keypoint_weighs_the_same_however_often_it_is_labelled():
    target = np.concatenate([np.concatenate([_spot(20, 30)] * 2, 1), np.concatenate([_spot(20, 30), _spot(0, 0)], 1)])
    prediction = target.copy()
    prediction[0, 0] = _spot(40, 50)[0, 0]
    assert pck(prediction, target) == pytest.approx((1 / 2 + 1) / 2)


def test_tensors_are_taken_like_arrays():
    prediction = exit_output("A", 1, _TARGET)
    assert pck(torch.from_numpy(prediction), torch.from_numpy(_TARGET)) == pck(prediction, _TARGET)
