"""Bfloat16 where there are units for it, and a refusal in words elsewhere."""

import pytest
import torch

from greenpose.config import TrainConfig
from greenpose.data import batches
from greenpose.errors import GreenPoseError
from greenpose.losses import Objective, Wiring
from greenpose.model import HRNet
from greenpose.training.step import Step, autocast, has_bf16_units, require_precision
from tests.training.samples import dots

CPU = torch.device("cpu")


def cpuinfo(tmp_path, line):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: some CPU\n{line}\npower management:\n")
    return path


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("flags\t\t: fpu sse2 avx2", False),
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_tile amx_bf16", True),
        ("flags\t\t: fpu avx512_bf16x", False),
        ("Features\t: fp asimd svebf16 bf16", True),
        ("Features\t: fp asimd", False),
        ("", False),
    ],
)
def test_the_kernel_s_list_of_features_tells(tmp_path, line, has):
    assert has_bf16_units(cpuinfo(tmp_path, line)) is has


def test_without_a_list_there_are_none(tmp_path):
    assert not has_bf16_units(tmp_path / "nothing")


def test_a_cpu_without_units_is_refused_by_name_and_told_what_to_choose(tmp_path):
    path = cpuinfo(tmp_path, "flags : avx2")
    with pytest.raises(GreenPoseError, match=r"amx_bf16, avx512_bf16, bf16.*choose float32"):
        require_precision("bf16", "cpu", cpuinfo=path)
    require_precision("float32", "cpu", cpuinfo=path)
    require_precision("bf16", "cpu", cpuinfo=cpuinfo(tmp_path, "flags : avx512_bf16"))


def test_convolutions_are_done_in_bfloat16_and_weights_stay_in_float32():
    net = HRNet(4, 2, (1,), stem_width=4, modules=(1, 1, 1), blocks=1)
    with autocast(CPU, "bf16"):
        heatmaps = net(torch.zeros(2, 3, 32, 32))[1]
    assert heatmaps.dtype == torch.bfloat16
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    with autocast(CPU, "float32"):
        assert net(torch.zeros(2, 3, 32, 32))[1].dtype == torch.float32


def test_a_step_in_bfloat16_goes_where_one_in_float32_does():
    """Eight bits of mantissa: gradients within some per cent, so that most weights move alike in Adam's first step."""
    moved = {}
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        net = HRNet(4, 2, (2,), stem_width=4, modules=(1, 1, 1), blocks=1)
        before = torch.cat([weight.detach().flatten().clone() for weight in net.parameters()])
        step = Step(
            net, Objective(Wiring(exits=(2,))), torch.optim.Adam(net.parameters(), lr=1e-3), precision=precision
        )
        loss = step(next(batches(dots(8), 8)))["total"]
        after = torch.cat([weight.detach().flatten() for weight in net.parameters()])
        moved[precision] = (loss, torch.sign(after - before))
    assert moved["bf16"][0] == pytest.approx(moved["float32"][0], rel=0.02)
    assert moved["bf16"][0] != moved["float32"][0]
    assert (moved["bf16"][1] == moved["float32"][1]).float().mean() > 0.8


def test_float32_is_what_a_recipe_says_by_default():
    assert TrainConfig().precision == "float32"
