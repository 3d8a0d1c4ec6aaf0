"""As far as which exit a network is trained when."""

import pytest

from greenpose.config import Experiment, TrainConfig
from greenpose.config.training import depth_schedule, growth_in_words, parts_trained, whole_epochs_worth


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
    assert depth_schedule(TrainConfig(epochs=10, grow=grow), [2, 3, 4], images=100) == expected


def test_epochs_that_end_early_are_worth_the_part_of_the_compute_that_they_need():
    trained = depth_schedule(TrainConfig(epochs=10, grow={2: 0.3, 3: 0.5}), [2, 3, 4], images=100)
    assert whole_epochs_worth(trained, {2: 25.0, 3: 60.0, 4: 100.0}) == pytest.approx(3 * 0.25 + 2 * 0.6 + 5)
    assert parts_trained(trained, [2, 3, 4]) == pytest.approx({2: 1.0, 3: 0.7, 4: 0.5})


def spans(whole_steps, *, epochs, images, grow, batch=16):
    """Return how many epochs are trained as far as exits 2, 3 and 4."""
    recipe = TrainConfig(epochs=epochs, batch=batch, grow=grow, whole_steps=whole_steps)
    schedule = depth_schedule(recipe, [2, 3, 4], images=images)
    assert list(schedule) == sorted(schedule)
    return [schedule.count(exit_) for exit_ in (2, 3, 4)]


@pytest.mark.parametrize(
    ("whole_steps", "epochs", "images", "expected"),
    [
        (0, 10, 160, [4, 2, 4]),
        (40, 10, 160, [4, 2, 4]),  # 4 epochs of 10 steps
        (41, 10, 160, [3, 2, 5]),  # 5 epochs are left, of which two thirds are 3
        (75, 10, 160, [1, 1, 8]),
        (100, 10, 160, [0, 0, 10]),
        (999, 10, 160, [0, 0, 10]),
        (41, 10, 161, [4, 2, 4]),  # 11 steps, the last of one image
        (350, 100, 5000, [40, 20, 40]),  # long: parts as they are given
    ],
)
def test_what_would_leave_the_whole_network_too_few_steps_gives_way(whole_steps, epochs, images, expected):
    assert spans(whole_steps, epochs=epochs, images=images, grow={2: 0.4, 3: 0.6}) == expected


@pytest.mark.parametrize("images", [1, 7, 80, 1200])
@pytest.mark.parametrize("whole_steps", [1, 50, 350])
@pytest.mark.parametrize("epochs", [1, 11, 78])
def test_the_whole_network_gets_its_steps_wherever_there_are_as_many(images, whole_steps, epochs):
    steps = -(-images // 16)
    whole = spans(whole_steps, epochs=epochs, images=images, grow={2: 0.35, 3: 0.55})[-1]
    assert whole * steps >= min(whole_steps, epochs * steps)


def test_it_is_said_how_many_steps_go_how_far():
    recipe = TrainConfig(epochs=10, batch=16, grow={2: 0.3, 3: 0.5}, whole_steps=60)
    grows = growth_in_words(recipe, [2, 3, 4], images=160)
    assert grows == "grows: 20 steps as far as exit 2, then 20 steps as far as exit 3, then 60 steps as far as exit 4"
    short = growth_in_words(recipe, [2, 3, 4], images=80)
    assert short == "does not grow: all 50 steps are the whole network's (train.whole_steps: 60)"


@pytest.mark.parametrize(
    ("epochs", "images", "exits", "whole"),
    [
        (78, 80, (2, 3), 78),  # of 390 steps on the images of a mouse, where growing failed
        (100, 80, (2, 3), 80),  # of 500, all but a hundred
        (13, 1200, (2, 3, 4), 7),  # of 975 on infants, 525, as before there was a floor
    ],
)
def test_the_green_recipe_grows_only_where_there_are_steps_enough(epochs, images, exits, whole):
    written = {"name": "x", "carbon": {"country": "ITA"}, "model": {"exits": exits}, "wiring": {"supervise": exits}}
    train = {"recipe": "green", "epochs": epochs, "batch": 16}
    recipe = Experiment.model_validate(written | {"train": train}).train
    assert depth_schedule(recipe, exits, images=images).count(max(exits)) == whole
