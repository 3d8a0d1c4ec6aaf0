import pytest
import torch
from torch import nn

from greenpose.counting import census
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, SubNetwork, fold_batchnorm
from tests.model.filling import fill
from tests.model.test_hrnet import SMALL, images


def relative(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("width", [8, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_folding_changes_no_output_by_more_than_a_hundred_thousandth_of_the_largest(width, layout):
    net = fill(HRNet(width=width)).eval().to(memory_format=layout)
    folded = fold_batchnorm(net)
    x = images().to(memory_format=layout)
    with torch.inference_mode():
        ours, theirs = folded(x), net(x)
    assert set(ours) == set(theirs) == {1, 2, 3, 4}
    for k in ours:
        assert 0 < relative(ours[k], theirs[k]) < 1e-5


def test_in_double_precision_nothing_but_rounding_is_left():
    net = fill(HRNet(**SMALL)).double().eval()
    x = images(dtype=torch.float64)
    with torch.inference_mode():
        for k in net.exits:
            sub = net.truncate(k)
            assert relative(fold_batchnorm(sub)(x), sub(x)) < 1e-13


def test_no_norm_is_left_and_the_work_on_them_is_gone_while_the_macs_stay():
    sub = fill(HRNet(**SMALL)).eval().truncate(3)
    folded = fold_batchnorm(sub)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = images(batch=1)
    before, after = census(sub, x), census(folded, x)
    assert (after.bn, after.conv_macs, after.relu, after.add) == (0, before.conv_macs, before.relu, before.add)
    assert after.conv_bias == before.conv_bias + before.bn


def test_folding_copies_and_gives_a_network_for_inference_of_the_same_class():
    net = fill(HRNet(**SMALL)).train()
    before = {name: entry.clone() for name, entry in net.state_dict().items()}
    folded = fold_batchnorm(net.truncate(2))
    assert isinstance(folded, SubNetwork)
    assert not any(module.training for module in folded.modules())
    assert net.training
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())


def test_a_folded_network_cannot_be_cut_any_more_and_says_in_which_order_it_goes():
    with pytest.raises(GreenPoseError, match="truncate first, then fold"):
        fold_batchnorm(HRNet(**SMALL)).truncate(2)
