"""A training that was stopped or killed goes on as if nothing had been; what is damaged is refused in words."""

import copy
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from greenpose.config import AugmentConfig
from greenpose.errors import GreenPoseError
from greenpose.losses import Wiring
from greenpose.training.checkpoint import save_state
from tests.training.fitting import MODULE, RECIPE, Listener, best_weights, network, same, train

ALONE = Wiring(exits=(1,), supervised=(1,))


@pytest.fixture
def killed(monkeypatch):
    """Train until a checkpoint is to be saved: of some epoch or the first, `saved` or just not yet."""

    def killed(folder, *, saved=False, epoch=None, **how):
        def save(path, state):
            dies = epoch in (None, state["epoch"])
            if saved or not dies:
                save_state(path, state)
            if dies:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(MODULE, "save_state", save)
            with pytest.raises(KeyboardInterrupt):
                train(folder, **how)

    return killed


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"schedule": "one-cycle", "warmup": 0.2, "average": 0.7},
        {"grow": {1: 0.34}},
        {"grow": {1: 0.67}, "whole_steps": 4},
        {"mirror": 0.5, "augment": AugmentConfig()},
    ],
    ids=["paper", "one-cycle", "grow", "grow-less", "augment"],
)
def test_a_training_that_was_stopped_or_had_enough_and_is_resumed_ends_where_an_undisturbed_one_does(tmp_path, recipe):
    undisturbed, whole = train(tmp_path / "whole", **recipe)
    for end in ("stop_after", "enough_after"):
        with suppress(KeyboardInterrupt):
            _, fitted = train(tmp_path / end, ledger=Listener(**{end: 1}), **recipe)
            assert (fitted.stopped, fitted.epochs, end) == ("budget", 1, "enough_after")
        resumed, fitted = train(tmp_path / end, net=network(seed=99), **recipe)
        assert same(undisturbed.state_dict(), resumed.state_dict())
        assert (fitted.stopped, fitted.epochs) == ("epochs", 3)
        if end == "stop_after":  # the validation that enough brings is one more
            assert same(best_weights(tmp_path / "whole"), best_weights(tmp_path / end))
            assert fitted == whole


@pytest.mark.parametrize("saved", [False, True], ids=["before", "after"])
def test_every_epoch_is_noted_however_near_its_checkpoint_a_kill_comes(tmp_path, killed, saved):
    first, second = Listener(), Listener(minds=False)
    killed(tmp_path, saved=saved, ledger=first)
    train(tmp_path, ledger=second)
    assert first.noted + second.noted == ([1, 2, 3] if saved else [1, 1, 2, 3])


def test_a_kill_between_the_checkpoint_and_its_best_weights_loses_neither(tmp_path, killed):
    train(tmp_path / "a", epochs=1)
    killed(tmp_path / "b", saved=True, epochs=1)
    assert not (tmp_path / "b" / "best-exit2.safetensors").exists()
    train(tmp_path / "b", net=network(seed=99), epochs=1)
    assert same(best_weights(tmp_path / "a"), best_weights(tmp_path / "b"))


def test_a_kill_before_the_checkpoint_leaves_the_best_weights_of_the_epochs_that_it_knows(
    tmp_path, monkeypatch, killed
):
    """Epoch 3 is validated because a budget ends there; its checkpoint is never written."""
    a, b, recipe = tmp_path / "a", tmp_path / "b", {"epochs": 6, "validate_every": 2}

    def score(scores):
        made = iter([({1: score, 2: score}, {}) for score in scores])
        monkeypatch.setattr(MODULE, "validation_scores", lambda *_, **__: next(made))

    score([0.1, 0.2])
    with pytest.raises(KeyboardInterrupt):
        train(a, ledger=Listener(stop_after=2), **recipe)
    score([0.1, 0.2])
    killed(b, epoch=3, ledger=Listener(enough_after=3), **recipe)
    assert same(best_weights(a), best_weights(b))
    score([0.0] * 9)
    _, fitted = train(b, net=network(seed=99), **recipe)
    assert fitted.best[2].epoch == 2
    assert same(best_weights(a), best_weights(b))
    assert {path.name for path in b.iterdir()} == {"best-exit1.safetensors", "best-exit2.safetensors", "checkpoint.pt"}


def finished(folder):
    """The checkpoint of a training that is through, of a network with one exit."""
    train(folder, wiring=ALONE)
    return folder / "checkpoint.pt"


def complained(folder, **changes):
    """What is said against going on; nothing where training does."""
    try:
        train(folder, wiring=ALONE, **changes)
    except GreenPoseError as error:
        return str(error)
    return ""


def test_a_checkpoint_with_changed_bytes_is_taken_or_refused_in_words(tmp_path):
    path, draw = finished(tmp_path / "a"), random.Random(1)
    whole = path.read_bytes()
    refused = 0
    for _ in range(24):
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
    assert refused > 12


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
    for _ in range(30):
        state = copy.deepcopy(whole)
        spoilt(state, draw)
        torch.save(state, path)
        complaint = complained(tmp_path / "a", epochs=RECIPE.epochs + 1)
        refused += bool(complaint)
        assert not complaint or complaint.startswith((f"{path}: cannot be read", "training diverged"))
    assert refused > 15


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (lambda state: state["selection"].pop("best"), "KeyError 'best'"),
        (lambda state: state.update(epoch=-3), "epoch -3"),
        (lambda state: state["optimizer"]["state"].update(surplus={"step": 1}), "moments that are not this network's"),
        (lambda state: state["optimizer"]["state"].update(surplus=[1]), "moments that are not this network's"),
        (lambda state: state["selection"]["best"][1].update(epoch=99), "exit 1 .* epoch 99 of 3"),
    ],
)
def test_what_a_checkpoint_lacks_is_said(tmp_path, lost, said):
    path = finished(tmp_path / "a")
    state = torch.load(path, weights_only=True)
    lost(state)
    torch.save(state, path)
    with pytest.raises(GreenPoseError, match=rf"checkpoint\.pt: cannot be read, since it is damaged \({said}.*--fresh"):
        train(tmp_path / "a", wiring=ALONE)


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
