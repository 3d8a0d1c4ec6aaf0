import torch
from torch import nn

from greenpose.counting import activation_bytes, peak_bytes

FLOAT = 4


def test_a_shared_storage_counts_once():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # keeps its input
        nn.BatchNorm2d(8),  # keeps the convolution's output
        nn.ReLU(inplace=True),  # keeps its result, in the norm's output ...
        nn.Conv2d(8, 2, 1),  # ... which this keeps as its input: the same storage
    )
    pixels = 4 * 6
    assert activation_bytes(net, torch.zeros(1, 3, 4, 6)) == FLOAT * pixels * (3 + 8 + 8)


def test_views_share_their_storage():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x):
            y = self.conv(x)
            return y.sin().flatten(1) + y.flatten(1).cos()

    assert activation_bytes(Viewing(), torch.zeros(1, 3, 4, 6)) == FLOAT * 24 * (3 + 5)


def test_what_does_not_grow_with_the_batch_is_left_out():
    net = nn.Conv2d(3, 50, 5)
    assert activation_bytes(net, torch.zeros(1, 3, 8, 8)) == FLOAT * 3 * 64


def test_the_peak_is_what_is_alive_together():
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 1, 1))
    pixels = 4 * 6
    # the image stays with the caller; while the second convolution runs, its input and output are there too
    assert peak_bytes(net, torch.zeros(1, 3, 4, 6)) == FLOAT * pixels * (3 + 8 + 4)


def test_the_peak_knows_what_is_kept_longer():
    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            start = self.first(x)
            end = self.second(self.second(start))
            return end + start

    pixels = 4 * 6
    assert peak_bytes(Shortcut(), torch.zeros(1, 3, 4, 6)) == FLOAT * pixels * (3 + 8 + 8 + 8)


def test_in_place_operations_and_views_need_nothing_more():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())
    assert peak_bytes(net, torch.zeros(1, 3, 4, 6)) == FLOAT * 72


def test_the_mode_and_the_statistics_of_the_caller_stay():
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    net[1].eval()  # frozen, as in fine-tuning
    for measure in (peak_bytes, activation_bytes):
        measure(net, torch.ones(1, 3, 4, 6))
        assert (net.training, net[1].training) == (True, False)
    assert not net[1].running_mean.any()
