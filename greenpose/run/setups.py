"""The distinct things that a grid's runs do: runs that differ in seed or in number of epochs cost the same an epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from greenpose.config import Cell, DataConfig, Experiment
from greenpose.counting import architecture_of, count_training_step
from greenpose.counting.counts import blank_network, num_params
from greenpose.data.splits import Preview, preview
from greenpose.metering import Meter
from greenpose.model import Architecture
from greenpose.run.cost import Cost, cost_of
from greenpose.units import FLOPS_PER_MAC

FEW_IMAGES = 8
"""Images that are generated or read to calibrate with: enough to know what one takes."""
COUNTERS = 5
"""Counting an exit by every counter takes about this many times as long as counting its training step by one."""
PACE = {
    *("epochs", "milestones", "gamma", "schedule", "warmup", "patience", "validate_every", "selection", "lr"),
    *("recipe", "grow", "mirror"),
}
"""Settings of the recipe that do not change what an epoch of the whole network costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at the data of some runs."""

    preview: Preview
    """How many there are, and a few of them."""
    image: Cost
    """What generating, or reading and cropping, one image costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What some runs have in common, as far as the cost of an epoch goes."""

    config: Experiment
    """The configuration of one of them."""
    look: Look
    """Their data."""
    params: int
    """Parameters of the network that ends with the final exit."""
    macs: Mapping[int, int]
    """Multiply-accumulates of each exit's own network, one image."""
    step_macs: float
    """Multiply-accumulates of a training step, one image."""
    counting: Cost
    """What counting the network takes."""


def compute_ratio(one: Setup, other: Setup) -> float:
    """Return how many times the dearer of two setups costs the cheaper one's compute."""
    return max(one.step_macs, other.step_macs) / min(one.step_macs, other.step_macs)


def work_of(config: Experiment) -> str:
    """Return, as text, all settings that the cost of an epoch depends on."""
    sections = {"data", "model", "wiring", "loss", "process"}
    recipe = config.train.model_dump_json(exclude=PACE)
    return config.model_dump_json(include=sections) + recipe


def find_setups(cells: Sequence[Cell], meter: Meter) -> dict[str, Setup]:
    """Return the distinct setups of runs by `work_of` their configuration; looking at data and counting is metered.

    Raises:
        GreenPoseError: if data or network cannot be used.
    """
    looks: dict[str, Look] = {}
    setups: dict[str, Setup] = {}
    for config in {work_of(cell.config): cell.config for cell in cells}.values():
        data = config.data.model_dump_json()
        if data not in looks:
            looks[data] = _look(config.data, meter)
        setups[work_of(config)] = _setup(config, looks[data], meter)
    return setups


def _look(config: DataConfig, meter: Meter) -> Look:
    with meter.window("look", items=FEW_IMAGES) as opened:
        seen = preview(config, num=FEW_IMAGES)
    return Look(preview=seen, image=cost_of([opened.result]) * (1 / len(seen.few)))


def _setup(config: Experiment, look: Look, meter: Meter) -> Setup:
    shape, size = architecture_of(config), config.data.input_size
    learning = {*config.supervised, *(exit_ for edge in config.wiring.edges for exit_ in edge)}
    with meter.window("count") as opened:
        macs = {exit_: _forward_macs(shape.only(exit_), size) for exit_ in shape.exits}
    return Setup(
        config=config,
        look=look,
        params=_params(shape.only(shape.exits[-1])),
        macs=macs,
        step_macs=_step_macs(shape, size, tuple(sorted(learning))),
        counting=cost_of([opened.result]) * COUNTERS,
    )


@lru_cache
def _forward_macs(shape: Architecture, size: tuple[int, int]) -> int:
    return count_training_step(shape, size).forward // FLOPS_PER_MAC


@lru_cache
def _step_macs(shape: Architecture, size: tuple[int, int], learning: tuple[int, ...]) -> float:
    return count_training_step(shape, size, learning=learning).total / FLOPS_PER_MAC


@lru_cache
def _params(shape: Architecture) -> int:
    return num_params(blank_network(shape))
