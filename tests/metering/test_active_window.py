""""""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering import read_windows
from tests.fakes.meters import BrokenSource, TickingClock, TickingSource, metering

NAMES = ("data", "forward", "backward", "step")


def parts_of(meter):
    return [window for window in meter.windows if window.parent is not None]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0.001, 0.9)), min_size=1, max_size=20))
def test_the_parts_add_up_to_their_window_and_each_to_its_stretches(stretches):
    clock = TickingClock()
    with metering(clock) as meter, meter.window("epoch") as opened:
        for name, seconds in stretches:
            opened.part(name)
            clock.advance(seconds)
    found = parts_of(meter)
    for name in NAMES:
        mine = [window for window in found if window.name == f"epoch/{name}"]
        assert sum(window.seconds for window in mine) == pytest.approx(sum(s for n, s in stretches if n == name))
        assert sum(window.stretches for window in mine) == sum(n == name for n, _ in stretches)
    assert sum(window.energy.high for window in found) == pytest.approx(opened.result.energy.high)
    assert sum(window.cpu_seconds for window in found) == pytest.approx(opened.result.cpu_seconds)
    assert {window.parent for window in found} == {opened.result.id}


def test_what_lies_before_the_first_part_is_in_the_window_alone(clock):
    with metering(clock) as meter, meter.window("epoch") as opened:
        clock.advance(5)
        opened.part("data")
        clock.advance(1)
    assert [window.seconds for window in parts_of(meter)] == [1]
    assert [window.started_s for window in parts_of(meter)] == [5]
    assert opened.result.seconds == 6


def test_parts_are_on_record_a_second_after_they_began_while_the_window_is_open(clock, tmp_path):
    log = tmp_path / "windows.jsonl"
    with metering(clock, log=log) as meter, meter.window("epoch") as opened:
        for _ in range(5):
            for name in ("forward", "backward"):
                opened.part(name)
                clock.advance(0.2)
        on_record = read_windows(log)
        assert {window.name for window in on_record} == {"epoch/forward", "epoch/backward"}
        assert sum(window.seconds for window in on_record) == pytest.approx(1.0)
    assert sum(w.seconds for w in read_windows(log) if w.parent) == pytest.approx(2.0)


def test_a_boundary_costs_one_reading(clock):
    reads = []
    source = TickingSource(clock)
    original = source.read
    source.read = lambda: (reads.append(1), original())[1]
    with metering(clock, source) as meter, meter.window("epoch") as opened:
        before = len(reads)
        for name in NAMES:
            opened.part(name)
        assert len(reads) - before == len(NAMES)


def test_the_device_is_waited_for_at_every_boundary(clock):
    seen = []
    with metering(clock, synchronize=lambda: seen.append("wait")) as meter, meter.window("epoch") as opened:
        before = len(seen)
        opened.part("forward")
        opened.part("backward")
        assert len(seen) - before == 2


def test_a_component_that_fails_in_one_stretch_is_missing_from_the_part(clock):
    broken = BrokenSource(clock, good=4, component="gpu")
    with metering(clock, TickingSource(clock), broken) as meter, meter.window("epoch") as opened:
        opened.part("forward")
        opened.part("backward")
        opened.part("forward")
    forward, backward = parts_of(meter)
    assert set(backward.joules) == {"cpu"}
    assert set(forward.joules) == {"cpu"}
    assert forward.missing == {"gpu": "the counter is gone"}


def test_a_part_outside_its_window_is_refused(clock):
    with metering(clock) as meter:
        opened = meter.window("epoch")
        with pytest.raises(MeteringError, match="is not open"):
            opened.part("data")
        with opened:
            pass
        with pytest.raises(MeteringError, match="is not open"):
            opened.part("data")
