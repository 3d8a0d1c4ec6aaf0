import json
from pathlib import Path

import pytest

from greenpose.counting import FORMULAE, reference_crop, reference_share
from greenpose.counting.counters import PAPER_FORMULA
from greenpose.model import Architecture
from tests.counting.test_counters import WIDTHS, golden_census

GOLDEN = Path(__file__).parents[1] / "golden"
COUNTERS = json.loads((GOLDEN / "counters_w32.json").read_text())


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize(("input_size", "name"), [((192, 256), "256x192"), ((128, 96), "96x128")])
def test_the_papers_crops_are_counted_as_by_its_code(k, input_size, name):
    row = COUNTERS[f"crop_N{k}@{name}"]
    crop = reference_crop(Architecture(num_joints=12, exits=(1, 2, 3, 4)), k, input_size)
    assert crop.params == row["params"]
    assert crop.census == golden_census(row["census"])
    assert crop.macs == row["census"]["conv_macs"]
    assert crop.by(PAPER_FORMULA) == row["vendored_ptflop_macs"]
    assert crop.by(FORMULAE["thop"]) == row["thop_macs"]
    assert crop.by(FORMULAE["ptflops"]) == row["ptflops_pytorch_macs"]
    assert crop.by(FORMULAE["ptflops_aten"]) == row["ptflops_aten_macs"]


@pytest.mark.parametrize("name", [name for name in WIDTHS if name.startswith("W8_") and "_reference_crop_" in name])
def test_crops_of_other_widths_too(name):
    width, _, size, *_ = name.split("_")
    height, image_width = (int(side) for side in size.split("x"))
    crop = reference_crop(Architecture(num_joints=12, width=int(width[1:])), int(name[-1]), (image_width, height))
    assert (crop.params, crop.census) == (WIDTHS[name]["params"], golden_census(WIDTHS[name]))


def test_the_headline_percentages_and_where_they_come_from():
    share = reference_share(Architecture(num_joints=12, exits=(1, 2, 3, 4)))
    assert share.params == pytest.approx(27.453, abs=5e-4)
    assert share.macs == pytest.approx(61.861, abs=5e-4)
    assert share.macs_by_paper == pytest.approx(61.943, abs=5e-4)
    assert share.macs_printed == pytest.approx(100 * 1.19 / 1.93, abs=1e-9)


def test_a_network_whose_printed_macs_round_to_zero_has_no_printed_share():
    share = reference_share(Architecture(width=4, num_joints=12, stem_width=4, modules=(1, 1, 1), blocks=1))
    assert share.macs_printed is None
    assert 0 < share.macs < 100
