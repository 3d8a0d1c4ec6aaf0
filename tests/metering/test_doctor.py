from dataclasses import replace

import pytest

from greenpose.metering import CodeCarbon, Joules, ScriptedSource, examine, host_of, pinned_environment
from greenpose.metering.choice import Choice
from greenpose.metering.contamination import Witness
from greenpose.metering.doctor import Diagnosis
from tests.metering.fakes import FakeTracker, TickingClock, kernel, machine, stat, write


@pytest.fixture
def root(tmp_path):
    return kernel(tmp_path)


def diagnose(root, *, user=0, idle=100, steal=0, environ=None, codecarbon=None, **facts):
    clock = TickingClock()
    write(root, {"proc/stat": stat()})

    def wait(seconds):
        clock.advance(seconds)
        write(root, {"proc/stat": stat(user=user, idle=idle, steal=steal)})

    host = replace(host_of(machine(**facts)), root=root, environ=environ or {})
    return examine(host, codecarbon=codecarbon, witness=Witness(root / "proc/stat", clock=clock), sleep=wait)


def about(diagnosis, topic):
    return [finding for finding in diagnosis.findings if finding.topic == topic]


def test_the_component_s_source_comes_first_then_why_not_a_better_one(root):
    first, second = about(diagnose(root), "cpu")
    assert first.says.startswith("modelled")
    assert "RAPL" in second.says
    assert second.remedy


def test_without_counters_nothing_is_measured_and_joules_are_not_to_be_quoted(root):
    diagnosis = diagnose(root)
    assert not diagnosis.measured
    (meaning,) = about(diagnosis, "numbers")
    assert meaning.level == "warning"
    assert "Do not quote absolute joules" in meaning.says


def test_a_counter_counts_as_measured():
    source = ScriptedSource("cpu", [Joules(0.0, 0.0, 0.0)], kind="measured")
    choice = Choice(component="cpu", source=source, rejected=())
    assert Diagnosis(machine=machine(), choices=(choice,), findings=()).measured


def test_a_gpu_that_nothing_reads_is_a_warning_and_no_gpu_is_fine(root):
    assert about(diagnose(root, gpus=("A100",)), "gpu")[0].level == "warning"
    assert about(diagnose(root), "gpu")[0].level == "good"


def test_an_unpinned_allocator_is_noted_with_the_variables(root):
    (finding,) = about(diagnose(root), "allocator")
    assert finding.level == "note"
    assert "MALLOC_MMAP_MAX_=0" in finding.remedy
    assert about(diagnose(root, environ=pinned_environment()), "allocator")[0].level == "good"


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, "note"),
        ({"OMP_NUM_THREADS": "4"}, "note"),
        ({"OMP_NUM_THREADS": "1"}, "good"),
        ({"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "passive"}, "good"),
    ],
)
def test_threads_that_spin_are_noted(root, environ, level):
    assert about(diagnose(root, environ=environ), "threads")[0].level == level


def test_neighbours_and_the_hypervisor_are_watched(root):
    quiet = diagnose(root, user=1, idle=99)
    assert {about(quiet, topic)[0].level for topic in ("load", "steal")} == {"good"}
    loud = diagnose(root, user=60, idle=30, steal=10)
    assert {about(loud, topic)[0].level for topic in ("load", "steal")} == {"warning"}
    assert "60%" in about(loud, "load")[0].says
    assert "10.0%" in about(loud, "steal")[0].says


def test_a_system_that_does_not_say_who_uses_the_cpu_is_noted(root, tmp_path):
    host = replace(host_of(machine()), root=root)
    diagnosis = examine(host, witness=Witness(tmp_path / "none"), sleep=TickingClock().advance)
    assert "does not say" in about(diagnosis, "load")[0].says


def test_codecarbon_s_view_shows_mode_and_assumption(root):
    (finding,) = about(diagnose(root, codecarbon=CodeCarbon("ITA", build=FakeTracker)), "codecarbon")
    assert "cpu_load" in finding.says
    assert "8 W" in finding.says


def test_a_broken_codecarbon_is_a_warning_with_the_reason(root):
    tool = CodeCarbon("ITA", build=lambda **settings: FakeTracker(fails="first", **settings))
    (finding,) = about(diagnose(root, codecarbon=tool), "codecarbon")
    assert finding.level == "warning"
    assert "nothing for its first task" in finding.says


def test_codecarbon_is_not_asked_by_itself(root):
    assert about(diagnose(root), "codecarbon") == []
