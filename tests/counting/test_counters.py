""""""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from greenpose.counting import FORMULAE, CountingError, census
from greenpose.counting.counters import Census, run_counters
from greenpose.errors import GreenPoseError
from greenpose.model import HRNet

SMALL = {"num_joints": 3, "stem_width": 6, "modules": (1, 1, 1), "blocks": 1}


@given(
    width=st.integers(1, 12),
    exit_number=st.integers(1, 4),
    modules=st.tuples(*[st.integers(1, 2)] * 3),
    size=st.sampled_from([(32, 32), (64, 32), (32, 96)]),
)
@settings(max_examples=6, deadline=None)
def test_each_formula_gives_its_counters_own_figure(width, exit_number, modules, size):
    net = HRNet(**{**SMALL, "width": width, "modules": modules}, exits=(exit_number,)).eval()
    image = torch.zeros(1, 3, *size)
    counted = census(net, image)
    assert {name: formula.macs(counted) for name, formula in FORMULAE.items()} == run_counters(net, image)


def test_counters_leave_the_network_as_it_was(capsys, recwarn):
    net = HRNet(width=4, **SMALL).train()
    names = list(net.state_dict())
    run_counters(net, torch.zeros(1, 3, 32, 32))
    assert list(net.state_dict()) == names
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert not any(hasattr(module, "total_ops") or hasattr(module, "__flops__") for module in net.modules())
    said = capsys.readouterr()
    assert said.out == said.err == ""
    assert not recwarn.list


def test_counters_put_torchs_functions_back():
    functions = (nn.functional.relu, nn.functional.interpolate, torch.add, torch.Tensor.add)
    run_counters(HRNet(width=4, **SMALL), torch.zeros(1, 3, 32, 32))
    assert functions == (nn.functional.relu, nn.functional.interpolate, torch.add, torch.Tensor.add)


class FailsOnCall(nn.Module):
    """Fails from its `n`-th call on, over all copies of it."""

    calls = 0

    def __init__(self, n):
        super().__init__()
        self.n = n
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        type(self).calls += 1
        if type(self).calls >= self.n:
            raise ArithmeticError("no such luck")
        return self.conv(x)


@pytest.mark.parametrize(
    ("n", "error"), [(1, ArithmeticError), (2, ArithmeticError), (3, CountingError), (4, CountingError)]
)
def test_no_counters_failure_is_lost_or_printed(n, error, capsys):
    FailsOnCall.calls = 0
    with pytest.raises(error, match="no such luck"):
        run_counters(FailsOnCall(n), torch.zeros(1, 3, 8, 8))
    assert FailsOnCall.calls == n
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_failed_counter_is_a_users_error_with_the_counters_name():
    assert issubclass(CountingError, GreenPoseError)
    FailsOnCall.calls = 0
    with pytest.raises(CountingError, match=r"^ptflops \(aten\) could not count"):
        run_counters(FailsOnCall(4), torch.zeros(1, 3, 8, 8))


GOLDEN = Path(__file__).parents[1] / "golden"
WIDTHS = json.loads((GOLDEN / "census_widths.json").read_text())
NAMES = {
    "conv_macs": "conv_macs",
    "conv_bias": "conv_bias",
    "bn": "bn_elems",
    "relu": "relu_elems",
    "upsample": "upsample_elems",
    "add": "add_elems",
}


def golden_census(row):
    return Census(**{ours: row.get(theirs, 0) for ours, theirs in NAMES.items()})


def test_a_census_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),  # 8 x 4 x 6 outputs of 27 products each
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 1, groups=2, bias=False),  # 4 x 4 x 6 outputs of 4 products each
        nn.Upsample(scale_factor=2, mode="nearest"),
    ).eval()
    outputs = 8 * 4 * 6
    assert census(net, torch.zeros(1, 3, 8, 12)) == Census(
        conv_macs=outputs * 27 + 96 * 4, conv_bias=outputs, bn=outputs, relu=outputs, upsample=96 * 4
    )


def test_additions_are_seen_in_place_or_not():
    class Adding(nn.Module):
        def forward(self, x):
            y = x + x
            y += x
            return y

    assert census(Adding(), torch.zeros(2, 5)) == Census(add=20)


def test_censuses_add_up():
    a, b = Census(conv_macs=5, bn=2), Census(conv_macs=3, relu=4)
    assert (a + b) - b == a
    assert a * 3 == a + a + a


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("exit_number", [1, 2, 3, 4])
def test_minimal_networks_do_what_the_references_pruned_networks_do(width, exit_number):
    net = HRNet(width, exits=(exit_number,)).eval()
    rows = {
        name: row for name, row in WIDTHS.items() if name.startswith(f"W{width}_") and f"HRNet{exit_number}" in name
    }
    assert len(rows) == 3
    for name, row in rows.items():
        side_y, side_x = (int(side) for side in name.split("_")[2].split("x"))
        assert census(net, torch.zeros(1, 3, side_y, side_x)) == golden_census(row)
        assert sum(parameter.numel() for parameter in net.parameters()) == row["params"]


def test_the_multi_exit_network_has_three_more_heads():
    row = WIDTHS["W8_j12_96x128_full_multi_exit"]
    assert census(HRNet(8).eval(), torch.zeros(1, 3, 96, 128)) == golden_census(row)
