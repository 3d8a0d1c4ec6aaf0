import torch
from torch import nn

from greenpose.counting import count
from greenpose.counting.counters import operations
from greenpose.model import Architecture

SMALL = Architecture(width=8, num_joints=3, exits=(2, 3), stem_width=8, modules=(1, 1, 1), blocks=1)


def test_every_call_counts_and_in_place_is_another_operator():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)).eval()
    assert operations(net, torch.zeros(1, 3, 4, 6)) == {"convolution": 2, "relu": 1, "relu_": 1}


def test_an_extra_operator_is_seen_even_where_it_costs_no_mac():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    slipped = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Identity(), _Doubling()).eval()
    image = torch.zeros(1, 3, 4, 6)
    before, after = operations(plain, image), operations(slipped, image)
    assert {name: calls for name, calls in after.items() if before.get(name) != calls} == {"_to_copy": 2}


def test_each_exit_has_as_many_convolutions_as_its_network_has_modules():
    from greenpose.counting.counts import blank_network

    for number, counted in count(SMALL, (32, 32)).items():
        modules = blank_network(SMALL.only(number)).modules()
        assert counted.operations["convolution"] == sum(isinstance(module, nn.Conv2d) for module in modules)


def test_the_size_of_the_image_changes_no_call():
    small, large = (count(SMALL, size) for size in ((32, 32), (64, 96)))
    assert [one.operations for one in small.values()] == [one.operations for one in large.values()]


class _Doubling(nn.Module):
    """A slip: to float64 and back."""

    def forward(self, x):
        return x.double().float()
