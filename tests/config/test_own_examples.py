"""The experiments with networks of one's own that ship: a template that can be trained, and a package's network."""

from pathlib import Path

import pytest

from greenpose.counting import architecture_of, count
from greenpose.model import check_network
from tests.cli.running import greenpose
from tests.model.own_networks import cell_of

OWN = Path(__file__).parents[2] / "experiments" / "own"
STAND_IN = """
from torch import nn
class Pose(nn.Module):
    def __init__(self, keypoints):
        super().__init__()
        self.body = nn.Conv2d(3, keypoints, 4, stride=4)
    def forward(self, x):
        return self.body(x)
def simplepose_resnet18_coco(pretrained_backbone=False, keypoints=17, **kwargs):
    assert kwargs == {"in_size": [64, 64], "return_heatmap": True}
    return Pose(keypoints)
"""


def test_the_template_is_short_and_each_of_its_exits_costs_what_it_needs():
    assert len((OWN / "encoder.py").read_text().splitlines()) <= 100
    shape = architecture_of(cell_of(OWN / "encoder.yaml").config)
    assert check_network(shape).is_asked
    shallow, final = count(shape).values()
    assert shallow.macs == pytest.approx(0.558 * final.macs, rel=0.01)
    assert shallow.params < 0.6 * final.params


def test_a_package_s_network_needs_no_code_here(tmp_path):
    package = tmp_path / "pytorchcv" / "models"
    package.mkdir(parents=True)
    (tmp_path / "simplepose.yaml").write_text((OWN / "simplepose.yaml").read_text())
    absent = greenpose("profile", "simplepose.yaml", cwd=tmp_path)
    assert absent.code == 2
    assert "pytorchcv.models.simplepose_coco: no such module in" in absent.err
    (package / "simplepose_coco.py").write_text(STAND_IN)
    done = greenpose("profile", "simplepose.yaml", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "simplepose_resnet18_coco, keypoints 12" in done.out
