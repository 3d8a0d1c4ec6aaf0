""""""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.config.accounting import Budget
from greenpose.errors import GreenPoseError

USED = {"energy_kwh": 1.0, "co2eq_g": 300.0, "seconds": 3600.0}


EPOCH = {"energy_kwh": 0.1, "co2eq_g": 30.0, "seconds": 360.0}


def test_no_limit_bears_everything():
    huge = dict.fromkeys(USED, 1e9)
    assert Budget().limits == {}
    assert Budget().exceeded(huge, by_another=huge) is None


@pytest.mark.parametrize("name", sorted(USED))
def test_a_limit_bears_another_epoch_up_to_it_and_not_beyond(name):
    then = USED[name] + EPOCH[name]
    assert Budget(**{name: then}).exceeded(USED, by_another=EPOCH) is None
    assert Budget(**{name: then * 0.999}).exceeded(USED, by_another=EPOCH) is not None


def test_the_reason_names_limit_value_and_unit():
    said = Budget(energy_kwh=1.05, seconds=1e9).exceeded(USED, by_another=EPOCH)
    assert said == "budget of 1.05 kWh: another epoch would come to 1.10 kWh"


def test_a_limit_that_is_passed_already_is_said_to_be():
    said = Budget(seconds=60).exceeded(USED, by_another=EPOCH)
    assert said == "budget of 60.0 s: 3600 s are used already"


@pytest.mark.parametrize("limit", [0, -1, math.inf, math.nan])
def test_a_limit_that_is_no_number_above_zero_is_refused(limit):
    with pytest.raises(GreenPoseError, match="gCO2eq: must be a number above zero"):
        Budget(co2eq_g=limit)


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_a_stopped_run_may_go_on_under_a_higher_limit_only(before, now):
    assert Budget(energy_kwh=now).allows_more_than({"energy_kwh": before}) == (now > before)


def test_a_stopped_run_may_go_on_when_its_limit_is_gone_or_another_one_rises():
    assert Budget().allows_more_than({"energy_kwh": 1})
    assert Budget(seconds=5).allows_more_than({"energy_kwh": 1})
    assert Budget(energy_kwh=1, seconds=9).allows_more_than({"energy_kwh": 1, "seconds": 5})
    assert not Budget(energy_kwh=1, seconds=5).allows_more_than({"energy_kwh": 1, "seconds": 5})
