"""Exits of an own loop: counted by torch, metered in turns, judged by what their program says."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import greenpose
from greenpose.errors import GreenPoseError
from greenpose.store import read_record

QUICK = {"max_seconds": 0.2, "max_blocks": 2, "min_window_seconds": 0.005}
TOP1 = {"top1": (0.91, 0.89, 0.93)}
IMAGES = torch.ones(4, 3, 8, 8)


def network(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.Flatten(), nn.Dropout(), nn.Linear(64 * width, 2)
    )


@pytest.fixture
def loop(tmp_path):
    return greenpose.experiment("loop", out=tmp_path, country="ITA", measure=QUICK)


def test_an_exit_is_counted_and_metered_as_it_was_given(loop):
    nets = {1: network(2), 3: network(6)}
    with loop as run:
        with run.window("train", epoch=1):
            pass
        for number, net in nets.items():
            run.exit(number, net=net, images=IMAGES, metrics={"top1": (0.8 + number / 100, 0.7, 0.9), "top5": 0.99})
    record = read_record(run.folder.record)
    assert record == run.result
    assert [(entry.exit, entry.role) for entry in record.exits] == [(1, "side"), (3, "final")]
    for entry, width in zip(record.exits, (2, 6), strict=True):
        assert entry.macs == 64 * width * 27 + 64 * width * 2
        assert entry.params == sum(each.numel() for each in nets[entry.exit].parameters())
        assert entry.energy_j_per_image > 0
        assert entry.measurement["items_per_call"] == len(IMAGES)
        assert entry.operations["convolution"] == 1
    first = record.exits[0]
    assert first.quantity("metrics.top1").value == pytest.approx(0.81)
    assert first.quantity("metrics.top1").type_a == (0.7, 0.9)
    assert first.quantity("metrics.top5").type_a is None
    assert first.ap is None
    assert set(first.relative_to_final) == {"latency_s", "cpu_s_per_image", "energy_j_per_image"}
    assert sum(record.allocation.energy_kwh.values()) == pytest.approx(record.train_energy_kwh)
    assert (record.accuracy.label, record.accuracy.unit) == ("Top-1 accuracy", "%")
    assert [metric.name for metric in record.accuracies] == ["metrics.top1", "metrics.top5"]
    assert "inference" in {phase.name for phase in record.phases}
    assert all(net.training for net in nets.values()), "the user's networks are left in their mode"


def test_measuring_is_no_part_of_training(loop):
    with loop as run:
        run.exit(1, net=network(2), images=IMAGES, metrics=TOP1)
    assert run.result.train_energy_kwh == 0


def test_any_function_is_an_exit_where_its_sizes_are_given(loop):
    with loop as run:
        run.exit(
            1, net=lambda batch: {"scores": batch.sum(axis=1)}, images=np.ones((4, 2)), metrics=TOP1, params=5, macs=7
        )
        run.exit(2, metrics=TOP1, params=10, macs=14)
    first, second = run.result.exits
    assert (first.params, first.macs, first.operations) == (5, 7, {})
    assert first.energy_j_per_image > 0
    assert second.energy_j_per_image is None
    assert second.quantity("energy_j_per_image").missing == "no network was given for this exit"


def test_a_network_is_called_as_its_images_say(loop):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, pixels, mask):
            return {"logits": self.linear(pixels) * mask}

    images = {"pixels": torch.ones(5, 3), "mask": torch.ones(5, 1)}
    with loop as run:
        run.exit(1, net=Named(), images=images, metrics=TOP1)
        run.exit(2, net=Named(), images=tuple(images.values()), metrics=TOP1)
    assert [entry.macs for entry in run.result.exits] == [6, 6]


BAD_METRICS = {
    "nothing": ({}, "exit 1: has no metric; give metrics="),
    "no direction": ({"zeal": 0.5}, "metric 'zeal': nobody knows whether more of it is better"),
    "NaN": ({"top1": math.nan}, "top1: is nan, nan to nan; numbers must be finite"),
    "no end": ({"top1": (0.9, 0.8, math.inf)}, "numbers must be finite"),
    "the wrong way round": ({"top1": (0.91, 0.93, 0.89)}, "the interval 0.93 to 0.89 is the wrong way round"),
    "outside": ({"top1": (0.95, 0.89, 0.93)}, "top1: 0.95 lies outside its interval, 0.89 to 0.93"),
    "percent": ({"top1": 91.0}, "a fraction lies between 0 and 1: give 0.91 for 91 %"),
    "two numbers": ({"top1": (0.9, 0.8)}, "give a number, or (number, low, high)"),
    "text": ({"top1": "0.9"}, "top1: is '0.9'; give a number, or (number, low, high)"),
}


@pytest.mark.parametrize("what", BAD_METRICS)
def test_metrics_that_cannot_be_are_refused_in_words(what, loop):
    metrics, said = BAD_METRICS[what]
    with loop as run:
        with pytest.raises(GreenPoseError) as caught:
            run.exit(1, net=network(2), images=IMAGES, metrics=metrics)
        assert said in str(caught.value)
    assert run.result.exits == []


def test_exits_twice_and_metrics_that_differ_are_refused(loop):
    with loop as run:
        run.exit(1, metrics=TOP1, params=1, macs=1)
        with pytest.raises(GreenPoseError, match="exit 1: is there already"):
            run.exit(1, metrics=TOP1, params=1, macs=1)
        with pytest.raises(
            GreenPoseError, match="exit 2: metrics differ from those of exit 1, which are top1; here top5"
        ):
            run.exit(2, metrics={"top5": 0.9}, params=1, macs=1)
        with pytest.raises(GreenPoseError, match="exit 0: exits are numbered from 1"):
            run.exit(0, metrics=TOP1, params=1, macs=1)
        run.exit(2, net=network(2), images=IMAGES, metrics=TOP1)
        with pytest.raises(GreenPoseError, match="exit 3: a call has 2 images, of another exit 4"):
            run.exit(3, net=network(2), images=IMAGES[:2], metrics=TOP1)
    assert [entry.exit for entry in run.result.exits] == [1, 2]


class Restless(nn.Module):
    def forward(self, batch):
        return batch + torch.rand(())


BAD_NETWORKS = {
    "changes its numbers": (Restless(), IMAGES, "gives other numbers when it is called again with the same images"),
    "gives no tensors": (repr, IMAGES, "the network gives no tensors"),
    "raises": (network(2), IMAGES[:, :2], "the network cannot be run on images: RuntimeError"),
    "no batch": (network(2), "cats", "images is str; give a batch"),
    "no network": ("net", IMAGES, "net is str; give a network, or a function of a batch"),
    "no module": (lambda batch: batch, IMAGES, "net is function, not a module of torch, so that its sizes cannot be"),
    "nothing to count": (nn.Flatten(), IMAGES, "counts 0 parameters, 0 MACs; give params= and macs="),
    "none": (None, None, "no network, so that its sizes cannot be counted; give params= and macs= beside it"),
}


@pytest.mark.parametrize("what", BAD_NETWORKS)
def test_networks_that_cannot_be_metered_are_refused_and_nothing_is_lost(what, loop):
    net, images, said = BAD_NETWORKS[what]
    with loop as run:
        with run.window("train", epoch=1):
            pass
        with pytest.raises(GreenPoseError) as caught:
            run.exit(1, net=net, images=images, metrics=TOP1)
        assert said in str(caught.value)
        run.exit(1, net=network(2), images=IMAGES, metrics=TOP1)
    assert [entry.exit for entry in run.result.exits] == [1]
    assert run.result.epochs == 1
