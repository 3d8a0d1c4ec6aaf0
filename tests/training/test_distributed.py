"""Two processes that train together do what one does with the whole batch, as far as that can be."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import GreenPoseError
from greenpose.training.distributed import ProcessGroup, current_group, leading, place
from tests.cli.running import as_python
from tests.torture.nursery import forked
from tests.training import member


class Warm(subprocess.Popen):
    """The other process, forked from one that has loaded torch, under the names by which the leader knows one."""

    def __init__(self, words, **_):
        self.pid = None
        streams = dict.fromkeys(("out", "err"), os.devnull)
        self.forked = forked(words, cwd=Path.cwd(), environment=os.environ, act=as_python, **streams)

    def poll(self):
        return self.forked.exitcode

    def wait(self, timeout=None):
        self.forked.join(timeout)
        if self.forked.exitcode is None:
            raise subprocess.TimeoutExpired("member", timeout)
        return self.forked.exitcode

    def kill(self):
        self.forked.kill()


@contextmanager
def led(file, *told):
    """Lead a group of two in the block; the other does what it is told, and leaves what it found in a file."""
    names = SimpleNamespace(**vars(subprocess) | {"Popen": Warm})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("greenpose.training.distributed.subprocess", names)
        with leading(2, "cpu", lambda rank, port: [member.__file__, str(rank), "2", str(port), str(file), *told]):
            yield


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the leader, which is this process, and the other one found."""
    folder = tmp_path_factory.mktemp("group")
    file = folder / "other.pt"
    with led(file):
        mine = member.everything(folder)
    assert current_group() == ProcessGroup()
    return mine, torch.load(file, weights_only=True)


def close(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", member.COUNTS)
def test_with_fixed_norms_gradients_are_those_of_one_process_with_the_whole_batch(found, count):
    alone = member.gradients(member.network().double().eval(), *member.batch(count))
    assert any(gradient.abs().max() > 1e-6 for gradient in alone.values())
    for process in found:
        close(process[f"fixed {count}"], alone)


def test_on_a_cpu_every_part_is_normalised_by_its_own_statistics(found):
    """What is documented: gradients are the parts' own, averaged by their images; those of the whole batch differ."""
    parts = [member.gradients(member.network().double().train(), *some) for some in halves(5)]
    averaged = {name: (3 * parts[0][name] + 2 * parts[1][name]) / 5 for name in parts[0]}
    for process in found:
        close(process["own statistics"], averaged)
    whole = member.gradients(member.network().double().train(), *member.batch(5))
    with pytest.raises(AssertionError):
        close(averaged, whole)


def halves(count):
    batch = member.batch(count)
    return [tuple(part[some] for part in batch) for some in np.array_split(np.arange(count), 2)]


def test_the_leader_decides_and_sums_are_over_all(found):
    for process in found:
        assert process["agreed"] is True
        assert process["summed"] == {"a": 3.0, "b": 1.0}


def test_both_end_with_the_same_weights_after_as_many_epochs(found):
    mine, other = found
    assert mine["epochs"] == other["epochs"] == member.RECIPE.epochs
    for name, weight in mine["weights"].items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(weight, other["weights"][name], rtol=0, atol=0)
    assert not torch.equal(mine["weights"]["conv1.weight"], member.network().state_dict()["conv1.weight"])


def test_a_network_that_grows_ends_with_the_same_weights_in_both_and_every_stage_trained(found):
    mine, other = (process["grown"] for process in found)
    before = member.network().state_dict()
    for name, weight in mine.items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(weight, other[name], rtol=0, atol=0)
            assert not torch.equal(weight, before[name]), name


def test_every_epoch_sees_every_image_once_in_one_process_or_the_other(found):
    mine, other = (process["seen"] for process in found)
    assert len(mine) == 2 * 5
    assert len(other) == 2 * 3
    for epoch in (0, 1):
        seen = mine[5 * epoch : 5 * (epoch + 1)] + other[3 * epoch : 3 * (epoch + 1)]
        assert sorted(seen) == list(range(8))


@given(count=st.integers(1, 40), size=st.integers(1, 6))
def test_parts_cover_a_batch_once_and_weigh_as_their_images(count, size):
    batch = np.arange(100, 100 + count)
    groups = [ProcessGroup(rank=rank, size=size) for rank in range(size)]
    shards = [group.shard(batch) for group in groups]
    mine = [shard.indices[: shard.num] for shard in shards]
    np.testing.assert_array_equal(np.concatenate(mine), batch)
    assert max(map(len, mine)) - min(map(len, mine)) <= 1
    assert all(len(shard.indices) and shard.total == count for shard in shards)
    # A mean over the images is the mean over processes of their weighted means.
    values = np.arange(1.0, count + 1)
    weighted = [
        group.weight(shard) * values[shard.indices - 100].mean() for group, shard in zip(groups, shards, strict=True)
    ]
    assert np.mean(weighted) == pytest.approx(values.mean())


@pytest.mark.parametrize(("leads", "images"), [(True, 3), (False, 6)])
def test_a_loss_of_any_process_that_is_no_number_ends_the_training_within_the_epoch(tmp_path, leads, images):
    """Of 8 images in steps of 3, 3 and 2; another's loss is seen by what its gradients do to the next step."""
    told = ["trains"] if leads else ["trains", "astray"]
    with (
        pytest.raises(GreenPoseError, match=f"diverged: the mean loss is nan after {images} images of epoch 1,"),
        led(tmp_path / "x", *told),
    ):
        member.trained(tmp_path, objective=member.ASTRAY if leads else member.OBJECTIVE)


def test_a_process_that_cannot_start_is_told_instead_of_waited_for():
    with (
        pytest.raises(GreenPoseError, match=r"process 1 \(exit code 3\) ended before it could train"),
        leading(2, "cpu", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pytest.fail("nobody is there")


@pytest.mark.parametrize(
    ("device", "rank", "where"),
    [("cpu", 3, "cpu"), ("cuda", 0, "cuda:0"), ("cuda", 2, "cuda:2"), ("cuda:1", 2, "cuda:3")],
)
def test_gpus_are_counted_on_from_the_first_and_a_cpu_is_shared(device, rank, where):
    assert place(device, rank) == where


def test_one_process_is_a_team_of_its_own():
    net = member.network()
    group = ProcessGroup()
    assert group.wrapped(net) is net
    assert group.leads
    with leading(1, "cpu", lambda *_: pytest.fail("nobody else is needed")):
        assert current_group() == ProcessGroup()
