""""""

import csv
import json
import multiprocessing
import os
import subprocess
import sys
import time
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.sources.cpu_model import CpuClock, CpuTimeSource, RamSource, power_of
from tests.fakes.meters import TickingClock, machine, write

TABLE = json.loads(files("greenpose.metering").joinpath("data/power.json").read_text())


class Clocks:
    def __init__(self, now=1e6, cpu=50.0):
        self.wall, self.cpu = TickingClock(now=now), TickingClock(now=cpu)

    def cpu_source(self, machine, share=1.0):
        return CpuTimeSource(machine, share=share, clock=self.wall, cpu_clock=self.cpu)


@pytest.mark.parametrize("end", ["low", "mid", "high"])
def test_a_machine_busy_on_all_its_cpus_draws_its_familys_busy_watts(end):
    clocks = Clocks()
    source = clocks.cpu_source(machine(vcpus=2))
    clocks.wall.advance(10)
    clocks.cpu.advance(20)
    busy = dict(zip(("low", "mid", "high"), power_of(machine()).busy[:3], strict=True))[end]
    assert getattr(source.read(), end) == pytest.approx(busy * 2 * 10)


def test_an_idle_process_is_charged_its_share_of_the_idle_machine():
    clocks = Clocks()
    whole, quarter = (clocks.cpu_source(machine(vcpus=8), share=share) for share in (1.0, 0.25))
    clocks.wall.advance(10)
    assert whole.read().mid == pytest.approx(8 * 2.1 * 0.2 * 10)
    assert quarter.read().mid == pytest.approx(whole.read().mid / 4)


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_the_model_is_affine_in_both_clocks(wall, cpu, more_wall, more_cpu):
    clocks = Clocks()
    source = clocks.cpu_source(machine())
    readings = [source.read()]
    for seconds, cpu_seconds in ((wall, cpu), (more_wall, more_cpu), (wall, cpu)):
        clocks.wall.advance(seconds)
        clocks.cpu.advance(cpu_seconds)
        readings.append(source.read())
    first, _, third = (b - a for a, b in pairwise(readings))
    assert third.mid == pytest.approx(first.mid, rel=1e-6, abs=1e-4)
    assert first.low <= first.mid <= first.high


def test_memory_is_charged_by_size_share_and_time():
    clock = TickingClock()
    source = RamSource(machine(ram_gb=16.0), share=0.5, clock=clock)
    clock.advance(10)
    assert source.read().mid == pytest.approx(0.385 * 16 * 0.5 * 10)
    assert source.provenance.model_params["ram_gb"] == 16.0


@pytest.mark.parametrize(
    ("facts", "family"),
    [
        ({"cpu": "AMD EPYC", "cpu_family": 25, "cpu_model": 1}, "AMD EPYC Milan"),
        ({"cpu": "AMD EPYC 9654 96-Core Processor", "cpu_family": 25, "cpu_model": 17}, "AMD EPYC Genoa"),
        ({"cpu": "AMD EPYC 7B12", "cpu_family": 23, "cpu_model": 49}, "AMD EPYC Rome"),
        (
            {"cpu": "Intel(R) Xeon(R) Processor", "cpu_vendor": "GenuineIntel", "cpu_family": 6, "cpu_model": 143},
            "Intel Xeon Sapphire Rapids",
        ),
        (
            {"cpu": "Intel(R) Core(TM) i7-9700K", "cpu_vendor": "GenuineIntel", "cpu_family": 6, "cpu_model": 158},
            "desktop or laptop x86",
        ),
        ({"cpu": "AMD Ryzen 9 5950X", "cpu_family": 25, "cpu_model": 33}, "desktop or laptop x86"),
        ({"cpu": "Apple M2 Pro", "cpu_vendor": "", "cpu_family": None, "cpu_model": None}, "Apple silicon"),
        (
            {"cpu": "", "cpu_vendor": "", "cpu_family": None, "cpu_model": None, "architecture": "aarch64"},
            "ARM server",
        ),
        ({"cpu": "QEMU", "cpu_vendor": "Unheard", "cpu_family": 1, "cpu_model": 1}, "unknown x86 server"),
    ],
)
def test_the_family_is_found_by_cpuid_or_name(facts, family):
    assert power_of(machine(**facts)).family == family


def test_an_intel_core_is_no_xeon_of_the_same_family_number():
    core = machine(cpu="x", cpu_vendor="AuthenticAMD", cpu_family=6, cpu_model=143)
    assert power_of(core).family == "unknown x86 server"


@pytest.mark.parametrize("entry", TABLE["families"], ids=lambda entry: entry["name"])
def test_every_coefficient_is_an_interval_with_source_and_year(entry):
    low, mid, high = entry["watts_busy"]
    assert 0 < low < mid < high
    assert entry["source"]
    assert 2010 <= entry["year"] <= 2030
    assert entry["basis"] in ("measured elsewhere", "default")
    assert ("default, wide interval" in entry["source"]) == (entry["basis"] == "default")


def test_anchors_are_the_published_watts_of_their_parts():
    """codecarbon ships a list of TDPs; threads are from the parts' names in the makers' own lists."""
    import codecarbon

    path = Path(codecarbon.__file__).parent / "data/hardware/cpu_power.csv"
    watts = dict(csv.reader(path.read_text().splitlines()))
    anchored = [entry for entry in TABLE["families"] if "anchor" in entry]
    assert len(anchored) == 10
    for entry in anchored:
        anchor = entry["anchor"]
        assert float(watts[anchor["part"]]) == anchor["tdp_w"]
        low, mid, high = entry["watts_busy"]
        assert mid == pytest.approx(anchor["tdp_w"] / anchor["threads"], abs=0.006)
        assert (low, high) == pytest.approx((mid / 2, mid * 2), rel=0.01)


def test_milan_lies_between_what_three_methods_say_of_it():
    low, mid, high = power_of(machine()).busy[:3]
    assert 2.0 <= mid <= 2.2
    assert low == pytest.approx(mid / 2)
    assert high == pytest.approx(mid * 2)
    assert low < 4 < high


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
    monkeypatch.setattr("greenpose.metering.sources.cpu_model._has_children", lambda: bool(looks.append(1)))
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
            "501/stat": "501 (a (strange) name) S 1 1 1 0 -1 4 9 9 9 9 100 20 0 0 20 0 1 0 77",
            "502/task/502/children": "",
            "502/stat": "502 (b) S 1 1 1 0 -1 4 9 9 9 9 3 1 2 1 20 0 1 0 78",
        },
    )
    found = CpuClock(tmp_path)._running(pid)
    assert {process[0] for process in found} == {501, 502}
    assert sum(found.values()) * os.sysconf("SC_CLK_TCK") == pytest.approx(127)


def test_a_child_that_vanished_while_reading_counts_nothing(tmp_path):
    write(tmp_path, {"9/task/9/children": "501"})
    assert CpuClock(tmp_path)._running(9) == {}


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_clock_made_before_a_fork_goes_on_with_the_childs_own_time():
    clock = CpuClock()
    burn(0.2)
    before = clock()
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)

    def work():
        first = clock.quick()
        burn(0.1)
        second = clock.quick()
        burn(0.1)
        tell.send((first, second, clock(), clock.quick()))

    child = context.Process(target=work)
    child.start()
    first, second, third, fourth = told.recv()
    child.join()
    assert before <= first < before + 0.1
    assert second - first == pytest.approx(0.1, abs=0.03)
    assert third - second == pytest.approx(0.1, abs=0.03)
    assert third <= fourth
    assert clock() >= before + 0.2, "the parent still counts its ended child"


SHELL = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass\\ninput()"])
time.sleep(60)
"""


def test_what_a_child_of_a_killed_shell_used_is_no_debt_of_ours():
    """The shell's child lives on, known to the clock; our own next 0.3 s are counted in full, and its own further."""
    clock = CpuClock()
    before, own = clock(), time.process_time()
    shell = subprocess.Popen([sys.executable, "-c", SHELL], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while clock() - before - (time.process_time() - own) < 0.3 and time.monotonic() < deadline:
        time.sleep(0.02)
    shell.kill()
    shell.wait()
    known, ours = clock(), time.process_time()
    burn(0.3)
    assert clock() - known >= time.process_time() - ours - 0.001
    shell.stdin.close()
    time.sleep(0.2)
    ended = clock()
    burn(0.05)
    assert clock() - ended >= 0.05


def test_an_orphan_that_was_seen_is_followed_to_its_end_and_kept_for_ever(tmp_path):
    """A shell (10 ticks) with a child (200 ticks); the shell is killed, its child goes on to 250 ticks and ends."""
    pid, tick = os.getpid(), 1 / os.sysconf("SC_CLK_TCK")

    def stat(number, ticks, start=7):
        return {f"{number}/stat": f"{number} (x) S 1 1 1 0 -1 4 9 9 9 9 {ticks} 0 0 0 20 0 1 0 {start} 0"}

    here = f"{pid}/task/{pid}/children"
    write(tmp_path, {here: "501", "501/task/501/children": "502"} | stat(501, 10) | stat(502, 200))
    clock = CpuClock(tmp_path)
    clock._children_s = ended = clock._look() - 210 * tick
    assert clock._all_children() - ended == pytest.approx(210 * tick)
    write(tmp_path, {here: ""} | stat(502, 230))
    (tmp_path / "501/stat").unlink()
    assert clock._look() - ended == pytest.approx(230 * tick)
    write(tmp_path, stat(502, 250))
    assert clock._look() - ended == pytest.approx(250 * tick)
    write(tmp_path, stat(502, 3, start=99))
    assert clock._look() - ended == pytest.approx(250 * tick), "another process with the orphan's number"
    assert clock._look() - ended == pytest.approx(250 * tick)


def test_children_that_cannot_be_seen_are_said(tmp_path):
    childless = f"""
import subprocess, sys
from pathlib import Path
from greenpose.metering.sources.cpu_model import CpuClock

clock = CpuClock(Path({str(tmp_path)!r}))
clock()
print(clock.blind)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
clock()
print(clock.blind)
child.communicate(b"\\n")
clock()
print(clock.blind)
"""
    said = subprocess.run([sys.executable, "-c", childless], capture_output=True, text=True, check=True).stdout
    before, beside, after = said.splitlines()
    assert before == after == "None"
    assert beside.startswith(f"{tmp_path}/")
    assert "/task/*/children cannot be read" in beside
