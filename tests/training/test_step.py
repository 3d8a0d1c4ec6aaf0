"""A step of training, in either arithmetic; what is averaged of it; what is made ahead of it."""

import threading

import pytest
import torch

from greenpose.data import batches
from greenpose.losses import Objective, Wiring
from greenpose.model import HRNet
from greenpose.training.precision import autocast
from greenpose.training.step import Ema, Step, prefetch
from tests.training.samples import dots

CPU = torch.device("cpu")


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


def small():
    return HRNet(width=8, stem_width=8, num_joints=2, exits=(2,), modules=(1, 1, 1), blocks=1)


def moved(net, step):
    """Add `step` to every weight, as an optimiser would."""
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(step)


def first(net):
    return next(net.parameters()).detach().clone()


def test_without_a_decay_the_network_itself_is_handed_on():
    net = small()
    ema = Ema(net, decay=0.0)
    moved(net, 1.0)
    ema.follow()
    assert ema.net is net
    assert ema.state() == {}


def test_an_average_follows_by_its_decay():
    """After steps to w+1 and w+3: 0.75 (w + 1) + 0.25 (w + 3) = w + 1.5; the first step is taken over whole."""
    net = small()
    start = first(net)
    ema = Ema(net, decay=0.75)
    for step in (1.0, 2.0):
        moved(net, step)
        ema.follow()
    torch.testing.assert_close(first(ema.net), start + 1.5)
    torch.testing.assert_close(first(net), start + 3.0)


def test_the_statistics_of_norms_are_averaged_too():
    net = small()
    ema = Ema(net, decay=0.5)
    norm, follower = (next(m for m in each.modules() if isinstance(m, torch.nn.BatchNorm2d)) for each in (net, ema.net))
    for mean in (2.0, 6.0):
        norm.running_mean.fill_(mean)
        ema.follow()
    assert follower.running_mean.unique().tolist() == [4.0]


def test_a_restored_average_goes_on_where_it_was():
    net = small()
    ema, other = Ema(net, decay=0.75), Ema(net, decay=0.75)
    moved(net, 1.0)
    ema.follow()
    other.restore(ema.state())
    moved(net, 2.0)
    ema.follow()
    other.follow()
    assert torch.equal(first(ema.net), first(other.net))
    assert not torch.equal(first(ema.net), first(net))


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_everything_comes_once_and_in_order(threads, count):
    assert list(prefetch(lambda number: number**2, range(count), threads=threads)) == [n**2 for n in range(count)]


def test_no_more_than_the_threads_are_made_ahead():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    stream = prefetch(lambda number: number, items(), threads=2)
    assert next(stream) == 0
    assert taken == [0, 1, 2]
    assert next(stream) == 1
    assert taken == [0, 1, 2, 3]
    stream.close()


def test_without_threads_nothing_is_made_before_it_is_asked_for_nor_elsewhere():
    made = []
    stream = prefetch(lambda _: made.append(threading.current_thread()), range(3), threads=0)
    assert made == []
    next(stream)
    assert made == [threading.current_thread()]


@pytest.mark.parametrize("threads", [0, 2])
def test_what_cannot_be_made_fails_in_its_turn(threads):
    stream = prefetch(lambda number: 1 // (2 - number), range(5), threads=threads)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)
