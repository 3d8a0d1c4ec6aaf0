"""What a training will cost: the arithmetic against plain matrices, the intervals against made-up trainings."""

import itertools
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import MeteringError
from greenpose.intervals import t_quantile
from greenpose.metering import allocate
from greenpose.metering.cost_prediction import (
    CORRELATIONS,
    QUIET_SCATTER,
    RULES,
    SCATTER_DEGREES,
    Neighbours,
    Repeated,
    predict_run,
    predict_total,
)
from greenpose.metering.interference import Interference
from greenpose.metering.window import Window

TRIALS = 1000


def by_matrices(costs, remaining, scatter):
    """The sum to come by the textbook: every correlation's covariance matrix written out, then all of them mixed."""
    n, ones, ahead = len(costs), np.ones(len(costs)), np.ones(remaining)
    y, found = np.asarray(costs), []
    for r in CORRELATIONS:
        distance = np.abs(np.subtract.outer(np.arange(n + remaining), np.arange(n + remaining)))
        whole = np.where(distance == 0, 1.0, float(r) ** np.maximum(distance, 1))
        seen, cross, after = whole[:n, :n], whole[n:, :n], whole[n:, n:]
        inverse = np.linalg.inv(seen)
        information = ones @ inverse @ ones
        mean = ones @ inverse @ y / information
        expected = scatter * y.mean() / (1 - r**2) ** 0.25
        degrees = SCATTER_DEGREES + n - 1
        squares = SCATTER_DEGREES * expected**2 + (y - mean) @ inverse @ (y - mean)
        left = remaining - ahead @ cross @ inverse @ ones
        likelihood = (
            expected**SCATTER_DEGREES / math.sqrt(np.linalg.det(seen) * information) * squares ** (-degrees / 2)
        )
        value = remaining * mean + ahead @ cross @ inverse @ (y - mean)
        spread = ahead @ (after - cross @ inverse @ cross.T) @ ahead + left**2 / information
        found.append((likelihood, value, squares / degrees * spread))
    weight, values, variances = np.array(found).T
    weight /= weight.sum()
    value = weight @ values
    half = t_quantile(0.975, SCATTER_DEGREES + n - 1) * math.sqrt(weight @ (variances + (values - value) ** 2))
    return value - half, value, value + half


@pytest.mark.parametrize("costs", [[2.0], [1.0, 1.1], [3.0, 3.3, 2.9, 3.1, 4.0, 4.1]])
def test_the_interval_is_that_of_an_autoregression_of_unknown_correlation(costs):
    found = predict_total([Repeated(costs=costs, remaining=4)], spent=0.0)
    assert (found.type_a.low, found.value, found.type_a.high) == pytest.approx(by_matrices(costs, 4, QUIET_SCATTER))


def test_what_is_spent_is_a_fact_and_what_remains_is_added():
    one = predict_total([Repeated(costs=[2.0, 2.0], remaining=3)], spent=4.0)
    assert one.value == pytest.approx(10)
    more = predict_total([Repeated(costs=[2.0, 2.0], remaining=3)], spent=104.0)
    assert (more.type_a.low - one.type_a.low, more.type_a.high - one.type_a.high) == pytest.approx((100, 100))


def test_nothing_remaining_leaves_no_doubt():
    done = predict_total([Repeated(costs=[2.0, 3.0], remaining=0)], spent=5.0)
    assert (done.type_a.low, done.value, done.type_a.high) == (5, 5, 5)


def test_an_interval_never_begins_below_what_is_spent():
    wild = predict_total([Repeated(costs=[1.0, 30.0, 1.0], remaining=9)], spent=32.0)
    assert wild.type_a.low == 32


def test_kinds_of_work_are_predicted_apart_and_their_ends_added():
    epochs, checks = Repeated(costs=[5.0, 5.2], remaining=4), Repeated(costs=[1.0, 1.1, 0.9], remaining=2)
    both = predict_total([epochs, checks], spent=0.0)
    each = [predict_total([kind], spent=0.0) for kind in (epochs, checks)]
    assert both.value == pytest.approx(sum(one.value for one in each))
    for end in ("low", "high"):
        assert getattr(both.type_a, end) == pytest.approx(sum(getattr(one.type_a, end) for one in each))


def test_work_of_which_none_is_done_is_guessed_within_a_factor():
    guess = predict_total([Repeated(costs=[], remaining=3, guess=2.0)], spent=1.0)
    assert (guess.type_a.low, guess.value, guess.type_a.high) == (1 + 3, 1 + 6, 1 + 12)


def test_more_epochs_make_it_surer():
    steady = [predict_total([Repeated(costs=[1.0] * count, remaining=8)], spent=0.0) for count in (1, 2, 4, 8, 16, 32)]
    assert [one.type_a.high for one in steady] == sorted((one.type_a.high for one in steady), reverse=True)
    assert [one.type_a.low for one in steady] == sorted(one.type_a.low for one in steady)


def test_while_it_runs_the_interval_reaches_to_where_neighbours_leave_or_double():
    work = [Repeated(costs=[1.0] * 9, remaining=10)]
    quiet, early, late = (
        predict_total(work, spent=9.0, neighbours=beside(*([window(foreign=busy)] if busy else [])))
        for busy in (0.0, 0.5, 2 / 3)
    )
    assert early.value == late.value == quiet.value
    assert late.type_a.low < 9 + 10 / 1.5 < quiet.type_a.low  # both neighbours of the last case leave
    assert early.type_a.low > late.type_a.low
    assert early.type_a.high > 9 + 10 * 1.5 > quiet.type_a.high  # a second one joins the one of the middle case
    assert late.type_a.high > 9 + 10 * 5 / 3


def normal(rng, size):
    return rng.normal(size=size)


def correlated(rng, size, *, r):
    steps = rng.normal(size=size)
    values = [steps[0]]
    for step in steps[1:]:
        values.append(r * values[-1] + math.sqrt(1 - r * r) * step)
    return np.array(values)


def drifting(rng, size):
    """A neighbour that comes and goes slowly, and some noise."""
    return correlated(rng, size, r=0.95) + 0.3 * rng.normal(size=size)


def wandering(rng, size):
    """A walk that has gone one standard deviation by the end."""
    return np.cumsum(rng.normal(size=size)) / math.sqrt(size)


def spiky(rng, size):
    return 0.3 * rng.normal(size=size) + 3 * (rng.random(size) < 0.1)


def trials(noise, *, epochs, stages, every=1, scatter=0.05, seed=0):
    """Yield truth and prediction of made-up trainings, each predicted after one of several numbers of epochs.

    They validate every n-th epoch; drift moves both.
    """
    rng = np.random.default_rng(seed)
    for _, done in zip(range(TRIALS), itertools.cycle(stages), strict=False):
        level = np.maximum(1 + scatter * noise(rng, epochs), 0.1)
        validated = [number for number in range(epochs) if (number + 1) % every == 0 or number == epochs - 1]
        train, check = (10.0 * level).tolist(), (4.0 * level[validated]).tolist()
        checked = sum(number < done for number in validated)
        prediction = predict_total(
            [
                Repeated(costs=train[1:done], remaining=epochs - done),
                Repeated(costs=check[:checked], remaining=len(check) - checked, guess=5.0),
            ],
            spent=sum(train[:done] + check[:checked]),
        )
        yield sum(train + check), prediction


def coverage(*arguments, **options):
    return np.mean([found.type_a.low <= truth <= found.type_a.high for truth, found in trials(*arguments, **options)])


@pytest.mark.parametrize("noise", [normal, drifting, wandering, spiky])
def test_the_interval_holds_the_truth_in_nine_of_ten_trainings(noise):
    assert coverage(noise, epochs=16, stages=(2, 4, 8)) >= 0.9


def test_it_does_so_where_every_other_epoch_is_validated():
    assert coverage(drifting, epochs=20, stages=(2, 3, 6, 11), every=2) >= 0.9


def test_scatter_beyond_what_was_expected_is_learnt_from_the_epochs():
    assert coverage(normal, epochs=30, stages=(10,), scatter=4 * QUIET_SCATTER) >= 0.9


def test_it_is_no_wider_than_it_must_be():
    """An interval that holds everything says nothing: at half time, of quiet epochs, it is a few percent wide."""
    halves = [
        (found.type_a.high - found.type_a.low) / 2 / truth for truth, found in trials(normal, epochs=20, stages=(10,))
    ]
    assert np.median(halves) < 0.06


def test_validations_that_are_still_to_come_are_part_of_what_is_expected():
    ratios = [found.value / truth for truth, found in trials(normal, epochs=8, stages=(2, 5), every=4, scatter=0.01)]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.03)


def window(seconds=10.0, foreign=None, steal=0.0):
    shares = {"foreign_cpu_share": foreign, "steal_share": steal, "involuntary_switches": 0, "minor_faults": 0}
    return Window(
        id=1,
        parent=None,
        name="train/epoch 1",
        attempt=1,
        started_at="2026-01-01T00:00:00+00:00",
        started_s=0.0,
        seconds=seconds,
        cpu_seconds=seconds,
        joules={},
        items=1,
        ok=True,
        contamination=None if foreign is None else Interference(**shares),
    )


def beside(*windows, cpus=0.5):
    return Neighbours.during(windows, cpus=cpus)


def test_a_machine_that_says_nothing_of_neighbours_is_taken_for_a_quiet_one():
    assert beside(window()).scatter == beside().scatter == QUIET_SCATTER
    assert (beside().slowdown, beside().doubled) == (1, 1)


def test_neighbours_shake_caches_and_clock_by_their_part_of_the_machine():
    assert beside(window(foreign=0.5)).scatter == pytest.approx(QUIET_SCATTER + 0.05)
    assert beside(window(foreign=0.3, steal=0.2)).scatter == pytest.approx(QUIET_SCATTER + 0.05)


def test_longer_windows_count_for_more():
    assert beside(window(seconds=9.0, foreign=0.0), window(seconds=1.0, foreign=0.4)).busy == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("busy", "slowdown", "doubled"),
    [
        (0.25, 1.0, 1.0),  # half a neighbour on two CPUs: one would still find the other CPU free
        (0.5, 1.0, 1.5),  # one neighbour: with another, three would share two CPUs
        (2 / 3, 1.5, 5 / 3),  # two neighbours, two thirds of a CPU each: with four, five would share two
    ],
)
def test_neighbours_may_leave_or_be_twice_as_many(busy, slowdown, doubled):
    found = beside(window(foreign=busy))
    assert found.slowdown == pytest.approx(slowdown)
    assert found.doubled == pytest.approx(doubled)


def test_work_that_hardly_moves_still_has_finite_ends():
    found = predict_run([10.0, 11.0, 12.0], neighbours=beside(window(foreign=1.0)))
    assert 0 < found.type_a.low < found.type_a.high < math.inf


def test_before_a_run_the_interval_holds_the_calibrations_scatter_and_the_runs():
    sure = predict_run([100.0] * 8)
    assert sure.value == pytest.approx(100)
    again = predict_total([Repeated(costs=[100.0] * 8, remaining=8)], spent=0.0)
    run, own = t_quantile(0.975, SCATTER_DEGREES) * 0.06, math.log1p((again.type_a.high - again.type_a.low) / 2 / 800)
    assert math.log(sure.type_a.high / 100) == pytest.approx(math.hypot(run, own))
    assert sure.type_a.high * sure.type_a.low == pytest.approx(100**2)
    scattered, scaled = predict_run([80.0, 125.0] * 4), predict_run([100.0] * 8, model_error=0.2)
    assert sure.type_a.high < min(scattered.type_a.high, scaled.type_a.high)


def test_before_a_run_the_interval_reaches_to_where_neighbours_have_left_or_doubled():
    crowd = beside(window(foreign=2 / 3))
    busy = predict_run([100.0] * 8, neighbours=crowd)
    assert busy.type_a.low < 100 / crowd.slowdown < 100 * crowd.doubled < busy.type_a.high
    early = predict_run([100.0] * 8, neighbours=beside(window(foreign=0.5)))
    assert math.log(early.type_a.high / 100) > -math.log(early.type_a.low / 100)


def test_before_a_run_the_truth_lies_inside_in_nine_of_ten_runs():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(TRIALS):
        run, blocks = rng.normal(scale=0.08), rng.normal(scale=0.05, size=6)
        found = predict_run((100 * np.exp(blocks)).tolist())
        inside += found.type_a.low <= 100 * math.exp(run) <= found.type_a.high
    assert inside / TRIALS >= 0.9


def test_a_single_block_of_calibration_is_less_sure_than_several():
    assert predict_run([100.0]).type_a.high > predict_run([100.0, 101.0, 99.0]).type_a.high


def test_energy_that_nothing_reads_is_predicted_to_be_none():
    assert predict_total([Repeated(costs=[0.0, 0.0], remaining=3)], spent=0.0).type_a.high == 0
    assert predict_run([0.0, 0.0]).type_a.high == 0


@pytest.mark.parametrize("costs", [[40.0, -10.0], [-10.0, -10.0], [math.nan, 40.0], [math.inf, 40.0], [0.0, 0.0]])
def test_costs_that_a_counter_lied_about_are_expected_as_if_none_was_known(costs):
    """A counter that went back ended training with a "math domain error" once."""
    found = predict_total([Repeated(costs=costs, remaining=4, guess=10.0)], spent=80.0)
    assert (found.type_a.low, found.value, found.type_a.high) == (100.0, 120.0, 160.0)
    assert predict_run(costs).value == 0


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
