"""What was not measured is interpolated between what was, and says how wrong that may be."""

import math
from dataclasses import replace

import pytest

from greenpose.config import CarbonConfig, DataConfig, Experiment
from greenpose.data.splits import Preview
from greenpose.run.calibrate import Look, Measured, Setup, spread
from greenpose.run.estimate import LIKE_ERROR, SCALED_ERROR, scaled, scaling_error
from greenpose.run.phases import Cost
from tests.training.samples import dots

MACS = {"a": 1e6, "b": 4e6, "c": 1e7, "d": 1e8}


def setup(macs: float) -> Setup:
    look = Look(preview=Preview(counts={}, searched=0, few=dots(1), to_make=0), image=Cost())
    config = Experiment(name="x", data=DataConfig(), carbon=CarbonConfig(country="ITA"))
    return Setup(config=config, look=look, params=1, macs={4: 1}, step_macs=macs, counting=Cost())


SETUPS = {name: setup(macs) for name, macs in MACS.items()}


def measured(macs: float, *, power: float = 0.8, off: float = 1.0) -> Measured:
    """Two blocks whose costs grow with a power of the compute."""
    cost = Cost(seconds=off * macs**power, joules=3 * off * macs**power)
    return Measured(train=[cost, cost * 1.1], validate=[cost] * 2, checkpoint=[cost] * 2, test=cost, whole_batches=True)


def test_costs_that_follow_a_power_of_compute_are_found_again():
    known = {name: measured(MACS[name]) for name in ("a", "d")}
    for name in ("b", "c"):
        found, truth = scaled(SETUPS[name], SETUPS, known), measured(MACS[name])
        for part in ("train", "validate", "checkpoint"):
            pairs = zip(getattr(found, part), getattr(truth, part), strict=True)
            assert all(a.seconds == pytest.approx(b.seconds) and a.joules == pytest.approx(b.joules) for a, b in pairs)
        assert found.test.seconds == pytest.approx(truth.test.seconds)


def test_beyond_what_was_measured_costs_grow_with_compute():
    found = scaled(SETUPS["c"], SETUPS, {"a": measured(1e6), "b": measured(4e6)})
    assert found.train[0].seconds == pytest.approx(measured(4e6).train[0].seconds * 2.5)
    below = scaled(SETUPS["a"], SETUPS, {"b": measured(4e6)})
    assert below.train[0].seconds == pytest.approx(measured(4e6).train[0].seconds / 4)


def test_the_error_is_a_default_unless_what_was_measured_contradicts_it():
    other = setup(2e6)
    known = {name: measured(macs) for name, macs in MACS.items()}
    assert scaling_error(other, SETUPS, known) == SCALED_ERROR
    assert scaling_error(other, SETUPS, {"a": known["a"]}) == SCALED_ERROR
    odd = known | {"b": measured(MACS["b"], off=2.0)}
    assert scaling_error(other, SETUPS, odd) >= math.log(2) - 0.1


def test_the_same_network_under_other_losses_is_nearly_known():
    known = {name: measured(macs) for name, macs in MACS.items()}
    assert scaling_error(setup(MACS["b"] * 1.001), SETUPS, known) == LIKE_ERROR


def test_steps_on_fewer_images_stay_known_as_such():
    known = {"a": measured(1e6), "d": replace(measured(1e8), whole_batches=False)}
    assert not scaled(SETUPS["b"], SETUPS, known).whole_batches


def test_the_first_few_setups_to_measure_lie_far_apart():
    order = spread(SETUPS)
    assert order[:2] == ["a", "d"]
    assert order[2] == "c"
    assert sorted(order) == sorted(SETUPS)
    assert spread({"b": SETUPS["b"]}) == ["b"]
