import json
from pathlib import Path

import pytest
import torch
from torch import nn

from greenpose.counting import Census, census
from greenpose.model import HRNet

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
