"""Claims of hosts that see one folder: here processes that say to be on other hosts, on a disk without locks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from select import select

import pytest

from greenpose.scheduler import Queue
from greenpose.store import RunFolder, State, claim

SOON = 1.5
"""Seconds after which a silent heart is dead in these tests."""
HOST = """
import errno, fcntl, socket, sys
from pathlib import Path
from greenpose.store import claim
place, host, locks = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "locks"
def flock(*_): raise OSError(errno.ENOLCK, "no locks here")
if not locks: fcntl.flock = flock
socket.gethostname = lambda: host
claim.HEARTBEAT_SECONDS, claim.DEAD_SECONDS = 0.1, {soon}
"""
HOLDER = (
    HOST
    + """
import os
with claim.claimed(place, lost=lambda: print("lost", flush=True)) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""
)
HURRIED = (
    HOST
    + """
import os, time
inside, held, until = place / "inside", 0, time.monotonic() + 60
while held < 20 and time.monotonic() < until:
    with claim.claimed(place) as mine:
        if mine:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails where another one is inside
            held += 1
            inside.unlink()
    time.sleep(0.001)
print(held)
"""
)
WAITING = (
    HOST
    + """
import os, time
until = time.monotonic() + 60
while time.monotonic() < until:
    with claim.claimed(place) as mine:
        if mine:
            print("mine", flush=True)
            sys.stdin.read()
            break
    time.sleep(0.01)
"""
)


@pytest.fixture
def begin():
    """Start a script as on a host of a name, which ends with the test."""
    begun = []

    def begin(script: str, place: Path, host: str, *, locks: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script.format(soon=SOON), str(place), host, "locks" if locks else "none"]
        pipe = subprocess.PIPE
        begun.append(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | {"SLURM_JOB_ID": ""})
        )
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def elsewhere(begin, tmp_path):
    """A process that holds a run's folder on another host."""
    held = begin(HOLDER, tmp_path, "node1")
    assert held.stdout.readline() == "True\n"
    return held


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(claim, "DEAD_SECONDS", SOON)
    monkeypatch.setattr(claim, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(claim, "SKEW_SECONDS", 0.5)


def is_long_silent(place: Path, process: subprocess.Popen[str]) -> None:
    """Let it be long since the heart of a process beat, by the disk's clock, once that is killed or stopped."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    then = (place / ".claim").stat().st_mtime - 10 * SOON
    os.utime(place / ".claim", (then, then))


def is_mine(place: Path) -> bool:
    with claim.claimed(place) as mine:
        return mine


def test_a_claim_says_who_holds_it_and_is_gone_with_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    with claim.claimed(tmp_path) as mine:
        assert mine
        said = json.loads((tmp_path / "running.json").read_text())
        assert said["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert (said["pid"], said["job"]) == (os.getpid(), "7_2")
        assert abs(said["started"] - time.time()) < 24 * 3600
        assert ", job 7_2, since 20" in str(claim.holder_of(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_another_host_is_at_work_on_is_left_to_it(elsewhere, tmp_path):
    assert RunFolder(tmp_path).state() is State.RUNNING
    assert RunFolder(tmp_path).holder().startswith(f"node1, process {elsewhere.pid}, since 20")
    before = (tmp_path / ".claim").stat().st_mtime
    while (tmp_path / ".claim").stat().st_mtime - before <= SOON:
        assert not is_mine(tmp_path)
        time.sleep(0.1)
    elsewhere.communicate("")
    assert list(tmp_path.iterdir()) == []
    assert is_mine(tmp_path)


def test_what_a_host_that_went_down_held_goes_to_one_of_its_rivals(elsewhere, begin, tmp_path):
    os.kill(elsewhere.pid, signal.SIGKILL)
    began = time.monotonic()
    assert claim.is_claimed(tmp_path)
    rivals = [begin(WAITING, tmp_path, f"node{number}") for number in range(2, 6)]
    while (held := claim.holder_of(tmp_path)) is None or held.host == "node1":
        assert time.monotonic() - began < 60
        time.sleep(0.01)
    assert time.monotonic() - began >= SOON - 0.2
    winner = next(rival for rival in rivals if rival.pid == held.pid)
    assert select([winner.stdout], [], [], 60.0)[0]
    time.sleep(0.5)
    assert claim.is_claimed(tmp_path)
    assert claim.holder_of(tmp_path) == held


def test_one_rival_at_a_time_judges_and_breaks_what_the_dead_hold(elsewhere, tmp_path):
    os.kill(elsewhere.pid, signal.SIGKILL)
    is_long_silent(tmp_path, elsewhere)
    with claim._lease(tmp_path, name=".claim.break").acquire():
        assert not is_mine(tmp_path)
    assert is_mine(tmp_path)


def test_rivals_on_many_hosts_without_locks_are_never_two_inside(begin, tmp_path):
    rivals = [begin(HURRIED, tmp_path, f"node{number}") for number in range(3)]
    assert [rival.communicate(timeout=120)[0] for rival in rivals] == ["20\n"] * 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("apart", [-SOON - 0.3, SOON + 0.3], ids=["behind", "ahead"])
def test_clocks_that_are_apart_take_nothing_from_the_living(elsewhere, tmp_path, monkeypatch, apart):
    monkeypatch.setattr(claim, "SKEW_SECONDS", SOON + 1)
    monkeypatch.setattr(claim, "time", lambda: time.time() + apart)
    before = (tmp_path / ".claim").stat().st_mtime
    while (tmp_path / ".claim").stat().st_mtime - before <= SOON:
        assert claim.is_claimed(tmp_path)
        assert not is_mine(tmp_path)
        time.sleep(0.1)
    assert elsewhere.poll() is None


def test_the_silence_of_a_heart_is_told_by_the_disk_whatever_the_hosts_clock_says(elsewhere, tmp_path, monkeypatch):
    os.kill(elsewhere.pid, signal.SIGSTOP)
    time.sleep(0.3)
    monkeypatch.setattr(claim, "time", lambda: time.time() + 1e6)
    assert not claim.is_claimed(tmp_path)  # who only looks has its own clock alone
    assert not is_mine(tmp_path)


def test_a_holder_that_was_taken_for_dead_is_told_and_leaves_the_new_one_alone(elsewhere, tmp_path):
    os.kill(elsewhere.pid, signal.SIGSTOP)
    is_long_silent(tmp_path, elsewhere)
    with claim.claimed(tmp_path) as mine:
        assert mine
        os.kill(elsewhere.pid, signal.SIGCONT)
        assert select([elsewhere.stdout], [], [], 60.0)[0]
        assert elsewhere.communicate("", timeout=60)[0] == "lost\n"
        assert claim.is_claimed(tmp_path)
        assert (tmp_path / ".claim").exists()
    assert not claim.is_claimed(tmp_path)


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no-locks"])
def test_on_one_host_the_killed_are_dead_at_once_and_the_stopped_alive_for_ever(begin, tmp_path, locks):
    holder = begin(HOLDER, tmp_path, socket.gethostname(), locks=locks)
    assert holder.stdout.readline() == "True\n"
    os.kill(holder.pid, signal.SIGSTOP)
    is_long_silent(tmp_path, holder)
    assert claim.is_claimed(tmp_path)
    assert not is_mine(tmp_path)
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert not claim.is_claimed(tmp_path)
    assert is_mine(tmp_path)


def test_what_was_held_before_this_host_was_started_again_is_free(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    assert claim.is_claimed(tmp_path)
    note = json.loads((tmp_path / "running.json").read_text())
    (tmp_path / "running.json").write_text(json.dumps(note | {"boot": "an earlier one"}))
    assert not claim.is_claimed(tmp_path)
    assert elsewhere.poll() is None


@pytest.mark.parametrize(
    ("squeue", "dead"),
    [("echo 7_0; echo 7_1", False), ("echo 7_0", True), ("echo no contact >&2; exit 1", False), (None, True)],
    ids=["it has the job", "it has not", "it does not answer", "there is none"],
)
def test_a_silent_job_is_dead_once_slurm_does_not_have_it(elsewhere, tmp_path, monkeypatch, squeue, dead):
    os.kill(elsewhere.pid, signal.SIGKILL)
    place = tmp_path / "bin"
    place.mkdir()
    if squeue:
        (place / "squeue").write_text(f"#!/bin/sh\n{squeue}\n")
        (place / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr(claim, "queue_of", Queue)
    note = json.loads((tmp_path / "running.json").read_text())
    (tmp_path / "running.json").write_text(json.dumps(note | {"job": "7_1"}))
    is_long_silent(tmp_path, elsewhere)
    assert claim.is_claimed(tmp_path) is not dead
    assert is_mine(tmp_path) is dead


def test_who_held_it_before_says_nothing_of_who_holds_it_now(elsewhere, tmp_path):
    note = json.loads((tmp_path / "running.json").read_text())
    gone = {
        "host": socket.gethostname(),
        "namespace": Path("/proc/self/ns/pid").stat().st_ino,
        "boot": "an earlier one",
    }
    (tmp_path / "running.json").write_text(json.dumps(note | gone | {"token": "of an earlier lease"}))
    assert claim.is_claimed(tmp_path)
    assert elsewhere.poll() is None


@pytest.mark.parametrize("note", ["{", '{"host": 1, "pid": "x", "since": "then"}'])
def test_where_nobody_says_who_it_is_the_heart_alone_tells(elsewhere, tmp_path, note):
    (tmp_path / "running.json").write_text(note)
    assert claim.holder_of(tmp_path) is None
    assert claim.is_claimed(tmp_path)
    os.kill(elsewhere.pid, signal.SIGKILL)
    is_long_silent(tmp_path, elsewhere)
    assert not claim.is_claimed(tmp_path)
    assert is_mine(tmp_path)
