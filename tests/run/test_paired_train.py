"""The training step of one side: that it is fit's own, and that counts are right."""

import pytest
import torch
from torch import nn

from greenpose.config import expand, load_grid
from greenpose.counting import architecture_of, count_training_step
from greenpose.run import paired_train
from greenpose.run.paired_train import Dispatched, Saved, Training, made_up

GRID = """
name: g
base:
  carbon: {country: ITA}
  data: {input_size: [32, 64]}
  model: {width: 4, stem_width: 4, modules: [1, 1, 1], blocks: 1}
  train: {batch: 3}
experiments:
  deep: {model.exits: [2, 3], wiring.supervise: [2, 3], wiring.teach: [3->2]}
  growing: {model.exits: [2, 3], wiring.supervise: [2, 3], train.grow: {2: 0.5}}
"""


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    file = tmp_path_factory.mktemp("g") / "grid.yaml"
    file.write_text(GRID)
    return {cell.experiment: cell.config for cell in expand(load_grid(file), where="g")}


@pytest.fixture(scope="module")
def prepared(configs):
    return paired_train.prepare({"images": 8}, configs["deep"])


def test_macs_of_forward_and_backward_are_those_of_torch_s_counter_for_every_image(prepared, configs):
    facts, _ = prepared
    expected = count_training_step(architecture_of(configs["deep"]), (32, 64))
    assert facts["batch"] == 3
    assert facts["counts"]["forward_macs"] == 3 * expected.forward / 2
    assert facts["counts"]["backward_macs"] == 3 * expected.backward / 2


def test_a_step_has_no_more_images_than_are_asked_for(configs, prepared):
    fewer, _ = paired_train.prepare({"images": 2}, configs["deep"])
    assert fewer["batch"] == 2
    for name in ("forward_macs", "backward_macs"):
        assert 3 * fewer["counts"][name] == 2 * prepared[0]["counts"][name]


def test_every_call_is_one_step_of_the_training_s_own_optimiser(prepared):
    facts, training = prepared
    assert facts["calls"]["_fused_adam_"] == 1
    seen = Dispatched()
    for _ in range(4):
        training.under(seen)
    assert seen.calls["_fused_adam_"] == 4
    training()
    assert seen.calls["_fused_adam_"] == 4


def test_counts_are_the_same_every_time(configs, prepared):
    assert paired_train.prepare({"images": 8}, configs["deep"])[0] == prepared[0]


def test_a_network_that_grows_is_compared_whole(configs, prepared):
    growing, _ = paired_train.prepare({"images": 8}, configs["growing"])
    assert growing["counts"]["forward_macs"] == prepared[0]["counts"]["forward_macs"]


def test_what_ends_a_training_is_raised_where_the_step_was_asked_for(configs):
    training = Training(configs["deep"], 2)
    training()
    training.net.heads = nn.ModuleDict()
    with pytest.raises(KeyError):
        training()


def test_made_up_samples_have_all_joints_in_the_picture_and_begin_anew_behind_their_end(configs):
    samples = made_up(configs["deep"], 3)
    pictures = samples.crops([0, 1, 3])
    assert pictures.shape == (3, 64, 32)
    assert (pictures[0] == pictures[2]).all()
    joints = samples.joints[[0, 5]]
    assert ((joints >= 0) & (joints < (32, 64))).all()
    assert len(samples) > 10**6


def test_multiply_accumulates_are_told_apart_by_forward_and_backward():
    rows, inner, columns = 5, 7, 11
    left, right = torch.rand(rows, inner, requires_grad=True), torch.rand(inner, columns)
    with Dispatched() as seen:
        (left @ right).sum().backward()
    assert seen.macs == {False: rows * inner * columns, True: rows * inner * columns}  # no gradient of the right one


def test_the_peak_is_the_most_that_is_alive_at_one_time():
    with Dispatched() as seen:
        first = torch.zeros(10)
        second = first + 1
        del first
        third = second[:5]  # a view has no memory of its own
        fourth = third * 2
        del second, third, fourth
    assert (seen.most, seen.alive) == (2 * 40, 0)


def test_a_graph_that_is_kept_raises_the_peak_with_every_step():
    net, kept = nn.Linear(100, 100), []

    def peak(steps):
        with Dispatched() as seen:
            kept.extend(net(torch.rand(10, 100)).relu() for _ in range(steps))
        return seen.most

    assert peak(4) - peak(2) == 2 * (peak(2) - peak(1))


def test_what_is_kept_for_backward_is_each_storage_once_without_the_network_s_own():
    net, image = nn.Conv2d(3, 4, 1), torch.rand(2, 3, 8, 8)
    saved = Saved(net)
    with saved:
        net(image).relu()
    assert sum(saved.sizes.values()) == image.nbytes + 2 * 4 * 8 * 8 * 4  # what the convolution and relu need
