"""Whatever ends a block, its window is on record: exceptions, Ctrl-C, a polite request to stop, an impolite one."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from greenpose.metering import read_windows
from tests.fakes.meters import TickingClock, metering


@pytest.mark.parametrize("ending", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_is_raised_all_open_windows_are_recorded_and_it_goes_on(ending, tmp_path):
    clock, log = TickingClock(), tmp_path / "windows.jsonl"
    meter = metering(clock, log=log)

    def work():
        with meter, meter.window("outer") as outer:
            outer.part("work")
            with meter.window("inner"):
                clock.advance(0.5)
                raise ending

    with pytest.raises(ending):
        work()
    found = [(window.name, window.ok, window.seconds) for window in read_windows(log)]
    assert found == [("inner", False, 0.5), ("outer/work", True, 0.5), ("outer", False, 0.5)]
    assert meter.windows == read_windows(log)
    assert meter.total.seconds == 0.5


PROGRAM = """
    import signal, sys, time
    import greenpose

    def stop(number, frame):
        raise KeyboardInterrupt

    if sys.argv[2] == "handled":
        signal.signal(signal.SIGTERM, stop)
    with greenpose.meter(log=sys.argv[1]) as meter, meter.window("outer") as outer:
        for number in range(10**6):
            outer.part("work")
            with meter.window(f"inner {number}"):
                time.sleep(0.002)
            print(number, flush=True)
"""


def stopped(log, how, number):
    """Return the exit code of a metered program that is sent a signal, and which windows it had said to be closed."""
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), log, how]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.readline()
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    return process.returncode, (first + said).split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("again", range(3))
def test_a_request_to_stop_leaves_the_open_window_on_record_too(tmp_path, number, again):
    log = tmp_path / "windows.jsonl"
    _, said = stopped(log, "handled", number)
    windows = {window.name: window for window in read_windows(log)}
    assert {f"inner {int(which)}" for which in said} <= set(windows)
    assert not windows["outer"].ok
    assert windows["outer/work"].parent == windows["outer"].id
    assert sum(w.seconds for name, w in windows.items() if name.startswith("inner")) <= windows["outer"].seconds


def test_a_request_that_nobody_hears_costs_the_open_window_alone(tmp_path):
    log = tmp_path / "windows.jsonl"
    code, said = stopped(log, "not handled", signal.SIGTERM)
    assert code == -signal.SIGTERM
    names = {window.name for window in read_windows(log)}
    assert {f"inner {int(which)}" for which in said} <= names
    assert "outer" not in names
    for line in log.read_bytes().splitlines():
        json.loads(line)
