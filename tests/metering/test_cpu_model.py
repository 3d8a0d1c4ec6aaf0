import csv
import json
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.cpu_model import CpuTimeSource, RamSource, power_of
from tests.metering.fakes import TickingClock, machine

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
    busy = dict(zip(("low", "mid", "high"), power_of(machine()).busy.value, strict=True))[end]
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
    low, mid, high = power_of(machine()).busy.value
    assert 2.0 <= mid <= 2.2
    assert low == pytest.approx(mid / 2)
    assert high == pytest.approx(mid * 2)
    assert low < 4 < high
