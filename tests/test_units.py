import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose import formatting


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (2, 3, "2.00"),
        (0.000123456, 3, "0.000123"),
        (999.6, 3, "1000"),
        (12345, 3, "12300"),
        (-0.0456, 2, "-0.046"),
        (9.996, 3, "10.0"),
        (math.inf, 3, "inf"),
    ],
)
def test_a_number_keeps_its_significant_digits(value, digits, text):
    assert formatting.significant(value, digits) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-290, max_value=1e290), st.integers(1, 6))
def test_a_printed_number_is_within_half_a_digit_and_never_zero(value, digits):
    printed = Decimal(formatting.significant(value, digits))
    assert printed != 0
    assert abs(printed - Decimal(value)) <= Decimal(value) * Decimal(10) ** (1 - digits) * Decimal("0.5000001")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4_685_955_072, "4.69 GMACs"),
        (999_999, "1.00 MMACs"),
        (0.00042, "420 µMACs"),
        (5e-13, "0.000500 nMACs"),
        (0, "0 MACs"),
    ],
)
def test_a_prefix_keeps_the_number_between_one_and_a_thousand(value, text):
    assert formatting.with_prefix(value, "MACs") == text


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, (1.0, "")), (1500.0, (1e3, "k")), (-0.002, (1e-3, "m")), (999.9, (1e3, "k"))]
)
def test_a_prefix_can_be_shared_by_several_numbers(value, expected):
    assert formatting.prefix(value) == expected


def test_energy_converts_both_ways_and_to_grams():
    assert formatting.joules_to_kwh(3.6e6) == 1
    assert formatting.kwh_to_joules(formatting.joules_to_kwh(123.0)) == pytest.approx(123.0)
    assert formatting.co2eq_g(2.0, intensity_g_per_kwh=300.0, pue=1.5) == 900.0
