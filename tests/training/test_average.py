import torch

from greenpose.model import HRNet
from greenpose.training.step import Average


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
    average = Average(net, decay=0.0)
    moved(net, 1.0)
    average.follow()
    assert average.net is net
    assert average.state() == {}


def test_an_average_follows_by_its_decay():
    """After steps to w+1 and w+3: 0.75 (w + 1) + 0.25 (w + 3) = w + 1.5; the first step is taken over whole."""
    net = small()
    start = first(net)
    average = Average(net, decay=0.75)
    for step in (1.0, 2.0):
        moved(net, step)
        average.follow()
    torch.testing.assert_close(first(average.net), start + 1.5)
    torch.testing.assert_close(first(net), start + 3.0)


def test_the_statistics_of_norms_are_averaged_too():
    net = small()
    average = Average(net, decay=0.5)
    norm, follower = (
        next(m for m in each.modules() if isinstance(m, torch.nn.BatchNorm2d)) for each in (net, average.net)
    )
    for mean in (2.0, 6.0):
        norm.running_mean.fill_(mean)
        average.follow()
    assert follower.running_mean.unique().tolist() == [4.0]


def test_a_restored_average_goes_on_where_it_was():
    net = small()
    average, other = Average(net, decay=0.75), Average(net, decay=0.75)
    moved(net, 1.0)
    average.follow()
    other.restore(average.state())
    moved(net, 2.0)
    average.follow()
    other.follow()
    assert torch.equal(first(average.net), first(other.net))
    assert not torch.equal(first(average.net), first(net))
