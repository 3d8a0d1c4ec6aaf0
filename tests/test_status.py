"""How far a grid's runs are is read from their files alone, and what is to come is held to what was spent by hand."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.errors import RecordError
from greenpose.ledger.energy_budget import GridBudget
from greenpose.scheduler import Queue
from greenpose.status import PLAN, RunStatus, status_of, write_plan
from greenpose.store import RunFolder, append_line
from tests.cli.running import greenpose
from tests.fakes.meters import TickingClock, TickingSource, metering

SHIPPED = Path(__file__).parent.parent / "reports/quick"
TRAIN_S, VALIDATE_S, CHECKPOINT_S, WATTS = 10.0, 4.0, 1.0, 2.0
NAMES = ("done-1", "at-work-1", "killed-1", "failed-1", "waits-1")


def configuration(**train):
    recipe = {"epochs": 10, "milestones": [6], "validate_every": 2, **train}
    wiring = {"teach": ["4->2"], "supervise": [2, 4]}
    settings = {
        "name": "e",
        "model": {"exits": [2, 4]},
        "wiring": wiring,
        "train": recipe,
        "carbon": {"country": "ITA"},
    }
    return Experiment.model_validate(settings)


def begun(path, epochs, **train):
    """A run with some epochs behind it, of which each cost the same."""
    folder, config = RunFolder(path), configuration(**train)
    path.mkdir(parents=True)
    cell = {"name": path.name, "grid": "g", "axes": {}, "experiment": config.model_dump(mode="json")}
    folder.write_cell(cell)
    clock = TickingClock()
    with metering(clock, TickingSource(clock, watts=WATTS), log=folder.windows) as meter:
        for number in range(1, epochs + 1):
            for phase, seconds in (("train", TRAIN_S), ("validate", VALIDATE_S), ("checkpoint", CHECKPOINT_S)):
                if phase != "validate" or number % 2 == 0:
                    with meter.window(f"{phase}/epoch {number}", items=100):
                        clock.advance(seconds)
            append_line(folder.epochs, {"epoch": number, "ap": {"4": number / 100} if number % 2 == 0 else {}})
    return folder


@pytest.fixture
def grid(tmp_path):
    """A run in each state, one of them held."""
    root = tmp_path / "runs"
    for name in NAMES[1:4]:
        begun(root / name, {"at-work-1": 6, "killed-1": 2, "failed-1": 2}[name])
    record = min(SHIPPED.glob("*/record.json"))
    (root / "done-1").mkdir()
    shutil.copy(record, root / "done-1/record.json")
    note = {"schema": "greenpose.failure/1", "name": "failed-1", "experiment": "e", "grid": "g", "reason": "failed"}
    note |= {"message": "the disk is full", "phase": "train", "seconds": 1.0, "energy_kwh": 0.1, "at": "2026-01-01"}
    (root / "failed-1/failure.json").write_text(json.dumps(note))
    write_plan(root, "g", dict.fromkeys(NAMES, "e"), Budget(seconds=140.0))
    with RunFolder(root / "at-work-1").claimed():
        yield root


def run_of(found, name) -> RunStatus:
    return next(run for run in found.runs if run.name == name)


def test_each_run_is_said_to_be_what_its_files_say(grid):
    found = status_of(grid)
    assert [run.name for run in found.runs] == list(NAMES)
    assert [run.state for run in found.runs] == ["done", "running", "lost", "failed", "to do"]
    assert list(found.counts) == ["done", "running", "failed", "lost", "to do"]
    at_work = run_of(found, "at-work-1")
    assert (at_work.epoch, at_work.epochs, at_work.ap) == (6, 10, {4: 0.06})
    assert ", process " in at_work.holder
    assert run_of(found, "failed-1").fault == "in train: the disk is full"


def test_what_was_spent_and_what_is_to_come_is_epochs_times_their_cost(grid):
    at_work = run_of(status_of(grid), "at-work-1")
    seconds = 6 * (TRAIN_S + CHECKPOINT_S) + 3 * VALIDATE_S
    whole = 10 * (TRAIN_S + CHECKPOINT_S) + 5 * VALIDATE_S
    assert at_work.spent == pytest.approx({"seconds": seconds, "energy_kwh": seconds * WATTS / 3.6e6})
    assert at_work.expected["seconds"].known == pytest.approx(whole)
    assert at_work.expected["energy_kwh"].known == pytest.approx(whole * WATTS / 3.6e6)
    low, high = at_work.expected["seconds"].type_a
    assert seconds < low < whole < high
    assert (at_work.kind, at_work.factors) == ("measured", pytest.approx((0.5, 2.0)))  # as the fake source reads
    assert at_work.budget_used == pytest.approx({"seconds": seconds / 140})


def test_the_whole_takes_what_each_takes_and_one_that_has_not_begun_what_its_experiments_others_take(tmp_path):
    for number in range(2):
        begun(tmp_path / f"begun-{number}", 4)
    write_plan(tmp_path, "g", {f"{name}-{number}": "e" for name in ("begun", "waits") for number in range(2)}, Budget())
    found = status_of(tmp_path)
    whole = 10 * (TRAIN_S + CHECKPOINT_S) + 5 * VALIDATE_S
    assert found.spent["seconds"] == pytest.approx(2 * (4 * (TRAIN_S + CHECKPOINT_S) + 2 * VALIDATE_S))
    assert found.expected["seconds"].known == pytest.approx(4 * whole)
    assert found.expected["seconds"].unit == "s"


def test_nothing_is_foretold_of_an_experiment_that_nobody_tried_or_of_exits_still_to_join(tmp_path):
    begun(tmp_path / "grows", 2, grow={2: 0.5})
    (run,) = status_of(tmp_path).runs
    assert "train.grow" in run.expected["seconds"].missing
    write_plan(tmp_path, "g", {"grows": "e", "new-1": "new"}, Budget())
    assert status_of(tmp_path).expected["seconds"].missing
    shutil.rmtree(tmp_path / "grows")
    begun(tmp_path / "grows", 6, grow={2: 0.5})
    assert status_of(tmp_path).expected["seconds"].missing == "nothing of new was trained yet"


def test_a_damaged_run_says_so_and_hides_no_other_and_nothing_is_written(grid):
    (grid / "killed-1/config.yaml").write_text("name: [")
    before = {path: path.read_bytes() for path in grid.rglob("*") if path.is_file()}
    found = status_of(grid)
    assert "killed-1" in run_of(found, "killed-1").fault
    assert run_of(found, "at-work-1").epoch == 6
    assert {path: path.read_bytes() for path in grid.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", [None, "no plan", '{"schema": "greenpose.plan/1", "grid": 3}'])
def test_a_folder_without_runs_or_with_a_damaged_plan_is_refused_in_words(tmp_path, content):
    if content is not None:
        (tmp_path / PLAN).write_text(content)
    with pytest.raises(RecordError, match=str(tmp_path)):
        status_of(tmp_path)


def test_the_command_shows_a_line_a_run_and_the_whole_and_the_same_as_one_document(grid):
    shown = greenpose("status", grid, cwd=grid.parent)
    assert shown.code == 0, shown.err
    lines, text = shown.out.splitlines(), shown.out.replace("\u00a0", " ")
    assert [line.split()[0] for line in lines[1:6]] == list(NAMES)
    assert "6/10" in lines[2]
    assert "4: 6" in lines[2]
    assert "5 runs: 1 done, 1 running, 1 failed, 1 lost and 1 to do; training took" in text
    assert "at-work-1: " in text
    assert " Wh (modelled, syst. ×" in text  # as the finished run's is: the worst kind tells
    assert "56 % of its budget of seconds used" in text
    assert "failed-1: in train: the disk is full" in text
    document = greenpose("status", grid, "--json", cwd=grid.parent).json
    found = status_of(grid)
    assert document["counts"] == found.counts
    assert document["runs"][1]["expected"]["seconds"]["value"] == found.runs[1].expected["seconds"].value
    none = greenpose("status", "nowhere", cwd=grid.parent)
    assert (none.code, none.err) == (2, "error: nowhere: there is no such folder; give one of runs, e.g. runs/quick\n")


@pytest.mark.parametrize("limit_kwh", [None, 1.0])
def test_of_very_many_runs_all_is_told_but_the_ap_of_those_that_are_done(grid, limit_kwh):
    budget = GridBudget(root=grid, energy_kwh=limit_kwh) if limit_kwh else Budget()
    write_plan(grid, "g", dict.fromkeys(NAMES, "e"), budget)
    whole = status_of(grid)
    runs = [replace(run, ap={}) if run.state == "done" else run for run in whole.runs]
    assert run_of(whole, "done-1").ap
    assert (run_of(whole, "done-1").used_kwh > 0) == bool(limit_kwh)
    assert status_of(grid, most=len(NAMES) - 1) == replace(whole, runs=tuple(runs))
    assert status_of(grid, most=len(NAMES)) == whole


def test_of_many_runs_a_done_one_is_counted_unless_its_record_is_damaged(grid):
    for number in range(30):
        shutil.copytree(grid / "done-1", grid / f"more-{number}")
        shutil.copy(grid / "killed-1/config.yaml", grid / f"more-{number}")
    (grid / "more-7/record.json").write_text("{")
    shown = greenpose("status", grid, cwd=grid.parent)
    told = {word.rstrip(":") for word in shown.out.split() if word.startswith(("done-", "more-"))}
    assert told == {"more-7"}
    assert "35 runs: 31 done" in shown.out.replace("\u00a0", " ")


def test_watching_ends_when_there_is_nothing_left_to_do(grid):
    write_plan(grid, "g", {"done-1": "e"}, Budget())
    for name in NAMES[1:4]:
        shutil.rmtree(grid / name)
    shown = greenpose("status", grid, "--watch", cwd=grid.parent)
    assert (shown.code, len(shown.out.splitlines())) == (0, 1)
    assert shown.out.startswith("done-1  done  ")


def test_who_looks_again_reads_what_has_changed_and_nothing_else(grid):
    seen = {}
    before = status_of(grid, seen=seen).runs
    assert all(one is other for one, other in zip(before, status_of(grid, seen=seen).runs, strict=True))
    append_line(RunFolder(grid / "at-work-1").epochs, {"epoch": 7, "ap": {"4": 0.5}})
    after = status_of(grid, seen=seen)
    assert [name for name, one, other in zip(NAMES, before, after.runs, strict=True) if one is not other] == [
        "at-work-1"
    ]
    assert (run_of(after, "at-work-1").epoch, run_of(after, "at-work-1").ap) == (7, {4: 0.5})
    assert after.runs == status_of(grid).runs
    (grid / "killed-1/failure.json").write_bytes((grid / "failed-1/failure.json").read_bytes())
    assert run_of(status_of(grid, seen=seen), "killed-1").state == "failed"


def test_who_takes_up_a_run_again_is_seen_at_once(grid):
    seen = {}
    assert run_of(status_of(grid, seen=seen), "killed-1").state == "lost"
    with RunFolder(grid / "killed-1").claimed():
        assert run_of(status_of(grid, seen=seen), "killed-1").state == "running"
    assert run_of(status_of(grid, seen=seen), "killed-1").state == "lost"


def test_what_slurm_is_to_go_on_with_is_not_lost(grid, monkeypatch):
    (grid / "squeue").write_text("#!/bin/sh\necho 7_0\n")
    (grid / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(grid), prepend=":")
    (grid / ".slurm").mkdir()
    for job, state, told in (("7_0", "interrupted", "job 7_0 is to go on with it"), ("7_1", "lost", "")):
        (grid / ".slurm/jobs.json").write_text(json.dumps({"killed-1": job, "done-1": job}))
        monkeypatch.setattr("greenpose.status.queue_of", partial(Queue, every=0))
        found = status_of(grid)
        assert (run_of(found, "killed-1").state, run_of(found, "killed-1").holder) == (state, told)
        assert (run_of(found, "done-1").state, run_of(found, "waits-1").state) == ("done", "to do")


@pytest.mark.parametrize("content", [b"\xff", b"3", b"["])
def test_a_damaged_list_of_jobs_is_told_and_hides_no_run(grid, content):
    (grid / ".slurm").mkdir()
    (grid / ".slurm/jobs.json").write_bytes(content)
    shown = greenpose("status", grid, cwd=grid.parent)
    assert f"{grid}/.slurm/jobs.json: is damaged: it says what jobs are at work on" in shown.out
    assert "5 runs: 1 done, 1 running, 1 failed, 1 lost" in shown.out.replace("\u00a0", " ")
    assert "is damaged" in greenpose("status", grid, "--json", cwd=grid.parent).json["fault"]


def test_runs_that_nobody_wants_any_more_are_left_out_where_only_the_wanted_are_asked_for(grid):
    write_plan(grid, "g", {"at-work-1": "e", "waits-1": "e"}, Budget())
    found = status_of(grid, strays=False)
    assert [run.name for run in found.runs] == ["at-work-1", "waits-1"]
    assert found.spent == run_of(found, "at-work-1").spent
    assert len(status_of(grid).runs) == len(NAMES) - 1  # one has no configuration
