""""""

import os
from importlib.metadata import PackageNotFoundError

import pytest

from greenpose.metering import CodeCarbon
from tests.fakes.meters import FakeTracker, TickingClock


def codecarbon(**options):
    made = []

    def build(**settings):
        made.append(FakeTracker(**options, **settings))
        return made[-1]

    return CodeCarbon("ITA", build=build, clock=TickingClock(step=1)), made


def test_figures_come_in_joules_and_grams():
    tool, _ = codecarbon()
    tool.start()
    reading = tool.stop()
    assert reading.cpu_joules == pytest.approx(3600)
    assert reading.ram_joules == pytest.approx(1800)
    assert reading.gpu_joules == 0
    assert reading.joules == pytest.approx(5400)
    assert reading.co2eq_g == pytest.approx(0.6)
    assert reading.intensity_g_per_kwh == pytest.approx(400)
    assert (reading.mode, reading.tdp_w, reading.seconds) == ("cpu_load", 8, 1)
    assert reading.tool.startswith("codecarbon 3.3")


def test_the_tracker_is_made_once_and_its_first_task_thrown_away():
    tool, made = codecarbon()
    for _ in range(3):
        tool.start()
        tool.stop()
    assert len(made) == 1
    assert made[0].stopped == 4
    assert made[0]._tasks == {}


@pytest.mark.parametrize(
    ("fails", "reason"), [("first", "nothing for its first"), ("start", "no such thing"), ("stop", "for this window")]
)
def test_a_fault_of_codecarbons_becomes_a_reason(fails, reason):
    tool, _ = codecarbon(fails=fails)
    tool.start()
    reading = tool.stop()
    assert reading.joules is None
    assert reading.missing
    if fails != "start":
        assert reason in reading.missing


def test_an_interrupt_is_not_a_fault():
    def build(**settings):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CodeCarbon("ITA", build=build).start()


def test_a_tracker_that_cannot_be_made_is_tried_once():
    tries = []

    def build(**settings):
        tries.append(1)
        raise OSError("no disk")

    tool = CodeCarbon("ITA", build=build)
    for _ in range(3):
        tool.start()
        assert "no disk" in tool.stop().missing
    assert len(tries) == 1
    assert "no disk" in tool.describe()["missing"]


def test_where_it_is_not_installed_it_says_what_brings_it(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("greenpose.metering.sources.codecarbon.version", version)
    tool = CodeCarbon("ITA")
    tool.start()
    assert tool.stop().missing == "it is not installed: pip install 'greenpose[train]'"


def test_ambient_variables_are_hidden_while_it_is_made_and_come_back(monkeypatch):
    monkeypatch.setenv("CODECARBON_PUE", "3")
    monkeypatch.setenv("codecarbon_force_cpu_power", "500")
    seen = {}

    def build(**settings):
        seen.update({name: value for name, value in os.environ.items() if "codecarbon" in name.lower()})
        return FakeTracker()

    CodeCarbon("ITA", build=build).prepare()
    assert seen == {"CODECARBON_LOG_LEVEL": "critical"}
    assert os.environ["CODECARBON_PUE"] == "3"
    assert os.environ["codecarbon_force_cpu_power"] == "500"  # noqa: SIM112
    assert "CODECARBON_LOG_LEVEL" not in os.environ


def test_the_tool_describes_its_mode_and_assumption():
    tool, _ = codecarbon()
    assert tool.describe() == {"tool": tool.tool, "mode": "cpu_load", "tdp_w": 8, "missing": None}
