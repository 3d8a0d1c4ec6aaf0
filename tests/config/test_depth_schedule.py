"""As far as which exit a network is trained when."""

import pytest

from greenpose.config import TrainConfig
from greenpose.config.experiment import depth_schedule, parts_trained, whole_epochs_worth


@pytest.mark.parametrize(
    ("grow", "expected"),
    [
        ({}, (4, 4, 4, 4, 4, 4, 4, 4, 4, 4)),
        ({2: 0.3, 3: 0.5}, (2, 2, 2, 3, 3, 4, 4, 4, 4, 4)),
        ({3: 0.5}, (3, 3, 3, 3, 3, 4, 4, 4, 4, 4)),
        ({2: 0.26}, (2, 2, 2, 4, 4, 4, 4, 4, 4, 4)),
        ({2: 0.04}, (4, 4, 4, 4, 4, 4, 4, 4, 4, 4)),
    ],
)
def test_each_epoch_trains_as_far_as_its_part_of_the_whole_says(grow, expected):
    assert depth_schedule(TrainConfig(epochs=10, grow=grow), [2, 3, 4]) == expected


def test_epochs_that_end_early_are_worth_the_part_of_the_compute_that_they_need():
    trained = depth_schedule(TrainConfig(epochs=10, grow={2: 0.3, 3: 0.5}), [2, 3, 4])
    assert whole_epochs_worth(trained, {2: 25.0, 3: 60.0, 4: 100.0}) == pytest.approx(3 * 0.25 + 2 * 0.6 + 5)
    assert parts_trained(trained, [2, 3, 4]) == pytest.approx({2: 1.0, 3: 0.7, 4: 0.5})
