"""Quantities: scaled, over runs, as ratios."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.intervals import Bounds
from greenpose.quantity import Quantity, missing, over_runs, ratio, worst

POSITIVE = st.floats(0.01, 100)


def test_a_quantity_is_scaled_with_its_intervals_and_type_b_becomes_factors():
    quantity = Quantity(value=0.5, kind="computed", method="how", type_a=Bounds(0.4, 0.7), type_b=Bounds(0.25, 1.0))
    each = quantity * 100
    assert (each.value, each.type_a) == (50, (40, 70))
    assert each.factors == (0.5, 2.0)
    assert (each.kind, each.method) == ("computed", "how")


def test_a_missing_quantity_keeps_its_reason():
    quantity = missing("no test split")
    assert (quantity * 100).missing == "no test split"


def test_three_runs_have_students_interval():
    values = [1.0, 2.0, 4.0]
    mean = over_runs([Quantity(value=value, kind="measured") for value in values])
    half = 4.302652729911275 * statistics.stdev(values) / math.sqrt(3)  # 97.5 % point of t with 2 degrees of freedom
    assert mean.value == pytest.approx(7 / 3)
    assert mean.type_a == pytest.approx((7 / 3 - half, 7 / 3 + half))


def test_two_runs_have_their_range():
    mean = over_runs([Quantity(value=value, kind="measured") for value in (3.0, 1.0)])
    assert (mean.value, mean.type_a) == (2, (1, 3))


def test_one_run_keeps_its_own_interval():
    only = Quantity(value=3.0, type_a=Bounds(2.0, 5.0), kind="modelled")
    assert over_runs([only]) == only


def test_equal_runs_have_no_interval_and_exactly_their_value():
    mean = over_runs([Quantity(value=7.644512256, kind="counted")] * 3)
    assert (mean.value, mean.type_a) == (7.644512256, None)


def test_sums_in_another_order_are_no_spread():
    mean = over_runs([Quantity(value=value, kind="measured") for value in (0.1 + 0.2, 0.3, 0.3)])
    assert mean.type_a is None
    assert over_runs([Quantity(value=0.0, kind="measured")] * 2).value == 0


def test_runs_without_the_number_are_left_out():
    have = Quantity(value=3.0, kind="measured")
    absent = missing("counter broke")
    assert over_runs([absent, have]) == have
    assert over_runs([absent, absent]).missing == "counter broke"


def test_a_mean_is_as_trustworthy_as_its_worst_part():
    assert over_runs([Quantity(value=1.0, kind="measured"), Quantity(value=2.0, kind="modelled")]).kind == "modelled"
    assert worst(["counted", "computed"]) == "computed"


@given(POSITIVE, POSITIVE, st.floats(0.01, 0.3), st.floats(0.01, 0.3))
def test_relative_intervals_of_a_ratio_add_in_quadrature(part, whole, first, second):
    found = ratio(
        Quantity(value=part, type_a=Bounds(part * (1 - first), part * (1 + first))),
        Quantity(value=whole, type_a=Bounds(whole * (1 - second), whole * (1 + second))),
    )
    assert found.value == pytest.approx(part / whole)
    assert found.relative_half_width == pytest.approx(math.hypot(first, second))


def test_nothing_is_divided_by_zero_or_by_nothing():
    zero, none = Quantity(value=0.0), missing("no counter")
    assert ratio(Quantity(value=1.0), zero).value is None
    assert ratio(Quantity(value=1.0), none).missing == "no counter"
    assert ratio(zero, Quantity(value=1.0)).value == 0
