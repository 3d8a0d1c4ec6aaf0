"""What a run does beside training: how long inference and the parts of a step are metered, by the plans for them."""

import math
from dataclasses import dataclass

from greenpose.config import Experiment
from greenpose.metering import MicroPlan
from greenpose.metering.inference import BLOCKS_PER_LOOK, PERIODS_PER_WINDOW, idle_windows
from greenpose.run.cost import Cost
from greenpose.run.segments import LONGEST_STEP_SECONDS
from greenpose.run.setups import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the plans are filled with."""

    train: float
    """Seconds of training on one image."""
    forward: float
    """Seconds of the whole network on one image."""
    watts: float
    """Power while it computes."""
    idle_watts: float
    """Power while it sleeps."""
    period: float
    """Seconds between two updates of the slowest counter; 0 for models."""


def inference(setup: Setup, rates: Rates) -> tuple[Cost, Cost]:
    """Return the least and the most that metering inference costs: it ends as soon as it is sure enough."""
    config, final = setup.config.measure, max(setup.macs)
    window = max(config.min_window_seconds, PERIODS_PER_WINDOW * rates.period)
    calls = [config.batch * rates.forward * macs / setup.macs[final] for macs in setup.macs.values()]
    busy = sum(_repeated(call, window) for call in calls)
    idle = window * idle_windows(len(calls))
    block = Cost(seconds=busy + idle, joules=busy * rates.watts + idle * rates.idle_watts)
    most = min(config.max_blocks, math.ceil(config.max_seconds / block.seconds))
    least = min(most, BLOCKS_PER_LOOK)
    return block * (1 + least), block * (1 + most)


def segments(config: Experiment, rates: Rates) -> Cost:
    """Return what measuring the parts of a training step costs; nothing for a network with a single exit."""
    exits, edges = len(config.model.exits), len(config.wiring.edges)
    if exits == 1:
        return Cost()
    plan = MicroPlan(max_blocks=config.measure.step_blocks)
    step = min(rates.train * config.train.batch, LONGEST_STEP_SECONDS)
    steps = 1 + exits + (edges > 0 and len(config.supervised) > 1)
    window = plan.min_window_seconds
    block = steps * _repeated(step, window) + (exits + edges) * window
    blocks = 1 + max(plan.min_blocks, min(plan.max_blocks, math.ceil(plan.max_seconds / block) - 1))
    seconds = blocks * block
    return Cost(seconds=seconds, joules=seconds * rates.watts)


def _repeated(call: float, window: float) -> float:
    """Return how long a window gets whose call is repeated until it is full."""
    return call * math.ceil(window / call) if call > 0 else window
