""""""

import json
from math import prod
from pathlib import Path

import pytest
import torch
from torch import nn

from greenpose.counting import FORMULAE, CountingError, census, count, count_training_step
from greenpose.counting.counters import peak_bytes, run_counters
from greenpose.counting.counts import activation_bytes
from greenpose.errors import GreenPoseError
from greenpose.model import Architecture, HRNet
from tests.counting.test_counters import golden_census

GOLDEN = Path(__file__).parents[1] / "golden"
COUNTERS = json.loads((GOLDEN / "counters_w32.json").read_text())
SMALL = {"width": 4, "num_joints": 3, "stem_width": 6, "modules": (1, 1, 1), "blocks": 1}
FOUR = Architecture(**SMALL, exits=(1, 2, 3, 4))


def check_w32(counted, k, size):
    row = COUNTERS[f"minimal_exit{k}@{size}"]
    assert counted.exit == k
    assert counted.params == row["params"]
    assert counted.macs == row["census"]["conv_macs"]
    assert counted.macs_by_counter == {
        "torch": row["torch_flop_counter_flops"] // 2,
        "thop": row["thop_macs"],
        "ptflops": row["ptflops_pytorch_macs"],
        "ptflops_aten": row["ptflops_aten_macs"],
    }
    assert counted.census == golden_census(row["census"])


def test_exit_3_of_w32_costs_what_the_reference_says():
    check_w32(count(Architecture(num_joints=12, exits=(3,)), by_counters=True)[3], 3, "256x192")


@pytest.mark.slow
@pytest.mark.parametrize(("input_size", "name"), [((192, 256), "256x192"), ((128, 96), "96x128")])
def test_every_exit_of_w32_costs_what_the_reference_says(input_size, name):
    counted = count(HRNet(), input_size)
    for k in (1, 2, 3, 4):
        check_w32(counted[k], k, name)


def test_counting_in_the_small_is_counting_at_size():
    """Every figure on the whole image equals the smallest image's times the area."""
    net = HRNet(**SMALL)
    counted = count(net, (64, 96))
    image = torch.zeros(1, 3, 96, 64)
    for k in net.exits:
        sub = net.truncate(k)
        assert counted[k].macs_by_counter == run_counters(sub, image)
        assert counted[k].census == census(sub.eval(), image)
        assert counted[k].sizes["activation_bytes"] == activation_bytes(sub, image)
        assert counted[k].sizes["peak_bytes"] == peak_bytes(sub, image)
        assert counted[k].params == sum(parameter.numel() for parameter in sub.parameters())


def test_the_headline_is_torchs_figure_and_every_formula_holds():
    by_formula = count(FOUR, (32, 32))
    assert by_formula == count(FOUR, (32, 32), by_counters=True)
    for counted in by_formula.values():
        assert counted.macs == counted.macs_by_counter["torch"]
        assert {name: formula.macs(counted.census) for name, formula in FORMULAE.items()} == counted.macs_by_counter


def test_a_deeper_exit_costs_more_of_everything_that_training_keeps():
    counted = count(FOUR, (64, 64))
    for figure in ("params", "macs", "activation_bytes"):
        values = [counted[k].sizes[figure] for k in (1, 2, 3, 4)]
        assert values == sorted(set(values))


def test_the_other_exits_of_a_network_do_not_matter():
    multi, single = FOUR, Architecture(**SMALL, exits=(2,))
    assert count(multi, (32, 32))[2] == count(single, (32, 32))[2]


def test_counting_touches_neither_network_nor_random_numbers():
    net = HRNet(**SMALL)
    before = {name: entry.clone() for name, entry in net.state_dict().items()}
    state = torch.random.get_rng_state()
    count(net, (32, 32))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(before) == list(net.state_dict())
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())
    assert net.training


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        count(Architecture(**SMALL, exits=(1,)), (32, 32))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_odd_size_is_refused():
    with pytest.raises(GreenPoseError, match="multiples of 32"):
        count(Architecture(**SMALL), (48, 64))


@pytest.mark.parametrize(("width", "stem_width"), [(8, 8), (16, 16)])
def test_a_narrow_stem_keeps_the_savings_of_w32(width, stem_width):
    """Exits 2 and 3 stay within six points of W32's 24 % and 61 % of exit 4, unlike with the standard stem."""
    image = torch.zeros(1, 3, 96, 128)
    small = {"width": width, "stem_width": stem_width, "modules": (1, 3, 2), "blocks": 1}
    second, third, last = (census(HRNet(**small, exits=(k,)).eval(), image).conv_macs for k in (2, 3, 4))
    assert 100 * second / last == pytest.approx(24, abs=6)
    assert 100 * third / last == pytest.approx(61, abs=6)


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


ROWS = json.loads((GOLDEN / "training_step_flops_w32.json").read_text())


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
    flops = count_training_step(Architecture(num_joints=12, exits=exits))
    assert round(flops.backward / 1e9, 3) == ROWS[row]["backward"]


def test_with_all_heads_the_whole_step_is_the_references():
    """The reference runs every head and reads one; our single-exit networks do not have the others."""
    flops = count_training_step(Architecture(num_joints=12, exits=(1, 2, 3, 4)), learning=(4,))
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
