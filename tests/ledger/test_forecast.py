"""What a training is expected to cost: from windows in which epochs, validations and checkpoints cost what we say."""

import contextlib
from dataclasses import replace

import pytest

from greenpose.config import TrainConfig
from greenpose.config.training import earliest_end, num_validations
from greenpose.ledger.forecast import (
    VALIDATION_SHARE,
    forecast,
    joules_of,
    predict_training,
    seconds_of,
)
from greenpose.metering.cost_prediction import predict_total
from tests.fakes.meters import TickingClock, TickingSource, metering

TRAIN, VALIDATE, CHECKPOINT, WARM_UP = 10.0, 4.0, 1.0, 7.0
MACS = {2: 30.0, 3: 60.0, 4: 100.0}


def metered(clock, log=None):
    return metering(clock, TickingSource(clock, watts=2.0), cpu_share=1.0, log=log)


def train(meter, clock, numbers, recipe):
    """Go through epochs of 100 images, the first of them 7 s slower than the others."""
    for number in numbers:
        with meter.window(f"train/epoch {number}", items=100):
            clock.advance(TRAIN + (WARM_UP if number == numbers[0] else 0.0))
        if number % recipe.validate_every == 0 or number == recipe.epochs:
            with meter.window(f"validate/epoch {number}", items=20):
                clock.advance(VALIDATE)
        with meter.window(f"checkpoint/epoch {number}"):
            clock.advance(CHECKPOINT)


def trained(done, recipe):
    clock = TickingClock()
    with metered(clock) as meter:
        train(meter, clock, range(1, done + 1), recipe)
    return meter.windows


def predicted(windows, recipe, cost=seconds_of):
    return predict_training(windows, cost, recipe=recipe, macs=MACS, validated_images=20, cpus=0.5)


@pytest.mark.parametrize("every", [1, 2, 3, 4])
@pytest.mark.parametrize("done", [4, 5, 6, 7])
def test_regular_epochs_are_foretold_to_the_second_wherever_validations_fall(every, done):
    recipe = TrainConfig(epochs=10, validate_every=every)
    truth = sum(window.seconds for window in trained(10, recipe))
    assert predicted(trained(done, recipe), recipe).value == pytest.approx(truth)


GROWING = TrainConfig(epochs=10, grow={2: 0.3, 3: 0.6}, validate_every=2)


def grown(done):
    """Return the windows of epochs of 3, 6 and 10 s: three as far as exit 2, three as far as exit 3, and the others."""
    clock = TickingClock()
    with metered(clock) as meter:
        for number in range(1, done + 1):
            with meter.window(f"train/epoch {number}", items=100):
                clock.advance(3.0 if number <= 3 else 6.0 if number <= 6 else 10.0)
            if number % 2 == 0:
                with meter.window(f"validate/epoch {number}", items=20):
                    clock.advance(VALIDATE)
    return meter.windows


@pytest.mark.parametrize("done", [4, 5, 6, 7, 8, 9])
def test_a_growing_network_is_foretold_to_cost_what_its_exits_cost(done):
    found = predicted(grown(done), GROWING)
    assert found.value == pytest.approx(3 * 3 + 3 * 6 + 4 * 10 + 5 * VALIDATE)


def test_growth_that_leaves_the_whole_network_its_steps_is_foretold_as_it_happens():
    """Of 10 epochs of 4 steps, 28 steps leave three that grow: two as far as exit 2, one as far as exit 3."""
    clock, spent = TickingClock(), {1: 3.0, 2: 3.0, 3: 6.0}
    with metered(clock) as meter:
        for number in range(1, 5):
            with meter.window(f"train/epoch {number}", items=100):
                clock.advance(spent.get(number, 10.0))
    recipe = GROWING.model_copy(update={"whole_steps": 28, "validate_every": 10})
    found = predicted(meter.windows, recipe).value - VALIDATION_SHARE * (3 + 3 + 6 + 10) / 400 * 20
    assert found == pytest.approx(2 * 3 + 6 + 7 * 10)


def test_what_has_not_grown_yet_is_a_guess_by_its_compute_within_a_factor_of_two():
    found = predicted(grown(4)[:-2], GROWING)  # three epochs as far as exit 2
    guesses = 3 * 6 + 4 * 10
    assert found.value == pytest.approx(3 * 3 + guesses + 5 * VALIDATE)
    assert found.type_a.high - found.value > guesses * 0.9
    assert found.value - found.type_a.low > guesses * 0.45


def test_energy_is_foretold_like_time():
    recipe = TrainConfig(epochs=10, validate_every=2)
    windows = trained(5, recipe)
    assert predicted(windows, recipe, joules_of).value == pytest.approx(2 * predicted(windows, recipe).value)


def test_before_the_first_validation_its_cost_is_guessed_from_training_on_as_many_images():
    recipe = TrainConfig(epochs=6, validate_every=6)
    found = predicted(trained(2, recipe), recipe)
    image = (2 * TRAIN + WARM_UP) / 200
    guess = VALIDATION_SHARE * image * 20
    assert found.value == pytest.approx(6 * (TRAIN + CHECKPOINT) + WARM_UP + guess)


def test_the_end_is_certain():
    recipe = TrainConfig(epochs=4)
    found = predicted(trained(4, recipe), recipe)
    assert found.type_a.low == found.value == found.type_a.high


def test_an_epoch_that_a_kill_made_necessary_twice_is_spent_twice_and_expected_once(tmp_path):
    """Epochs 1 to 3 are done, 4 is killed in its checkpoint; the next attempt does 4 again, and 5."""
    recipe, log = TrainConfig(epochs=8), tmp_path / "windows.jsonl"
    clock = TickingClock()
    with metered(clock, log) as first:
        train(first, clock, range(1, 4), recipe)
        with first.window("train/epoch 4", items=100):
            clock.advance(TRAIN)
    with metered(clock, log) as second:
        train(second, clock, range(4, 6), recipe)
    found = predicted([*first.windows, *second.windows], recipe)
    epoch = TRAIN + VALIDATE + CHECKPOINT
    assert found.value == pytest.approx(8 * epoch + TRAIN + 2 * WARM_UP)


def test_an_epoch_that_was_interrupted_is_spent_and_still_to_come():
    recipe, clock = TrainConfig(epochs=6), TickingClock()
    with metered(clock) as meter:
        train(meter, clock, range(1, 4), recipe)
        with contextlib.suppress(KeyboardInterrupt), meter.window("train/epoch 4", items=100):
            clock.advance(TRAIN / 2)
            raise KeyboardInterrupt
    epoch = TRAIN + VALIDATE + CHECKPOINT
    assert predicted(meter.windows, recipe).value == pytest.approx(6 * epoch + WARM_UP + TRAIN / 2)


def test_attempts_that_all_died_after_one_epoch_still_say_what_one_costs(tmp_path):
    recipe, log = TrainConfig(epochs=4), tmp_path / "windows.jsonl"
    windows, clock = [], TickingClock()
    for number in (1, 2):
        with metered(clock, log) as meter:
            train(meter, clock, [number], recipe)
        windows += meter.windows
    epoch = TRAIN + WARM_UP + VALIDATE + CHECKPOINT
    assert predicted(windows, recipe).value == pytest.approx(4 * epoch)


def test_validations_are_counted_to_the_last_epoch():
    recipe = TrainConfig(epochs=10, validate_every=4)
    assert [num_validations(recipe, after=done) for done in (0, 3, 4, 8, 9, 10)] == [3, 3, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("recipe", "epoch"),
    [
        ({"epochs": 60, "patience": 13}, 14),
        ({"epochs": 60, "patience": 13, "validate_every": 4}, 56),
        ({"epochs": 14, "patience": 13}, None),
        ({"epochs": 8, "patience": 8, "validate_every": 2}, None),
    ],
)
def test_early_stopping_waits_for_its_patience_after_a_first_validation(recipe, epoch):
    assert earliest_end(TrainConfig(**recipe)) == epoch


def test_the_record_says_what_a_forecast_is_for_and_that_early_stopping_may_come_before():
    sure = predict_total([], spent=7.2e6)
    kept = forecast(2, sure, sure, recipe=TrainConfig(epochs=60, patience=13))
    assert kept.energy_kwh == pytest.approx(2)
    assert kept.basis["seconds"].type_a.low == 7.2e6
    assert "for all 60 epochs, after 2" in kept.basis["energy_kwh"].method
    assert "from epoch 14 on" in kept.basis["energy_kwh"].method
    until_the_end = forecast(2, sure, sure, recipe=TrainConfig(epochs=9, patience=13))
    assert "early stopping" not in until_the_end.basis["energy_kwh"].method


def test_an_epoch_in_doubt_is_in_no_expectation():
    """Of twelve epochs alike, the counter jumps in the fourth; the clock is believed, but not what was in doubt."""
    recipe = TrainConfig(epochs=12, milestones=[1], patience=99)
    windows = trained(6, recipe)
    fourth = next(window for window in windows if window.name == "train/epoch 4")
    lying = replace(fourth, joules={}, missing={"cpu": "its counter jumped by 1e+09 J within 10 s"})
    doubted = [lying if window is fourth else window for window in windows]
    expected, found = (predicted(some, recipe, joules_of) for some in (windows, doubted))
    lost = fourth.energy.mid
    assert found.value == pytest.approx(expected.value - lost)
    assert found.type_a.high - found.type_a.low == pytest.approx(expected.type_a.high - expected.type_a.low, rel=0.2)
