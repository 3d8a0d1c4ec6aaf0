""""""

import gc
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering.sources.counters import Periodic, WrappingCounter
from tests.fakes.meters import RANGE_UJ, TickingClock


class Register:
    """A hardware counter: all that was ever drawn, modulo its range."""

    def __init__(self, drawn_uj: int = 0, *, range_uj: int = RANGE_UJ):
        self.drawn_uj = drawn_uj
        self.range_uj = range_uj

    def __call__(self) -> str:
        return f"{self.drawn_uj % self.range_uj}\n"


def count(register, clock=None, *, watts=1000.0):
    return WrappingCounter(
        "package-0",
        register,
        range_uj=register.range_uj,
        largest_watts=watts,
        clock=clock or TickingClock(),
    )


@given(st.integers(0, 10 * RANGE_UJ), st.lists(st.integers(0, RANGE_UJ - 1)))
def test_the_sum_is_what_was_drawn_however_often_the_counter_wraps(start, draws):
    clock, register = TickingClock(), Register(start)
    counter = count(register, clock, watts=RANGE_UJ / 1e6)
    for draw in draws:
        register.drawn_uj += draw
        # The time that so much takes at the largest power, a little less than what fills the counter.
        clock.advance(min(draw / RANGE_UJ, 0.999))
        counter.microjoules()
    assert counter.microjoules() == sum(draws)


def test_reading_starts_at_zero_and_reading_twice_adds_nothing():
    counter = count(Register(123_456))
    assert [counter.microjoules(), counter.microjoules()] == [0, 0]


def test_silence_in_which_it_may_have_wrapped_twice_is_refused_for_good():
    clock, register = TickingClock(), Register()
    counter = count(register, clock)
    assert counter.horizon_s == pytest.approx(262.143, rel=1e-3)
    clock.advance(counter.horizon_s - 1)
    counter.microjoules()
    clock.advance(counter.horizon_s + 1)
    with pytest.raises(MeteringError, match=r"not read for 263 s.*at least every 262 s"):
        counter.microjoules()
    clock.advance(1)
    with pytest.raises(MeteringError, match="not read for 263 s"):
        counter.microjoules()


def test_a_fall_that_no_power_explains_is_a_reset_and_refused_for_good():
    clock, register = TickingClock(), Register(200_000_000_000)
    counter = count(register, clock)
    clock.advance(10)
    register.drawn_uj = 5
    with pytest.raises(MeteringError, match=r"package-0: fell from 200000000000 to 5.*reset"):
        counter.microjoules()
    with pytest.raises(MeteringError, match="reset"):
        counter.microjoules()


def test_a_wrap_within_moments_is_no_reset():
    register = Register(RANGE_UJ - 1000)
    counter = count(register)
    register.drawn_uj += 5000
    assert counter.microjoules() == 5000


@pytest.mark.parametrize("fault", [OSError(19, "No such device"), ValueError("nonsense")])
def test_a_failure_passes_and_loses_nothing(fault):
    register = Register()
    failing = []

    def read():
        if failing:
            raise fault
        return register()

    read.range_uj = RANGE_UJ
    counter = count(read)
    failing.append(True)
    register.drawn_uj = 700
    with pytest.raises(MeteringError, match="package-0: the counter cannot be read"):
        counter.microjoules()
    failing.clear()
    assert counter.microjoules() == 700


def test_text_that_is_no_number_is_a_counter_that_cannot_be_read():
    with pytest.raises(MeteringError, match="package-0"):
        WrappingCounter("package-0", lambda: "", range_uj=1, largest_watts=1.0, clock=TickingClock())


PATIENCE_S = 10.0


class Pulse:
    """Something that beats."""

    def __init__(self):
        self.count = 0
        self.beaten = threading.Event()
        self.beat = Periodic(self.strike, period_s=0.001)

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
