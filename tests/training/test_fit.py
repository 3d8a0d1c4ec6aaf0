import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from greenpose.config import AugmentConfig
from greenpose.data import batch_of
from greenpose.errors import DataError, GreenPoseError
from greenpose.model import load_weights
from greenpose.training import predict
from greenpose.training.step import Step
from tests.training.fitting import MODULE, SPLITS, Listener, best_weights, network, same, train


def test_the_same_seed_gives_the_same_weights_twice_and_another_order_of_batches_others(tmp_path):
    first, second, other = (train(tmp_path / name, seed=seed)[0] for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert same(first.state_dict(), second.state_dict())
    assert not same(first.state_dict(), other.state_dict())


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(tmp_path):
    seen = []
    cut = SPLITS["train"].cut

    def recording(indices):
        seen.extend(indices)
        return cut(indices)

    train(tmp_path / "a", splits=SPLITS | {"train": replace(SPLITS["train"], cut=recording)})
    epochs = [seen[start : start + 8] for start in range(0, 24, 8)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_part_of_the_images_is_mirrored_others_in_each_epoch_and_in_the_same_order(tmp_path, monkeypatch):
    seen = []

    def listening(samples, indices, *, flipped=None, augmentation=None):
        seen.append((tuple(indices), flipped))
        return batch_of(samples, indices, flipped=flipped, augmentation=augmentation)

    monkeypatch.setattr(MODULE, "batch_of", listening)
    train(tmp_path / "a")
    plain = [indices for indices, _ in seen]
    assert {flipped for _, flipped in seen} == {None}
    seen.clear()
    train(tmp_path / "b", mirror=0.5)
    assert [indices for indices, _ in seen] == plain
    drawn = np.concatenate([flipped for _, flipped in seen])
    assert 0 < drawn.sum() < len(drawn)
    by_image = [{*zip(indices, flipped, strict=True)} for indices, flipped in seen]
    epochs = [by_image[0] | by_image[1], by_image[2] | by_image[3]]
    assert epochs[0] != epochs[1]
    seen.clear()
    train(tmp_path / "c", mirror=1.0)
    assert all(flipped.all() for _, flipped in seen)


def test_only_training_images_are_augmented_and_the_training_is_another_one(tmp_path):
    """A split that has no whole images cannot be augmented; here that is the one for validation."""
    splits = SPLITS | {"val": replace(SPLITS["val"], images=None)}
    plain, _ = train(tmp_path / "a", splits=splits)
    augmented, _ = train(tmp_path / "b", splits=splits, augment=AugmentConfig())
    assert not same(plain.state_dict(), augmented.state_dict())
    with pytest.raises(DataError, match="profile dots: has no upper_body"):
        train(tmp_path / "c", augment=AugmentConfig(half_body=0.3))


GROWING = {"epochs": 4, "grow": {1: 0.5}}


def test_a_growing_network_learns_as_far_as_its_shallow_exit_first(tmp_path):
    """The later half alone trains the second stage; until then the first exit sees the labels, no other moves."""
    listener, fresh = Listener(stop_after=2), network()
    net = network()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, net=net, ledger=listener, **GROWING)
    assert [set(epoch.terms) for epoch in listener.epochs] == [{"label 1"}] * 2
    moved = {name for name, value in net.named_parameters() if not torch.equal(value, fresh.get_parameter(name))}
    assert moved
    assert not any(name.startswith(("stage2", "heads.2", "transition1.1")) for name in moved)
    listener = Listener(minds=False)
    train(tmp_path, net=net, ledger=listener, **GROWING)
    assert [set(epoch.terms) for epoch in listener.epochs] == [{"label 1", "label 2", "2->1"}] * 2
    assert not torch.equal(net.get_parameter("heads.2.weight"), fresh.get_parameter("heads.2.weight"))


@pytest.mark.parametrize(("whole_steps", "shallow"), [(4, 2), (5, 1), (6, 1), (7, 0), (8, 0), (9, 0)])
def test_a_training_of_few_steps_grows_less_or_not_at_all(tmp_path, whole_steps, shallow):
    """Four epochs of two steps, of which two epochs were to end at the shallow exit."""
    listener = Listener()
    train(tmp_path, ledger=listener, **GROWING, whole_steps=whole_steps)
    assert ["label 2" in epoch.terms for epoch in listener.epochs] == [False] * shallow + [True] * (4 - shallow)


def test_patience_waits_for_the_exits_that_are_still_to_join(tmp_path, monkeypatch):
    ever_worse = (({1: 1 / n, 2: 1 / n}, {}) for n in range(1, 99))
    monkeypatch.setattr(MODULE, "validation_scores", lambda *_, **__: next(ever_worse))
    _, plain = train(tmp_path / "a", epochs=8, patience=2)
    _, grown = train(tmp_path / "b", epochs=8, patience=2, grow={1: 0.75})
    assert (plain.stopped, plain.epochs) == ("patience", 3)
    assert (grown.stopped, grown.epochs) == ("patience", 7)


def test_what_is_kept_is_the_average_that_was_validated(tmp_path):
    """With a decay near 1 the average stays where the first step put it, however far training goes."""
    plain, _ = train(tmp_path / "a", epochs=1, average=0.0)
    assert same(best_weights(tmp_path / "a"), plain.truncate(2).state_dict())
    train(tmp_path / "b", epochs=1, average=0.999999)
    first, last = best_weights(tmp_path / "b"), best_weights(tmp_path / "a")
    assert not any(torch.equal(first[name], last[name]) for name in first if name.endswith("weight"))


@pytest.mark.parametrize("spoil", ["weights", "rate"])
def test_a_loss_that_is_beyond_repair_ends_the_training(tmp_path, spoil):
    net, changes = network(), {}
    if spoil == "weights":
        with torch.no_grad():
            net.get_parameter("heads.1.weight")[0, 0] = float("nan")
    else:
        changes = {"lr": 1e6, "milestones": (9,)}
    listener = Listener(minds=False)
    with pytest.raises(GreenPoseError, match=r"training diverged: the mean loss is \S+ after \d+ images of epoch 1,"):
        train(tmp_path, net=net, ledger=listener, **changes)
    assert listener.epochs == []


@pytest.fixture
def told(monkeypatch):
    """Let a step tell other losses: what a function makes of its number, from 1 on, and of its own."""

    def told(change):
        taken = []

        def telling(step, batch, *rest, **named):
            taken.append(batch)
            return change(len(taken), Step.__call__(step, batch, *rest, **named))

        monkeypatch.setattr(MODULE, "Step", type("S", (Step,), {"__call__": telling}))

    return told


def test_a_step_that_goes_wrong_and_is_mended_ends_nothing(tmp_path, told):
    told(lambda number, losses: dict.fromkeys(losses, 1e6) if number == 1 else losses)
    _, fitted = train(tmp_path)
    assert fitted.epochs == 3


@pytest.mark.parametrize(
    ("astray", "ends"), [({1, 2, 3, 4}, 0), ({7}, 0), ({8}, 8), ({2, 3, 4, 5, 6}, 6), ({1, 2, 3, 5, 6}, 0)], ids=str
)
def test_an_exit_that_stays_worse_than_empty_heatmaps_ends_the_training(tmp_path, told, astray, ends):
    told(lambda number, losses: losses | ({"label 1": 0.6} if (number + 1) // 2 in astray else {}))
    listener = Listener(minds=False)
    if ends:
        with pytest.raises(GreenPoseError, match=rf"training diverged: .* of epoch {ends}, "):
            train(tmp_path, ledger=listener, epochs=8, validate_every=9)
    else:
        train(tmp_path, ledger=listener, epochs=8, validate_every=9)
    assert len(listener.epochs) == (ends - 1 if ends else 8)


def test_the_learning_rate_falls_after_its_milestones(tmp_path):
    listener = Listener()
    train(tmp_path / "a", ledger=listener)
    assert [epoch.lr for epoch in listener.epochs] == pytest.approx([2e-3, 2e-3, 2e-3 * 0.33])


def test_every_epoch_is_told_with_its_terms_and_survives_json(tmp_path):
    listener = Listener()
    train(tmp_path / "a", ledger=listener, validate_every=2)
    assert listener.images == [4, 8] * 3
    assert [sorted(epoch.ap) for epoch in listener.epochs] == [[], [1, 2], [1, 2]]
    terms = listener.epochs[0].terms
    assert set(terms) == {"label 1", "label 2", "2->1"}
    total = terms["label 1"] + terms["label 2"] + 10 * terms["2->1"]
    assert listener.epochs[0].loss == pytest.approx(total, rel=1e-5)
    assert json.dumps(terms)


def test_each_exit_keeps_the_weights_of_its_own_best_epoch(tmp_path):
    listener = Listener()
    _, fitted = train(tmp_path / "a", ledger=listener, epochs=4)
    for exit_ in (1, 2):
        aps = [epoch.ap[exit_] for epoch in listener.epochs]
        last_best = max(index for index, ap in enumerate(aps) if ap == max(aps)) + 1
        assert fitted.best[exit_].ap == max(aps)
        assert fitted.best[exit_].epoch == last_best
    sub = network().truncate(2)
    assert load_weights(sub, tmp_path / "a" / "best-exit2.safetensors").complete
    assert predict(sub, SPLITS["val"], batch=4).keys() == {2}


def test_training_stops_when_no_exit_improved_for_long_enough(tmp_path):
    train(tmp_path, epochs=1)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for best in state["selection"]["best"].values():
        best["ap"] = 2.0  # out of reach
    torch.save(state, tmp_path / "checkpoint.pt")
    _, fitted = train(tmp_path, epochs=30, patience=2)
    assert (fitted.stopped, fitted.epochs) == ("patience", 3)


def listening(windows, part):
    """A window that notes its name and images in a list, and calls a function at each of its parts."""

    @contextmanager
    def window(name, items):
        windows.append((name, items))
        yield type("Heard", (), {"part": staticmethod(part)})

    return window


def test_forward_backward_and_step_come_in_order_and_do_what_they_are_called(tmp_path):
    """Outputs come in `forward`, gradients in `backward`, weights move in `step`."""
    net, seen = network(), []

    def part(name):
        weight = net.conv1.weight
        gradient = None if weight.grad is None else weight.grad.abs().sum().item()
        seen.append((name, weight.detach().sum().item(), gradient))

    train(tmp_path / "a", net=net, epochs=1, window=listening([], part))
    assert [name for name, *_ in seen] == ["data", "forward", "backward", "step"] * 2 + ["data"]
    (_, before, grad0), (_, forward, grad1), (_, backward, grad2), (_, step, grad3), (_, after, _) = seen[:5]
    assert before == forward == backward == step != after
    assert (grad0, grad1, grad2) == (None, None, None)
    assert grad3 > 0


def test_windows_span_training_validation_and_checkpoint_of_each_epoch(tmp_path):
    windows = []
    train(tmp_path / "a", epochs=2, validate_every=2, window=listening(windows, str))
    assert windows == [
        ("train/epoch 1", 8), ("checkpoint/epoch 1", 0),
        ("train/epoch 2", 8), ("validate/epoch 2", 4), ("checkpoint/epoch 2", 0),
    ]  # fmt: skip


def test_enough_ends_training_with_the_epoch_validated_and_the_checkpoint_there(tmp_path):
    listener = Listener(enough_after=1)
    _, fitted = train(tmp_path / "a", epochs=4, validate_every=2, ledger=listener)
    assert (fitted.stopped, fitted.epochs) == ("budget", 1)
    assert sorted(listener.epochs[0].ap) == [1, 2]
    assert (tmp_path / "a" / "checkpoint.pt").exists()
    assert (tmp_path / "a" / "best-exit2.safetensors").exists()


def test_the_last_epoch_ends_training_whether_or_not_it_is_enough(tmp_path):
    _, fitted = train(tmp_path / "a", epochs=1, ledger=Listener(enough_after=1))
    assert fitted.stopped == "epochs"


def test_a_small_network_learns_to_find_dots(tmp_path):
    net, _ = train(tmp_path / "a", epochs=60, batch=8, lr=1e-2, milestones=(40,), validate_every=60)
    found = predict(net, SPLITS["train"], batch=8)[2]
    truth = SPLITS["train"].instances
    errors = [abs(found.joints[index] - truth[index].joints).max() for index in range(len(truth))]
    assert sorted(errors)[len(errors) // 2] < 8
