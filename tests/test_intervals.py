""""""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.intervals import (
    FEWEST_CALLS,
    Bounds,
    interval,
    order_interval,
    percentile,
    relative_half_width,
    t_interval,
    t_quantile,
    widening,
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


def test_the_t_interval_of_three_numbers_by_hand():
    """1, 2, 3: mean 2, sd 1, half-width 4.30265 / sqrt 3."""
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)


def test_few_values_use_t_on_logarithms():
    """exp of the interval of (0, 1, 2)."""
    values = [math.exp(power) for power in (0, 1, 2)]
    assert interval(values) == pytest.approx((math.exp(1 - 2.48414), math.exp(1 + 2.48414)), rel=1e-4)


def test_few_values_below_zero_use_t_as_they_are():
    assert interval([-1.0, 0.0, 1.0]) == pytest.approx((-2.48414, 2.48414), abs=1e-4)


def test_six_values_by_hand():
    """The extremes hold the median in 1 - 2/64, the next ones in 1 - 14/64; 95 % lies 5/14 of the way between them."""
    assert order_interval([0.0, 1.4, 2.0, 3.0, 4.6, 6.0]) == pytest.approx((0.5, 5.5))


def test_many_values_are_bracketed_by_those_that_the_normal_law_of_coin_tosses_names():
    """Of 400 values as many lie below the median as heads are tossed: 200 with a standard deviation of 10."""
    half = 1.959964 * math.sqrt(400) / 2
    found = order_interval([float(value) for value in range(1, 401)])
    assert found == pytest.approx((200.5 - half, 200.5 + half), abs=0.1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=40))
def test_an_interval_between_values_turns_over_with_their_sign(values):
    low, high = order_interval(values)
    assert order_interval([-value for value in values]) == pytest.approx((-high, -low))


def test_from_six_values_no_outlier_moves_an_interval_however_far_it_lies():
    values = [1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 7.0, 9.0, 8.0]
    far = [1e9 if value == max(values) else value for value in values]
    assert interval(values) == interval(far)


def test_neighbours_that_are_alike_widen_an_interval_and_the_same_values_shuffled_do_not():
    drifting = [float(value) for value in range(12)]
    shuffled = [6.0, 1.0, 9.0, 3.0, 11.0, 0.0, 7.0, 2.0, 10.0, 4.0, 8.0, 5.0]
    assert widening(shuffled) == 1
    assert widening(drifting) == pytest.approx(3)
    assert relative_half_width(1.0, interval(drifting)) == pytest.approx(
        3 * relative_half_width(1.0, interval(shuffled))
    )


def test_equal_values_are_known_for_certain():
    assert interval([2.0] * 8) == (2.0, 2.0)


def test_the_widening_is_that_of_a_first_order_autoregression():
    """Its mean varies as that of n (1 - r) / (1 + r) independent values: r = 0.5 makes intervals sqrt 3 as wide."""
    random = np.random.default_rng(3)
    series = [0.0]
    for step in random.normal(size=4000):
        series.append(0.5 * series[-1] + step)
    assert widening(series) == pytest.approx(math.sqrt(3), rel=0.05)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=12))
def test_the_interval_holds_the_median(values):
    low, high = interval(values)
    assert low <= statistics.median(values) * (1 + 1e-9)
    assert high >= statistics.median(values) * (1 - 1e-9)


# Powers of two, for values that are all but equal may change their ranks by the rounding of any other product.
@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=12), st.integers(-10, 10).map(lambda power: 2.0**power))
def test_scaling_values_scales_the_interval(values, factor):
    low, high = interval(values)
    assert interval([value * factor for value in values]) == pytest.approx((low * factor, high * factor), rel=1e-6)


def test_one_value_has_no_interval_and_is_known_to_no_precision():
    assert interval([2.0]) is None
    assert relative_half_width(2.0, None) == math.inf


def test_relative_half_width():
    assert relative_half_width(10.0, Bounds(9.0, 11.0)) == pytest.approx(0.1)
    assert relative_half_width(-10.0, Bounds(-11.0, -9.0)) == pytest.approx(0.1)
    assert relative_half_width(0.0, Bounds(0.0, 0.0)) == 0
    assert relative_half_width(0.0, Bounds(-1.0, 1.0)) == math.inf


SPREAD = 0.1
LAWS = {
    "normal": lambda random, calls: 1 + SPREAD * random.standard_normal(calls),
    "delays": lambda random, calls: 1 + SPREAD * random.lognormal(size=calls),
    "heavy tails": lambda random, calls: np.exp(np.clip(SPREAD * random.standard_t(2, calls), -3, 3)),
}


def at_most(heads, tosses):
    """The exact probability of at most so many of calls, each above the 95th percentile with 1 in 20."""
    return sum(math.comb(tosses, count) * 0.05**count * 0.95 ** (tosses - count) for count in range(heads + 1))


@pytest.mark.parametrize("calls", [72, 100, 240, 1000])
def test_the_ends_are_the_closest_calls_that_the_binomial_law_allows(calls):
    """The n-th call takes n seconds, dealt to two blocks of equal medians, so that nothing but the ranks is left."""
    ranks = range(1, calls + 1)
    _, ends = percentile([[float(rank) for rank in ranks if (rank % 4 < 2) is first] for first in (True, False)])
    low, high = map(round, ends)
    assert at_most(calls - high, calls) <= 0.025 < at_most(calls - high + 1, calls)
    assert 1 - at_most(calls - low, calls) <= 0.025 < 1 - at_most(calls - low - 1, calls)


def test_calls_too_few_for_an_upper_end_have_no_interval():
    """Two blocks with 71 calls in all may have missed the slowest twentieth: 0.95^71 > 0.025."""
    assert 0.95 ** (FEWEST_CALLS - 1) > 0.025 >= 0.95**FEWEST_CALLS
    assert percentile([[1.0] * 35, [1.0] * 36]) == (1.0, None)
    assert percentile([[1.0] * 36, [1.0] * 36]) == (1.0, (1.0, 1.0))


def test_a_single_block_has_no_interval_however_many_its_calls():
    assert percentile([[1.0] * 1000]) == (1.0, None)


def test_the_value_is_the_call_that_one_in_twenty_is_slower_than():
    assert percentile([list(map(float, range(1, 51))), list(map(float, range(51, 101)))])[0] == 95.0


def test_blocks_of_different_speed_widen_the_interval():
    """The same calls, once dealt out evenly and once with the slow ones together in their blocks."""
    calls = np.sort(LAWS["normal"](np.random.default_rng(1), 480))
    alike = percentile([block.tolist() for block in calls.reshape(60, 8).T])
    apart = percentile([block.tolist() for block in calls.reshape(8, 60)])
    assert alike[0] == apart[0]
    assert relative_half_width(*apart) > 1.5 * relative_half_width(*alike)


@pytest.mark.parametrize(("blocks", "calls"), [(6, 16), (6, 50), (12, 20), (90, 1)])
@pytest.mark.parametrize(("between", "share"), [(0.0, 0.93), (SPREAD / 2, 0.93), (SPREAD, 0.82)])
@pytest.mark.parametrize("name", LAWS)
def test_the_interval_holds_the_truth_as_often_as_the_documentation_says(name, between, share, blocks, calls):
    """300 trials have a standard deviation of 1.3 to 2 points; the level of each block is drawn as well."""
    random = np.random.default_rng(5)

    def drawn(count):
        levels = np.exp(between * random.standard_normal((count, 1)))
        return levels * LAWS[name](random, count * calls).reshape(count, calls)

    truth = np.quantile(drawn(400_000 // calls), 0.95)
    trials = [percentile(drawn(blocks).tolist())[1] for _ in range(300)]
    assert np.mean([low <= truth <= high for low, high in trials]) >= share
