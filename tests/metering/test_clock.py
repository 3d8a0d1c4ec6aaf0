import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from greenpose.metering.cpu_model import CpuClock
from tests.metering.fakes import write

BURN = "import time\nwhile time.process_time() < 0.25: pass\n"


def test_own_work_counts():
    clock = CpuClock()
    before, own = clock(), time.process_time()
    while time.process_time() - own < 0.02:
        pass
    assert clock() - before >= 0.02


def test_sleep_does_not_count():
    clock = CpuClock()
    before = clock()
    time.sleep(0.05)
    assert clock() - before < 0.04


def test_children_count_while_they_run_and_after_they_ended():
    clock = CpuClock()
    before, own = clock(), time.process_time()
    child = subprocess.Popen([sys.executable, "-c", BURN + "input()"], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while clock() - before < 0.2 and time.monotonic() < deadline:
        time.sleep(0.01)
    running = clock()
    assert running - before >= 0.2
    child.communicate(b"\n")
    ended = clock()
    assert ended >= running
    assert ended - before - (time.process_time() - own) >= 0.2


def test_a_quick_reading_finds_a_child_that_has_been_there_for_half_a_second():
    clock = CpuClock()
    before = clock()
    child = subprocess.Popen([sys.executable, "-c", BURN + "input()"], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while clock.quick() - before < 0.2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert clock.quick() - before >= 0.2
    child.communicate(b"\n")


def test_quick_and_thorough_readings_are_of_one_clock():
    clock = CpuClock()
    readings = []
    for _ in range(50):
        readings += [clock(), clock.quick()]
        sum(range(10_000))
    assert readings == sorted(readings)
    assert readings[-1] - readings[0] == pytest.approx(clock() - readings[0], abs=0.02)
    assert readings[1] > readings[0] or readings[3] > readings[1]


def test_a_quick_reading_does_not_look_for_children_soon_after_none_was_found(monkeypatch):
    looks = []
    monkeypatch.setattr("greenpose.metering.cpu_model._has_children", lambda: bool(looks.append(1)))
    clock = CpuClock()
    for _ in range(20):
        clock.quick()
    assert len(looks) == 1


def test_the_clock_never_goes_back_while_workers_come_and_go():
    clock = CpuClock()
    readings = [clock()]
    for _ in range(3):
        worker = multiprocessing.get_context("fork").Process(target=sum, args=(range(300_000),))
        worker.start()
        readings += [clock() for _ in range(5)]
        worker.join()
        readings += [clock() for _ in range(2)]
    assert readings == sorted(readings)


def test_grandchildren_and_children_of_threads_are_found(tmp_path):
    """A child of our second thread (120 ticks) with a child of its own (7 ticks of 10 ms, 3 of them of a dead one)."""
    pid = os.getpid()
    write(
        tmp_path,
        {
            f"{pid}/task/{pid}/children": "",
            f"{pid}/task/77/children": "501 ",
            "501/task/501/children": "502",
            "501/stat": "501 (a (strange) name) S 1 1 1 0 -1 4 9 9 9 9 100 20 0 0 20 0 1 0 77",
            "502/task/502/children": "",
            "502/stat": "502 (b) S 1 1 1 0 -1 4 9 9 9 9 3 1 2 1 20 0 1 0 78",
        },
    )
    found = CpuClock(tmp_path)._running(pid)
    assert {process[0] for process in found} == {501, 502}
    assert sum(found.values()) * os.sysconf("SC_CLK_TCK") == pytest.approx(127)


def test_a_child_that_vanished_while_reading_counts_nothing(tmp_path):
    write(tmp_path, {"9/task/9/children": "501"})
    assert CpuClock(tmp_path)._running(9) == {}


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_clock_made_before_a_fork_goes_on_with_the_childs_own_time():
    clock = CpuClock()
    burn(0.2)
    before = clock()
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)

    def work():
        first = clock.quick()
        burn(0.1)
        second = clock.quick()
        burn(0.1)
        tell.send((first, second, clock(), clock.quick()))

    child = context.Process(target=work)
    child.start()
    first, second, third, fourth = told.recv()
    child.join()
    assert before <= first < before + 0.1
    assert second - first == pytest.approx(0.1, abs=0.03)
    assert third - second == pytest.approx(0.1, abs=0.03)
    assert third <= fourth
    assert clock() >= before + 0.2, "the parent still counts its ended child"


SHELL = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass\\ninput()"])
time.sleep(60)
"""


def test_what_a_child_of_a_killed_shell_used_is_no_debt_of_ours():
    """The shell's child lives on, known to the clock; our own next 0.3 s are counted in full, and its own further."""
    clock = CpuClock()
    before, own = clock(), time.process_time()
    shell = subprocess.Popen([sys.executable, "-c", SHELL], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while clock() - before - (time.process_time() - own) < 0.3 and time.monotonic() < deadline:
        time.sleep(0.02)
    shell.kill()
    shell.wait()
    known, ours = clock(), time.process_time()
    burn(0.3)
    assert clock() - known >= time.process_time() - ours - 0.001
    shell.stdin.close()
    time.sleep(0.2)
    ended = clock()
    burn(0.05)
    assert clock() - ended >= 0.05


def test_an_orphan_that_was_seen_is_followed_to_its_end_and_kept_for_ever(tmp_path):
    """A shell (10 ticks) with a child (200 ticks); the shell is killed, its child goes on to 250 ticks and ends."""
    pid, tick = os.getpid(), 1 / os.sysconf("SC_CLK_TCK")

    def stat(number, ticks, start=7):
        return {f"{number}/stat": f"{number} (x) S 1 1 1 0 -1 4 9 9 9 9 {ticks} 0 0 0 20 0 1 0 {start} 0"}

    here = f"{pid}/task/{pid}/children"
    write(tmp_path, {here: "501", "501/task/501/children": "502"} | stat(501, 10) | stat(502, 200))
    clock = CpuClock(tmp_path)
    clock._children_s = ended = clock._look() - 210 * tick
    assert clock._all_children() - ended == pytest.approx(210 * tick)
    write(tmp_path, {here: ""} | stat(502, 230))
    (tmp_path / "501/stat").unlink()
    assert clock._look() - ended == pytest.approx(230 * tick)
    write(tmp_path, stat(502, 250))
    assert clock._look() - ended == pytest.approx(250 * tick)
    write(tmp_path, stat(502, 3, start=99))
    assert clock._look() - ended == pytest.approx(250 * tick), "another process with the orphan's number"
    assert clock._look() - ended == pytest.approx(250 * tick)


def test_children_that_cannot_be_seen_are_said(tmp_path):
    childless = f"""
import subprocess, sys
from pathlib import Path
from greenpose.metering.cpu_model import CpuClock

clock = CpuClock(Path({str(tmp_path)!r}))
clock()
print(clock.blind)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
clock()
print(clock.blind)
child.communicate(b"\\n")
clock()
print(clock.blind)
"""
    said = subprocess.run([sys.executable, "-c", childless], capture_output=True, text=True, check=True).stdout
    before, beside, after = said.splitlines()
    assert before == after == "None"
    assert beside.startswith(f"{tmp_path}/")
    assert "/task/*/children cannot be read" in beside
