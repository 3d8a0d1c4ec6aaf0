import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.config.budget import Budget
from greenpose.errors import GreenPoseError

USED = {"energy_kwh": 1.0, "co2eq_g": 300.0, "seconds": 3600.0}


def test_no_limit_bears_everything():
    assert Budget().limits == {}
    assert Budget().exceeded({"energy_kwh": 1e9, "co2eq_g": 1e9, "seconds": 1e9}) is None


@pytest.mark.parametrize("name", sorted(USED))
def test_each_limit_is_exceeded_above_it_and_not_at_it(name):
    assert Budget(**{name: USED[name]}).exceeded(USED) is None
    assert Budget(**{name: USED[name] * 0.999}).exceeded(USED) is not None


def test_the_reason_names_limit_value_and_unit():
    said = Budget(energy_kwh=0.5, seconds=1e9).exceeded(USED)
    assert said == "budget of 0.500 kWh: another epoch would come to 1.00"


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
