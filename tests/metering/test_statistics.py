import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.metering.statistics import (
    Bounds,
    Estimate,
    bootstrap_interval,
    estimate,
    interval,
    relative_half_width,
    t_interval,
    t_probability,
    t_quantile,
)

TABLE = {
    (0.975, 1): 12.7062, (0.975, 2): 4.30265, (0.975, 3): 3.18245, (0.975, 4): 2.77645, (0.975, 5): 2.57058,
    (0.975, 6): 2.44691, (0.975, 7): 2.36462, (0.975, 10): 2.22814, (0.975, 30): 2.04227, (0.975, 60): 2.00030,
    (0.95, 5): 2.01505, (0.99, 4): 3.74695, (0.995, 9): 3.24984,
}  # fmt: skip
"""Student's t as printed in tables, e.g. NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2."""


@pytest.mark.parametrize(("key", "expected"), TABLE.items())
def test_t_is_that_of_the_tables(key, expected):
    assert t_quantile(*key) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("degrees", [1, 2])
def test_t_of_one_and_two_degrees_has_a_closed_form(degrees):
    for value in (0.1, 1.0, 7.0):
        exact = {1: 0.5 + math.atan(value) / math.pi, 2: 0.5 + value / (2 * math.sqrt(2 + value**2))}[degrees]
        assert t_probability(value, degrees) == pytest.approx(exact, rel=1e-12)


def test_t_of_many_degrees_is_normal():
    assert t_quantile(0.975, 2001) == pytest.approx(1.95996, abs=2e-3)


def test_the_t_interval_of_three_numbers_by_hand():
    """1, 2, 3: mean 2, sd 1, half-width 4.30265 / sqrt 3."""
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)


def test_few_values_use_t_on_logarithms():
    """exp of the interval of (0, 1, 2)."""
    values = [math.exp(power) for power in (0, 1, 2)]
    assert interval(values) == pytest.approx((math.exp(1 - 2.48414), math.exp(1 + 2.48414)), rel=1e-4)


def test_few_values_below_zero_use_t_as_they_are():
    assert interval([-1.0, 0.0, 1.0]) == pytest.approx((-2.48414, 2.48414), abs=1e-4)


def test_from_eight_values_the_bootstrap_is_used():
    values = list(np.random.default_rng(1).normal(10, 1, 8))
    assert interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert interval(values[:7]) != bootstrap_interval(values[:7])


def test_the_bootstrap_interval_of_the_median_agrees_with_order_statistics():
    """For n = 99 the exact 95 % interval of a median is about the 40th to the 60th value (binomial)."""
    low, high = bootstrap_interval([float(value) for value in range(1, 100)])
    assert low == pytest.approx(40, abs=2)
    assert high == pytest.approx(60, abs=2)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(7)
    hits = 0
    for number in range(200):
        low, high = bootstrap_interval(list(random.normal(5, 1, 15)), seed=number)
        hits += low <= 5 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    values = [1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 4.0, 7.0, 6.0]
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=12))
def test_the_interval_holds_the_median(values):
    found = estimate(values)
    assert found.type_a.low <= found.value * (1 + 1e-9)
    assert found.type_a.high >= found.value * (1 - 1e-9)


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=7), st.floats(1e-3, 1e3))
def test_scaling_values_scales_the_interval(values, factor):
    low, high = interval(values)
    assert interval([value * factor for value in values]) == pytest.approx((low * factor, high * factor), rel=1e-6)


def test_more_confidence_is_wider():
    values = [1.0, 1.2, 0.9, 1.1]
    narrow, wide = interval(values, confidence=0.9), interval(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_value_has_no_interval_and_is_known_to_no_precision():
    assert estimate([2.0]) == Estimate(value=2.0, blocks=1, type_a=None)
    assert estimate([2.0]).relative_half_width == math.inf


def test_relative_half_width():
    assert relative_half_width(10.0, Bounds(9.0, 11.0)) == pytest.approx(0.1)
    assert relative_half_width(-10.0, Bounds(-11.0, -9.0)) == pytest.approx(0.1)
    assert relative_half_width(0.0, Bounds(0.0, 0.0)) == 0
    assert relative_half_width(0.0, Bounds(-1.0, 1.0)) == math.inf
