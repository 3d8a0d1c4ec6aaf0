import gc
import threading
import time

import pytest

from greenpose.metering.counters import Beat

PATIENCE_S = 10.0


class Pulse:
    """Something that beats."""

    def __init__(self):
        self.count = 0
        self.beaten = threading.Event()
        self.beat = Beat(self.strike, period_s=0.001)

    def strike(self):
        self.count += 1
        self.beaten.set()


@pytest.fixture
def beating():
    """Returns the threads that were started since."""
    before = set(threading.enumerate())
    return lambda: set(threading.enumerate()) - before


def test_it_beats_from_start_to_stop_and_once_only(beating):
    pulse = Pulse()
    assert not beating()
    pulse.beat.start()
    pulse.beat.start()
    assert len(beating()) == 1
    assert pulse.beaten.wait(PATIENCE_S)
    pulse.beat.stop()
    assert not beating()


def test_once_stopped_it_does_not_start_again(beating):
    pulse = Pulse()
    pulse.beat.stop()
    pulse.beat.start()
    assert not beating()


def test_it_ends_with_its_owner(beating):
    pulse = Pulse()
    pulse.beat.start()
    assert pulse.beaten.wait(PATIENCE_S)
    del pulse
    gc.collect()
    end = time.monotonic() + PATIENCE_S
    while beating() and time.monotonic() < end:
        time.sleep(0.001)
    assert not beating()


def test_it_does_not_keep_the_interpreter_from_ending(beating):
    pulse = Pulse()
    pulse.beat.start()
    assert all(thread.daemon for thread in beating())
    pulse.beat.stop()
