"""Changes of level: against known steps, known absence of steps, and a brute-force fit."""

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.check.history import FEWEST, MOST_VALUES, SHORTEST, _costs, _fits, steps


def noisy(levels, *, each: int, sigma: float, seed: int = 1):
    chance = random.Random(seed)
    return [level + chance.gauss(0, sigma) for level in levels for _ in range(each)]


def deviation(values):
    return sum(abs(value - statistics.median(values)) for value in values) if values else 0.0


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_the_cost_of_a_piece_is_its_deviation_from_its_median(values):
    costs = _costs(values)
    for start, stop in itertools.combinations(range(len(values) + 1), 2):
        assert costs[start][stop - start] == pytest.approx(deviation(values[start:stop]), abs=1e-9)


@given(st.lists(st.integers(-9, 9), min_size=3 * SHORTEST, max_size=14))
def test_no_other_pieces_fit_better(values):
    count = len(values)
    fits = _fits(_costs([float(value) for value in values]), count)
    for number, (cost, edges) in enumerate(fits[:3]):
        cuts = [(0, *inner, count) for inner in itertools.combinations(range(1, count), number)]
        allowed = [pieces for pieces in cuts if all(b - a >= SHORTEST for a, b in itertools.pairwise(pieces))]
        best = min(sum(deviation(values[a:b]) for a, b in itertools.pairwise(pieces)) for pieces in allowed)
        assert cost == pytest.approx(best)
        assert sum(deviation(values[a:b]) for a, b in itertools.pairwise(edges)) == pytest.approx(best)


@pytest.mark.parametrize("place", [3, 5, 10, 17])
def test_a_step_of_a_counted_quantity_is_found_exactly(place):
    values = [1e9] * place + [1.1e9] * (20 - place)
    (step,) = steps(values)
    assert (step.index, step.before, step.after) == (place, 1e9, 1.1e9)


def test_several_steps_are_found_in_order():
    found = steps(noisy([1.0, 1.2, 0.9, 1.0], each=12, sigma=0.01))
    assert [step.index for step in found] == pytest.approx([12, 24, 36], abs=1)
    assert [step.after for step in found] == pytest.approx([1.2, 0.9, 1.0], abs=0.01)


def test_a_value_that_never_changes_has_no_step():
    assert steps([5.0] * 50) == ()
    assert steps([0.0] * 50) == ()


@pytest.mark.parametrize("draw", ["gauss", "laplace", "heavy"])
def test_noise_alone_hardly_ever_shows_a_step(draw):
    chance = random.Random(7)
    draws = {
        "gauss": lambda: chance.gauss(1, 0.02),
        "laplace": lambda: 1 + chance.choice((-1, 1)) * chance.expovariate(50),
        "heavy": lambda: 1 + 0.02 * chance.gauss(0, 1) / max(0.1, abs(chance.gauss(0, 1))),
    }
    false = sum(bool(steps([draws[draw]() for _ in range(25)])) for _ in range(150))
    assert false <= 6  # 1 % expected; more than 6 of 150 has a chance below 1 in 1000


def test_a_step_of_three_deviations_is_nearly_always_found_where_it_is():
    found = [steps(noisy([1.0, 1.06], each=15, sigma=0.02, seed=seed)) for seed in range(60)]
    right = sum(len(one) == 1 and abs(one[0].index - 15) <= 1 for one in found)
    assert right >= 52  # 94 % expected


def test_single_outliers_are_no_steps():
    values = noisy([1.0], each=30, sigma=0.005)
    values[7] = values[20] = 1.5
    assert steps(values) == ()


def test_too_few_values_say_nothing():
    values = [1.0] * 5 + [2.0] * (FEWEST - 6)
    assert steps(values) == ()
    assert steps([*values, 2.0])


def test_only_the_newest_values_are_looked_at_and_places_count_from_the_first():
    values = [1.0] * 50 + [2.0] * (MOST_VALUES - 10) + [3.0] * 10
    (step,) = steps(values)
    assert step.index == len(values) - 10
