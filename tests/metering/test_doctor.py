from dataclasses import replace

import pynvml
import pytest

from greenpose.formatting import with_prefix
from greenpose.metering import CodeCarbon, Joules, examine, host_of, pinned_environment
from greenpose.metering.doctor import Diagnosis
from greenpose.metering.interference import LoadMonitor
from greenpose.metering.machine import OpenFile
from greenpose.metering.sources.select_sources import Choice
from tests.fakes.meters import (
    RANGE_UJ,
    Board,
    FakeNvml,
    FakeTracker,
    ScriptedSource,
    TickingClock,
    kernel,
    machine,
    powercap,
    stat,
    write,
    zone,
)


@pytest.fixture
def root(tmp_path):
    return kernel(tmp_path)


class Draining(OpenFile):
    """A zone's counter that goes on by some watts in steps of a period, by a clock; 0 W stand still."""

    clock: TickingClock
    watts = 50.0
    period_s = 0.002

    def __call__(self):
        drawn = 1e6 * self.watts * self.period_s * (self.clock.now // self.period_s)
        return str(int(super().__call__()) + int(drawn))


def counting(clock, *, watts=50.0, period_s=0.002):
    """Returns what opens such counters."""
    return type("Counting", (Draining,), {"clock": clock, "watts": watts, "period_s": period_s})


def diagnose(
    root, clock, *, user=0, idle=100, steal=0, environ=None, codecarbon=None, library=None, open_file=None, **facts
):
    write(root, {"proc/stat": stat()})
    if library is not None:
        write(root, {"dev/nvidiactl": ""})

    def wait(seconds):
        clock.advance(seconds)
        if seconds > 0.1:
            write(root, {"proc/stat": stat(user=user, idle=idle, steal=steal)})

    host = replace(
        host_of(machine(**facts), clock=clock, cpu_clock=TickingClock()),
        root=root,
        environ=environ or {},
        nvml=lambda: library,
        open_file=open_file or OpenFile,
    )
    return examine(host, codecarbon=codecarbon, load=LoadMonitor(root / "proc/stat", clock=clock), sleep=wait)


def about(diagnosis, topic):
    return [finding for finding in diagnosis.findings if finding.topic == topic]


def test_without_counters_the_verdict_is_that_nothing_is_measured_and_why(root, clock):
    diagnosis = diagnose(root, clock)
    assert not diagnosis.measured
    assert diagnosis.grade == "C"
    assert diagnosis.verdict.startswith("No energy is measured")
    low, mid, high = (
        with_prefix(sum(getattr(look.watts, end) for look in diagnosis.looks.values()), "W", 2)
        for end in ("low", "mid", "high")
    )
    assert f"worked out, {mid} now, which may be {low.removesuffix(' W')} to {high} (grade C)" in diagnosis.verdict
    used, why_not_better = about(diagnosis, "cpu")
    assert used.level == "note"
    assert "worked out from CPU time, not measured" in used.says
    assert "RAPL" in why_not_better.says
    assert why_not_better.remedy


def test_a_model_shows_its_power_now_with_its_interval(root, clock):
    """The memory of 16 GB draws 0.38 W a GB, 0.11 to 0.76: power.json."""
    (memory, _) = about(diagnose(root, clock), "ram")
    watts = diagnose(root, clock).looks["ram"].watts
    assert watts.low < watts.mid < watts.high
    assert f"{watts.mid:.1f} W now (truly {watts.low:.1f} to {watts.high:.0f} W)" in memory.says


def test_a_machine_full_of_counters_has_grade_a_and_shows_how_they_move(root, clock):
    powercap(root, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    library = FakeNvml(Board(clock, watts=200.0))
    diagnosis = diagnose(root, clock, library=library, open_file=counting(clock), virtualised=False)
    assert diagnosis.measured
    assert diagnosis.grade == "A"
    assert "grade A" in diagnosis.verdict
    for component, watts in (("cpu", 50), ("ram", 50), ("gpu", 200)):
        used, pace = about(diagnosis, component)
        assert used.level == "good"
        assert used.says.startswith("measured by")
        assert diagnosis.looks[component].watts.mid == pytest.approx(watts, rel=0.02)
        assert "let a window last" in pace.says
    assert (
        "every 2.0 ms (assumed: 1.0 ms), the smallest step seen is 100 mJ (assumed: 61 µJ)"
        in about(diagnosis, "cpu")[1].says
    )
    assert "let a window last 40 ms or longer" in about(diagnosis, "cpu")[1].says


@pytest.mark.parametrize(("period_s", "level"), [(0.001, "good"), (0.01, "note")])
def test_a_counter_that_is_slower_than_assumed_is_noted(root, clock, period_s, level):
    powercap(root, rapl_0=zone("package-0"))
    diagnosis = diagnose(root, clock, open_file=counting(clock, period_s=period_s), virtualised=False)
    assert about(diagnosis, "cpu")[1].level == level


def test_each_of_two_counters_is_timed_by_itself(root, clock):
    powercap(root, rapl_0=zone("package-0"), rapl_1=zone("package-1", RANGE_UJ // 2))
    single = counting(clock, period_s=0.002)

    def unlike(path):
        return single(path) if path.parent.name == "intel-rapl:0" else counting(clock, period_s=0.0007)(path)

    diagnosis = diagnose(root, clock, open_file=unlike, virtualised=False)
    assert diagnosis.looks["cpu"].pace.update_period_s == pytest.approx(0.002, abs=2e-4)


def test_a_counter_that_stands_still_is_not_to_be_trusted(root, clock):
    powercap(root, rapl_0=zone("package-0"))
    diagnosis = diagnose(root, clock, virtualised=False)
    assert [finding.level for finding in about(diagnosis, "cpu")] == ["good", "warning"]
    assert "do not trust it" in about(diagnosis, "cpu")[1].says


def test_a_counter_that_fails_while_it_is_watched_is_a_warning(root, clock):
    board = Board(clock)
    library = FakeNvml(board)
    failing = type("Failing", (Draining,), {"clock": clock})

    def fail(seconds):
        board.fails["energy"] = pynvml.NVML_ERROR_GPU_IS_LOST

    write(root, {"dev/nvidiactl": ""})
    host = replace(host_of(machine(), clock=clock), root=root, environ={}, nvml=lambda: library, open_file=failing)
    (gpu,) = about(examine(host, load=LoadMonitor(root / "none"), sleep=fail), "gpu")
    assert gpu.level == "warning"
    assert "GPU is lost" in gpu.says


def test_a_mixture_has_grade_b(root, clock):
    powercap(root, rapl_0=zone("package-0"))
    diagnosis = diagnose(root, clock, open_file=counting(clock, watts=5.0), virtualised=False)
    assert diagnosis.grade == "B"
    assert "part is worked out" in diagnosis.verdict


def test_a_gpu_that_nothing_reads_is_a_warning_with_its_remedy_and_no_gpu_is_fine(root, clock):
    library = FakeNvml(init_error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    diagnosis = diagnose(root, clock, library=library)
    first, why = about(diagnosis, "gpu")
    assert first.level == "warning"
    assert "modprobe nvidia" in why.remedy
    assert "that of the GPU is missing" in diagnosis.verdict
    assert any("total of work that uses the GPU" in finding.says for finding in about(diagnosis, "numbers"))


def test_no_gpu_is_fine(root, clock):
    (finding,) = about(diagnose(root, clock), "gpu")
    assert finding.level == "good"


def test_what_numbers_are_good_for_follows_from_the_grade(root, clock):
    sound, not_sound = about(diagnose(root, clock), "numbers")
    assert (sound.level, not_sound.level) == ("good", "warning")
    assert "ratios of joules between exits" in sound.says
    assert "joules or grams without their interval" in not_sound.says
    powercap(root, rapl_0=zone("package-0"), rapl_0_0=zone("dram"))
    sound, not_sound = about(diagnose(root, clock, open_file=counting(clock), virtualised=False), "numbers")
    assert "joules and grams with their interval" in sound.says
    assert not_sound.level == "note"


def test_a_counter_counts_as_measured():
    source = ScriptedSource("cpu", [Joules(0.0, 0.0, 0.0)], kind="measured")
    choice = Choice(component="cpu", source=source, rejected=())
    assert Diagnosis(machine=machine(), choices=(choice,), findings=()).measured


def test_an_unpinned_allocator_is_noted_with_the_variables(root, clock):
    (finding,) = about(diagnose(root, clock), "allocator")
    assert finding.level == "note"
    assert "MALLOC_MMAP_MAX_=0" in finding.remedy
    assert about(diagnose(root, clock, environ=pinned_environment()), "allocator")[0].level == "good"


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, "note"),
        ({"OMP_NUM_THREADS": "4"}, "note"),
        ({"OMP_NUM_THREADS": "1"}, "good"),
        ({"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "passive"}, "good"),
    ],
)
def test_threads_that_spin_are_noted(root, clock, environ, level):
    assert about(diagnose(root, clock, environ=environ), "threads")[0].level == level


def test_neighbours_and_the_hypervisor_are_watched(root, clock):
    quiet = diagnose(root, clock, user=1, idle=99)
    assert {about(quiet, topic)[0].level for topic in ("load", "steal")} == {"good"}
    loud = diagnose(root, clock, user=60, idle=30, steal=10)
    assert {about(loud, topic)[0].level for topic in ("load", "steal")} == {"warning"}
    assert "60%" in about(loud, "load")[0].says
    assert "10.0%" in about(loud, "steal")[0].says


def test_a_system_that_does_not_say_who_uses_the_cpu_is_noted(root, tmp_path):
    host = replace(host_of(machine()), root=root)
    diagnosis = examine(host, load=LoadMonitor(tmp_path / "none"), sleep=TickingClock().advance)
    assert "does not say" in about(diagnosis, "load")[0].says


def test_codecarbon_s_view_shows_mode_and_assumption(root, clock):
    (finding,) = about(diagnose(root, clock, codecarbon=CodeCarbon("ITA", build=FakeTracker)), "codecarbon")
    assert "cpu_load" in finding.says
    assert "8 W" in finding.says


def test_a_broken_codecarbon_is_a_warning_with_the_reason(root, clock):
    tool = CodeCarbon("ITA", build=lambda **settings: FakeTracker(fails="first", **settings))
    (finding,) = about(diagnose(root, clock, codecarbon=tool), "codecarbon")
    assert finding.level == "warning"
    assert "nothing for its first task" in finding.says


def test_codecarbon_is_not_asked_by_itself(root, clock):
    assert about(diagnose(root, clock), "codecarbon") == []
