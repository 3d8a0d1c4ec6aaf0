"""The 95th percentile of calls: its interval against the binomial law, and how often it holds the truth."""

import math

import numpy as np
import pytest

from greenpose.metering.statistics import FEWEST_CALLS, percentile

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
    found = percentile([[float(rank) for rank in ranks if (rank % 4 < 2) is first] for first in (True, False)])
    low, high = (round(end) for end in found.type_a)
    assert at_most(calls - high, calls) <= 0.025 < at_most(calls - high + 1, calls)
    assert 1 - at_most(calls - low, calls) <= 0.025 < 1 - at_most(calls - low - 1, calls)


def test_calls_too_few_for_an_upper_end_have_no_interval():
    """Two blocks with 71 calls in all may have missed the slowest twentieth: 0.95^71 > 0.025."""
    assert 0.95 ** (FEWEST_CALLS - 1) > 0.025 >= 0.95**FEWEST_CALLS
    assert percentile([[1.0] * 35, [1.0] * 36]).type_a is None
    assert percentile([[1.0] * 36, [1.0] * 36]).type_a == (1.0, 1.0)


def test_a_single_block_has_no_interval_however_many_its_calls():
    assert percentile([[1.0] * 1000]).type_a is None


def test_the_value_is_the_call_that_one_in_twenty_is_slower_than():
    assert percentile([list(map(float, range(1, 51))), list(map(float, range(51, 101)))]).value == 95.0


def test_blocks_of_different_speed_widen_the_interval():
    """The same calls, once dealt out evenly and once with the slow ones together in their blocks."""
    calls = np.sort(LAWS["normal"](np.random.default_rng(1), 480))
    alike = percentile([block.tolist() for block in calls.reshape(60, 8).T])
    apart = percentile([block.tolist() for block in calls.reshape(8, 60)])
    assert alike.value == apart.value
    assert apart.relative_half_width > 1.5 * alike.relative_half_width


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
    trials = [percentile(drawn(blocks).tolist()).type_a for _ in range(300)]
    assert np.mean([low <= truth <= high for low, high in trials]) >= share
