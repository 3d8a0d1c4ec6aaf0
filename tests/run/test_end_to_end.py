"""The main job, shrunk to seconds, through the command line; records and page are read back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
import yaml

from greenpose.data.splits import load_splits
from greenpose.metering import read_windows
from greenpose.record import Record
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, collect, pictures, read_lines
from greenpose.training import judge
from tests.cli.running import begun, greenpose
from tests.run.tiny import write_grid


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the tiny grid has run from data to report, side by side; nothing tried to reach the network."""
    folder = tmp_path_factory.mktemp("finished")
    write_grid(folder)
    done = greenpose("run", "--grid", "tiny.yaml", "--json", "--workers", "2", cwd=folder, cold=True)
    assert done.code == 0, done.err
    ends = {line.split()[1] for line in done.err.splitlines() if line.split()[:1] == ["done"]}
    assert ends == {run["name"] for run in done.json["runs"]}, "each end says of which run"
    assert [run["state"] for run in done.json["runs"]] == ["done", "done"]
    assert done.json["report"] == "reports/tiny.html"
    assert any(" worker " in command for command in done.processes)
    return folder


@pytest.fixture(scope="module")
def records(finished) -> list[Record]:
    return collect([finished / "runs"])


def test_the_page_shows_every_run_and_loads_nothing(finished):
    page = (finished / "reports" / "tiny.html").read_text()
    assert "HRNet2" in page
    assert "HRNet3-OKD-DS" in page
    assert "default-src 'none'" in page
    assert 'src="http' not in page


def test_every_run_leaves_a_picture_which_the_page_shows_and_nobody_metered(finished, records):
    left = {each.run: each for each in pictures([finished / "runs"])}
    assert left.keys() == {record.name for record in records}
    assert "4 test images with the annotated pose and that of exits 3 and 2" in left[records[1].name].words
    page = (finished / "reports" / "tiny.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    names = {phase.name for record in records for phase in record.phases}
    assert names == {"data", "count", "train", "validate", "checkpoint", "test", "inference", "segments", "other"}


def test_a_run_folder_holds_what_users_rely_on(finished, records):
    folder = finished / "runs" / "tiny" / records[1].name
    names = {path.name for path in folder.iterdir()}
    assert {"record.json", "windows.jsonl", "epochs.jsonl", "config.yaml", "log.txt"} <= names
    assert {"best-exit2.safetensors", "best-exit3.safetensors", "predictions.png"} <= names
    assert not {"checkpoint.pt", "running.json", "failure.json"} & names
    assert [line["epoch"] for line in read_lines(folder / "epochs.jsonl")] == [1, 2]


def test_what_a_run_records_passes_the_gate_of_its_grid_as_it_was_profiled(finished):
    done = greenpose("check", "tiny.yaml", "--baseline", "b.json", "--update", "--reason", "profiled", cwd=finished)
    assert done.code == 0, done.err
    done = greenpose("check", "runs/tiny", "--baseline", "b.json", "--json", cwd=finished)
    assert (done.code, done.json["outcome"]) == (0, "ok")
    assert {one["metric"] for one in done.json["findings"]} >= {"params", "macs", "peak_bytes", "operations"}


def test_its_status_is_that_of_its_records(finished, records):
    said = greenpose("status", "runs/tiny", "--json", cwd=finished).json
    assert (said["counts"], [run["state"] for run in said["runs"]]) == ({"done": len(records)}, ["done"] * len(records))
    assert {run["name"] for run in said["runs"]} == {record.name for record in records}
    whole = sum(record.train_energy_kwh for record in records)
    assert said["spent"]["energy_kwh"] == pytest.approx(whole)
    assert said["expected"]["energy_kwh"]["value"] == pytest.approx(whole)


def test_every_number_of_an_exit_has_a_unit_and_a_provenance(records):
    for record in records:
        for entry in record.exits:
            numbers = [
                name
                for name, value in entry
                if isinstance(value, int | float) and name not in ("exit", "best_epoch", "passes")
            ]
            assert [name for name in numbers if not entry.quantity(name).unit] == []
            assert entry.quantity("ap").type_a is not None
            assert entry.quantity("energy_j_per_image").kind in ("modelled", "measured")
            assert entry.quantity("energy_j_per_image").type_b is not None


def test_the_training_is_the_sum_of_its_windows_and_its_allocation(finished, records):
    for record in records:
        windows = read_windows(finished / "runs" / "tiny" / record.name / "windows.jsonl")
        training = [
            w for w in windows if w.parent is None and w.name.split("/")[0] in ("train", "validate", "checkpoint")
        ]
        assert record.train_seconds == pytest.approx(sum(w.seconds for w in training))
        assert record.train_energy_kwh * 3.6e6 == pytest.approx(sum(w.energy.mid for w in training))
        assert sum(record.train_energy_kwh_by_component.values()) == pytest.approx(record.train_energy_kwh)
        assert sum(record.allocation.energy_kwh.values()) == pytest.approx(record.train_energy_kwh)
        intensity = record.carbon.intensity_g_per_kwh
        assert record.train_co2eq_g == pytest.approx(record.train_energy_kwh * intensity)


def test_making_the_hardware_is_counted_for_the_time_that_its_recorded_parts_were_held(records):
    for record in records:
        embodied = record.carbon.embodied
        held_g = sum(1000 * part.kg * part.share for part in embodied.parts)
        per_second = held_g / (embodied.lifetime_years * 365 * 24 * 3600)
        assert record.train_embodied_co2eq_g == pytest.approx(per_second * record.train_seconds)
        assert record.train_sci_g == pytest.approx(record.train_co2eq_g + record.train_embodied_co2eq_g)
        for entry in record.exits:
            made = entry.embodied_co2eq_g_per_1000_images
            assert made == pytest.approx(per_second * 1000 * entry.latency_s)
            assert entry.sci_g_per_1000_images == pytest.approx(entry.co2eq_g_per_1000_images + made)
            assert entry.quantity("sci_g_per_1000_images").type_a is not None


def test_what_costs_more_is_said_to_cost_more(records):
    both = {entry.exit: entry for entry in records[1].exits}
    assert both[2].params < both[3].params
    assert both[2].macs < both[3].macs
    assert both[3].relative_to_final["energy_j_per_image"] == pytest.approx(1)
    assert both[2].role == "student"
    assert both[3].role == "final"
    alone = records[0].exits[0]
    assert (alone.params, alone.macs) == (both[2].params, both[2].macs)


def test_the_record_names_place_machine_settings_and_second_opinion(records):
    record = records[0]
    assert (record.carbon.country, record.carbon.pue) == ("ITA", 1.0)
    assert record.process["pinned"] is True
    assert record.process["torch_threads"] == 1
    assert record.host["fingerprint"]
    assert record.software["torch"]
    assert record.crosscheck[0].tool.startswith("codecarbon")
    assert record.images == {"train": 12, "val": 4, "test": 4}
    assert record.subjects == {"train": 3, "val": 2, "test": 2}


def test_a_finished_grid_is_not_run_again_but_its_page_is_made_anew(finished):
    before = {path: path.read_bytes() for path in finished.glob("runs/tiny/*/record.json")}
    done = greenpose("run", "--grid", "tiny.yaml", cwd=finished)
    assert done.code == 0
    assert "2 of 2 runs done already" in done.err
    assert done.out.strip() == "reports/tiny.html"
    folder = next(iter(before)).parent
    done = greenpose("worker", folder, cwd=finished)  # as a rival does that comes too late
    assert (done.code, done.err.strip()) == (0, "done already")
    assert before == {path: path.read_bytes() for path in finished.glob("runs/tiny/*/record.json")}


LONG = ("--set", "train.epochs=400", "--set", "train.patience=400", "--set", "train.validate_every=50")


def _start(folder: Path, *arguments: str) -> BaseProcess:
    return begun("run", "--grid", "tiny.yaml", *arguments, cwd=folder)


def _after_epochs(folder: Path, number: int) -> None:
    """Wait until a run has finished some epochs."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if any(len(list(read_lines(log))) >= number for log in folder.glob("runs/tiny/*/epochs.jsonl")):
            return
        time.sleep(0.02)
    raise AssertionError("no epoch was finished in time")


def test_a_killed_run_is_reported_and_then_goes_on_with_nothing_lost(tmp_path):
    write_grid(tmp_path)
    process = _start(tmp_path, "--only", "HRNet2", *LONG)
    _after_epochs(tmp_path, 3)
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    process.join(300)
    assert process.exitcode == 4
    (failure,) = collect([tmp_path / "runs"])
    assert failure.reason == "lost"
    assert failure.energy_kwh > 0
    assert failure.co2eq_g == pytest.approx(failure.energy_kwh * 330.72, rel=0.01)
    (folder,) = (tmp_path / "runs" / "tiny").glob("*-*")
    _shorten(folder)
    done = greenpose("worker", folder, cwd=tmp_path)
    assert done.code == 0, done.err
    (record,) = collect([tmp_path / "runs"])
    assert record.attempts == 2
    epochs = {line["epoch"] for line in read_lines(folder / "epochs.jsonl")}
    assert epochs == set(range(1, record.epochs + 1))
    assert sum(phase.energy_kwh for phase in record.phases) > failure.energy_kwh
    trained = {
        w.name
        for w in read_windows(folder / "windows.jsonl")
        if w.name.startswith("train/") and w.parent is None and w.ok
    }
    assert len(trained) == record.epochs


def _shorten(folder: Path) -> None:
    """Let a long run end soon: as many epochs as it has done, and three more."""
    cell = yaml.safe_load((folder / "config.yaml").read_text())
    done = max(line["epoch"] for line in read_lines(folder / "epochs.jsonl"))
    cell["experiment"]["train"]["epochs"] = done + 3
    (folder / "config.yaml").write_text(yaml.safe_dump(cell))


@pytest.mark.slow
def test_a_run_outlives_a_closed_terminal_under_nohup_but_not_the_process_that_started_it(tmp_path):
    write_grid(tmp_path)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        command = [sys.executable, "-m", "greenpose", "run", "--grid", "tiny.yaml", "--only", "HRNet2", *LONG]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"GREENPOSE_CACHE": str(tmp_path / "cache")}, **quiet
        )
    finally:
        signal.signal(signal.SIGHUP, ignored)
    _after_epochs(tmp_path, 1)
    (worker,) = psutil.Process(process.pid).children()
    for one in (process, worker):
        one.send_signal(signal.SIGHUP)
    _after_epochs(tmp_path, 3)
    assert process.poll() is None
    process.kill()
    assert psutil.wait_procs([worker], timeout=60)[1] == []
    process.wait()
    _check_interrupted(tmp_path)


def test_a_run_ends_with_the_process_that_started_it_however_that_is_made_to_quit(tmp_path):
    write_grid(tmp_path)
    process = _start(tmp_path, "--only", "HRNet2", *LONG)
    _after_epochs(tmp_path, 1)
    (worker,) = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGQUIT)
    assert psutil.wait_procs([worker], timeout=60)[1] == []
    process.join(60)
    assert process.exitcode == -signal.SIGQUIT
    _check_interrupted(tmp_path)


def _check_interrupted(tmp_path: Path) -> None:
    (folder,) = (tmp_path / "runs" / "tiny").glob("*-*")
    assert json.loads((folder / "failure.json").read_text())["reason"] == "interrupted"
    assert not (folder / "running.json").exists()


def test_an_interrupt_keeps_everything_and_exits_with_130(tmp_path):
    write_grid(tmp_path)
    process = _start(tmp_path, "--only", "HRNet2", *LONG)
    _after_epochs(tmp_path, 2)
    os.kill(process.pid, signal.SIGINT)
    process.join(300)
    assert process.exitcode == 130
    complaint = process.err.read_text()
    assert "the same command goes on from there" in complaint
    assert "Traceback" not in complaint
    (folder,) = (tmp_path / "runs" / "tiny").glob("*-*")
    assert json.loads((folder / "failure.json").read_text())["reason"] == "interrupted"
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "running.json").exists()


def test_a_run_that_fails_is_reported_in_words_and_a_damaged_record_costs_only_itself_whatever_the_path(tmp_path):
    """It looks like markup."""
    write_grid(tmp_path)
    where = tmp_path / "[" / "x] [bold]"
    arguments = ("run", "--grid", "tiny.yaml", "--out", where)
    first, second = sorted(
        tmp_path / run["folder"] for run in greenpose(*arguments, "--dry-run", "--json", cwd=tmp_path).json["runs"]
    )
    first.mkdir(parents=True)
    (first / "checkpoint.pt").write_bytes(b"half a checkpoint")
    done = greenpose(*arguments, cwd=tmp_path)
    assert done.code == 4
    assert f"{first}/checkpoint.pt: cannot be read" in done.err
    assert "Traceback" not in done.err
    assert json.loads((first / "failure.json").read_text())["phase"] == "train"
    assert (second / "record.json").exists()
    assert all(name in (where / "tiny.html").read_text() for name in (first.name, second.name))
    record = (second / "record.json").read_bytes()
    (second / "record.json").write_bytes(record[: len(record) // 2])
    done = greenpose(*arguments, cwd=tmp_path)
    assert done.code == 4
    assert f"error: {second}/record.json: " in done.err
    assert "it is left out of the page" in done.err
    assert "Traceback" not in done.err
    page = (where / "tiny.html").read_text()
    assert first.name in page
    assert second.name not in page


def test_a_test_with_mirrored_images_is_judged_by_both_passes_and_says_so_wherever_it_is_told(
    finished, records, tmp_path
):
    write_grid(tmp_path)
    first = records[1]
    place = tmp_path / "runs/tiny" / first.name
    shutil.copytree(finished / "runs/tiny" / first.name, place)
    command = ("run", "--grid", "tiny.yaml", "--only", "HRNet3-OKD-DS", "--no-report", "--set", "test.flip=true")
    done = greenpose(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "each test image computed twice" in done.err
    (second,) = (run for run in collect([tmp_path / "runs"]) if run.name != first.name)
    assert second.trained_in == first.name
    assert [(entry.passes, entry.macs) for entry in second.exits] == [(2, entry.macs) for entry in first.exits]
    assert "passes" not in (place / "record.json").read_text()
    folder = RunFolder(place)
    config = folder.experiment()
    samples = load_splits(config.data, only=["test"])["test"]
    nets = trained_networks(build_network(config)[0], folder, [2, 3]).values()
    for run, flip in ((first, False), (second, True)):
        judged = [judge(net, samples, batch=4, flip=flip)[0].values for net in nets]
        assert [{name: getattr(entry, name) for name in judged[0]} for entry in run.exits] == judged
    assert [entry.pck for entry in first.exits] != [entry.pck for entry in second.exits]
    for refused in ("export", "policy"):
        done = greenpose(refused, f"runs/tiny/{second.name}", cwd=tmp_path)
        assert done.code == 2
        assert "test.flip: the run was tested with mirrored images" in done.err
    done = greenpose("retest", f"runs/tiny/{second.name}", "--flip", cwd=tmp_path)
    assert "--flip: runs/tiny" in done.err


def test_a_cache_that_cannot_be_written_costs_time_and_no_run(tmp_path):
    write_grid(tmp_path)
    (tmp_path / "file").touch()
    settings = ("--only", "HRNet2", "--set", "train.epochs=1", "--set", "train.milestones=[]", "--no-report")
    done = greenpose("run", "--grid", "tiny.yaml", *settings, cwd=tmp_path, cache=tmp_path / "file" / "cache")
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "runs" / "tiny").glob("*-*")
    log = (folder / "log.txt").read_text()
    assert "file/cache/synthetic-train-" in log
    assert "cannot be kept (Not a directory); drawn for this run alone" in log


def test_a_setting_that_changes_no_training_is_accounted_and_measured_anew_but_not_trained_again(
    finished, records, tmp_path
):
    write_grid(tmp_path)
    command = ("run", "--grid", "tiny.yaml", "--only", "HRNet3-OKD-DS", "--no-report")
    first = records[1]
    shutil.copytree(finished / "runs/tiny" / first.name, tmp_path / "runs/tiny" / first.name)
    done = greenpose(*command, "--country", "FRA", "--set", "measure.batch=3", cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"differs from {first.name} in accounting, metering or test alone" in done.err
    assert "epoch 1:" not in done.err
    (second,) = (run for run in collect([tmp_path / "runs"]) if run.name != first.name)
    assert (first.trained_in, second.trained_in) == (None, first.name)
    assert second.train_energy_kwh == pytest.approx(first.train_energy_kwh)
    assert second.train_seconds == pytest.approx(first.train_seconds)
    assert second.train_co2eq_g == pytest.approx(second.train_energy_kwh * second.carbon.intensity_g_per_kwh)
    assert second.carbon.country == "FRA"
    assert second.train_co2eq_g < first.train_co2eq_g
    assert (second.epochs, second.stopped, second.gaps) == (first.epochs, first.stopped, [])
    assert first.forecast.epoch == 2
    assert second.forecast == first.forecast
    assert [(entry.ap, entry.best_epoch) for entry in second.exits] == [
        (entry.ap, entry.best_epoch) for entry in first.exits
    ]
    assert second.config["measure"]["batch"] == 3
    tested = {run.name: next(part.windows for part in run.phases if part.name == "test") for run in (first, second)}
    assert tested == {first.name: 1, second.name: 1}
    done = greenpose(*command, "--set", "train.lr=1e-3", "--dry-run", cwd=tmp_path)
    assert "differs from" not in done.err


def test_distillation_that_outweighs_the_labels_is_in_doubt_in_the_record_and_said_once(tmp_path):
    write_grid(tmp_path)
    settings = ("--set", "loss.kd_weight=5e6", "--set", "train.epochs=1", "--set", "train.milestones=[]")
    done = greenpose("run", "--grid", "tiny.yaml", "--only", "HRNet3-OKD-DS", *settings, "--no-report", cwd=tmp_path)
    assert done.code == 0, done.err
    (found,) = collect([tmp_path / "runs"])
    (doubt,) = found.doubts
    assert doubt.startswith("in epoch 1 distillation outweighs the labels ")
    assert done.err.count("distillation outweighs") == 1
