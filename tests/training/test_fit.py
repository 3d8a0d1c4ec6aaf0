import copy
import json
import os
import random
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from greenpose.config import LossConfig, TrainConfig
from greenpose.data import batch_of
from greenpose.errors import GreenPoseError
from greenpose.losses import Edge, Objective, Wiring
from greenpose.model import HRNet, load_weights
from greenpose.training import Files, fit, predict
from greenpose.training.checkpoint import save_state
from greenpose.training.step import Step
from tests.training.samples import dots

SPLITS = {"train": dots(8), "val": dots(4, seed=1)}
WIRING = Wiring(exits=(1, 2), edges=(Edge(teacher=2, student=1),), supervised=(1, 2))
RECIPE = TrainConfig(epochs=3, batch=4, lr=2e-3, milestones=(2,), patience=9)


def network(seed=0):
    torch.manual_seed(seed)
    return HRNet(4, 2, (1, 2), stem_width=4, modules=(1, 1, 1), blocks=1)


def train(folder, net=None, **changes):
    folder.mkdir(exist_ok=True)
    files = Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-exit{exit_}.safetensors")
    net = net or network()
    watchers = {key: changes.pop(key) for key in ("window", "ledger") if key in changes}
    fitted = fit(
        net,
        Objective(wiring=WIRING, loss=LossConfig(kd_weight=10.0)),
        SPLITS,
        recipe=RECIPE.model_copy(update=changes),
        seed=5,
        files=files,
        **watchers,
    )
    return net, fitted


class Listener:
    def __init__(self, *, stop_after=None, enough_after=None):
        self.noted, self.epochs, self.images = [], [], []
        self._stop_after, self._enough_after = stop_after, enough_after

    def trained(self, epoch, done, loss):
        assert epoch == len(self.epochs) + 1
        assert loss > 0
        self.images.append(done)

    def enough(self):
        return len(self.epochs) + 1 == self._enough_after

    def ended(self, epoch):
        self.noted.append(epoch.epoch)

    def closed(self, epoch):
        self.epochs.append(epoch)
        if epoch.epoch == self._stop_after:
            raise KeyboardInterrupt


class Forgiving(Listener):
    """One that minds no loss."""

    def trained(self, epoch, done, loss):
        pass


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_weights_twice(tmp_path):
    first, _ = train(tmp_path / "a")
    second, _ = train(tmp_path / "b")
    assert same(first.state_dict(), second.state_dict())


def test_another_order_of_batches_gives_other_weights(tmp_path):
    first, _ = train(tmp_path / "a")
    net = network()
    files = Files(checkpoint=tmp_path / "c.pt", best=lambda exit_: tmp_path / f"b{exit_}")
    fit(net, Objective(wiring=WIRING, loss=LossConfig(kd_weight=10.0)), SPLITS, recipe=RECIPE, seed=6, files=files)
    assert not same(first.state_dict(), net.state_dict())


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(tmp_path):
    seen = []
    cut = SPLITS["train"].cut

    def recording(indices):
        seen.extend(indices)
        return cut(indices)

    splits = SPLITS | {"train": replace(SPLITS["train"], cut=recording)}
    files = Files(checkpoint=tmp_path / "c.pt", best=lambda exit_: tmp_path / f"b{exit_}")
    fit(network(), Objective(wiring=WIRING), splits, recipe=RECIPE, seed=5, files=files)
    epochs = [seen[start : start + 8] for start in range(0, 24, 8)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize(
    "recipe",
    [{}, {"schedule": "one-cycle", "warmup": 0.2, "average": 0.7}, {"grow": {1: 0.34}}, {"mirror": 0.5}],
    ids=str,
)
def test_a_training_that_was_stopped_and_resumed_ends_where_an_undisturbed_one_does(tmp_path, recipe):
    undisturbed, whole = train(tmp_path / "a", **recipe)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", ledger=Listener(stop_after=1), **recipe)
    resumed, fitted = train(tmp_path / "b", net=network(seed=99), **recipe)
    assert same(undisturbed.state_dict(), resumed.state_dict())
    assert same(best_weights(tmp_path / "a"), best_weights(tmp_path / "b"))
    assert fitted == whole


@pytest.mark.parametrize("saved", [False, True], ids=["before", "after"])
def test_every_epoch_is_noted_however_near_its_checkpoint_a_kill_comes(tmp_path, monkeypatch, saved):
    def killed(path, state):
        if saved:
            save_state(path, state)
        raise KeyboardInterrupt

    first, second = Listener(), Listener()
    with monkeypatch.context() as patch:
        patch.setattr(import_module("greenpose.training.fit"), "save_state", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, ledger=first)
    second.trained = lambda *_: None
    train(tmp_path, ledger=second)
    assert first.noted + second.noted == ([1, 2, 3] if saved else [1, 1, 2, 3])


def test_a_part_of_the_images_is_mirrored_others_in_each_epoch_and_in_the_same_order(tmp_path, monkeypatch):
    seen = []

    def listening(samples, indices, *, flipped=None):
        seen.append((tuple(indices), flipped))
        return batch_of(samples, indices, flipped=flipped)

    monkeypatch.setattr(import_module("greenpose.training.fit"), "batch_of", listening)
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
    listener = Listener()
    listener.trained = lambda *_: None
    train(tmp_path, net=net, ledger=listener, **GROWING)
    assert [set(epoch.terms) for epoch in listener.epochs] == [{"label 1", "label 2", "2->1"}] * 2
    assert not torch.equal(net.get_parameter("heads.2.weight"), fresh.get_parameter("heads.2.weight"))


def test_patience_waits_for_the_exits_that_are_still_to_join(tmp_path, monkeypatch):
    ever_worse = (({1: 1 / n, 2: 1 / n}, {}) for n in range(1, 99))
    monkeypatch.setattr(import_module("greenpose.training.fit"), "validation_scores", lambda *_, **__: next(ever_worse))
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


def best_weights(folder):
    return load_file(folder / "best-exit2.safetensors")


def test_a_broken_checkpoint_is_refused_in_words(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(GreenPoseError, match=r"checkpoint\.pt: cannot be read"):
        train(tmp_path / "a")


def finished(folder):
    """The checkpoint of a training that is through."""
    train(folder)
    return folder / "checkpoint.pt"


def complained(folder, **changes):
    """What is said against going on; nothing where training does."""
    try:
        train(folder, **changes)
    except GreenPoseError as error:
        return str(error)
    return ""


def test_a_checkpoint_with_changed_bytes_is_taken_or_refused_in_words(tmp_path):
    path, draw = finished(tmp_path / "a"), random.Random(1)
    whole = path.read_bytes()
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        match draw.randrange(3):
            case 0:
                del content[draw.randrange(len(content)) :]
            case 1:
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            case _:
                start = draw.randrange(min(4000, len(content)))  # the pickle lies in front
                content[start : start + draw.randrange(1, 9)] = draw.randbytes(draw.randrange(9))
        path.write_bytes(content)
        complaint = complained(tmp_path / "a")
        refused += bool(complaint)
        assert not complaint or complaint.startswith(f"{path}: cannot be read")
        assert "\n" not in complaint
    assert refused > 30


def spoilt(state, draw):
    """Leave out or replace one thing, anywhere in a nested state."""
    place = state
    while isinstance(place, dict | list) and place:
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or draw.random() < 0.3:
            if draw.random() < 0.4:
                del place[key]
            else:
                place[key] = draw.choice([None, -1, 10**30, "x", float("nan"), [], {}, torch.zeros(2), True, {"a": 1}])
            return
        place = place[key]


def test_a_checkpoint_with_parts_missing_or_replaced_is_taken_or_refused_in_words(tmp_path):
    path, draw = finished(tmp_path / "a"), random.Random(2)
    whole = torch.load(path, weights_only=True)
    refused = 0
    for _ in range(150):
        state = copy.deepcopy(whole)
        spoilt(state, draw)
        torch.save(state, path)
        complaint = complained(tmp_path / "a", epochs=RECIPE.epochs + 1)
        refused += bool(complaint)
        assert not complaint or complaint.startswith((f"{path}: cannot be read", "training diverged"))
    assert refused > 75


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (lambda state: state["selection"].pop("best"), "KeyError 'best'"),
        (lambda state: state.update(epoch=-3), "epoch -3"),
        (lambda state: state["optimizer"]["state"].update(surplus={"step": 1}), "moments that are not this network's"),
        (lambda state: state["optimizer"]["state"].update(surplus=[1]), "moments that are not this network's"),
        (lambda state: state["selection"]["best"][2].update(epoch=99), "exit 2 .* epoch 99 of 3"),
    ],
)
def test_what_a_checkpoint_lacks_is_said(tmp_path, lost, said):
    path = finished(tmp_path / "a")
    state = torch.load(path, weights_only=True)
    lost(state)
    torch.save(state, path)
    with pytest.raises(GreenPoseError, match=rf"checkpoint\.pt: cannot be read, since it is damaged \({said}.*--fresh"):
        train(tmp_path / "a")


@pytest.mark.parametrize("spoil", ["weights", "rate"])
def test_a_loss_that_is_beyond_repair_ends_the_training(tmp_path, spoil):
    net, changes = network(), {}
    if spoil == "weights":
        with torch.no_grad():
            net.get_parameter("heads.1.weight")[0, 0] = float("nan")
    else:
        changes = {"lr": 1e6, "milestones": (9,)}
    listener = Forgiving()
    with pytest.raises(GreenPoseError, match=r"training diverged: the mean loss is \S+ after \d+ images of epoch 1,"):
        train(tmp_path, net=net, ledger=listener, **changes)
    assert listener.epochs == []


def test_a_step_that_goes_wrong_and_is_mended_ends_nothing(tmp_path, monkeypatch):
    seen = []

    def faltering(step, batch, *rest, **named):
        seen.append(batch)
        values = Step.__call__(step, batch, *rest, **named)
        return dict.fromkeys(values, 1e6) if len(seen) == 1 else values

    monkeypatch.setattr(import_module("greenpose.training.fit"), "Step", type("S", (Step,), {"__call__": faltering}))
    _, fitted = train(tmp_path)
    assert fitted.epochs == 3


@pytest.mark.parametrize(
    ("astray", "ends"), [({1, 2, 3, 4}, 0), ({7}, 0), ({8}, 8), ({2, 3, 4, 5, 6}, 6), ({1, 2, 3, 5, 6}, 0)], ids=str
)
def test_an_exit_that_stays_worse_than_empty_heatmaps_ends_the_training(tmp_path, monkeypatch, astray, ends):
    taken = []

    def straying(step, batch, *rest, **named):
        taken.append(batch)
        values = Step.__call__(step, batch, *rest, **named)
        return values | ({"label 1": 0.6} if (len(taken) + 1) // 2 in astray else {})

    monkeypatch.setattr(import_module("greenpose.training.fit"), "Step", type("S", (Step,), {"__call__": straying}))
    listener = Forgiving()
    if ends:
        with pytest.raises(GreenPoseError, match=rf"training diverged: .* of epoch {ends}, "):
            train(tmp_path, ledger=listener, epochs=8, validate_every=9)
    else:
        train(tmp_path, ledger=listener, epochs=8, validate_every=9)
    assert len(listener.epochs) == (ends - 1 if ends else 8)


def test_a_kill_before_the_checkpoint_leaves_the_best_weights_of_the_epochs_that_it_knows(tmp_path, monkeypatch):
    """Epoch 3 is validated because a budget ends there; its checkpoint is never written."""
    ever_better = [({1: n / 9, 2: n / 9}, {}) for n in range(1, 9)]
    recipe = {"epochs": 6, "validate_every": 2}

    def begin(folder, stop):
        scores = iter(ever_better)
        monkeypatch.setattr(import_module("greenpose.training.fit"), "validation_scores", lambda *_, **__: next(scores))
        with pytest.raises(KeyboardInterrupt):
            train(folder, ledger=stop, **recipe)

    def killed(path, state):
        if state["epoch"] == 3:
            raise KeyboardInterrupt
        save_state(path, state)

    begin(tmp_path / "a", Listener(stop_after=2))
    with monkeypatch.context() as patch:
        patch.setattr(import_module("greenpose.training.fit"), "save_state", killed)
        begin(tmp_path / "b", Listener(enough_after=3))
    assert same(best_weights(tmp_path / "a"), best_weights(tmp_path / "b"))
    worse = iter([({1: 0.0, 2: 0.0}, {})] * 9)
    monkeypatch.setattr(import_module("greenpose.training.fit"), "validation_scores", lambda *_, **__: next(worse))
    _, fitted = train(tmp_path / "b", net=network(seed=99), **recipe)
    assert fitted.best[2].epoch == 2
    assert same(best_weights(tmp_path / "a"), best_weights(tmp_path / "b"))
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        *("best-exit1.safetensors", "best-exit2.safetensors", "checkpoint.pt")
    ]


def test_a_kill_between_the_checkpoint_and_its_best_weights_loses_neither(tmp_path, monkeypatch):
    train(tmp_path / "a", epochs=1)

    def killed(path, state):
        save_state(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(import_module("greenpose.training.fit"), "save_state", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "b", epochs=1)
    assert not (tmp_path / "b" / "best-exit2.safetensors").exists()
    train(tmp_path / "b", net=network(seed=99), epochs=1)
    assert same(best_weights(tmp_path / "a"), best_weights(tmp_path / "b"))


def test_what_training_leaves_is_on_disk_and_has_the_mode_of_any_file(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def noting(number):
        synced.append(Path(f"/proc/self/fd/{number}").resolve().name)
        fsync(number)

    monkeypatch.setattr(os, "fsync", noting)
    (tmp_path / "any").touch()
    train(tmp_path / "a", epochs=1)
    assert {name.rpartition(".")[0] for name in synced} >= {".checkpoint.pt", "..best-exit2.safetensors.next"}
    for name in ("checkpoint.pt", "best-exit1.safetensors", "best-exit2.safetensors"):
        assert (tmp_path / "a" / name).stat().st_mode == (tmp_path / "any").stat().st_mode


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


class Mute:
    def part(self, name):
        pass


def test_every_step_goes_through_its_four_parts_in_order(tmp_path):
    seen = []

    class Heard:
        def part(self, name):
            seen.append(name)

    @contextmanager
    def window(name, items):
        yield Heard()

    train(tmp_path / "a", epochs=1, window=window)
    assert seen == ["data", "forward", "backward", "step"] * 2 + ["data"]


def test_forward_backward_and_step_do_what_they_are_called(tmp_path):
    """Outputs come in `forward`, gradients in `backward`, weights move in `step`."""
    net, seen = network(), []

    def state():
        weight = net.conv1.weight
        return (weight.detach().sum().item(), None if weight.grad is None else weight.grad.abs().sum().item())

    class Heard:
        def part(self, name):
            seen.append((name, *state()))

    @contextmanager
    def window(name, items):
        yield Heard()

    train(tmp_path / "a", net=net, epochs=1, window=window)
    (_, before, grad0), (_, forward, grad1), (_, backward, grad2), (_, step, grad3), (_, after, _) = seen[:5]
    assert before == forward == backward == step != after
    assert (grad0, grad1, grad2) == (None, None, None)
    assert grad3 > 0


def test_enough_ends_training_with_the_epoch_validated_and_the_checkpoint_there(tmp_path):
    listener = Listener(enough_after=1)
    _, fitted = train(tmp_path / "a", epochs=4, validate_every=2, ledger=listener)
    assert (fitted.stopped, fitted.epochs) == ("budget", 1)
    assert sorted(listener.epochs[0].ap) == [1, 2]
    assert (tmp_path / "a" / "checkpoint.pt").exists()
    assert (tmp_path / "a" / "best-exit2.safetensors").exists()


def test_a_training_that_had_enough_goes_on_where_it_stopped(tmp_path):
    undisturbed, whole = train(tmp_path / "a")
    train(tmp_path / "b", ledger=Listener(enough_after=1))
    resumed, fitted = train(tmp_path / "b", net=network(seed=99))
    assert same(undisturbed.state_dict(), resumed.state_dict())
    assert (fitted.stopped, fitted.epochs) == ("epochs", whole.epochs)


def test_the_last_epoch_ends_training_whether_or_not_it_is_enough(tmp_path):
    _, fitted = train(tmp_path / "a", epochs=1, ledger=Listener(enough_after=1))
    assert fitted.stopped == "epochs"


def test_windows_span_training_validation_and_checkpoint_of_each_epoch(tmp_path):
    seen = []

    @contextmanager
    def window(name, items):
        seen.append((name, items))
        yield Mute()

    train(tmp_path / "a", epochs=2, validate_every=2, window=window)
    assert seen == [
        ("train/epoch 1", 8),
        ("checkpoint/epoch 1", 0),
        ("train/epoch 2", 8),
        ("validate/epoch 2", 4),
        ("checkpoint/epoch 2", 0),
    ]


def test_a_small_network_learns_to_find_dots(tmp_path):
    net, _ = train(tmp_path / "a", epochs=60, batch=8, lr=1e-2, milestones=(40,), validate_every=60)
    found = predict(net, SPLITS["train"], batch=8)[2]
    truth = SPLITS["train"].instances
    errors = [abs(found.joints[index] - truth[index].joints).max() for index in range(len(truth))]
    assert sorted(errors)[len(errors) // 2] < 8
