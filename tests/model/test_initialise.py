import pytest
import torch
from torch import nn

from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, initialise

SIZES = {"width": 16, "stem_width": 16, "modules": (1, 1, 1), "blocks": 1, "exits": (1, 4)}


def spread(net, *, heads):
    weights = [
        module.weight.detach().flatten()
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and name.startswith("heads") is heads
    ]
    return torch.cat(weights).std().item()


def built(scheme=None, seed=1):
    torch.manual_seed(seed)
    net = HRNet(**SIZES)
    if scheme:
        initialise(net, scheme)
    return net


def test_a_new_network_has_the_default_start():
    net = built()
    assert spread(net, heads=True) == pytest.approx(0.001, rel=0.15)
    assert spread(net, heads=False) > 0.01
    assert all(not head.bias.any() for head in net.heads.values())


def test_the_default_trunk_is_torch_s():
    torch.manual_seed(3)
    expected = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False).weight
    assert torch.equal(built(seed=3).conv1.weight, expected)


def test_normal_draws_every_convolution_from_the_same_spread():
    net = built("normal")
    assert spread(net, heads=False) == pytest.approx(0.001, rel=0.02)
    assert spread(net, heads=True) == pytest.approx(0.001, rel=0.15)


def test_torch_leaves_the_heads_wide():
    net = built("torch")
    # torch's default is uniform in ±1/sqrt(16): a spread of 1/sqrt(48)
    assert spread(net, heads=True) == pytest.approx(48**-0.5, rel=0.15)
    assert any(head.bias.any() for head in net.heads.values())


@pytest.mark.parametrize("scheme", ["default", "normal", "torch"])
def test_norms_start_at_one_and_zero_and_forget(scheme):
    net = built()
    with torch.no_grad():
        net.bn1.weight.fill_(5)
        net.bn1.running_var.fill_(5)
    initialise(net, scheme)
    assert (net.bn1.weight == 1).all()
    assert (net.bn1.running_var == 1).all()


@pytest.mark.parametrize("scheme", ["default", "normal", "torch"])
def test_the_seed_decides(scheme):
    first, second, third = built(scheme, 5), built(scheme, 5), built(scheme, 6)
    assert torch.equal(first.heads["4"].weight, second.heads["4"].weight)
    assert not torch.equal(first.heads["4"].weight, third.heads["4"].weight)


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(GreenPoseError, match="'xavier' is unknown; known: default, normal, torch"):
        initialise(built(), "xavier")
