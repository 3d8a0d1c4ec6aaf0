import json
from pathlib import Path

import pytest
import torch

from greenpose.counting import census, count_training_step
from greenpose.model import Architecture, HRNet

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = json.loads((GOLDEN / "training_step_flops_w32.json").read_text())
SMALL = {"width": 4, "num_joints": 3, "stem_width": 6, "modules": (1, 1, 1), "blocks": 1}


@pytest.mark.parametrize(
    ("row", "exits"),
    [
        ("HRNet2", (2,)),
        ("HRNet3", (3,)),
        pytest.param("HRNet4", (4,), marks=pytest.mark.slow),
        ("HRNet3-OKD and -DS", (2, 3)),
        pytest.param("HRNet4-OKD and -DS", (3, 4), marks=pytest.mark.slow),
        ("HRNet4-MSOKD/COKD and -DS", (2, 3, 4)),
    ],
)
def test_the_backward_pass_is_the_references(row, exits):
    flops = count_training_step(Architecture(exits=exits))
    assert round(flops.backward / 1e9, 3) == ROWS[row]["backward"]


def test_with_all_heads_the_whole_step_is_the_references():
    """The reference runs every head and reads one; our single-exit networks do not have the others."""
    flops = count_training_step(Architecture(), learning=(4,))
    row = ROWS["HRNet4"]
    found = {part: round(getattr(flops, part) / 1e9, 3) for part in ("forward", "backward", "total")}
    assert found == {part: row[part] for part in found}


def test_a_step_is_one_forward_and_twice_that_less_the_images_gradient():
    net = HRNet(**SMALL)
    macs = census(net.eval(), torch.zeros(1, 3, 32, 64)).conv_macs
    first = 6 * 16 * 32 * 27  # the first convolution's products: nobody asks for the image's gradient
    flops = count_training_step(net, (64, 32))
    assert flops.forward == 2 * macs
    assert flops.backward == 4 * macs - 2 * first
    assert flops.total == flops.forward + flops.backward
