"""Trackers are told what a run writes, with its units, and nothing that happens to them happens to the run."""

import json
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from greenpose.errors import GreenPoseError
from greenpose.record import dumps
from greenpose.store import RunFolder
from greenpose.trackers import KINDS, Following, Place, opened
from tests.report.records import failure, record

CONFIG = {"name": "lab", "seed": 1, "carbon": {"intensity_g_per_kwh": 400.0}, "loss": {"kd_weight": 0.5}}


class Told:
    """A tracker that remembers."""

    def __init__(self, grid, name, settings):
        self.begun = (grid, name, settings)
        self.steps = []
        self.ended = None

    def log(self, step, numbers):
        self.steps.append((step, dict(numbers)))

    def end(self, numbers, words, *, well):
        self.ended = (dict(numbers), dict(words), well)


class Full(Told):
    """One whose disk is full."""

    def log(self, *_):
        raise OSError(28, "No space left on device", "events")


class Run:
    """A run's folder, written as a run writes it, and what was told of it."""

    def __init__(self, path, tracker=Told):
        self.folder = RunFolder(path)
        self.told = []
        self.following = Following({"x:DIR": Place(self._begin(tracker), (OSError,))}, every_s=0.0)
        self.following.begin(self.folder, "grid", "run", CONFIG)

    def _begin(self, tracker):
        def begin(*begun):
            self.told.append(tracker(*begun))
            return self.told[-1]

        return begin

    def window(self, name, joules, *, parent=None):
        line = {"name": name, "parent": parent, "seconds": 2.0, "started_at": "2026-11-30T06:00:00+00:00"}
        self._append(self.folder.windows, line | {"joules": {"cpu": [0.0, joules, 0.0]}})

    def epoch(self, number, loss):
        line = {"epoch": number, "loss": loss, "lr": 0.1, "terms": {"label 4": loss, "4->3": 0.2}, "ap": {"4": 0.5}}
        self._append(self.folder.epochs, line)

    def _append(self, path, line):
        with path.open("a") as log:
            log.write(json.dumps(line, separators=(",", ":")) + "\n")


def test_an_epoch_is_told_with_what_training_has_used_by_then(tmp_path):
    run = Run(tmp_path)
    (told,) = run.told
    assert told.begun[:2] == ("grid", "run")
    assert told.begun[2]["loss.kd_weight"] == "0.5"
    run.window("data", 1e9)
    run.window("train/epoch 1", 3.6e6)
    run.window("train/epoch 1/forward", 1e9, parent=2)
    run.window("validate/epoch 1", 3.6e6)
    run.epoch(1, 0.7)
    run.following.look()
    run.window("checkpoint/epoch 1", 3.6e6)
    run.following.look()
    run.following.look()
    ((step, numbers),) = told.steps
    assert step == 1
    assert numbers == {
        "train/loss": 0.7,
        "train/lr": 0.1,
        "train/loss label 4": 0.7,
        "train/loss 4 to 3": 0.2,
        "val/exit4 ap": 0.5,
        "train/energy_kwh": pytest.approx(3.0),
        "train/seconds": pytest.approx(6.0),
        "train/co2eq_g": pytest.approx(1200.0),
    }


def test_a_line_that_is_not_whole_yet_waits(tmp_path):
    run = Run(tmp_path)
    run.epoch(1, 0.7)
    whole = run.folder.epochs.read_bytes()
    run.folder.epochs.write_bytes(whole[:20])
    run.following.look()
    run.folder.epochs.write_bytes(whole)
    run.following.look()
    run.following.look()
    assert [step for step, _ in run.told[0].steps] == [1]


def test_the_end_tells_the_last_epoch_and_the_records_numbers_with_their_units(tmp_path):
    run = Run(tmp_path)
    run.epoch(8, 0.1)
    document = record("HRNet4-OKD")
    run.folder.record.write_text(dumps(document))
    run.following.end(run.folder)
    (told,) = run.told
    numbers, words, well = told.ended
    last = document.final_exit
    assert ([step for step, _ in told.steps], well) == ([8], True)
    assert numbers["train_energy_kwh"] == document.train_energy_kwh
    assert numbers["train_energy_kwh_low"] < document.train_energy_kwh < numbers["train_energy_kwh_high"]
    assert numbers[f"exit{last.exit}/ap"] == last.ap
    assert numbers[f"exit{last.exit}/macs"] == last.macs
    assert words["greenpose.energy"] == "modelled"


def test_a_run_that_did_not_finish_is_told_so(tmp_path):
    run = Run(tmp_path)
    note = failure()
    run.folder.failure.write_text(dumps(note))
    run.following.end(run.folder)
    numbers, words, well = run.told[0].ended
    assert (numbers["energy_kwh"], words["greenpose.ended"], well) == (note.energy_kwh, note.message, False)


def test_a_tracker_that_cannot_write_is_left_once_and_the_run_goes_on(tmp_path):
    run = Run(tmp_path, Full)
    for number in (1, 2, 3):
        run.epoch(number, 0.5)
    run.following.look()
    run.following.look()
    run.following.end(run.folder)
    run.following.begin(RunFolder(tmp_path / "next"), "grid", "next", CONFIG)
    assert run.following.faults == ["--log x:DIR: events: No space left on device; the runs go on without it"]
    assert len(run.told) == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("neptune:x", "--log neptune:x: give a tracker and its folder: mlflow:DIR, tensorboard:DIR, wandb:DIR"),
        ("mlflow", "--log mlflow: give a tracker and its folder: "),
        ("wandb:https://x", "--log wandb:https://x: trackers are kept offline, in a folder of this machine; "),
    ],
)
def test_what_is_no_tracker_is_refused(asked, says):
    with pytest.raises(GreenPoseError) as refused:
        opened(asked)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("kind", KINDS)
def test_what_lacks_is_said_with_what_brings_it(monkeypatch, tmp_path, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(GreenPoseError) as refused:
        opened(f"{kind}:{tmp_path / 'store'}")
    assert (
        str(refused.value)
        == f"--log {kind}:{tmp_path / 'store'}: {kind} is not installed: pip install {KINDS[kind][1]}"
    )


def test_it_is_refused_before_anything_is_trained(tmp_path):
    words = ["run", "quick", "--grid", "--out", "runs", "--log", "neptune:x"]
    done = subprocess.run(
        [sys.executable, "-m", "greenpose", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --log neptune:x: ")
    assert list(tmp_path.iterdir()) == []


def module(monkeypatch, name, **names):
    """Put a stand-in in a package's place."""
    found = ModuleType(name)
    found.__dict__.update(names)
    monkeypatch.setitem(sys.modules, name, found)
    return found


def test_tensorboard_is_given_scalars_by_epoch(monkeypatch, tmp_path):
    calls = []
    writer = SimpleNamespace(
        add_scalar=lambda *call: calls.append(call), flush=lambda: None, close=lambda: calls.append("closed")
    )
    module(monkeypatch, "tensorboard")
    module(monkeypatch, "tensorboard.summary", Writer=lambda place: calls.append(place) or writer)
    tracker = opened(f"tensorboard:{tmp_path}").begin("grid", "run", {})
    tracker.log(3, {"train/loss": 0.5})
    tracker.end({"train_energy_kwh": 2.0}, {}, well=True)
    place = str(tmp_path / "grid/run")
    assert calls == [place, ("train/loss", 0.5, 3), ("train_energy_kwh", 2.0, 0), "closed"]


def test_wandb_is_offline_and_watches_nothing_by_itself(monkeypatch, tmp_path):
    calls = []
    run = SimpleNamespace(
        log=lambda numbers, *, step: calls.append((numbers, step)),
        summary=SimpleNamespace(update=calls.append),
        finish=lambda *, exit_code: calls.append(exit_code),
    )
    asked = {}
    module(monkeypatch, "wandb", Error=ValueError, Settings=dict, init=lambda **words: asked.update(words) or run)
    tracker = opened(f"wandb:{tmp_path}").begin("grid", "run", {"seed": "1"})
    tracker.log(3, {"train/loss": 0.5})
    tracker.end({"a_kwh": 2.0}, {"greenpose.grade": "C"}, well=False)
    assert calls == [({"train/loss": 0.5}, 3), {"a_kwh": 2.0, "greenpose.grade": "C"}, 1]
    assert (asked["mode"], asked["dir"], asked["config"]) == ("offline", str(tmp_path), {"seed": "1"})
    assert asked["settings"]["x_disable_stats"]
    assert asked["settings"]["console"] == "off"


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's, by SQLAlchemy 2.1
@pytest.mark.trackers
def test_mlflow_reads_back_from_its_database_what_it_was_told(tmp_path):
    import mlflow

    tracker = opened(f"mlflow:{tmp_path}").begin("grid", "run", {"loss.kd_weight": "0.5"})
    for epoch in (1, 2, 3):
        tracker.log(epoch, {"train/loss label 4": 1 / epoch, "train/energy_kwh": float(epoch)})
    tracker.end({"exit4/ap": 0.5}, {"greenpose.energy": "modelled"}, well=True)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("grid").experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss label 4")
    assert [(each.step, each.value) for each in history] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert (run.info.run_name, run.info.status, run.data.params) == ("run", "FINISHED", {"loss.kd_weight": "0.5"})
    assert (run.data.metrics["exit4/ap"], run.data.tags["greenpose.energy"]) == (0.5, "modelled")


@pytest.mark.trackers
def test_tensorboard_reads_back_from_its_files_what_it_was_told(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    tracker = opened(f"tensorboard:{tmp_path}").begin("grid", "run", {})
    tracker.log(1, {"train/loss": 0.5})
    tracker.log(2, {"train/loss": 0.25})
    tracker.end({}, {}, well=True)
    found = EventAccumulator(str(tmp_path / "grid/run")).Reload()
    told = [(each.step, float(make_ndarray(each.tensor_proto))) for each in found.Tensors("train/loss")]
    assert told == [(1, 0.5), (2, 0.25)]


@pytest.mark.trackers
def test_wandb_leaves_a_run_offline(tmp_path):
    tracker = opened(f"wandb:{tmp_path}").begin("grid", "run", {"seed": "1"})
    tracker.log(1, {"train/loss": 0.5})
    tracker.end({"train_energy_kwh": 2.0}, {}, well=True)
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    end = time.monotonic() + 60
    while b"train/loss" not in log.read_bytes():  # a process of its own writes it
        assert time.monotonic() < end
        time.sleep(0.1)
