"""How accuracy came with cost, from windows and the log of epochs."""

import pytest

from greenpose.metering import Meter
from greenpose.run.record_run import learning_curve
from tests.fakes.meters import TickingClock, TickingSource

WH = 1e-3
"""3.6 s at 1000 W are 1 Wh, in kWh."""


def attempts(*runs):
    """Return the windows of attempts at 1000 W, given as names of windows that take 3.6 s each."""
    clock = TickingClock()
    windows = []
    for names in runs:
        with Meter([TickingSource(clock, watts=1000.0)], clock=clock, cpu_clock=clock) as meter:
            for name in names:
                with meter.window(name):
                    clock.advance(3.6)
        windows += meter.windows
    return windows


def epoch(number, *phases):
    return [f"{phase}/epoch {number}" for phase in phases]


def test_an_epoch_is_charged_with_all_training_up_to_its_validation():
    windows = attempts(
        ["data", *epoch(1, "train", "checkpoint"), *epoch(2, "train", "validate", "checkpoint"), *epoch(3, "train")]
    )
    lines = [{"epoch": 1, "ap": {}}, {"epoch": 2, "ap": {"3": 0.5, "4": 0.6}}]
    (found,) = learning_curve(windows, lines)
    assert (found.epoch, found.ap) == (2, {3: 0.5, 4: 0.6})
    assert found.energy_kwh == pytest.approx(4 * WH)
    assert found.seconds == pytest.approx(4 * 3.6)
    assert found.cpu_seconds == pytest.approx(4 * 3.6)


def test_what_a_killed_attempt_had_used_counts_and_its_repeated_epoch_is_taken_as_it_came_out_last():
    windows = attempts(epoch(1, "train", "validate"), epoch(1, "train", "validate", "checkpoint"))
    (found,) = learning_curve(windows, [{"epoch": 1, "ap": {"4": 0.1}}, {"epoch": 1, "ap": {"4": 0.2}}])
    assert found.ap == {4: 0.2}
    assert found.energy_kwh == pytest.approx(4 * WH)


def test_an_epoch_whose_validation_left_no_window_has_no_cost():
    assert learning_curve(attempts(epoch(1, "train")), [{"epoch": 1, "ap": {"4": 0.1}}]) == []
