import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from greenpose.metering.clock import CpuClock
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
    monkeypatch.setattr("greenpose.metering.clock._has_children", lambda: bool(looks.append(1)))
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
            "501/stat": "501 (a (strange) name) S 1 1 1 0 -1 4 9 9 9 9 100 20 0 0 20 0 1 0",
            "502/task/502/children": "",
            "502/stat": "502 (b) S 1 1 1 0 -1 4 9 9 9 9 3 1 2 1 20 0 1 0",
        },
    )
    assert CpuClock(tmp_path)._running(pid) * os.sysconf("SC_CLK_TCK") == 127


def test_a_child_that_vanished_while_reading_counts_nothing(tmp_path):
    write(tmp_path, {"9/task/9/children": "501"})
    assert CpuClock(tmp_path)._running(9) == 0
