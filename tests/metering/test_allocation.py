from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.metering import RULES, allocate

TRUNK = {1: 10.0, 2: 25.0, 3: 70.0, 4: 100.0}
COSTS = st.lists(st.floats(0.01, 1e3), min_size=1, max_size=5)


def reaches(steps):
    total, trunk = 0.0, {}
    for number, step in enumerate(steps, start=1):
        total += step
        trunk[number] = total
    return trunk


def shapley(trunk):
    """Each exit's mean marginal cost over all orders of arrival; a set of exits costs what its deepest needs."""
    orders = list(permutations(trunk))
    shares = dict.fromkeys(trunk, 0.0)
    for order in orders:
        built = 0.0
        for number in order:
            shares[number] += max(0.0, trunk[number] - built) / len(orders)
            built = max(built, trunk[number])
    return shares


@given(COSTS)
def test_the_airport_rule_is_the_shapley_value(steps):
    trunk = reaches(steps)
    shares = allocate(trunk[max(trunk)], trunk)
    assert shares == pytest.approx(shapley(trunk), rel=1e-9)


def test_the_airport_rule_by_its_formula():
    shares = allocate(100.0, TRUNK)
    first = 10 / 4
    second = first + 15 / 3
    third = second + 45 / 2
    assert shares == pytest.approx({1: first, 2: second, 3: third, 4: third + 30})


@pytest.mark.parametrize("rule", RULES)
@given(steps=COSTS, total=st.floats(0, 1e9), heads=st.lists(st.floats(0, 100), min_size=5, max_size=5))
def test_the_parts_sum_to_the_total(rule, steps, total, heads):
    trunk = reaches(steps)
    private = {number: heads[number - 1] for number in trunk}
    shares = allocate(total, trunk, rule=rule, private=private)
    assert sum(shares.values()) == pytest.approx(total, rel=1e-12)
    assert set(shares) == set(trunk)
    assert min(shares.values()) >= 0


def test_the_unit_of_the_costs_does_not_matter():
    scaled = {number: cost * 1e9 for number, cost in TRUNK.items()}
    assert allocate(7.0, scaled) == pytest.approx(allocate(7.0, TRUNK))


def test_a_private_cost_is_its_exits_alone():
    with_head = allocate(120.0, TRUNK, private={2: 20.0})
    without = allocate(100.0, TRUNK)
    assert with_head[2] - without[2] == pytest.approx(20)
    assert with_head[4] == pytest.approx(without[4])


def test_incremental_charges_each_exit_what_it_adds():
    assert allocate(100.0, TRUNK, rule="incremental") == pytest.approx({1: 10, 2: 15, 3: 45, 4: 30})


def test_proportional_goes_by_stand_alone_cost():
    assert allocate(205.0, TRUNK, rule="proportional") == pytest.approx(TRUNK)


def test_deepest_charges_the_deepest():
    assert allocate(5.0, TRUNK, rule="deepest") == {1: 0, 2: 0, 3: 0, 4: 5}


def test_the_order_in_which_exits_are_given_does_not_matter():
    assert allocate(9.0, dict(reversed(TRUNK.items()))) == pytest.approx(allocate(9.0, TRUNK))


def test_exits_may_be_any_subset():
    assert allocate(100.0, {2: 25.0, 4: 100.0}) == pytest.approx({2: 12.5, 4: 87.5})


@pytest.mark.parametrize(
    ("trunk", "private", "rule", "message"),
    [
        (TRUNK, {}, "fair", "airport, proportional"),
        ({1: 5.0, 2: 4.0}, {}, "airport", "costs fall"),
        ({1: -1.0}, {}, "airport", "zero or more"),
        ({1: float("nan")}, {}, "airport", "zero or more"),
        ({1: 0.0}, {}, "airport", "nothing to share by"),
        ({}, {}, "airport", "nothing to share by"),
        (TRUNK, {7: 1.0}, "airport", r"\[7\]"),
    ],
)
def test_costs_that_contradict_one_another_are_refused(trunk, private, rule, message):
    with pytest.raises(MeteringError, match=message):
        allocate(1.0, trunk, rule=rule, private=private)
