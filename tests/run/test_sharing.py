"""How a joint training's cost is split, and when what was added is won back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering import Bounds, Estimate, ExitMeasurement
from greenpose.record import Phase
from greenpose.run.phases import allocation, break_even, training_step
from greenpose.run.segments import StepCosts

costs = st.floats(1e-6, 1e6)


def known(value, low=None, high=None):
    return Estimate(
        value=value, blocks=6, type_a=Bounds(value if low is None else low, value if high is None else high)
    )


def step_costs(trunk=(2.0, 10.0), private=(1.0, 3.0), **changes):
    exits = tuple(range(5 - len(trunk), 5))
    facts = {
        "currency": "joules",
        "images": 8,
        "blocks": 6,
        "joint": known(14.0),
        "alone": dict(zip(exits, map(known, trunk), strict=True)),
        "private": dict(zip(exits, map(known, private), strict=True)),
        "trunk": dict(zip(exits, trunk, strict=True)),
        "explained": known(1.0),
        "overhead": known(1.25, 1.2, 1.3),
        "ds_overhead": None,
        "kd_overhead": known(1.1),
        "joint_saving": known(1.5),
    }
    return StepCosts(**(facts | changes))


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
    step = step_costs(trunk, private[: len(trunk)]) if len(trunk) > 1 else None
    split = allocation(rule, kwh, 300 * kwh, macs=macs(*compute), step=step, trained=always(len(trunk)))
    assert sum(split.energy_kwh.values()) == pytest.approx(kwh, rel=1e-9)
    assert sum(split.co2eq_g.values()) == pytest.approx(300 * kwh, rel=1e-9)
    assert all(sum(shares.values()) == pytest.approx(1, rel=1e-9) for shares in split.shares_by_rule.values())
    assert {number: kwh * share for number, share in split.shares_by_rule[rule].items()} == pytest.approx(
        split.energy_kwh
    )


def test_the_airport_rule_shares_measured_segments_among_those_who_need_them():
    split = allocation("airport", 1.0, 1.0, macs=macs(1, 99), step=step_costs(), trained=always(2))
    # exit 3: half of the trunk of 2, and its own 1; exit 4: the other half, the 8 beyond, and its own 3
    assert split.energy_kwh == pytest.approx({3: 2 / 14, 4: 12 / 14})
    assert "joules of each segment" in split.cost


def test_the_rule_by_macs_takes_macs_whatever_was_measured():
    split = allocation("macs", 1.0, 1.0, macs=macs(1, 3), step=step_costs(), trained=always(2))
    assert split.energy_kwh == pytest.approx({3: 0.25, 4: 0.75})
    assert "multiply-accumulates" in split.cost


def test_a_network_with_one_exit_bears_everything_itself():
    split = allocation("airport", 2.0, 5.0, macs=macs(7), step=None, trained=always(1))
    assert split.energy_kwh == {4: 2.0}


def test_a_segment_is_paid_for_in_the_epochs_that_trained_it():
    split = allocation("airport", 1.0, 1.0, macs=macs(1, 4), step=step_costs(), trained={3: 1.0, 4: 0.25})
    # exit 3: half of the trunk of 2, and its own 1; exit 4: the other half, a quarter of the 8 beyond and of its own 3
    assert split.energy_kwh == pytest.approx({3: 2 / 5.75, 4: 3.75 / 5.75})
    assert split.shares_by_rule["incremental"] == pytest.approx({3: 3 / 5.75, 4: 2.75 / 5.75})
    assert split.shares_by_rule["macs"] == pytest.approx({3: 1 / 2.75, 4: 1.75 / 2.75})
    assert split.cost.endswith("in the epochs that trained it")


def exit_measurement(number, energy=None, ratio=None):
    return ExitMeasurement(
        exit=number,
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
        energy_j_by_component={},
        ratios={} if ratio is None else {"energy_j_per_item": ratio},
        converged=True,
        agreement=None,
        foreign_cpu_share=None,
        steal_share=None,
        involuntary_switches=0,
        minor_faults=0,
        resolution_share=None,
    )


FINAL = exit_measurement(4, known(10.0), known(1.0))


def parts(kwh=1.0):
    names = ("data", "forward", "backward", "step", "other")
    blank = {"seconds": 1.0, "cpu_seconds": 1.0, "energy_kwh_by_component": {}, "windows": 1}
    return [Phase(name=name, energy_kwh=kwh, **blank) for name in names]


def test_break_even_is_the_extra_energy_over_the_energy_saved_per_image():
    found = break_even(exit_measurement(3, known(6.0), known(0.6, 0.55, 0.7)), FINAL, step=step_costs(), parts=parts())
    # three parts of 1 kWh depend on the wiring; a step of 1.25 holds 0.25 of extra; an image saves 4 J
    assert found.images == pytest.approx(3 * 3.6e6 * (0.25 / 1.25) / 4.0)
    assert found.basis.type_a.low == pytest.approx(3 * 3.6e6 * (0.2 / 1.2) / 4.5)
    assert found.basis.type_a.high == pytest.approx(3 * 3.6e6 * (0.3 / 1.3) / 3.0)


def test_teaching_that_added_nothing_is_won_back_at_once():
    step = step_costs(overhead=known(0.99, 0.97, 1.02))
    found = break_even(exit_measurement(3, known(6.0), known(0.6)), FINAL, step=step, parts=parts())
    assert found.images == 0
    assert found.basis.type_a.low == 0
    assert found.basis.type_a.high > 0


@pytest.mark.parametrize(
    ("exit_", "step", "why"),
    [
        (FINAL, step_costs(), "final one"),
        (exit_measurement(3, known(6.0), known(0.6)), None, "nothing was added"),
        (exit_measurement(3, known(11.0), known(1.1)), step_costs(), "costs no less"),
        (exit_measurement(3, None, None), step_costs(), "could not be read"),
    ],
)
def test_no_break_even_is_null_with_its_reason(exit_, step, why):
    found = break_even(exit_, FINAL, step=step, parts=parts())
    assert found.images is None
    assert why in found.basis.missing


def test_a_saving_that_may_be_none_has_no_interval():
    found = break_even(exit_measurement(3, known(9.9), known(0.99, 0.9, 1.05)), FINAL, step=step_costs(), parts=parts())
    assert found.images > 0
    assert found.basis.type_a is None


def test_every_number_of_the_training_step_has_a_basis():
    found = training_step(step_costs())
    numbers = ("cost_per_image", "explained", "overhead", "ds_overhead", "kd_overhead", "joint_saving")
    assert set(numbers) == set(found.basis)
    assert found.quantity("ds_overhead").basis.missing == "the run has none"
    assert found.quantity("overhead").basis.type_a.high == 1.3
    assert [entry.exit for entry in found.exits] == [3, 4]
