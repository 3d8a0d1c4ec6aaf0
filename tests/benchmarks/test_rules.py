import itertools

import numpy as np
import pytest

from benchmarks.rules import RULES, asv, mann_whitney, mean_above, min_above, welch

BASE = [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09]


def slower(factor):
    return [factor * time for time in BASE]


@pytest.mark.parametrize(("first", "second"), [(3, 4), (5, 5), (2, 6)])
def test_the_probability_of_a_rank_sum_is_that_of_all_orders_written_out(first, second):
    random = np.random.default_rng(first)
    for _ in range(20):
        one, other = random.random(first), random.random(second)
        wins = sum(a < b for a in one for b in other)
        least = min(wins, first * second - wins)
        total = first + second
        orders = [
            sum(a < b for a in places for b in range(total) if b not in places)
            for places in itertools.combinations(range(total), first)
        ]
        expected = min(1.0, 2 * sum(count <= least for count in orders) / len(orders))
        assert mann_whitney(list(one), list(other)) == pytest.approx(expected)


# Source: the textbook example of unequal variances, t = -2.46, 25.0 degrees of freedom, two-sided p = 0.021
# (https://rosettacode.org/wiki/Welch%27s_t-test, data d1 and d2).
def test_welch_s_test_agrees_with_a_published_example():
    one = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    other = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 24.4]
    assert welch(one, other)
    assert not welch(other, one)


def test_limits_are_on_the_smallest_and_on_the_mean_time():
    assert not min_above(0.05)(BASE, slower(1.04))
    assert min_above(0.05)(BASE, slower(1.06))
    one_slow = [*BASE[:-1], 10.0]
    assert mean_above(0.05)(BASE, one_slow)
    assert not min_above(0.05)(BASE, one_slow)


def test_asv_wants_both_a_tenth_more_and_certainty():
    assert not asv(BASE, slower(1.09))
    assert asv(BASE, slower(1.2))
    assert not asv(BASE[:3], slower(1.2)[:3])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_rule_calls_equal_times_slower(rule):
    assert not rule(BASE, BASE)
