"""What only a CUDA device can show: `make test-gpu`."""

import sys
import time

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from greenpose.config import TrainConfig
from greenpose.losses import Edge, Objective, Wiring
from greenpose.model import HRNet
from greenpose.training import Files, fit, predict
from greenpose.training.distributed import leading
from greenpose.training.fit import _shards
from greenpose.training.step import Step
from tests.training import member, member_gpu
from tests.training.samples import dots

pytestmark = pytest.mark.gpu
CUDA = "cuda"


def test_training_on_a_gpu_goes_where_it_does_on_the_cpu(tmp_path):
    splits = {"train": dots(8), "val": dots(4, seed=1)}
    losses = {}
    for device in ("cpu", CUDA):
        net = member.network().to(device)
        step = Step(net, member.OBJECTIVE, torch.optim.Adam(net.parameters(), lr=2e-3, fused=True))
        [(shard, batch)] = _shards(splits["train"], 8, np.random.default_rng(0), step)
        losses[device] = [step(batch)["total"] for _ in range(3)]
        assert shard.num == 8
    assert losses[CUDA] == pytest.approx(losses["cpu"], rel=1e-3)


def test_a_gpu_trains_in_bfloat16_and_evaluates_in_float32(tmp_path):
    splits = {"train": dots(8), "val": dots(4, seed=1)}
    net = member.network().to(CUDA)
    recipe = TrainConfig(epochs=2, batch=4, lr=2e-3, precision="bf16")
    files = Files(checkpoint=tmp_path / "c.pt", best=lambda exit_: tmp_path / f"b{exit_}")
    fit(net, member.OBJECTIVE, splits, recipe=recipe, seed=5, files=files)
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert all(np.isfinite(found.peaks).all() for found in predict(net, splits["val"], batch=4).values())


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_have_the_gradients_of_one_process_with_the_whole_batch_norms_included(tmp_path):
    file = tmp_path / "other.pt"

    def command(rank, port):
        return [sys.executable, "-m", "tests.training.member_gpu", str(rank), "2", str(port), str(file)]

    with leading(2, CUDA, command):
        mine = member_gpu.synchronised(5)
    alone = member.gradients(member.network().double().train(), *member.batch(5))
    other = torch.load(file, weights_only=True)
    for name, gradient in alone.items():
        torch.testing.assert_close(mine[name].cpu(), gradient, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(other[name].cpu(), gradient, rtol=1e-6, atol=1e-9)


def test_the_data_path_keeps_the_gpu_busy_nine_tenths_of_the_time():
    """HRNet4-OKD-DS at W32 with batch 32 in bfloat16, on kept crops of 256 x 256 with two joints."""
    wiring = Wiring(exits=(3, 4), edges=(Edge(teacher=4, student=3),), supervised=(3, 4))
    net = HRNet(32, 2, (3, 4)).to(CUDA, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=7.5e-4, fused=True)
    step = Step(net, Objective(wiring), optimizer, precision="bf16")
    samples = dots(640, size=256)
    stream = _shards(samples, 32, np.random.default_rng(0), step)
    for _ in range(5):
        step(next(stream)[1])
    torch.cuda.synchronize()
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _, batch in stream:
            step(batch)
        torch.cuda.synchronize()
    wall = time.perf_counter() - began
    busy = sum(event.self_device_time_total for event in seen.key_averages()) / 1e6
    assert busy / wall >= 0.9
