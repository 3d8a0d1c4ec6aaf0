""""""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, SubNetwork, initialise
from tests.model.filling import fill
from tests.recipe import S, f32

GOLDEN = Path(__file__).parents[1] / "golden"
FORWARD = json.loads((GOLDEN / "forward.json").read_text())
SMALL = {"width": 4, "num_joints": 3, "stem_width": 6, "modules": (1, 2, 1), "blocks": 1}


def official_entries():
    lines = gzip.decompress((GOLDEN / "state_dict_w32_j17.txt.gz").read_bytes()).decode().splitlines()
    pairs = [line.split(" ") for line in lines]
    return {name: tuple(int(side) for side in shape.split("x") if side) for name, shape in pairs}


def images(batch=2, height=64, width=96, *, dtype=torch.float32):
    return torch.from_numpy(f32(S("images", (batch, 3, height, width)))).to(dtype)


def num_params(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_names_and_shapes_are_those_of_the_official_release():
    net = HRNet(num_joints=17, exits=(4,))
    ours = {name.replace("heads.4", "final_layer"): tuple(entry.shape) for name, entry in net.state_dict().items()}
    assert ours == official_entries()


@pytest.mark.parametrize(
    ("exits", "params"),
    [((1,), 399_244), ((2,), 919_116), ((3,), 7_686_028), ((4,), 28_535_948), ((1, 2, 3, 4), 28_535_948 + 3 * 396)],
)
def test_only_what_the_exits_need_is_built(exits, params):
    with torch.device("meta"):
        assert num_params(HRNet(exits=exits)) == params


@pytest.mark.parametrize(
    ("tag", "exact"),
    [
        ("w8_96x128_j12", True),
        ("w8_96x128_j12", False),
        pytest.param("w32_256x192_j12", True, marks=pytest.mark.slow),
        ("w32_256x192_j12", False),
    ],
)
def test_heatmaps_are_those_of_the_reference(tag, exact):
    golden = FORWARD[tag]
    height, width = golden["input_hw"]
    shape = (golden["batch"], 3, height, width)
    net = fill(HRNet(width=golden["width"]), golden["salt"]).eval()
    x = torch.from_numpy(f32(S(golden["salt"] + "input", shape)))
    if exact:
        net, x = net.double(), x.double()
    with torch.inference_mode():
        outputs = net(x)
    assert list(outputs) == [1, 2, 3, 4]
    for k, expected in golden["exits"].items():
        heatmaps = outputs[int(k)].double().numpy()
        assert heatmaps.shape == (golden["batch"], 12, height // 4, width // 4)
        slack = 0 if exact else 5 * expected["float32_reference_max_abs_diff"]
        check_statistics(heatmaps, expected, slack)


def check_statistics(heatmaps, expected, slack):
    found = {
        "abs_mean": np.abs(heatmaps).mean(),
        "std": heatmaps.std(),
        "min": heatmaps.min(),
        "max": heatmaps.max(),
    }
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-9, abs=slack)
    assert heatmaps.sum() == pytest.approx(expected["sum"], rel=1e-9, abs=slack * heatmaps.size)
    flat = heatmaps.ravel()
    picked = flat[(np.arange(10) * 7919 + 13) % flat.size]
    np.testing.assert_allclose(picked, expected["samples"], rtol=0, atol=slack + 6e-7)
    if not slack:
        peaks = heatmaps[0].reshape(12, -1).argmax(-1)
        columns = heatmaps.shape[-1]
        assert np.stack([peaks % columns, peaks // columns], -1).tolist() == expected["argmax_xy_image0"]


@pytest.mark.parametrize(
    ("width", "dtype"),
    [
        (8, torch.float32),
        pytest.param(8, torch.float64, marks=pytest.mark.slow),
        pytest.param(32, torch.float32, marks=pytest.mark.slow),
        pytest.param(48, torch.float32, marks=pytest.mark.slow),
    ],
)
def test_a_truncated_network_gives_its_exit_bit_for_bit_and_holds_nothing_else(width, dtype):
    net = fill(HRNet(width=width)).to(dtype).eval()
    x = images(dtype=dtype) if width == 8 else images(batch=1, height=32, width=32)
    with torch.inference_mode():
        whole = net(x)
        for k in net.exits:
            sub = net.truncate(k)
            assert torch.equal(sub(x), whole[k])
            assert (sub.exits, sub.exit) == ((k,), k)
            with torch.device("meta"):
                assert num_params(sub) == num_params(HRNet(width=width, exits=(k,)))


def test_a_truncated_network_is_the_smallest_with_that_exit():
    sub = HRNet(**SMALL).truncate(3)
    assert num_params(sub) == num_params(HRNet(**SMALL, exits=(3,)))
    assert set(sub.state_dict()) == set(HRNet(**SMALL, exits=(3,)).state_dict())


@given(
    exits=st.sets(st.integers(1, 4), min_size=1),
    width=st.integers(1, 6),
    stem_width=st.integers(1, 6),
    modules=st.tuples(*[st.integers(1, 2)] * 3),
    blocks=st.integers(1, 2),
)
@settings(max_examples=8, deadline=None)
def test_every_exit_of_every_network_can_be_cut_out(exits, width, stem_width, modules, blocks):
    net = HRNet(width, 2, sorted(exits), stem_width=stem_width, modules=modules, blocks=blocks)
    x = images(batch=3, height=32, width=64)
    with torch.no_grad():
        for _ in range(2):
            net(x)  # running statistics of their own
        net.eval()
        outputs = net(x)
        assert set(outputs) == exits
        for k in exits:
            assert torch.equal(net.truncate(k)(x), outputs[k])


def test_truncating_copies():
    net = HRNet(**SMALL)
    sub = net.truncate(2)
    with torch.no_grad():
        for parameter in sub.parameters():
            parameter.zero_()
    sub.bn1.running_mean.fill_(7)
    assert net.conv1.weight.abs().sum() > 0
    assert net.bn1.running_mean.abs().sum() == 0
    assert all(parameter.requires_grad for parameter in sub.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_truncating_keeps_the_mode_and_draws_no_random_numbers(training):
    net = HRNet(**SMALL).train(training)
    state = torch.random.get_rng_state()
    sub = net.truncate(4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sub.training is training
    assert sub.bn1.training is training


def test_a_sub_network_can_be_copied_but_not_cut_elsewhere():
    sub = HRNet(**SMALL).truncate(2)
    assert isinstance(sub.truncate(2), SubNetwork)
    with pytest.raises(GreenPoseError, match="exit 3 does not exist; this network has exit 2"):
        sub.truncate(3)
    with pytest.raises(GreenPoseError, match="exit 1 does not exist; this network has exits 2, 4"):
        HRNet(**SMALL, exits=(2, 4)).truncate(1)


@pytest.mark.parametrize("exits", [(1,), (2, 3), (4,)])
def test_images_of_an_odd_size_are_refused_whatever_the_exits(exits):
    with pytest.raises(GreenPoseError, match="multiples of 32"):
        HRNet(**SMALL, exits=exits)(images(height=48, width=64))


def test_a_narrow_stem_narrows_layer1_too():
    net = HRNet(**SMALL)
    assert net.conv2.weight.shape == (6, 6, 3, 3)
    assert net.layer1[-1].conv3.weight.shape == (24, 6, 1, 1)
    assert len(net.layer1) == SMALL["blocks"]


def test_only_named_exits_get_gradients():
    net = HRNet(**SMALL)
    net(images())[2].square().mean().backward()
    with_gradient = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, _ in net.truncate(2).named_parameters()}


def test_channels_last_changes_nothing_but_rounding():
    net = HRNet(**SMALL).eval()
    with torch.inference_mode():
        plain = net(images())
        fast = net.to(memory_format=torch.channels_last)(images().to(memory_format=torch.channels_last))
    for k in net.exits:
        torch.testing.assert_close(fast[k], plain[k], rtol=1e-4, atol=1e-7)


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
