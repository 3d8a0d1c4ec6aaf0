"""What a run does beside training is planned, so that its length can be told."""

from dataclasses import replace

import pytest

from greenpose.config import CarbonConfig, Experiment, MeasureConfig, ModelConfig, TrainConfig, WiringConfig
from greenpose.metering import MicroPlan
from greenpose.metering.inference import BLOCKS_PER_LOOK
from greenpose.run.estimate import Rates, inference, segments
from tests.run.test_estimate import setup

RATES = Rates(train=0.03, forward=0.01, watts=10.0, idle_watts=4.0, period=0.0)


def experiment(exits=(3, 4), teach=("4->3",), supervise=(3, 4), **measure) -> Experiment:
    return Experiment(
        name="x",
        model=ModelConfig(exits=exits),
        wiring=WiringConfig(teach=teach, supervise=supervise),
        train=TrainConfig(batch=4),
        measure=MeasureConfig(**measure),
        carbon=CarbonConfig(country="ITA"),
    )


def looked_at(config, macs):
    one = setup(1e9)
    return replace(one, config=config, macs=macs)


def test_inference_is_blocks_of_one_window_per_exit_and_an_idle_one_that_fills_them_up_to_four():
    config = experiment(batch=2, min_window_seconds=0.5, max_blocks=20, max_seconds=1e6)
    least, most = inference(looked_at(config, {3: 50, 4: 100}), RATES)
    # calls of 10 and 20 ms fill 0.5 s exactly; the first block is a warm-up
    assert least.seconds == pytest.approx((1 + BLOCKS_PER_LOOK) * 4 * 0.5)
    assert most.seconds == pytest.approx((1 + 20) * 4 * 0.5)
    assert most.joules == pytest.approx(21 * (2 * 0.5 * 10 + 2 * 0.5 * 4))


def test_a_slow_counter_makes_windows_longer_and_a_limit_of_time_makes_blocks_fewer():
    slow = Rates(train=0.03, forward=0.01, watts=10.0, idle_watts=4.0, period=0.1)
    config = experiment(batch=2, min_window_seconds=0.5, max_blocks=20, max_seconds=30.0)
    least, most = inference(looked_at(config, {3: 50, 4: 100}), slow)
    block = 4 * 20 * 0.1
    assert most.seconds == pytest.approx((1 + 4) * block)  # the fourth begins before 30 s are over, a fifth would not
    assert least.seconds <= most.seconds


def test_a_call_longer_than_a_window_is_waited_for():
    config = experiment(batch=8, min_window_seconds=0.1, max_blocks=1, max_seconds=1e6)
    rates = Rates(train=1.0, forward=0.5, watts=1.0, idle_watts=1.0, period=0.0)
    least, most = inference(looked_at(config, {4: 7}), rates)
    assert least == most
    assert most.seconds == pytest.approx(2 * (4.0 + 3 * 0.1))


def test_a_single_exit_has_no_segments():
    assert segments(experiment(exits=(4,), teach=(), supervise=(4,)), RATES).seconds == 0


def test_segments_are_blocks_of_steps_heads_and_teaching():
    """Steps of 0.12 s: joint, each exit alone, labels only; windows of the plan: two heads, one teaching."""
    window = MicroPlan().min_window_seconds
    found = segments(experiment(step_blocks=5), RATES)
    assert found.seconds == pytest.approx((1 + 5) * (4 * 0.12 + 3 * window))
    assert found.joules == pytest.approx(found.seconds * 10)
    without_labels = segments(experiment(step_blocks=5, supervise=(4,)), RATES)
    assert without_labels.seconds == pytest.approx((1 + 5) * (3 * 0.12 + 3 * window))
