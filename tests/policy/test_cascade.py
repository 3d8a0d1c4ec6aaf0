""""""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose.counting import census
from greenpose.counting.counters import operations
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet
from greenpose.policy.cascade import CONFIDENCES, EVER, NEVER, Cascade, entropy, path_costs, peak
from tests.model.filling import fill
from tests.model.test_hrnet import SMALL, images

EXITS = (2, 3, 4)


@pytest.fixture(scope="module")
def net():
    return fill(HRNet(**SMALL, exits=EXITS)).eval()


@pytest.fixture(scope="module")
def paths(net):
    return path_costs({k: net.truncate(k) for k in EXITS}, (96, 64))


def run(net, thresholds, x):
    with torch.inference_mode():
        return Cascade(net, thresholds)(x)


def test_a_threshold_of_zero_is_the_shallowest_exit_for_every_image(net):
    x = images(batch=3)
    exited = run(net, {2: 0.0, 3: 0.0}, x)
    assert exited.exits.tolist() == [2, 2, 2]
    with torch.inference_mode():
        assert torch.equal(exited.heatmaps, net(x)[2])
        assert torch.equal(exited.heatmaps, net.truncate(2)(x))


@pytest.mark.parametrize("never", [None, NEVER, float("inf")])
def test_a_threshold_without_end_is_the_deepest_exit_for_every_image(net, never):
    x = images(batch=3)
    exited = run(net, {2: never, 3: never}, x)
    assert exited.exits.tolist() == [4, 4, 4]
    with torch.inference_mode():
        assert torch.equal(exited.heatmaps, net(x)[4])


def test_each_image_leaves_at_the_first_exit_that_is_sure_with_what_that_exit_says(net):
    x = images(batch=12)
    with torch.inference_mode():
        whole = net(x)
    thresholds = {k: float(peak(whole[k]).median()) for k in (2, 3)}
    confidences = {k: peak(whole[k]) >= thresholds[k] for k in (2, 3)}
    expected = [2 if confidences[2][i] else 3 if confidences[3][i] else 4 for i in range(12)]
    assert set(expected) == {2, 3, 4}
    exited = run(net, thresholds, x)
    assert exited.exits.tolist() == expected
    for i, k in enumerate(expected):
        torch.testing.assert_close(exited.heatmaps[i], whole[k][i], rtol=1e-4, atol=1e-6)


def test_an_image_costs_the_network_of_its_exit_and_the_heads_on_its_way(net, paths):
    x = images(batch=1)
    for thresholds, last in (
        ({2: 0.0, 3: None}, 2),
        ({2: NEVER, 3: 0.0}, 3),
        ({2: EVER, 3: 0.0}, 2),
        ({2: None, 3: 0.0}, 3),
        ({2: NEVER, 3: NEVER}, 4),
        ({2: None, 3: NEVER}, 4),
        ({2: None, 3: None}, 4),
    ):
        assert census(As(Cascade(net, thresholds)), x).conv_macs == paths.macs(last, thresholds)
    assert paths.macs(4, {2: None, 3: None}) == census(net.truncate(4), x).conv_macs


def test_deeper_stages_are_computed_for_those_that_go_on_only(net, paths):
    """The census of a batch is the sum of what its images cost one by one."""
    x = images(batch=6)
    with torch.inference_mode():
        thresholds = {k: float(peak(maps).median()) for k, maps in net(x).items() if k != 4}
    exited = run(net, thresholds, x).exits.tolist()
    total = census(As(Cascade(net, thresholds)), x).conv_macs
    assert total == sum(paths.macs(k, thresholds) for k in exited)
    assert total < 6 * paths.macs(4, thresholds)


def test_where_all_leave_nobody_is_asked(net):
    x = images(batch=1)
    asked = {t: operations(As(Cascade(net, {2: t, 3: None})), x) for t in (0.0, EVER, NEVER, None)}
    assert {t: found.get("amax", 0) for t, found in asked.items()} == {0.0: 0, EVER: 1, NEVER: 1, None: 0}


class As(torch.nn.Module):
    """A cascade as a module, which a census takes."""

    def __init__(self, cascade):
        super().__init__()
        self.cascade = cascade

    def forward(self, x):
        return self.cascade(x).heatmaps


@pytest.mark.parametrize("thresholds", [{}, {2: 0.5}, {2: 0.5, 3: 0.5, 4: 0.5}])
def test_thresholds_that_do_not_fit_the_exits_are_refused(net, thresholds):
    with pytest.raises(GreenPoseError, match=r"this network needs them for exits \[2, 3\]"):
        Cascade(net, thresholds)


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
