from dataclasses import replace
from pathlib import Path

import pytest

from greenpose.metering import Meter, Surroundings, Witness, carbon_of
from greenpose.run.phases import epoch_costs, phases, training_parts, training_windows
from tests.metering.fakes import TickingClock, TickingSource


def metering(clock):
    return Meter(
        [TickingSource(clock, watts=1.0)],
        clock=clock,
        cpu_clock=lambda: clock.now,
        surroundings=Surroundings(witness=Witness(Path("/nowhere"))),
    )


@pytest.fixture
def run():
    """Two epochs of 4 and 6 seconds with parts, a validation, and 3 seconds in no window."""
    clock = TickingClock()
    with metering(clock) as meter:
        for number in (1, 2):
            with meter.window(f"train/epoch {number}") as opened:
                clock.advance(0.5)
                for seconds, name in ((0.5, "data"), (1 + number / 2, "forward"), (1 + number / 2, "backward")):
                    opened.part(name)
                    clock.advance(seconds)
            with meter.window(f"validate/epoch {number}"):
                clock.advance(2)
        clock.advance(3)
    return meter


def test_the_phases_add_up_to_the_meters_total(run):
    found = phases(run.windows, run, "modelled", carbon_of(country="ITA"))
    assert sum(phase.seconds for phase in found) == pytest.approx(run.total.seconds)
    assert sum(phase.energy_kwh for phase in found) * 3.6e6 == pytest.approx(run.total.energy.mid)
    by_name = {phase.name: phase.seconds for phase in found}
    assert (by_name["train"], by_name["validate"], by_name["other"]) == (9, 4, 3)


def test_every_phase_is_charged_by_its_own_hours(run, tmp_path):
    """Training in a clean hour, validation in a dirty one; what lies between them by the mean of both."""
    hourly = tmp_path / "grid.csv"
    rows = [f"2025-01-01T{hour:02}:00Z,{900 if hour else 100}" for hour in range(24)]
    hourly.write_text("\n".join(["datetime,g_per_kwh", *rows]))
    hours = {"train": "2025-01-01T00:10:00+00:00", "validate": "2025-01-01T01:10:00+00:00"}
    windows = [replace(window, started_at=hours[window.name.partition("/")[0]]) for window in run.windows]
    found = {phase.name: phase for phase in phases(windows, run, "modelled", carbon_of(hourly=str(hourly)))}
    per_kwh = {name: phase.co2eq_g / phase.energy_kwh for name, phase in found.items() if phase.energy_kwh}
    assert per_kwh == pytest.approx({"train": 100, "validate": 900, "other": (9 * 100 + 4 * 900) / 13})


def test_the_parts_of_training_add_up_to_its_phase(run):
    found = {part.name: part for part in training_parts(run.windows, "modelled")}
    assert {name: part.seconds for name, part in found.items()} == pytest.approx(
        {"data": 1, "forward": 3.5, "backward": 3.5, "step": 0, "other": 1}
    )
    whole = next(
        phase for phase in phases(run.windows, run, "modelled", carbon_of(country="ITA")) if phase.name == "train"
    )
    assert sum(part.energy_kwh for part in found.values()) == pytest.approx(whole.energy_kwh)
    for end in ("low", "high"):
        ends = [getattr(part.basis["energy_kwh"].type_b, end) for part in found.values()]
        assert sum(ends) == pytest.approx(getattr(whole.basis["energy_kwh"].type_b, end))


def test_training_counts_every_second_once_though_parts_lie_in_epochs(run):
    assert sum(window.seconds for window in training_windows(run.windows)) == 13


def test_an_epoch_costs_its_training_and_its_validation(run):
    assert [(each.number, each.seconds, each.energy.mid) for each in epoch_costs(run.windows)] == [
        (1, 6, pytest.approx(6)),
        (2, 7, pytest.approx(7)),
    ]


def test_an_epoch_that_was_killed_counts_in_training_and_not_as_an_epoch(run):
    killed = [window for window in run.windows if window.name not in ("train/epoch 2", "validate/epoch 2")]
    assert [each.number for each in epoch_costs(killed)] == [1]
    assert sum(window.seconds for window in training_windows(killed)) == pytest.approx(6 + 4.5)
