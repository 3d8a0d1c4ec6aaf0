""""""

import contextlib
import json
import multiprocessing
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering import CarbonAccounting, CodeCarbon, Joules, Meter, MeterSurroundings, carbon_of, read_windows
from greenpose.metering.carbon.embodied import embodied_of
from greenpose.metering.carbon.grid_intensity import custom_intensity
from greenpose.metering.interference import LoadMonitor
from tests.fakes.meters import (
    BrokenSource,
    FakeTracker,
    ScriptedSource,
    TickingClock,
    TickingSource,
    kernel,
    machine,
    metering,
    provenance,
    stat,
    unwatched,
    write,
)
from tests.metering.grids import dirty_now


def test_a_window_is_the_difference_of_two_readings(clock):
    source = ScriptedSource("cpu", [Joules(1.0, 1.0, 1.0), Joules(3.0, 5.0, 9.0), Joules(7.0, 15.0, 40.0)])
    with metering(clock, source) as meter, meter.window("work", items=7) as opened:
        clock.advance(4)
    window = opened.result
    assert window.joules == {"cpu": Joules(4.0, 10.0, 31.0)}
    assert (window.name, window.items, window.ok) == ("work", 7, True)
    assert window.seconds == 4
    assert window.cpu_seconds == 2


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=6), st.floats(0, 1e6))
def test_windows_in_a_window_add_up_to_it(parts, origin):
    clock = TickingClock(now=origin)
    with metering(clock) as meter, meter.window("outer") as outer:
        for seconds in parts:
            with meter.window("inner"):
                clock.advance(seconds)
    inner = [window for window in meter.windows if window.name == "inner"]
    for end in ("low", "mid", "high"):
        total = sum(getattr(window.energy, end) for window in inner)
        assert total == pytest.approx(getattr(outer.result.energy, end), rel=1e-6)
    assert sum(window.seconds for window in inner) == pytest.approx(outer.result.seconds, rel=1e-6)
    assert {window.parent for window in inner} == {outer.result.id}


class Model:
    """Draws 3 J a second and 5 J a CPU-second, half and twice of them at the ends; nobody has to read it."""

    component = "cpu"
    provenance = provenance("cpu", "modelled")

    def read(self):
        raise AssertionError("a model of the clocks was read")

    def over(self, *, seconds, cpu_seconds):
        joules = 3 * seconds + 5 * cpu_seconds
        return Joules(joules / 2, joules, joules * 2)


def test_a_model_of_the_clocks_is_worked_out_from_a_windows_own(clock):
    """Of its 4 seconds half are CPU time: 12 + 10 J. A counter beside it is read, and named in the sources' order."""
    counter = TickingSource(clock, watts=1.0, component="ram")
    with metering(clock, Model(), counter) as meter, meter.window("work") as opened:
        opened.part("a")
        clock.advance(1)
        opened.part("b")
        clock.advance(3)
    assert opened.result.joules == {"cpu": Joules(11.0, 22.0, 44.0), "ram": Joules(2.0, 4.0, 8.0)}
    assert list(opened.result.joules) == ["cpu", "ram"]
    assert [window.joules["cpu"].mid for window in meter.windows[:2]] == [5.5, 16.5]
    assert meter.total.joules == opened.result.joules


def test_windows_may_overlap(clock):
    with metering(clock) as meter, contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(meter.window("first"))
        clock.advance(1)
        second.enter_context(meter.window("second"))
        clock.advance(2)
        first.close()
        clock.advance(4)
        second.close()
    assert {window.name: window.seconds for window in meter.windows} == {"first": 3, "second": 6}


def test_a_window_that_outlives_its_elder_is_the_next_ones_parent(clock):
    with metering(clock) as meter, contextlib.ExitStack() as first, meter.window("outer"):
        first.enter_context(meter.window("elder"))
        with meter.window("younger"):
            first.close()
            with meter.window("next"):
                pass
    numbers = {window.name: window.id for window in meter.windows}
    parents = {window.name: window.parent for window in meter.windows}
    assert parents["next"] == numbers["younger"]


def test_the_parent_is_the_innermost_window_that_is_open(clock):
    with metering(clock) as meter:
        with meter.window("a"), meter.window("b"), meter.window("c"):
            pass
        with meter.window("d"):
            pass
    assert {window.name: window.parent for window in meter.windows} == {"c": 2, "b": 1, "a": None, "d": None}


def test_a_window_may_say_its_items_at_the_end(clock):
    with metering(clock) as meter, meter.window("work") as opened:
        opened.items = 12
    assert opened.result.items == 12


def test_the_result_of_an_open_window_is_refused(clock):
    with metering(clock) as meter, meter.window("work") as opened, pytest.raises(MeteringError, match="still open"):
        opened.result  # noqa: B018


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_window_outside_the_meter_is_refused(clock, when):
    meter = metering(clock)
    if when == "after":
        with meter:
            pass
    with pytest.raises(MeteringError, match="with greenpose"):
        meter.window("work")


def test_a_meter_is_used_once(clock):
    meter = metering(clock)
    with meter:
        pass
    with pytest.raises(MeteringError, match="used once"):
        meter.__enter__()


def test_the_device_is_waited_for_before_every_reading(clock):
    seen = []
    source = ScriptedSource("cpu", [Joules(0.0, 0.0, 0.0)])
    original = source.read
    source.read = lambda: (seen.append("read"), original())[1]
    with metering(clock, source, synchronize=lambda: seen.append("wait")) as meter, meter.window("work"):
        seen.append("work")
    assert seen == ["wait", "read", "wait", "read", "work", "wait", "read", "wait", "read"]


def test_a_window_is_recorded_even_if_the_device_cannot_be_waited_for(clock):
    def wait():
        if clock.now >= 101:
            raise RuntimeError("device fault")

    meter = metering(clock, synchronize=wait)
    with pytest.raises(RuntimeError, match="device fault"), meter, meter.window("work"):
        clock.advance(1)
    assert [(window.name, window.ok) for window in meter.windows] == [("work", False)]
    assert meter.total.seconds == 1


def test_a_counter_that_fails_is_named_and_does_not_end_the_run(clock):
    broken = BrokenSource(clock, good=2, component="gpu")
    with metering(clock, TickingSource(clock), broken) as meter, meter.window("work") as opened:
        clock.advance(1)
    assert set(opened.result.joules) == {"cpu"}
    assert opened.result.missing == {"gpu": "the counter is gone"}


def test_the_total_runs_to_the_end_of_the_block_and_then_stands_still(clock):
    with metering(clock) as meter:
        clock.advance(1)
        assert meter.total.energy.mid == pytest.approx(10)
        clock.advance(1)
    clock.advance(5)
    assert meter.total.energy.mid == pytest.approx(20)
    assert meter.total.seconds == 2
    assert meter.total.cpu_seconds == 1


def test_a_total_before_the_start_is_refused(clock):
    with pytest.raises(MeteringError, match="not started"):
        metering(clock).total  # noqa: B018


def test_grams_multiply_energy_pue_and_intensity_and_their_intervals(clock):
    carbon = CarbonAccounting(intensity=custom_intensity(300.0), pue=1.5)
    with metering(clock, TickingSource(clock, watts=1000.0), carbon=carbon) as meter:
        clock.advance(3600)
    grams = meter.total.co2eq_g
    assert grams.value == pytest.approx(1.0 * 1.5 * 300)
    assert grams.type_b.low == pytest.approx(0.5 * 1.5 * 300 * 0.85)
    assert grams.type_b.high == pytest.approx(2.0 * 1.5 * 300 * 1.15)


def test_without_a_grid_there_are_no_grams(clock):
    with metering(clock) as meter:
        pass
    assert meter.total.co2eq_g is None


def held(clock, **settings):
    """A meter of a machine of 400 kg, half of which is held for 36 seconds."""
    carbon = CarbonAccounting(intensity=custom_intensity(300.0), **settings)
    surroundings = unwatched(embodied=embodied_of(machine(), carbon, share=0.5))
    with metering(clock, carbon=carbon, surroundings=surroundings) as meter:
        clock.advance(36)
    return meter


def test_the_making_of_the_machine_is_counted_for_the_time_that_it_is_held(clock):
    total = held(clock, embodied_kg=400.0).total
    made = total.embodied_co2eq_g
    assert made.value == pytest.approx(400e3 / 2 * 36 / (4 * 365 * 24 * 3600))
    assert total.sci_g.value == pytest.approx(total.co2eq_g.value + made.value)
    assert total.sci_g.type_b == pytest.approx(
        [sum(ends) for ends in zip(total.co2eq_g.type_b, made.type_b, strict=True)]
    )


def test_a_making_that_is_left_out_leaves_no_software_carbon_intensity(clock):
    total = held(clock, embodied_kg=0.0).total
    assert total.co2eq_g.value > 0
    assert (total.embodied_co2eq_g, total.sci_g) == (None, None)


def test_a_total_is_charged_by_the_hour_in_which_it_was_used(clock, tmp_path):
    carbon = carbon_of(hourly=dirty_now(tmp_path, 500))
    with metering(clock, TickingSource(clock, watts=1000.0), carbon=carbon) as meter:
        clock.advance(36)
    assert meter.total.co2eq_g.value == pytest.approx(0.01 * 500)


def test_a_component_that_nothing_reads_spoils_the_grade(clock):
    missing = provenance("gpu", "not_covered")
    surroundings = MeterSurroundings(not_covered=(missing,))
    with metering(clock) as covered, metering(clock, surroundings=surroundings) as blind:
        clock.advance(1)
    assert covered.total.grade == "A"
    assert blind.total.grade == "B"
    assert missing in blind.provenances


def test_codecarbon_is_asked_only_where_wanted(clock):
    codecarbon = CodeCarbon("ITA", build=FakeTracker, clock=clock)
    with metering(clock, crosscheck=codecarbon) as meter:
        with meter.window("coarse", crosscheck=True) as coarse:
            clock.advance(3)
        with meter.window("fine") as fine:
            clock.advance(3)
    assert fine.result.crosscheck is None
    assert coarse.result.crosscheck.joules == pytest.approx(1.5e-3 * 3.6e6)
    assert coarse.result.crosscheck.seconds == 3


def test_a_crosscheck_inside_a_crosscheck_says_why_it_is_missing(clock):
    codecarbon = CodeCarbon("ITA", build=FakeTracker, clock=clock)
    with metering(clock, crosscheck=codecarbon) as meter, meter.window("outer", crosscheck=True) as outer:
        with meter.window("inner", crosscheck=True) as inner:
            clock.advance(1)
        with meter.window("next", crosscheck=True) as after:
            clock.advance(1)
    assert "cannot nest" in inner.result.crosscheck.missing
    assert "cannot nest" in after.result.crosscheck.missing
    assert outer.result.crosscheck.missing is None


def test_without_a_country_the_crosscheck_says_why_it_is_missing(clock):
    with metering(clock) as meter, meter.window("work", crosscheck=True) as opened:
        pass
    assert "country" in opened.result.crosscheck.missing


def test_a_window_says_who_else_used_the_machine(clock, tmp_path):
    root = kernel(tmp_path)
    load = LoadMonitor(root / "proc/stat", clock=clock)
    with (
        metering(clock, surroundings=MeterSurroundings(load=load)) as meter,
        meter.window("work") as opened,
    ):
        clock.advance(4)  # two of these four seconds are our own CPU time
        write(root, {"proc/stat": stat(user=500, idle=300)})
    assert opened.result.contamination.foreign_cpu_share == pytest.approx(3 / 8)


def test_a_meter_made_before_a_fork_meters_the_childs_windows_by_the_childs_own_time(tmp_path):
    """The parent burnt much more; its log keeps to its own windows, which hold the child's time already."""
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)
    log = tmp_path / "windows.jsonl"

    def burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    def work(meter):
        with meter.window("child") as opened:
            burn(0.15)
        tell.send(opened.result.cpu_seconds)

    with Meter([], log=log, surroundings=unwatched()) as meter:
        burn(0.4)
        with meter.window("parent") as opened:
            child = context.Process(target=work, args=(meter,))
            child.start()
            seconds = told.recv()
            child.join()
    assert seconds == pytest.approx(0.15, abs=0.05)
    assert opened.result.cpu_seconds >= 0.15
    assert [window.name for window in read_windows(log)] == ["parent"]


def test_a_window_beside_children_that_cannot_be_seen_says_so(tmp_path):
    childless = f"""
import json, subprocess, sys
from pathlib import Path
from greenpose.metering.sources.cpu_model import CpuClock
from greenpose.metering.interference import LoadMonitor
from greenpose.metering.meter import Meter, MeterSurroundings

child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
surroundings = MeterSurroundings(load=LoadMonitor(Path("/nowhere")))
with Meter([], cpu_clock=CpuClock(Path({str(tmp_path)!r})), surroundings=surroundings) as meter:
    with meter.window("beside") as beside:
        pass
    child.communicate(b"\\n")
    with meter.window("later") as later:
        pass
print(json.dumps([dict(beside.result.doubts), dict(later.result.doubts), str(meter)]))
"""
    done = subprocess.run([sys.executable, "-c", childless], capture_output=True, text=True, check=True)
    beside, later, said = json.loads(done.stdout)
    assert "cannot be read" in beside["children"]
    assert not later
    assert "running children were not seen in 1 of 2 windows (beside)" in said
