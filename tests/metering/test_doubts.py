""""""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from greenpose.metering import read_windows
from greenpose.metering.doubts import LEAST_S, Pulse
from tests.fakes.meters import TickingClock


def watched():
    clock, cpu = TickingClock(), TickingClock(now=0.0)
    return clock, cpu, Pulse(clock=clock, cpu_clock=cpu)


def test_a_silence_without_cpu_time_is_a_stop():
    clock, cpu, pulse = watched()
    for _ in range(5):
        clock.advance(0.5)
        cpu.advance(0.4)
        assert pulse.stopped_s() == 0
    clock.advance(8)
    assert pulse.stopped_s() == pytest.approx(8)
    clock.advance(1)
    assert pulse.stopped_s() == pytest.approx(8)
    clock.advance(3)
    assert pulse.stopped_s() == pytest.approx(11)


def test_a_silence_in_which_the_process_worked_is_none():
    clock, cpu, pulse = watched()
    clock.advance(8)
    cpu.advance(8)
    assert pulse.stopped_s() == 0


def test_a_pause_shorter_than_a_busy_machine_makes_is_none():
    clock, _, pulse = watched()
    clock.advance(LEAST_S - 0.1)
    assert pulse.stopped_s() == 0


PROGRAM = """
    import sys, time
    import greenpose

    with greenpose.meter(log=sys.argv[1]) as meter:
        with meter.window("before"):
            pass
        with meter.window("train 1") as opened:
            for _ in range(3):
                opened.part("forward")
                print("at work", flush=True)
                time.sleep(0.6)
        with meter.window("after"):
            time.sleep(2.2)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no such signal")
def test_a_process_stopped_by_a_signal_is_charged_none_of_it_and_says_so(tmp_path):
    log = tmp_path / "windows.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), log], stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        time.sleep(2.4)
        os.kill(process.pid, signal.SIGCONT)
        stopped_s = time.monotonic() - began
        assert process.wait(timeout=60) == 0
    windows = {window.name: window for window in read_windows(log)}
    epoch = windows["train 1"]
    assert epoch.doubts["stopped"].startswith("the process was stopped for ")
    said = float(epoch.doubts["stopped"].split(" for ")[1].split()[0])
    assert stopped_s - 0.1 <= said <= stopped_s + 0.7
    assert epoch.seconds < stopped_s
    assert not epoch.sound
    assert not windows["before"].doubts
    assert not windows["after"].doubts, "waiting without CPU time is no stop"
    assert windows["after"].seconds >= 2.2
