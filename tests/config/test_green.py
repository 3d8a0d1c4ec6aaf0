"""What the green recipe fills in, and what it leaves alone."""

import pytest
from pydantic import ValidationError

from greenpose.config import Experiment

BASE = {"name": "x", "carbon": {"country": "ITA"}}


def train_of(train, exits=(2, 3, 4)):
    supervise = list(exits)
    return Experiment.model_validate(
        BASE | {"model": {"exits": list(exits)}, "wiring": {"supervise": supervise}, "train": train}
    ).train


def test_it_fills_what_is_not_given_and_no_more():
    plain, green = train_of({}), train_of({"recipe": "green", "lr": 4e-3})
    assert (green.schedule, green.warmup, green.lr, green.grow) == ("one-cycle", 0.4, 4e-3, {2: 0.3, 3: 0.45})
    assert (green.mirror, plain.mirror) == (0.5, 0.0)
    assert green.epochs == 0.65 * plain.epochs
    assert (green.batch, green.patience, green.precision) == (plain.batch, plain.patience, plain.precision)
    assert plain.grow == {}


@pytest.mark.parametrize(
    ("exits", "grow"), [((4,), {}), ((2, 3), {2: 0.3}), ((3, 4), {3: 0.45}), ((1, 2, 3, 4), {2: 0.3, 3: 0.45})]
)
def test_it_grows_only_beyond_exits_that_the_network_has(exits, grow):
    assert train_of({"recipe": "green"}, exits).grow == grow


def test_what_it_filled_in_is_read_back_as_it_was():
    wired = {"model": {"exits": [3, 4]}, "wiring": {"supervise": [3, 4]}, "train": {"recipe": "green"}}
    once = Experiment.model_validate(BASE | wired)
    assert Experiment.model_validate(once.model_dump(mode="json")) == once


@pytest.mark.parametrize(
    ("grow", "said"),
    [
        ({4: 0.5}, "train.grow: exit 4 is not one before the last, 4; those are: 2, 3"),
        ({1: 0.5}, "train.grow: exit 1 is not one before the last, 4; those are: 2, 3"),
        ({3: 0.3, 2: 0.5}, "train.grow: parts must rise from exit to exit"),
        ({2: 0.5, 3: 0.5}, "train.grow: parts must rise from exit to exit"),
    ],
)
def test_a_growth_that_does_not_fit_the_network_is_refused(grow, said):
    with pytest.raises(ValidationError) as caught:
        train_of({"grow": grow})
    assert said in str(caught.value)


def test_an_exit_that_is_no_number_is_refused_as_ever():
    with pytest.raises(ValidationError, match="exits"):
        Experiment.model_validate(BASE | {"model": {"exits": ["deep", 4]}, "train": {"recipe": "green"}})
