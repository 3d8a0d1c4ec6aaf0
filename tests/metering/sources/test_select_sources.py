""""""

from dataclasses import replace

import pynvml
import pytest

import greenpose
from greenpose.metering import Meter, MeterSurroundings, choose, host_of
from greenpose.metering.sources.source import CounterSource
from tests.fakes.meters import RANGE_UJ, Board, FakeNvml, TickingClock, machine, powercap, write, zone


def host(root, *, clock=None, library=None, workers=1, gpus=None, **facts):
    clock = clock or TickingClock()
    made = host_of(machine(**facts), workers=workers, gpus=gpus, clock=clock, cpu_clock=TickingClock())
    if library is not None:
        write(root, {"dev/nvidiactl": ""})
    return replace(made, root=root, environ={}, nvml=lambda: library)


def chosen(host):
    return {choice.component: choice for choice in choose(host)}


def kinds(host):
    return {name: choice.provenance and choice.provenance.kind for name, choice in chosen(host).items()}


def test_without_counters_the_models_cover_cpu_and_memory_and_there_is_no_gpu(tmp_path):
    assert kinds(host(tmp_path)) == {"cpu": "modelled", "ram": "modelled", "gpu": None}


def test_counters_come_before_models(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    place = host(root, library=FakeNvml(Board(TickingClock())), virtualised=False)
    assert kinds(place) == {"cpu": "measured", "ram": "measured", "gpu": "measured"}
    assert all(not choice.rejected for choice in chosen(place).values())


def test_what_is_better_and_not_there_is_told_with_what_is_used(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    choices = chosen(host(root, virtualised=False))
    assert choices["ram"].source.provenance.kind == "modelled"
    (better,) = choices["ram"].rejected
    assert "RAPL" in better.name
    assert better.kind == "measured"


def test_a_gpu_that_nothing_reads_is_not_covered_and_its_provenance_says_why(tmp_path):
    library = FakeNvml(init_error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    choice = chosen(host(tmp_path, library=library, gpus=(0,)))["gpu"]
    assert choice.source is None
    assert choice.absent is None
    assert choice.provenance.kind == "not_covered"
    assert choice.provenance.component == "gpu"
    assert "not loaded" in choice.provenance.coverage


def test_work_on_the_cpu_of_a_machine_with_gpus_has_none(tmp_path):
    choice = chosen(host(tmp_path, library=FakeNvml(Board(TickingClock())), gpus=()))["gpu"]
    assert choice.provenance is None
    assert "without one" in choice.absent


def test_the_share_reaches_the_models():
    choices = choose(host_of(machine(), share=0.5))
    assert {choice.source.provenance.model_params["share"] for choice in choices if choice.source} == {0.5}


def test_the_share_is_by_default_the_usable_part_of_the_machine_divided_by_the_workers():
    assert host_of(machine(vcpus=4, usable_cpus=1.0)).share == 0.25
    assert host_of(machine(vcpus=4, usable_cpus=1.0), workers=2).share == 0.125


def test_sources_that_read_hardware_can_be_told_from_models(tmp_path):
    root = powercap(tmp_path, rapl_0=zone("package-0"))
    choices = chosen(host(root, library=FakeNvml(Board(TickingClock()))))
    assert isinstance(choices["cpu"].source, CounterSource)
    assert isinstance(choices["gpu"].source, CounterSource)
    assert not isinstance(choices["ram"].source, CounterSource)


def energy(root, zones, microjoules):
    for place in zones:
        path = root / "sys/class/powercap" / place / "energy_uj"
        path.write_text(str((int(path.read_text()) + microjoules) % RANGE_UJ))


@pytest.fixture
def measured(tmp_path):
    """Two sockets with memory, one of them about to wrap, and a GPU: everything has a counter."""
    clock = TickingClock()
    board = Board(clock, watts=200.0)
    powercap(
        tmp_path,
        rapl_0=zone("package-0", RANGE_UJ - 1),
        rapl_0_0=zone("dram"),
        rapl_1=zone("package-1"),
        rapl_1_0=zone("dram"),
    )
    place = host(tmp_path, clock=clock, library=FakeNvml(board), virtualised=False, cpu_vendor="GenuineIntel")
    sources = [choice.source for choice in choose(place)]
    return clock, board, Meter(sources, clock=clock, cpu_clock=TickingClock(), surroundings=MeterSurroundings())


def test_a_meter_over_counters_measures_and_has_grade_a(tmp_path, measured):
    clock, _, meter = measured
    with meter, meter.window("work") as opened:
        clock.advance(10)
        energy(tmp_path, ("intel-rapl:0", "intel-rapl:1"), 500_000_000)
        energy(tmp_path, ("intel-rapl:0:0", "intel-rapl:1:0"), 30_000_000)
    joules = opened.result.joules
    assert {name: energy.mid for name, energy in joules.items()} == pytest.approx({"cpu": 1000, "ram": 60, "gpu": 2000})
    assert meter.total.energy.mid == pytest.approx(3060)
    assert meter.total.grade == "A"


def test_a_gpu_lost_in_a_run_leaves_the_rest_measured_and_the_grade_falls(tmp_path, measured):
    clock, board, meter = measured
    with meter:
        with meter.window("before"):
            clock.advance(1)
        board.fails["energy"] = pynvml.NVML_ERROR_GPU_IS_LOST
        with meter.window("after"):
            clock.advance(1)
            energy(tmp_path, ("intel-rapl:0",), 7_000_000)
    before, after = meter.windows
    assert before.joules["gpu"].mid == pytest.approx(200)
    assert after.joules["cpu"].mid == pytest.approx(7)
    assert "GPU is lost" in after.missing["gpu"]
    assert meter.total.grade == "B"


def test_a_meter_closes_its_counters_and_no_thread_reads_on(measured):
    *_, meter = measured
    with meter:
        threads = [source._periodic for source in meter.sources if hasattr(source, "_periodic")]
        assert [periodic._thread.is_alive() for periodic in threads] == [True, True]
    assert [periodic._thread.is_alive() for periodic in threads] == [False, False]


def test_whoever_shares_the_machine_says_so_to_the_meter():
    alone, shared = greenpose.meter(), greenpose.meter(workers=4, gpus=())
    shares = [
        {p.component: p.model_params["share"] for p in meter.provenances if p.kind == "modelled"}
        for meter in (alone, shared)
    ]
    assert shares[1] == {name: pytest.approx(share / 4) for name, share in shares[0].items()}
    assert "gpu" not in {p.component for p in shared.provenances}
