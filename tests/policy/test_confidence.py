import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.policy import CONFIDENCES, entropy, peak


def maps(*values, side=4):
    """One image, one heatmap for each list of values; the rest of a map is zero."""
    heatmaps = torch.zeros(1, len(values), side, side)
    for keypoint, some in enumerate(values):
        heatmaps[0, keypoint].flatten()[: len(some)] = torch.tensor(some)
    return heatmaps


def test_peak_is_the_mean_of_the_maxima():
    assert peak(maps([0.2, 0.9], [0.5])).tolist() == pytest.approx([0.7])


def test_a_single_pixel_has_no_entropy_and_equal_ones_have_the_most():
    assert entropy(maps([3.0])).tolist() == [1]
    assert entropy(torch.ones(1, 2, 4, 4)).tolist() == pytest.approx([0], abs=1e-6)


def test_entropy_is_the_textbooks():
    expected = 1 - (0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / math.log(16)
    assert entropy(maps([1.0, 3.0])).tolist() == pytest.approx([expected])


def test_an_empty_map_and_one_below_zero_leave_nobody_sure():
    for heatmaps in (torch.zeros(1, 3, 4, 4), -torch.rand(1, 3, 4, 4)):
        assert [measure(heatmaps).item() for measure in CONFIDENCES.values()] == pytest.approx([0, 0], abs=1e-6)


@given(st.integers(0, 1000), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_no_confidence_is_below_zero_and_entropy_does_not_depend_on_the_scale(seed, scale):
    heatmaps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    for measure in CONFIDENCES.values():
        assert (measure(heatmaps) >= 0).all()
    torch.testing.assert_close(entropy(scale * heatmaps), entropy(heatmaps), rtol=1e-4, atol=1e-5)
