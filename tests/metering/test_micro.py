import pytest

from greenpose.errors import MeteringError
from greenpose.metering import Joules, Meter, MicroPlan, measure_pieces
from tests.fakes.meters import BrokenSource, TickingSource, metering


def pieces(clock, **seconds):
    return {name: lambda duration=duration: clock.advance(duration) for name, duration in seconds.items()}


def test_each_piece_costs_what_one_call_draws(clock):
    with metering(clock) as meter:
        found = measure_pieces(pieces(clock, short=0.01, long=0.2), meter, phase="segments")
    assert found.currency == "joules"
    assert found.costs["short"] == pytest.approx([0.1] * found.blocks)
    assert found.costs["long"] == pytest.approx([2.0] * found.blocks)
    assert found.ratio("long", "short") == pytest.approx([20.0] * found.blocks)


def test_a_window_is_as_long_as_asked_and_named_by_its_piece(clock):
    with metering(clock) as meter:
        measure_pieces(pieces(clock, short=0.25), meter, phase="segments", plan=MicroPlan(min_window_seconds=1))
    assert {window.name for window in meter.windows} == {"segments/short"}
    assert all(window.seconds == 1 and window.items == 4 for window in meter.windows)


def test_the_warm_up_block_is_dropped(clock):
    calls = []

    def slow_at_first():
        clock.advance(0.1 if calls else 5.0)
        calls.append(1)

    with metering(clock) as meter:
        found = measure_pieces({"piece": slow_at_first}, meter, phase="s", plan=MicroPlan(max_blocks=4))
    assert found.costs["piece"] == pytest.approx([1.0] * 4)
    assert len(meter.windows) == 5


def test_the_order_inside_a_block_is_drawn_anew(clock):
    with metering(clock) as meter:
        measure_pieces(pieces(clock, a=0.1, b=0.1, c=0.1, d=0.1), meter, phase="s", seed=3)
    names = [window.name for window in meter.windows]
    blocks = [tuple(names[start : start + 4]) for start in range(0, len(names), 4)]
    assert all(sorted(block) == ["s/a", "s/b", "s/c", "s/d"] for block in blocks)
    assert len(set(blocks)) > 3


def test_few_blocks_are_measured_even_when_time_is_up(clock):
    plan = MicroPlan(max_seconds=1, min_blocks=3)
    with metering(clock) as meter:
        assert measure_pieces(pieces(clock, huge=60.0), meter, phase="s", plan=plan).blocks == 3


@pytest.mark.parametrize("period", [None, 0.01])
def test_a_counter_that_is_fast_enough_is_asked(clock, period):
    source = TickingSource(clock, watts=10.0, update_period_s=period)
    with metering(clock, source) as meter:
        found = measure_pieces(pieces(clock, piece=0.01), meter, phase="s")
    assert found.currency == "joules"
    assert all(window.seconds >= 0.999 * 20 * (period or 0) for window in meter.windows)


def test_a_counter_that_is_too_slow_leaves_cpu_time(clock):
    with metering(clock, TickingSource(clock, watts=10.0, update_period_s=0.1)) as meter:
        found = measure_pieces(pieces(clock, piece=0.04), meter, phase="s")
    assert found.currency == "cpu_seconds"
    assert "joules" not in found.series
    assert found.costs["piece"] == pytest.approx([0.02] * found.blocks)


def test_beside_a_gpu_that_cannot_be_read_only_wall_time_says_enough(clock):
    with metering(clock, TickingSource(clock), BrokenSource(clock, good=3, component="gpu")) as meter:
        found = measure_pieces(pieces(clock, piece=0.04), meter, phase="s")
    assert found.currency == "seconds"
    assert found.costs["piece"] == pytest.approx([0.04] * found.blocks)


def test_where_energy_is_a_model_cpu_time_is_compared_and_joules_are_still_there(clock):
    with metering(clock, TickingSource(clock, watts=10.0, kind="modelled")) as meter:
        found = measure_pieces(pieces(clock, piece=0.04), meter, phase="s")
    assert found.currency == "cpu_seconds"
    assert found.costs["piece"] == pytest.approx([0.02] * found.blocks)
    assert found.series["joules"]["piece"] == pytest.approx([0.4] * found.blocks)


def test_a_block_in_which_the_counter_went_back_is_in_no_cost(clock):
    class Falling(TickingSource):
        def read(self):
            joules = super().read()
            return joules if self._clock() < 101 else joules - Joules(1e4, 1e4, 1e4)

    with metering(clock, Falling(clock, watts=10.0)) as meter:
        found = measure_pieces(pieces(clock, short=0.01, long=0.2), meter, phase="segments")
    assert found.currency == "joules"
    assert found.costs["short"] == pytest.approx([0.1] * found.blocks)
    assert found.costs["long"] == pytest.approx([2.0] * found.blocks)
    assert sum(not window.sound for window in meter.windows) == 1


def test_a_clock_that_stands_still_ends_it_in_words_rather_than_never(clock):
    meter = Meter([TickingSource(clock)], clock=lambda: 7.0, cpu_clock=clock)
    with meter, pytest.raises(MeteringError, match="the clock stands still"):
        measure_pieces(pieces(clock, short=0.01), meter, phase="segments")
