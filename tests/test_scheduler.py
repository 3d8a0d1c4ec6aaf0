"""Slurm's queue, asked by one process for all that look at a grid's runs; what it says is held against a fake one."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from greenpose.config.accounting import Budget
from greenpose.grid import write_down
from greenpose.scheduler import Queue, in_a_line
from greenpose.status import write_plan
from greenpose.store import RunFolder
from tests.fakes.cells import asked, fake_squeue, planned


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a `squeue` on the PATH, which has the jobs of `queue`."""
    fake_squeue(tmp_path, monkeypatch)
    return tmp_path


def test_slurm_is_asked_for_all_jobs_together_and_no_more_often_than_is_said(place):
    seconds = [0.0]
    queue = Queue(place / "runs", clock=lambda: seconds[0])
    (place / "queue").write_text("7_0\n7_1\n")
    for at, gone, times in ((0.0, set(), 1), (29.0, set(), 1), (30.0, {"7_2"}, 2), (59.0, {"7_2"}, 2)):
        seconds[0] = at
        assert queue.gone({"7_0", "7_1", "7_2"}) == gone
        assert asked(place) == times


def expired(place):
    """Let what Slurm said last be half a minute old."""
    file = place / "runs/.slurm/queue.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"at": said["at"] - 30}))


def test_processes_on_all_hosts_whatever_their_clocks_ask_slurm_once_for_one_another(place, monkeypatch):
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/jobs.json").write_text('{"A-1": "7_0", "B-1": "7_1"}')
    (place / "queue").write_text("7_0\n")
    (one,) = planned(place / "runs", "A")
    write_plan(place / "runs", "g", {"A-1": "A", "B-1": "B"}, Budget())
    for name in ("A-1", "B-1"):
        write_down(replace(one, folder=RunFolder(place / "runs" / name)))
        (place / "runs" / name / "windows.jsonl").touch()
    assert Queue(place / "runs").kept({"7_0", "7_1"}) == {"7_0"}
    looks = [sys.executable, "-m", "greenpose", "status", str(place / "runs"), "--json"]
    document = json.loads(subprocess.run(looks, check=True, capture_output=True).stdout)
    assert [run["state"] for run in document["runs"]] == ["interrupted", "lost"]
    for apart in (-300.0, 300.0):
        monkeypatch.setattr("time.time", lambda apart=apart: time.time_ns() / 1e9 + apart)
        assert [Queue(place / "runs").keeps(job) for job in ("7_0", "7_1")] == [True, False]
    assert asked(place) == 1
    expired(place)
    with ThreadPoolExecutor(20) as pool:  # what has made the file that must not be there yet asks, and no other
        [*pool.map(lambda _: Queue(place / "runs").gone({"7_0"}), range(100))]
    assert asked(place) == 2


def test_an_answer_from_before_jobs_were_submitted_says_nothing_of_them(place):
    (place / "runs/.slurm").mkdir(parents=True)
    assert not Queue(place / "runs").keeps("7_0")
    (place / "runs/.slurm/jobs.json").write_text('{"A-1": "7_0"}')
    queue = Queue(place / "runs")
    assert (queue.keeps("7_0"), queue.kept({"7_0"}), queue.gone({"7_0"})) == (True, {"7_0"}, set())
    assert asked(place) == 1


def test_whose_folder_it_is_is_asked_for_and_another_ones_answer_is_not_taken_for_his(place, monkeypatch):
    (place / "squeue").write_text(f"#!/bin/sh\necho asked $* >> {place}/asked\n")
    (place / "runs/.slurm").mkdir(parents=True)
    mine = (place / "runs").stat().st_uid
    for user in (mine, mine + 1, mine):
        monkeypatch.setattr("os.getuid", lambda user=user: user)
        Queue(place / "runs").keeps("7_0")
    assert [line.split("--user=")[1] for line in (place / "asked").read_text().splitlines()] == [
        f"{mine}",
        f"{mine},{mine + 1}",
    ]


@pytest.mark.parametrize("left", ["{", "[]", '{"at": "x", "users": [], "jobs": []}'])
def test_where_the_answer_is_damaged_or_cannot_be_written_each_process_asks_for_itself(place, left, monkeypatch):
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/queue.json").write_text(left)
    (place / "queue").write_text("7_0\n")
    assert Queue(place / "runs").keeps("7_0")
    monkeypatch.setattr("pathlib.Path.touch", lambda *_, **__: os.open(place / "no/where", os.O_RDONLY))
    queue = Queue(place / "runs")
    assert [queue.keeps(job) for job in ("7_0", "7_1")] == [True, False]
    assert asked(place) == 2


def test_who_died_while_it_asked_is_not_waited_for_for_ever(place):
    (place / "runs/.slurm").mkdir(parents=True)
    turn = place / "runs/.slurm/queue.turn"
    turn.touch()
    seconds = [0.0]
    queue = Queue(place / "runs", clock=lambda: seconds[0])
    assert (queue.keeps("7_0"), asked(place)) == (True, 0)
    os.utime(turn, (time.time() - 400,) * 2)
    for seconds[0] in (1.0, 2.0):
        queue.keeps("7_0")
    assert (queue.keeps("7_0"), asked(place), turn.exists()) == (False, 1, False)


def test_slurms_words_fit_into_a_line():
    assert in_a_line("sbatch: error: a\n\nsbatch: error: b\nsbatch: error: a\n") == "a; b"
    assert in_a_line("squeue: no such thing") == "squeue: no such thing"
