from math import prod

import pytest
import torch
from torch import nn

from greenpose.counting import CountingError, activation_bytes, peak_bytes

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


class Two(nn.Module):
    """Takes an image and, by name, a row of numbers; keeps both."""

    def __init__(self):
        super().__init__()
        self.conv, self.line = nn.Conv2d(3, 2, 1), nn.Linear(5, 2)

    def forward(self, image, *, row):
        return self.conv(image).mean((2, 3)) + self.line(row)


def test_every_input_is_part_of_the_batch_and_of_the_peak():
    image, row = torch.zeros(1, 3, 4, 6), torch.zeros(1, 5)
    assert activation_bytes(Two(), image, row=row) == FLOAT * (3 * 24 + 5)
    mixed = 2 * 24 + 2 + 2  # the map, what is left of it, and what the row becomes; the sum comes when the map is gone
    assert peak_bytes(Two(), image, row=row) == FLOAT * (3 * 24 + 5 + mixed - 2)


@pytest.mark.parametrize("shape", [(1, 7), (1, 4, 7), (1, 2, 3, 7), (1, 2, 3, 4, 7)])
def test_a_batch_of_one_may_have_any_number_of_dimensions(shape):
    assert activation_bytes(nn.Linear(7, 2), torch.zeros(shape)) == FLOAT * prod(shape)


def test_a_network_for_a_batch_of_one_is_measured_with_it():
    class Alone(nn.Linear):
        def forward(self, x):
            return super().forward(x.reshape(1, 5) + 1)

    assert activation_bytes(Alone(5, 2), torch.zeros(1, 5)) == FLOAT * 5


def test_an_input_that_is_no_batch_is_measured_as_it_is():
    assert activation_bytes(nn.Conv2d(3, 2, 1), torch.zeros(3, 4, 6)) == FLOAT * 3 * 24
    assert activation_bytes(nn.Linear(5, 2), torch.zeros(4, 5)) == FLOAT * 20


def test_a_network_that_cannot_be_trained_on_the_input_is_refused_in_words():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError(f"no such luck with {x.ndim} dimensions")

    with pytest.raises(CountingError, match=r"activation_bytes: .* training mode .*ValueError: no such luck"):
        activation_bytes(Broken(), torch.zeros(1, 5))
