import math
import random
from pathlib import Path

import pytest

from greenpose.errors import MeteringError
from greenpose.metering import Joules, Meter, MeterSurroundings, Plan, measure_exits, measure_in_turns
from greenpose.metering.interference import LoadMonitor
from tests.fakes.meters import BrokenSource, TickingClock, TickingSource, kernel, stat, unwatched, write

PLAN = Plan(min_window_seconds=1.0, max_blocks=12, max_seconds=1e6)


class Bench:
    """A fake machine: calls take seconds, everything idles at 10 W, and exit k draws k x 10 W on top."""

    def __init__(self, *, noise=0.0, drift=0.0, watts=10.0, root=None, between_runs=0.0, **details):
        self.clock = TickingClock()
        self.cpu = TickingClock()
        self.dynamic = TickingClock(now=0.0)
        self.log = []
        self.random = random.Random(5)
        self.noise = noise
        self.drift = drift
        self.between_runs = between_runs
        source = TickingSource(lambda: self.clock.now + self.dynamic.now, watts=watts, **details)
        self.sources = [source]
        self.load = LoadMonitor(root / "proc/stat" if root else Path("/nowhere"), clock=self.clock)

    def runner(self, number, seconds):
        def run():
            self.log.append(number)
            took = seconds * (1 + self.noise * self.random.uniform(-1, 1)) * (1 + self.drift * (self.clock.now - 100))
            self.clock.advance(took)
            self.cpu.advance(took / 2)
            self.dynamic.advance(took * number)

        return run

    def measure(self, seconds, *, plan=PLAN, items_per_call=4, seed=0, **listening):
        self.meter = Meter(
            self.sources,
            clock=self.clock,
            cpu_clock=self.cpu,
            surroundings=MeterSurroundings(load=self.load, between_runs=self.between_runs),
        )
        runners = {number: self.runner(number, each) for number, each in seconds.items()}
        with self.meter:
            return measure_exits(
                runners,
                self.meter,
                items_per_call=items_per_call,
                plan=plan,
                seed=seed,
                sleep=self.clock.advance,
                **listening,
            )


@pytest.fixture
def bench():
    return Bench()


def test_costs_are_per_item(bench):
    """Exit 1: 0.25 s a call of 4 items at 20 W; exit 2: 0.5 s at 30 W; half the time is CPU time."""
    found = bench.measure({1: 0.25, 2: 0.5})
    assert found[1].latency_s.value == pytest.approx(0.0625)
    assert found[1].latency_p95_s.value == pytest.approx(0.0625)
    assert found[1].cpu_s_per_item.value == pytest.approx(0.03125)
    assert found[1].energy_j_per_item.value == pytest.approx(0.0625 * 20)
    assert found[2].energy_j_per_item.value == pytest.approx(0.125 * 30)


def test_the_95th_percentile_is_over_all_calls_of_all_blocks(bench):
    """Every 20th call takes a second, the others a hundredth: 5 % slow ones, so the 95th percentile is still quick."""
    plan = Plan(min_window_seconds=1.9, max_blocks=6, max_seconds=1e6, rel_ci=1e-9)
    quick, slow, calls = bench.runner(1, 0.01), bench.runner(1, 1.0), [0]

    def call(every):
        calls[0] += 1
        (slow if calls[0] % every == 0 else quick)()

    def p95(every):
        bench.runner = lambda *_: lambda: call(every)
        return bench.measure({1: 0.0}, plan=plan, items_per_call=1)[1].latency_p95_s.value

    assert p95(40) == pytest.approx(0.01)
    assert p95(10) == pytest.approx(1.0)


def test_a_call_is_over_when_the_device_has_finished(bench):
    """The call only queues work of a quarter of a second; waiting for the device takes that time."""
    queued = [0.0]

    def wait():
        bench.clock.advance(queued[0])
        queued[0] = 0.0

    def call():
        queued[0] += 0.25

    meter = Meter([], clock=bench.clock, cpu_clock=bench.cpu, synchronize=wait, surroundings=unwatched())
    with meter:
        found = measure_exits({1: call}, meter, items_per_call=1, plan=PLAN, sleep=bench.clock.advance)
    assert found[1].latency_s.value == pytest.approx(0.25)
    assert found[1].latency_p95_s.value == pytest.approx(0.25)


def test_net_energy_leaves_out_what_the_idle_machine_draws(bench):
    found = bench.measure({1: 0.25, 2: 0.5})
    assert found[1].idle_watts == pytest.approx(10)
    assert found[1].net_energy_j_per_item.value == pytest.approx(0.0625 * 10)
    assert found[2].net_energy_j_per_item.value == pytest.approx(0.125 * 20)


def test_systematic_error_is_kept_apart_and_comes_from_the_outer_ledgers(bench):
    gross = bench.measure({1: 0.25})[1].energy_j_per_item
    assert gross.type_b == pytest.approx((gross.value / 2, gross.value * 2))
    assert gross.type_a == pytest.approx((gross.value, gross.value))


def test_ratios_are_to_the_deepest_exit(bench):
    found = bench.measure({1: 0.25, 2: 0.5})
    assert {name: ratio.value for name, ratio in found[1].ratios.items()} == pytest.approx(
        {"latency_s": 0.5, "cpu_s_per_item": 0.5, "energy_j_per_item": 0.5 * 20 / 30}
    )
    assert all(ratio.value == 1 for ratio in found[2].ratios.values())


def test_drift_cancels_in_ratios():
    """The machine becomes three times slower during the measurement: costs spread widely, ratios hardly."""
    plan = Plan(min_window_seconds=1.0, max_blocks=20, max_seconds=1e6)
    found = Bench(drift=0.03).measure({1: 0.25, 2: 0.5}, plan=plan)
    assert found[1].latency_s.relative_half_width > 0.15
    assert found[1].ratios["latency_s"].relative_half_width < 0.06
    assert found[1].ratios["latency_s"].value == pytest.approx(0.5, rel=0.06)


def test_calls_are_repeated_until_the_window_is_long_enough(bench):
    bench.measure({1: 0.25})
    windows = [window for window in bench.meter.windows if window.name == "inference exit 1"]
    assert {window.seconds for window in windows} == {1.0}
    assert {window.items for window in windows} == {16}


def test_a_slow_counter_lengthens_the_windows():
    bench = Bench(update_period_s=0.1)
    found = bench.measure({1: 0.25})
    assert found[1].window_seconds == pytest.approx(2.0)


@pytest.mark.parametrize(("exits", "seconds"), [(1, 3.0), (2, 2.0), (3, 1.0), (4, 1.0)])
def test_the_idle_window_fills_a_block_up_to_four_windows(bench, exits, seconds):
    bench.measure(dict.fromkeys(range(1, exits + 1), 0.25))
    assert {window.seconds for window in bench.meter.windows if window.name == "inference idle"} == {seconds}


def test_the_warm_up_takes_nothing_of_the_time(bench):
    """A block of one exit lasts four seconds; the third begins in the ninth."""
    found = bench.measure({1: 0.25}, plan=Plan(min_window_seconds=1.0, max_seconds=8.5, rel_ci=1e-9))
    assert found[1].blocks == 3


def test_every_block_holds_each_exit_once_and_an_idle_window_and_the_first_is_dropped(bench):
    found = bench.measure({1: 0.25, 2: 0.5, 4: 1.0})
    names = [window.name for window in bench.meter.windows]
    assert len(names) % 4 == 0
    blocks = [names[start : start + 4] for start in range(0, len(names), 4)]
    assert {tuple(sorted(block)) for block in blocks} == {
        ("inference exit 1", "inference exit 2", "inference exit 4", "inference idle")
    }
    assert found[1].blocks == len(blocks) - 1


def test_the_order_is_drawn_anew_for_each_block_and_repeats_with_the_seed():
    def order(seed):
        bench = Bench(noise=0.5)
        bench.measure({1: 0.25, 2: 0.5, 3: 0.7}, seed=seed)
        return [window.name for window in bench.meter.windows]

    names = order(1)
    assert len({tuple(names[start : start + 4]) for start in range(0, len(names), 4)}) > 2
    assert order(1) == names
    assert order(2) != names


def test_a_steady_machine_needs_six_blocks(bench):
    found = bench.measure({1: 0.25, 2: 0.5})
    assert found[1].blocks == 6
    assert found[1].converged
    assert found[1].warnings == ()


@pytest.mark.parametrize(("against", "known"), [(1, True), (-1, False)])
def test_the_ratio_of_exits_has_to_be_known_as_well(bench, against, known):
    """Each exit's cost is known to 4 %; where they move against one another, their ratio only to 8 %."""
    signs = [0, 1, -1, -1, 1, 1, -1]
    blocks = {1: iter(signs), 2: iter(signs)}

    def runner(number, seconds):
        def run():
            took = seconds * (1 + 0.04 * next(blocks[number]) * (against if number == 2 else 1))
            bench.clock.advance(took)
            bench.dynamic.advance(took)

        return run

    bench.runner = runner
    plan = Plan(min_window_seconds=0.5, max_blocks=6, max_seconds=1e6)
    found = bench.measure({1: 1.0, 2: 2.0}, plan=plan)
    assert found[1].energy_j_per_item.relative_half_width < 0.05
    assert found[2].energy_j_per_item.relative_half_width < 0.05
    assert found[1].converged is known


def test_a_noisy_machine_stops_at_the_limit_and_says_so():
    plan = Plan(min_window_seconds=0.1, max_blocks=5, rel_ci=0.001, max_seconds=1e6)
    found = Bench(noise=0.5).measure({1: 0.25, 2: 0.5}, plan=plan)
    assert found[1].blocks == 5
    assert not found[1].converged
    assert found[1].agreement > 0.001
    assert "5 blocks do not agree to within" in found[1].warnings[0]
    assert "more blocks" in found[1].warnings[0]


def test_whoever_listens_hears_of_every_block_and_how_well_things_are_known():
    heard = []
    plan = Plan(min_window_seconds=0.1, max_blocks=7, rel_ci=1e-9, max_seconds=1e6)
    Bench(noise=0.5).measure({1: 0.25, 2: 0.5}, plan=plan, on_progress=lambda *said: heard.append(said))
    assert [blocks for blocks, _ in heard] == [0, 1, 2, 3, 4, 5, 6, 7]
    widths = [width for _, width in heard]
    assert widths[:2] == [math.inf, math.inf]
    assert all(0 < width < math.inf for width in widths[2:])
    assert len(set(widths[1:])) == 7


def test_time_limits_the_blocks_but_one_is_always_measured(bench):
    plan = Plan(min_window_seconds=1.0, max_seconds=0.5)
    found = bench.measure({1: 0.25}, plan=plan)
    assert found[1].blocks == 1
    assert found[1].energy_j_per_item.type_a is None
    assert found[1].latency_p95_s.type_a is None
    assert not found[1].converged
    assert found[1].agreement is None
    assert found[1].warnings == ("a single block has no interval: allow more blocks",)


def test_a_model_that_is_not_affine_has_no_net_energy():
    found = Bench(affine=False).measure({1: 0.25})
    assert found[1].net_energy_j_per_item is None
    assert "not affine" in found[1].missing["net_energy_j_per_item"]
    assert found[1].energy_j_per_item is not None


def test_without_sources_there_are_times_and_no_energy(bench):
    bench.sources = []
    found = bench.measure({1: 0.25, 2: 0.5})
    assert found[1].energy_j_per_item is None
    assert found[1].idle_watts is None
    assert "no component" in found[1].missing["energy_j_per_item"]
    assert set(found[1].ratios) == {"latency_s", "cpu_s_per_item"}
    assert found[1].converged


def test_a_counter_that_fails_half_way_leaves_no_energy_but_its_reason(bench):
    bench.sources = [BrokenSource(bench.clock, good=9)]
    found = bench.measure({1: 0.25, 2: 0.5})
    assert found[1].energy_j_per_item is None
    assert found[1].missing["energy_j_per_item"] == "the counter is gone"


def test_a_counter_with_coarse_steps_is_warned_of():
    found = Bench(resolution_j=1.0).measure({1: 0.25})
    assert found[1].resolution_share == pytest.approx(1 / 20)
    assert "lengthen the windows" in found[1].warnings[0]


def test_neighbours_are_warned_of(tmp_path):
    root = kernel(tmp_path)
    bench = Bench(root=root)
    ticks = [0]
    run = bench.runner(1, 0.25)

    def busy():
        run()
        ticks[0] += 25
        write(root, {"proc/stat": stat(user=ticks[0], idle=ticks[0])})

    bench.runner = lambda *_: busy
    found = bench.measure({1: 0.25})
    assert found[1].foreign_cpu_share == pytest.approx(0.25)
    assert found[1].steal_share == 0
    assert "other processes used 25%" in found[1].warnings[0]


@pytest.mark.parametrize(("runners", "items"), [({}, 1), ({1: print}, 0), ({0: print}, 1)])
def test_nothing_to_measure_is_refused(bench, runners, items):
    with Meter([]) as meter, pytest.raises(MeteringError, match="inference"):
        measure_exits(runners, meter, items_per_call=items)


def turns(bench, seconds, *, reference):
    """Measure calls by their names; a call's number, and with it its power, is its place among them."""
    meter = Meter(
        bench.sources, clock=bench.clock, cpu_clock=bench.cpu, surroundings=MeterSurroundings(load=bench.load)
    )
    runners = {name: bench.runner(number, each) for number, (name, each) in enumerate(seconds.items(), start=1)}
    with meter:
        found = measure_in_turns(
            runners, meter, reference=reference, items_per_call=4, plan=PLAN, sleep=bench.clock.advance
        )
    return found, meter


def test_whatever_has_a_name_takes_turns_and_is_held_against_the_one_that_is_named(bench):
    """The reference is the cheapest here, and stands in the middle: 0.25 s at 30 W; the last is 0.5 s at 40 W."""
    found, meter = turns(
        bench, {"torch exit 4": 0.5, "exit3.onnx": 0.25, "exit3-int8.onnx": 0.5}, reference="exit3.onnx"
    )
    assert list(found) == ["torch exit 4", "exit3.onnx", "exit3-int8.onnx"]
    assert found["exit3-int8.onnx"].ratios["latency_s"].value == pytest.approx(2)
    assert found["exit3-int8.onnx"].ratios["energy_j_per_item"].value == pytest.approx(2 * 40 / 30)
    assert found["exit3.onnx"].ratios["cpu_s_per_item"].value == 1
    assert {window.name for window in meter.windows} == {"inference idle"} | {f"inference {name}" for name in found}


def test_without_a_reference_there_are_costs_and_no_ratios(bench):
    found, _ = turns(bench, {"a.onnx": 0.25, "b.onnx": 0.5}, reference=None)
    assert [each.ratios for each in found.values()] == [{}, {}]
    assert found["b.onnx"].energy_j_per_item.value == pytest.approx(0.125 * 30)
    assert found["a.onnx"].converged


def test_each_one_may_have_a_reference_of_its_own(bench):
    """Watts are 10 more from place to place: 0.5 s at 20 W, 0.25 s at 30 W, 0.1 s at 40 W."""
    names = {"exit 4": 0.5, "exit 4 in bf16": 0.25, "exit 3": 0.1}
    found, _ = turns(bench, names, reference={"exit 4 in bf16": "exit 4", "exit 3": "exit 4 in bf16"})
    assert found["exit 4"].ratios == {}
    assert found["exit 4 in bf16"].ratios["energy_j_per_item"].value == pytest.approx(0.5 * 30 / 20)
    assert found["exit 3"].ratios["latency_s"].value == pytest.approx(0.4)


def test_nothing_may_be_called_as_the_idle_machine_is(bench):
    with pytest.raises(MeteringError, match="idle"):
        turns(bench, {"idle": 0.25}, reference=None)


@pytest.mark.parametrize(
    "wrong", [{"rel_ci": 0.0}, {"max_blocks": 0}, {"min_window_seconds": -1.0}, {"max_seconds": 0.0}]
)
def test_a_plan_without_limits_is_refused(wrong):
    with pytest.raises(MeteringError, match="above zero"):
        Plan(**wrong)


def test_what_runs_differ_by_widens_costs_but_neither_ratios_nor_the_stopping_rule():
    plain, apart = (Bench(noise=0.02, between_runs=each).measure({1: 0.25, 2: 0.5})[1] for each in (0.0, 0.1))
    for name in ("latency_s", "cpu_s_per_item", "energy_j_per_item", "net_energy_j_per_item"):
        narrow, wide = getattr(plain, name), getattr(apart, name)
        assert narrow.value == wide.value
        assert narrow.relative_half_width < 0.05 < 0.19 < wide.relative_half_width
    assert apart.ratios == plain.ratios
    assert apart.agreement == plain.agreement < 0.05
    assert (apart.blocks, apart.converged) == (plain.blocks, True)


class Jumping(TickingSource):
    """A counter that jumps by 1e9 J at 120 s."""

    def read(self):
        joules = super().read()
        return joules + Joules(1e9, 1e9, 1e9) if self._clock() > 120 else joules


def test_blocks_that_may_not_be_believed_are_left_out_and_told():
    bench, honest = Bench(), Bench()
    source = Jumping(lambda: bench.clock.now, watts=10.0)
    bench.sources = [source]
    honest.sources = [TickingSource(lambda: honest.clock.now, watts=10.0)]
    lying, true = (each.measure({1: 0.25, 2: 0.5}) for each in (bench, honest))
    assert true[2].blocks == 6
    assert lying[2].blocks == 6, "more blocks are measured in their place"
    for number in (1, 2):
        assert lying[number].energy_j_per_item.value == pytest.approx(true[number].energy_j_per_item.value)
        assert lying[number].idle_watts == pytest.approx(10.0)
        (warning,) = lying[number].warnings
        assert warning.startswith("1 of 7 blocks are left out: its counter jumped by 1e+09 J")
    assert true[1].warnings == ()


def test_a_clock_that_stands_still_ends_a_measurement_in_words_rather_than_never():
    bench = Bench()
    meter = Meter(bench.sources, clock=lambda: 7.0, cpu_clock=bench.cpu, surroundings=unwatched())
    with meter, pytest.raises(MeteringError, match=r"the clock stands still: it showed 7\.0 before and after 100"):
        measure_exits({1: bench.runner(1, 0.01)}, meter, items_per_call=1, plan=PLAN, sleep=bench.clock.advance)
