"""Making the machine, against the closed formulas of the Software Carbon Intensity and of the data's own sources."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering import CarbonAccounting, host_of
from greenpose.metering.carbon.embodied import EmbodiedShare, embodied_of, embodied_of_process
from greenpose.metering.carbon.grid_intensity import custom_intensity
from tests.fakes.meters import machine

TABLE = json.loads(files("greenpose.metering").joinpath("data/embodied.json").read_text())
YEAR = 365 * 24 * 3600
ENDS = ("low", "mid", "high")
METAL = {"virtualised": False, "vcpus": 256, "usable_cpus": 256.0, "ram_gb": 1000.0}
"""A server of two Milan CPUs."""
LAPTOP = {"cpu": "Intel(R) Core(TM) i7-1165G7", "cpu_vendor": "GenuineIntel", "cpu_family": 6, "cpu_model": 140}


def grid(**settings) -> CarbonAccounting:
    return CarbonAccounting(intensity=custom_intensity(100.0), **settings)


def making(carbon: CarbonAccounting | None = None, *, share=None, gpu_share=None, **facts) -> EmbodiedShare:
    return embodied_of(machine(**facts), carbon or grid(), share=share, gpu_share=gpu_share)


def held_kg(embodied: EmbodiedShare, end: str = "mid") -> float:
    grams = embodied.grams(embodied.lifetime_years * YEAR)
    return {"mid": grams.value, "low": grams.type_b.low, "high": grams.type_b.high}[end] / 1000


def entry_kg(name: str) -> dict[str, float]:
    return dict(zip(ENDS, TABLE[name]["kg"], strict=True))


def test_an_hour_of_a_machine_of_1000_kg_and_four_years_costs_what_the_specification_says():
    grams = making(grid(embodied_kg=1000.0), share=1.0).grams(3600)
    assert round(grams.value, 1) == 28.5
    assert grams.type_b == (grams.value, grams.value)


@pytest.mark.parametrize("end", ENDS)
def test_a_bare_server_is_its_case_its_cpus_and_its_memory(end):
    expected = entry_kg("server")[end] + 2 * entry_kg("cpu")[end] + 1000 * entry_kg("ram_gb")[end]
    assert held_kg(making(**METAL), end) == pytest.approx(expected)


@pytest.mark.parametrize("end", ENDS)
def test_a_virtual_machine_is_its_part_of_an_assumed_host_and_its_own_memory(end):
    """Two of the 2 x 128 threads of a Milan host; how large the host is nobody knows, which widens the ends."""
    widened = dict(zip(ENDS, (0.5, 1.0, 2.0), strict=True))[end]
    host = entry_kg("server")[end] + 2 * entry_kg("cpu")[end]
    expected = 2 / 256 * host * widened + 16 * entry_kg("ram_gb")[end]
    assert held_kg(making(), end) == pytest.approx(expected)


def test_a_machine_that_does_not_say_whether_it_is_virtual_is_taken_to_be():
    assert making(virtualised=None) == making(virtualised=True)


def test_a_virtual_machine_larger_than_the_assumed_host_fills_a_larger_one():
    embodied = making(vcpus=512, usable_cpus=512.0)
    assert [part.share for part in embodied.parts] == [1.0, 1.0, 1.0]
    assert embodied.parts[1].kg == pytest.approx(4 * TABLE["cpu"]["kg"][1])


def test_a_small_bare_server_still_has_a_whole_cpu():
    assert making(**METAL | {"vcpus": 8}).parts[1].kg == pytest.approx(TABLE["cpu"]["kg"][1])


def test_a_desktop_or_laptop_is_one_thing_with_its_memory():
    embodied = making(**LAPTOP, virtualised=False)
    assert [part.kg for part in embodied.parts] == [TABLE["desktop"]["kg"][1]]


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_time_adds_up(first, second):
    embodied = making()
    both = embodied.grams(first) + embodied.grams(second)
    whole = embodied.grams(first + second)
    for one, other in ((whole.value, both.value), (whole.type_b, both.type_b)):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)


@given(st.integers(1, 16))
def test_workers_that_share_a_machine_hold_it_once_in_all(workers):
    whole, one = making(share=1.0), making(share=1 / workers)
    assert workers * held_kg(one) == pytest.approx(held_kg(whole))


def test_the_parts_add_up_to_the_whole():
    embodied = making(gpus=("NVIDIA H100 80GB HBM3",) * 2, **METAL)
    alone = [replace(embodied, parts=(part,)) for part in embodied.parts]
    for end in ENDS:
        assert held_kg(embodied, end) == pytest.approx(sum(held_kg(each, end) for each in alone))


def test_a_share_is_of_every_part_and_a_gpu_share_of_the_gpus_alone():
    gpus = ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB")
    none, half = making(share=0.0, gpu_share=0.5, gpus=gpus), making(share=0.5, gpus=gpus)
    assert held_kg(none) == pytest.approx(127.6)
    assert held_kg(half) == pytest.approx(held_kg(making(share=1.0, gpus=gpus)) / 2)
    assert held_kg(making(share=0.0)) == 0


def test_without_a_share_the_process_holds_the_cpus_that_it_may_use():
    assert held_kg(making(usable_cpus=1.0)) == pytest.approx(held_kg(making(share=0.5)))


@pytest.mark.parametrize("shares", [{"share": 1.5}, {"share": -0.1}, {"share": 1.0, "gpu_share": 2.0}])
def test_more_than_the_machine_or_less_than_nothing_of_it_is_refused(shares):
    with pytest.raises(MeteringError, match="between 0 and 1"):
        making(**shares)


@pytest.mark.parametrize("years", [2.0, 8.0])
def test_a_machine_that_lasts_longer_costs_less_an_hour(years):
    assert making(grid(lifetime_years=years)).grams(60).value == pytest.approx(making().grams(60).value * 4 / years)


def test_the_users_own_figure_stands_for_the_whole_machine_gpus_included():
    embodied = making(grid(embodied_kg=320.0), share=0.25, gpus=("NVIDIA A100-SXM4-40GB",))
    assert [held_kg(embodied, end) for end in ENDS] == [80, 80, 80]
    assert (embodied.kind, embodied.parts[0].basis) == ("given", "given")


def test_zero_kilograms_leave_the_making_out_and_say_so():
    embodied = making(grid(embodied_kg=0.0))
    assert (embodied.kind, embodied.parts) == ("excluded", ())
    assert embodied.grams(1e9).value is None
    assert "left out by the user" in embodied.grams(1e9).missing
    assert "left out" in embodied.note


@pytest.mark.parametrize(
    ("name", "kg"),
    [
        ("NVIDIA H100 80GB HBM3", 164),
        ("NVIDIA H200", 164),
        ("NVIDIA GH200 480GB", 164),
        ("NVIDIA A100-SXM4-40GB", 127.6),
        ("NVIDIA B200", 284),
        ("NVIDIA RTX A1000", 100),
        ("NVIDIA GeForce RTX 4090", 100),
    ],
)
def test_a_gpu_is_known_by_its_name(name, kg):
    (gpu,) = making(share=0.0, gpu_share=1.0, gpus=(name,)).parts[-1:]
    assert gpu.kg == kg
    assert name in gpu.name
    assert (gpu.basis == "default") == (kg == 100)


H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"


@pytest.mark.parametrize(
    ("used", "models", "names"),
    [
        ((1,), (A100,), [f"GPUs: 1 x {A100}"]),
        ((0,), None, [f"GPUs: 1 x {H100}"]),
        (None, None, [f"GPUs: 1 x {H100}", f"GPUs: 1 x {A100}"]),
        ((0, 1, 2), None, [f"GPUs: 1 x {H100}", f"GPUs: 1 x {A100}", "GPUs: 1 x GPU of unknown model"]),
        ((), (), []),
        ((), None, []),
    ],
)
def test_a_process_holds_the_gpus_that_it_uses_with_its_workers(used, models, names):
    host = host_of(machine(gpus=(H100, A100)), workers=2, gpus=used)
    found = [part for part in embodied_of_process(host, grid(), gpus=models).parts if part.name.startswith("GPU")]
    assert [part.name for part in found] == names
    assert all(part.share == 0.5 for part in found)


def test_the_figures_are_what_their_sources_add_up_to():
    """Recomputed from the constants that the sources name."""
    supplies, board, assembly = 2 * 2.99 * 24.3, 66.1, 6.68
    assert entry_kg("server")["mid"] == pytest.approx(150 + board + assembly + supplies, abs=0.5)
    assert entry_kg("server")["low"] == pytest.approx(30.9 + 880 / 16 + board + assembly, abs=0.5)
    assert entry_kg("server")["high"] == pytest.approx(1000 - 21.9 - 16 * 533 / 384, abs=0.5)
    assert entry_kg("ram_gb")["mid"] == pytest.approx(533 / 384, abs=0.005)
    assert entry_kg("ram_gb")["low"] == pytest.approx((36 * 0.065 / 0.875 + 19 * 0.15) / 32, abs=0.005)
    assert entry_kg("ram_gb")["high"] == pytest.approx((32 / 0.625 * 2.2 + 5.22) / 32, abs=0.005)
    boards = {"H100 80GB": 1312 / 8, "B200": 2274 / 8}
    for name, kg in boards.items():
        assert making(gpus=(name,)).parts[-1].kg == pytest.approx(kg, abs=0.5)


@pytest.mark.parametrize("entry", [TABLE[name] for name in ("server", "cpu", "ram_gb", "desktop")] + TABLE["gpus"])
def test_every_figure_has_an_interval_a_basis_a_source_and_a_year(entry):
    low, mid, high = entry["kg"]
    assert 0 < low <= mid / 2 < mid * 2 <= high * 1.01
    assert entry["basis"] in ("sourced", "derived", "default")
    assert ("default: " in entry["source"]) == (entry["basis"] == "default")
    assert 2010 <= entry["year"] <= 2030


def test_whoever_reads_the_note_learns_what_was_assumed():
    assumed = "2 of 256 threads of an assumed host with 2 CPUs (AMD EPYC Milan)"
    assert making().note == assumed
    assert making(share=0.5).note == f"{assumed}; 0.5 of it is held"
    assert making(**METAL).note == "a server (AMD EPYC Milan)"
    assert making(**LAPTOP).note == "a desktop or laptop"
