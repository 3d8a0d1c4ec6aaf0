import random
from dataclasses import replace

import pytest

from greenpose.intervals import Bounds
from greenpose.metering import this_machine
from greenpose.metering.inference_samples import between_runs
from greenpose.quantity import Quantity, median


def runs(*, apart, count=1000, blocks=12, scatter=0.03):
    """Yield the estimates of runs of which each has a level of its own around 1."""
    draw = random.Random(3)
    for _ in range(count):
        level = draw.lognormvariate(0, apart)
        yield median([level * draw.lognormvariate(0, scatter) for _ in range(blocks)])


def held(found):
    return sum(each.type_a.low <= 1 <= each.type_a.high for each in found) / len(found)


def test_an_interval_that_counts_runs_in_holds_the_truth_where_the_blocks_own_does_not():
    found = list(runs(apart=0.08))
    assert held(found) < 0.5
    assert 0.93 <= held([each.widened(0.08) for each in found]) <= 0.98


def test_where_runs_do_not_differ_nothing_is_added():
    found = next(runs(apart=0.0))
    assert found.widened(0.0) == found


def test_without_repetition_there_is_still_no_interval():
    assert median([2.0]).widened(0.08).type_a is None


def test_half_widths_join_in_quadrature():
    """An interval of [x / 1.3, x * 1.3] by the blocks, and one of as much between runs: √2 times as wide in logs."""
    found = Quantity(value=10.0, repeats=6, type_a=Bounds(10 / 1.3, 13.0))
    joined = found.widened(0.13386)  # 1.95996 sd are log 1.3
    assert joined.type_a == pytest.approx((10 / 1.3**2**0.5, 10 * 1.3**2**0.5), rel=1e-4)


def test_an_interval_around_zero_stays_around_its_value():
    joined = Quantity(value=1.0, repeats=6, type_a=Bounds(-2.0, 4.0)).widened(0.5)
    assert (joined.type_a.low + joined.type_a.high) / 2 == pytest.approx(1.0)
    assert joined.type_a.high - 1 == pytest.approx((3**2 + 0.97998**2) ** 0.5, rel=1e-4)


def test_a_shared_machine_and_an_unknown_one_differ_more_between_runs_than_ones_own():
    shared, unknown, own = (between_runs(replace(this_machine(), virtualised=each)) for each in (True, None, False))
    assert shared == unknown > own > 0
