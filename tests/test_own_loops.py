"""Examples of own loops run and leave records; callbacks are called in the frameworks' order by stand-ins."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest

from greenpose.record import Failure, Record
from greenpose.store import read_record
from tests.cli.running import as_python, greenpose

LOOPS = Path(__file__).parent.parent / "experiments/own_loops"
QUICK = {"max_seconds": 0.2, "max_blocks": 2, "min_window_seconds": 0.005}


def run_example(name: str, folder: Path, *words: str) -> Record:
    done = greenpose(LOOPS / name, "--out", folder, "--seconds", "0.1", *words, cwd=folder, act=as_python)
    assert done.code == 0, done.err
    return read_record(Path(done.out.strip()) / "record.json")


def test_the_classifier_leaves_three_exits_each_costlier_than_the_one_before(tmp_path):
    record = run_example("classifier.py", tmp_path, "--epochs", "1", "--train", "128")
    assert [entry.exit for entry in record.exits] == [1, 2, 3]
    macs = [entry.macs for entry in record.exits]
    assert macs == sorted(macs)
    assert macs[0] == 16 * 16 * 8 * (9 + 72) + 32 * 4
    assert all(entry.quantity("metrics.top1").type_a for entry in record.exits)
    assert {phase.name for phase in record.phases} >= {"data", "train", "test", "count", "inference"}
    assert record.images == {"train": 128, "test": 1000}


def test_a_plain_loop_is_judged_by_its_error_in_millimetres(tmp_path):
    record = run_example("plain_loop.py", tmp_path)
    assert (record.accuracy.unit, record.accuracy.lower, record.accuracy.floor) == ("mm", True, 5)
    assert record.epochs == 20
    assert 1 < record.exits[0].metrics["error"] < 2  # of noise with a deviation of 2: its mean is 1.6


def test_the_notebooks_cells_run_in_their_order(tmp_path):
    cells = json.loads((LOOPS / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    (tmp_path / "cells.py").write_text("\n".join(code))
    done = greenpose("cells.py", cwd=tmp_path, act=as_python)
    assert done.code == 0, done.err
    assert read_record(tmp_path / "runs/notebook/notebook/record.json").exits[0].metrics["error"] < 2


def loaded(name: str, framework: types.ModuleType, monkeypatch) -> types.ModuleType:
    """An example as a module, with a stand-in for the framework that it imports."""
    monkeypatch.setitem(sys.modules, framework.__name__, framework)
    spec = importlib.util.spec_from_file_location(name, LOOPS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LightningTrainer:
    """Calls a callback as Lightning's `Trainer.fit` does: a check, then epochs with a validation inside each."""

    def __init__(self, callback, *, epochs: int) -> None:
        self.callback, self.epochs, self.current_epoch, self.sanity_checking = callback, epochs, 0, False

    def fit(self, module) -> None:
        hooks = self.callback
        try:
            hooks.on_fit_start(self, module)
            self.sanity_checking = True
            hooks.on_validation_start(self, module)
            hooks.on_validation_end(self, module)
            self.sanity_checking = False
            for epoch in range(self.epochs):
                self.current_epoch = epoch
                hooks.on_train_epoch_start(self, module)
                module()
                hooks.on_validation_start(self, module)
                hooks.on_validation_end(self, module)
                hooks.on_train_epoch_end(self, module)
            hooks.on_fit_end(self, module)
        except BaseException as error:
            hooks.on_exception(self, module, error)
            raise


@pytest.fixture
def lightning(monkeypatch):
    framework = types.ModuleType("lightning")
    framework.Callback = type("Callback", (), {})
    return loaded("lightning_callback", framework, monkeypatch)


def test_lightnings_epochs_and_validations_are_windows(lightning, tmp_path):
    exits, module = {1: {"metrics": {"top1": 0.9}, "params": 1, "macs": 2}}, dict
    callback = lightning.GreenPose("net", out=tmp_path, country="ITA", measure=QUICK, exits={module: exits}.get)
    LightningTrainer(callback, epochs=2).fit(module)
    names = [window.name for window in callback.run.meter.windows if window.name != "count"]
    of_epoch = ["train", "validate", "train"]
    assert names == ["validate/epoch 1", *(f"{name}/epoch {n}" for n in (1, 2) for name in of_epoch)]
    assert (callback.run.result.epochs, callback.run.result.exits[0].macs) == (2, 2)
    callback.on_validation_start(None, None)  # of a later Trainer.validate: nothing is metered any more
    callback.on_validation_end(None, None)


def test_what_ends_lightnings_training_is_noted(lightning, tmp_path):
    callback = lightning.GreenPose("net", out=tmp_path, country="ITA")

    def module():
        raise ValueError("no such batch")

    with pytest.raises(ValueError, match="no such batch"):
        LightningTrainer(callback, epochs=1).fit(module)
    failure = callback.run.result
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.phase, failure.message) == ("failed", "train", "ValueError: no such batch")


def test_transformers_epochs_are_windows_and_its_last_loss_a_note(monkeypatch, tmp_path):
    framework = types.ModuleType("transformers")
    framework.TrainerCallback = type("TrainerCallback", (), {})
    callback = loaded("transformers_callback", framework, monkeypatch).GreenPose("model", out=tmp_path, country="ITA")
    state = types.SimpleNamespace(epoch=None, global_step=0)
    with callback.run as run:
        for epoch in range(3):  # as Trainer does: `state.epoch` is a fraction that grows from step to step
            state.epoch = float(epoch)
            callback.on_epoch_begin(None, state, None, model=None)
            state.epoch, state.global_step = epoch + 1.0, state.global_step + 10
            callback.on_log(None, state, None, logs={"loss": 0.5})
            callback.on_epoch_end(None, state, None, model=None)
        callback.on_log(None, state, None, logs={"train_loss": 0.25})
    assert [window.name for window in run.meter.windows] == [f"train/epoch {number}" for number in (1, 2, 3)]
    assert (run.result.epochs, run.result.notes) == (3, ["train_loss 0.25 after 30 steps"])
