"""Counters and clocks that lie, each in its way, and what window, total, grade and the words about them make of it."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering import (
    Joules,
    Meter,
    carbon_of,
    grade,
    read_windows,
    remarks,
    short_of,
    worst_kind,
)
from greenpose.metering.doubts import Trail
from greenpose.metering.machine import host_of
from greenpose.metering.sources.cpu_model import RamSource
from greenpose.metering.sources.nvidia import nvml
from greenpose.metering.sources.rapl import rapl
from tests.fakes.meters import (
    RANGE_UJ,
    Board,
    FakeNvml,
    TickingClock,
    TickingSource,
    machine,
    powercap,
    provenance,
    unwatched,
    write,
    zone,
)
from tests.metering.grids import dirty_now

WATTS, SECONDS, EPOCHS = 10.0, 4.0, 8
"""An epoch takes 4 s and 2 CPU-s, and draws 40 J."""


class LyingSource(TickingSource):
    """A counter of constant power that shows what a lie makes of the seconds since it was made."""

    def __init__(self, clock, lie: Callable[[float], float], **details):
        super().__init__(clock, watts=WATTS, **details)
        self._lie, self._began = lie, clock.now

    def read(self) -> Joules:
        joules = self._lie(self._clock() - self._began)
        return Joules(joules * 0.9, joules, joules * 1.1)


def trained(tmp_path, clock, source, *more, cpu_clock=None, shown=None, date=None, log="windows.jsonl"):
    """A meter over eight epochs by a true clock, of which the meter sees what `shown` makes."""
    surroundings = unwatched(date=date)
    meter = Meter(
        [source, *more],
        clock=shown or clock,
        cpu_clock=cpu_clock or (lambda: clock.now / 2),
        log=tmp_path / log,
        surroundings=surroundings,
    )
    with meter:
        for number in range(1, EPOCHS + 1):
            with meter.window(f"train {number}", items=3) as epoch:
                epoch.part("forward")
                clock.advance(SECONDS / 2)
                epoch.part("backward")
                clock.advance(SECONDS / 2)
    return meter


def epochs(meter):
    return [window for window in meter.windows if window.parent is None]


def kind_of(meter):
    windows = epochs(meter)
    joules = {name: sum(w.joules[name].mid for w in windows if name in w.joules) for name in ("cpu",)}
    read = {name: Joules(mid, mid, mid) for name, mid in joules.items()}
    short = short_of(windows)
    return worst_kind(read, meter.provenances, short=short), grade(read, meter.provenances, short=short)


def whole(meter):
    """The epochs whose energy may be believed."""
    return [int(window.name.split()[1]) for window in epochs(meter) if window.sound]


def honest(since):
    return WATTS * since


def jump(since):
    return honest(since) + (1e9 if since > 13 else 0)


def nothing(since):
    del since
    return math.nan


LIES = {
    # what the counter shows; the epochs that are believed; joules of the total; what is said
    "an honest one": (honest, [1, 2, 3, 4, 5, 6, 7, 8], 320, None),
    "goes back by 500 J in epoch 4": (lambda s: 10 * s - 500 * (s > 13), [1, 2, 3, 5, 6, 7, 8], 300, "went back"),
    "goes back by 25 J in epoch 4": (lambda s: 10 * s - 25 * (s > 13), [1, 2, 3, 5, 6, 7, 8], 300, "went back"),
    "jumps by 1e9 J in epoch 4": (jump, [1, 2, 3, 5, 6, 7, 8], 300, "jumped by 1e+09 J"),
    "is stuck from epoch 4 on": (lambda s: min(10 * s, 120.0), [1, 2, 3], 120, "stood still"),
    "is stuck in epochs 4 and 5": (
        lambda s: min(10 * s, max(120.0, 10 * s - 80)),
        [1, 2, 3, 6, 7, 8],
        240,
        "stood still",
    ),
    "shows no number in epoch 4": (
        lambda s: math.nan if 13 < s < 16 else 10 * s,
        [1, 2, 3, 4, 5, 6, 7, 8],
        320,
        "shows nan J",
    ),
    "shows infinity from epoch 4 on": (lambda s: math.inf if s > 13 else 10 * s, [1, 2, 3], 120, "shows inf J"),
}


@pytest.mark.parametrize("period_s", [None, 0.001, 0.1])
@pytest.mark.parametrize("name", LIES)
def test_a_counter_that_lies_is_named_and_what_it_says_is_in_no_sum(tmp_path, name, period_s):
    lie, believed, joules, said = LIES[name]
    clock = TickingClock()
    meter = trained(tmp_path, clock, LyingSource(clock, lie, update_period_s=period_s))
    assert whole(meter) == believed
    for window in epochs(meter):
        if window.sound:
            assert window.energy.mid == pytest.approx(WATTS * SECONDS)
        else:
            assert "cpu" not in window.joules
            assert said in window.missing["cpu"]
    assert meter.total.energy.mid == pytest.approx(joules)
    told = remarks(read_windows(tmp_path / "windows.jsonl"))
    lacking = EPOCHS - len(believed)
    if lacking:
        (line,) = told
        assert line.startswith(f"cpu energy is missing in {lacking} of {EPOCHS} windows (train 4")
        assert said in line
        assert said in str(meter)
    else:
        assert told == []
    assert kind_of(meter) == (("estimated", "B") if lacking else ("measured", "A"))
    assert meter.total.grade == ("B" if meter.total.missing else "A")
    assert bool(meter.total.missing) == (joules < 320)


def test_a_counter_that_fails_for_two_epochs_is_no_loss_to_the_total_and_named_in_the_windows(tmp_path):
    clock = TickingClock()

    class Failing(LyingSource):
        def read(self):
            if 9 <= self._clock() - self._began <= 15:
                raise MeteringError("the counter is gone")
            return super().read()

    meter = trained(tmp_path, clock, Failing(clock, honest))
    assert whole(meter) == [1, 2, 5, 6, 7, 8]
    assert meter.total.energy.mid == pytest.approx(320)
    (line,) = remarks(meter.windows)
    assert line == "cpu energy is missing in 2 of 8 windows (train 3, train 4): the counter is gone"
    assert kind_of(meter) == ("estimated", "B")


def packages(root, clock, joules, **limits):
    """Two processor packages below `root`, which the kernel says to draw no more than `limits`."""
    zones = {f"rapl_{number}": zone(f"package-{number}", **limits) for number in (0, 1)}
    host = host_of(machine(cpu_vendor="GenuineIntel", virtualised=False), workers=1, clock=clock)
    return rapl(
        replace(host, root=powercap(root, **zones), environ={}, open_file=lambda file: lambda: drawn(file, joules))
    )


def drawn(file, joules):
    """What a package's counter shows."""
    return str(round(1e6 * joules(file.parent.name)) % RANGE_UJ)


def boards(root, clock, *, limit=400.0, **fails):
    """A GPU of 100 W, whose driver names its power limit."""
    board = Board(clock)
    board.limit, board.fails = limit, fails
    host = host_of(machine(gpus=()), gpus=None, workers=1, clock=clock)
    library = FakeNvml(board)
    return board, nvml(replace(host, root=write(root, {"dev/nvidiactl": ""}), environ={}, nvml=lambda: library))


@pytest.mark.parametrize(
    ("limits", "jump_j", "most"),
    [({"constraint_0_power_limit_uw": 65_000_000}, 1500, "260 W"), ({}, 12_000, "2e+03 W")],
)
def test_a_processor_that_jumps_by_less_than_a_machine_may_draw_is_named_by_what_its_zones_say(
    tmp_path, limits, jump_j, most
):
    """Both jumps are far below 30 kW times the time: they were believed."""
    clock = TickingClock()

    def joules(zone):
        since = clock() - 100
        return 1 + WATTS * since + (jump_j if since > 13 and zone == "intel-rapl:0" else 0)

    meter = trained(tmp_path, clock, packages(tmp_path, clock, joules, **limits))
    assert whole(meter) == [1, 2, 3, 5, 6, 7, 8]
    (line,) = remarks(meter.windows)
    assert (
        f"jumped by {jump_j + 2 * WATTS * SECONDS / 2:.3g} J within 2 s, more than the {most} that it may draw" in line
    )
    assert meter.total.energy.mid == pytest.approx(2 * WATTS * SECONDS * EPOCHS - 2 * WATTS * SECONDS / 2)


@pytest.mark.parametrize("sampled", [False, True])
def test_a_gpu_that_jumps_is_named_by_its_power_limit(tmp_path, sampled):
    clock = TickingClock()
    fails = {"energy": pynvml.NVML_ERROR_NOT_SUPPORTED} if sampled else {}
    board, source = boards(tmp_path, clock, **fails)
    assert source.provenance.model_params["most_watts"] == 800.0
    trail = Trail(source.provenance)
    trail.follow(source.read(), clock())
    for _ in range(20):
        clock.advance(1)
        trail.follow(source.read(), clock())
    assert trail.faults == 0
    if sampled:
        board.watts = 5000.0
    else:
        board.began -= 100.0  # 10 kJ more
    clock.advance(1)
    trail.follow(source.read(), clock())
    assert trail.fault[0] == 1
    assert "more than the 800 W that it may draw" in trail.why


def test_a_gpu_whose_driver_names_no_limit_is_held_to_what_a_machine_may_draw(tmp_path):
    _, source = boards(tmp_path, TickingClock(), limits=pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert "most_watts" not in source.provenance.model_params
    _, source = boards(tmp_path, TickingClock(), limit=0.0)
    assert "most_watts" not in source.provenance.model_params


@given(
    most=st.floats(1, 2000),
    period_s=st.floats(0.001, 0.1),
    steps=st.lists(st.tuples(st.floats(0, 30), st.floats(0.001, 1), st.floats(0, 0.5)), min_size=1, max_size=60),
)
def test_no_counter_that_draws_what_it_may_is_ever_doubted(most, period_s, steps):
    """Read after any time, at any power up to the limit, moving once a period, and seen up to half a second late."""
    trail = Trail(provenance(update_period_s=period_s, model_params={"most_watts": most}))
    now, moments, energies = 0.0, [0.0], [0.0]
    for gap, share, late in [(0.0, 1.0, 0.0), *steps]:
        now += gap
        moments.append(now)
        energies.append(energies[-1] + most * share * gap)
        shown = float(np.interp((now - late) // period_s * period_s, moments, energies)) if gap > 1 else energies[-1]
        trail.follow(Joules(shown, shown, shown), now)
        assert trail.faults == 0, trail.why


def test_a_jump_does_not_hide_that_the_rest_is_a_model(tmp_path):
    """1e9 J of a counter would make the memory's modelled part immaterial, and the grade A."""
    clock = TickingClock()
    memory = RamSource(machine(ram_gb=100.0), share=1.0, clock=clock)
    true = trained(tmp_path, clock, LyingSource(clock, honest), memory, log="honest.jsonl")
    lying = trained(tmp_path, clock, LyingSource(clock, jump), memory)
    assert (true.total.grade, lying.total.grade) == ("B", "B")
    assert lying.total.energy.mid < 1e4


def test_no_line_of_a_log_holds_what_is_no_number(tmp_path):
    clock = TickingClock()
    showing = iter([100.0, 101.0])
    meter = trained(
        tmp_path,
        clock,
        LyingSource(clock, lambda since: math.nan if since > 5 else honest(since)),
        shown=lambda: next(showing, math.nan),
        cpu_clock=lambda: math.nan if clock.now > 110 else clock.now,
    )
    for line in (tmp_path / "windows.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    assert read_windows(tmp_path / "windows.jsonl") == meter.windows
    assert math.isfinite(meter.total.seconds)


CLOCKS = {
    # what the meter's clock shows of the true one; epochs that are believed; what is said of the others
    "stands still in epoch 4": (lambda now: min(now, max(112.0, now - 4)), [1, 2, 3, 5, 6, 7, 8], "stood still"),
    "goes back by 7 s in epoch 4": (lambda now: now - 7 * (now > 113), [1, 2, 3, 5, 6, 7, 8], "went back by 3 s"),
    "shows no number in epoch 4": (
        lambda now: math.nan if 113 < now < 117 else now,
        [1, 2, 3, 6, 7, 8],
        "showed no number",
    ),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_that_lies_is_named_and_nothing_is_modelled_by_it(tmp_path, name):
    lie, believed, said = CLOCKS[name]
    clock = TickingClock()
    memory = RamSource(machine(), share=1.0, clock=clock)
    counter = LyingSource(clock, honest)
    meter = trained(tmp_path, clock, counter, memory, shown=lambda: lie(clock.now))
    assert whole(meter) == believed
    for window in epochs(meter):
        if window.sound:
            assert window.seconds == SECONDS
        else:
            assert window.seconds == 0
            assert said in window.doubts["clock"]
            assert said in window.missing["ram"]
            assert window.joules["cpu"].mid == pytest.approx(WATTS * SECONDS), "the counter does not hang on the clock"
    assert all(0 <= window.seconds <= SECONDS for window in meter.windows)
    told = remarks(meter.windows)
    assert any(line.startswith("the clock was wrong in ") and said in line for line in told)
    assert any(line.startswith("ram energy is missing in ") for line in told)


CPU_CLOCKS = {
    "stands still from epoch 4 on": (lambda now: min(now, 112.0), [1, 2, 3], "stood still"),
    "goes back in epoch 4": (lambda now: now - 90 * (now > 113), [1, 2, 3, 5, 6, 7, 8], "went back by 88 s"),
    "shows no number in epoch 4": (
        lambda now: math.nan if 113 < now < 117 else now,
        [1, 2, 3, 6, 7, 8],
        "showed no number",
    ),
    "jumps by 1e9 s in epoch 4": (lambda now: now + 1e9 * (now > 113), [1, 2, 3, 5, 6, 7, 8], "rose by 1e+09 s in 4 s"),
}


@pytest.mark.parametrize("name", CPU_CLOCKS)
def test_a_cpu_clock_that_lies_is_named_and_nothing_is_modelled_by_it(tmp_path, name):
    lie, believed, said = CPU_CLOCKS[name]
    clock = TickingClock()
    memory = RamSource(machine(), share=1.0, clock=clock)
    meter = trained(tmp_path, clock, memory, cpu_clock=lambda: lie(clock.now) / 2)
    assert whole(meter) == believed
    for window in epochs(meter):
        assert window.seconds == SECONDS
        assert window.cpu_seconds == pytest.approx(SECONDS / 2 if window.sound else 0)
        if not window.sound:
            assert said.replace("88", "43").replace("1e+09", "5e+08") in window.doubts["cpu clock"]
    assert any(line.startswith("the CPU clock was wrong in ") for line in remarks(meter.windows))


@pytest.mark.parametrize(("step", "way"), [(-7200.0, "back by 7.2e+03 s"), (7200.0, "forward by 7.2e+03 s")])
def test_a_date_that_is_set_is_named_and_charges_no_other_hours(tmp_path, step, way):
    """The date is set by two hours in epoch 4: every epoch is dated after the one before, from the meter's start."""
    clock = TickingClock()
    began = 1_750_000_000.0
    meter = trained(
        tmp_path,
        clock,
        LyingSource(clock, honest),
        date=lambda: began + clock.now - 100 + step * (clock.now > 113),
    )
    windows = epochs(meter)
    assert whole(meter) == [1, 2, 3, 5, 6, 7, 8]
    assert way in windows[3].doubts["date"]
    assert [window.started_at for window in windows] == sorted(window.started_at for window in windows)
    assert windows[-1].started_at == "2025-06-15T15:07:08.000+00:00"
    assert meter.now_at.isoformat() == "2025-06-15T15:07:12+00:00"
    (line,) = remarks(windows)
    assert line.startswith("the date was set in 1 of 8 windows (train 4): ")


def test_a_date_that_is_set_by_the_hour_does_not_move_the_emissions(tmp_path):
    carbon = carbon_of(hourly=dirty_now(tmp_path, 500))
    clock = TickingClock()
    true = trained(tmp_path, clock, LyingSource(clock, honest), log="a.jsonl")
    start = time.time()
    set_back = trained(
        tmp_path,
        clock,
        LyingSource(clock, honest),
        date=lambda: start + clock.now % 100 - 7200 * (clock.now > 145),
        log="b.jsonl",
    )
    assert carbon.grams_of(epochs(set_back)).value == pytest.approx(carbon.grams_of(epochs(true)).value)


def test_an_attempt_that_began_before_the_one_before_it_ended_is_named(tmp_path):
    clock = TickingClock()
    for start in (1_750_000_000.0, 1_749_992_800.0):
        began = clock.now
        trained(
            tmp_path,
            clock,
            LyingSource(clock, honest),
            date=lambda start=start, began=began: start + clock.now - began,
        )
    (line,) = remarks(read_windows(tmp_path / "windows.jsonl"))
    assert line == "the date was set back: attempt 2 began 7.23e+03 s before attempt 1 ended"


def test_a_counter_at_rest_for_less_than_it_may_be_is_no_lie(tmp_path):
    """One that moves every 0.25 s, by its provenance every 0.1 s, is believed."""
    clock = TickingClock()
    coarse = LyingSource(clock, lambda since: honest(since) // 2.5 * 2.5, update_period_s=0.1)
    meter = trained(tmp_path, clock, coarse)
    assert whole(meter) == [*range(1, EPOCHS + 1)]


@pytest.mark.parametrize(("period_s", "still_s"), [(0.001, 0.1), (0.1, 1.0), (None, 1.0)])
def test_a_stop_is_seen_from_ten_periods_on(period_s, still_s):
    trail = Trail(provenance(update_period_s=period_s))
    for at in (0.0, 1.0):
        trail.follow(Joules(at, at, at), at)
    for later, seen in ((0.9, False), (1.1, True)):
        trail.follow(Joules(1, 1, 1), 1 + later * still_s)
        assert trail.stands == seen


def test_of_what_no_window_may_be_believed_the_provenance_alone_is_left(tmp_path):
    clock = TickingClock()
    meter = trained(tmp_path, clock, LyingSource(clock, nothing))
    assert whole(meter) == []
    assert meter.total.joules == {}
    assert meter.total.grade == "C"
    assert worst_kind({}, meter.provenances, short=["cpu"]) == "not_covered"
    assert meter.provenances == (provenance(),)
