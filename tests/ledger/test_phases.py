""""""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.intervals import Bounds
from greenpose.ledger.phases import (
    allocation,
    break_even,
    epoch_costs,
    phases,
    training_parts,
    training_windows,
)
from greenpose.metering import ExitMeasurement, carbon_of
from greenpose.quantity import Quantity
from greenpose.record import Phase, StepExit, TrainingStep, with_bases
from tests.fakes.meters import TickingClock, TickingSource, metering


@pytest.fixture
def run():
    """Two epochs of 4 and 6 seconds with parts, a validation, and 3 seconds in no window."""
    clock = TickingClock()
    with metering(clock, TickingSource(clock, watts=1.0), cpu_share=1.0) as meter:
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
    assert [(number, each.seconds, each.energy.mid) for number, each in epoch_costs(run.windows).items()] == [
        (1, 6, pytest.approx(6)),
        (2, 7, pytest.approx(7)),
    ]


def test_an_epoch_that_was_killed_counts_in_training_and_not_as_an_epoch(run):
    killed = [window for window in run.windows if window.name not in ("train/epoch 2", "validate/epoch 2")]
    assert [*epoch_costs(killed)] == [1]
    assert sum(window.seconds for window in training_windows(killed)) == pytest.approx(6 + 4.5)


costs = st.floats(1e-6, 1e6)


def known(value, low=None, high=None):
    return Quantity(
        value=value, repeats=6, type_a=Bounds(value if low is None else low, value if high is None else high)
    )


def training_step(trunk=(2.0, 10.0), private=(1.0, 3.0), overhead=None) -> TrainingStep:
    exits = range(5 - len(trunk), 5)
    numbers = {
        "cost_per_image": known(14.0),
        "explained": known(1.0),
        "overhead": overhead or known(1.25, 1.2, 1.3),
        "kd_overhead": known(1.1),
        "joint_saving": known(1.5),
    }
    costs = zip(exits, trunk, private, strict=True)
    parts = [StepExit(exit=exit_, alone=far, trunk=far, private=own) for exit_, far, own in costs]
    return TrainingStep(unit="J", images=8, blocks=6, exits=parts, **with_bases(numbers))


def always(number):
    """Every exit trained in every epoch."""
    return dict.fromkeys(range(5 - number, 5), 1.0)


def macs(*values):
    return {5 - len(values) + index: float(value) for index, value in enumerate(values)}


@given(
    st.sampled_from(["airport", "macs", "incremental", "deepest"]),
    st.lists(costs, min_size=1, max_size=4),
    st.lists(costs, min_size=4, max_size=4),
    st.floats(1e-9, 1e9),
)
def test_the_shares_sum_to_the_total_by_every_rule(rule, trunk, private, kwh):
    trunk, compute = sorted(trunk), [1e9 * number for number in range(1, len(trunk) + 1)]
    step = training_step(trunk, private[: len(trunk)]) if len(trunk) > 1 else None
    split = allocation(rule, kwh, 300 * kwh, macs=macs(*compute), step=step, trained=always(len(trunk)))
    assert sum(split.energy_kwh.values()) == pytest.approx(kwh, rel=1e-9)
    assert sum(split.co2eq_g.values()) == pytest.approx(300 * kwh, rel=1e-9)
    assert all(sum(shares.values()) == pytest.approx(1, rel=1e-9) for shares in split.shares_by_rule.values())
    assert {number: kwh * share for number, share in split.shares_by_rule[rule].items()} == pytest.approx(
        split.energy_kwh
    )


def test_the_airport_rule_shares_measured_segments_among_those_who_need_them():
    split = allocation("airport", 1.0, 1.0, macs=macs(1, 99), step=training_step(), trained=always(2))
    # exit 3: half of the trunk of 2, and its own 1; exit 4: the other half, the 8 beyond, and its own 3
    assert split.energy_kwh == pytest.approx({3: 2 / 14, 4: 12 / 14})
    assert "joules of each segment" in split.cost


def test_the_rule_by_macs_takes_macs_whatever_was_measured():
    split = allocation("macs", 1.0, 1.0, macs=macs(1, 3), step=training_step(), trained=always(2))
    assert split.energy_kwh == pytest.approx({3: 0.25, 4: 0.75})
    assert "multiply-accumulates" in split.cost


def test_a_network_with_one_exit_bears_everything_itself():
    split = allocation("airport", 2.0, 5.0, macs=macs(7), step=None, trained=always(1))
    assert split.energy_kwh == {4: 2.0}


def test_a_segment_is_paid_for_in_the_epochs_that_trained_it():
    split = allocation("airport", 1.0, 1.0, macs=macs(1, 4), step=training_step(), trained={3: 1.0, 4: 0.25})
    # exit 3: half of the trunk of 2, and its own 1; exit 4: the other half, a quarter of the 8 beyond and of its own 3
    assert split.energy_kwh == pytest.approx({3: 2 / 5.75, 4: 3.75 / 5.75})
    assert split.shares_by_rule["incremental"] == pytest.approx({3: 3 / 5.75, 4: 2.75 / 5.75})
    assert split.shares_by_rule["macs"] == pytest.approx({3: 1 / 2.75, 4: 1.75 / 2.75})
    assert split.cost.endswith("in the epochs that trained it (exit 4: 25 %)")


def exit_measurement(energy=None, ratio=None):
    return ExitMeasurement(
        items_per_call=1,
        blocks=6,
        calls=6,
        window_seconds=0.5,
        latency_s=known(1.0),
        latency_p95_s=known(1.0),
        cpu_s_per_item=known(1.0),
        energy_j_per_item=energy,
        net_energy_j_per_item=None,
        idle_watts=None,
        between_runs=0.0,
        ratios={} if ratio is None else {"energy_j_per_item": ratio},
        converged=True,
        agreement=None,
        foreign_cpu_share=None,
        steal_share=None,
        involuntary_switches=0,
        minor_faults=0,
        resolution_share=None,
    )


FINAL = exit_measurement(known(10.0), known(1.0))


def parts(kwh=1.0):
    names = ("data", "forward", "backward", "step", "other")
    blank = {"seconds": 1.0, "cpu_seconds": 1.0, "energy_kwh_by_component": {}, "windows": 1}
    return [Phase(name=name, energy_kwh=kwh, **blank) for name in names]


def test_break_even_is_the_extra_energy_over_the_energy_saved_per_image():
    found = break_even(exit_measurement(known(6.0), known(0.6, 0.55, 0.7)), FINAL, step=training_step(), parts=parts())
    # three parts of 1 kWh depend on the wiring; a step of 1.25 holds 0.25 of extra; an image saves 4 J
    assert found.value == pytest.approx(3 * 3.6e6 * (0.25 / 1.25) / 4.0)
    assert found.type_a.low == pytest.approx(3 * 3.6e6 * (0.2 / 1.2) / 4.5)
    assert found.type_a.high == pytest.approx(3 * 3.6e6 * (0.3 / 1.3) / 3.0)


def test_teaching_that_added_nothing_is_won_back_at_once():
    step = training_step(overhead=known(0.99, 0.97, 1.02))
    found = break_even(exit_measurement(known(6.0), known(0.6)), FINAL, step=step, parts=parts())
    assert found.value == 0
    assert found.type_a.low == 0
    assert found.type_a.high > 0


@pytest.mark.parametrize(
    ("exit_", "step", "why"),
    [
        (FINAL, training_step(), "final one"),
        (exit_measurement(known(6.0), known(0.6)), None, "nothing was added"),
        (exit_measurement(known(11.0), known(1.1)), training_step(), "costs no less"),
        (exit_measurement(None, None), training_step(), "could not be read"),
    ],
)
def test_no_break_even_is_null_with_its_reason(exit_, step, why):
    found = break_even(exit_, FINAL, step=step, parts=parts())
    assert found.value is None
    assert why in found.missing


def test_a_saving_that_may_be_none_has_no_interval():
    found = break_even(exit_measurement(known(9.9), known(0.99, 0.9, 1.05)), FINAL, step=training_step(), parts=parts())
    assert found.value > 0
    assert found.type_a is None
