"""The measuring of inference at each exit, for a run and for a measurement on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from greenpose import counting
from greenpose.config import Experiment
from greenpose.counting import ExitCount
from greenpose.errors import ModelError
from greenpose.metering import ExitMeasurement, Meter, Plan, measure_exits
from greenpose.model import HRNet, SubNetwork, load_weights
from greenpose.run.setup import build_meter, build_network, channels_last, require_device, seed_everything
from greenpose.store import RunFolder
from greenpose.training.step import to_images

Heard = Callable[[int, float], object]
"""Told after each block how many there are, and the widest relative half-width when last looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a measurement on its own found."""

    exits: Mapping[int, ExitMeasurement]
    """Inference of each exit, with ratios to the deepest one measured."""
    counts: Mapping[int, ExitCount]
    """Parameters and MACs of each exit."""
    meter: Meter
    """The meter, closed."""


def measure(
    config: Experiment,
    *,
    exits: Sequence[int],
    trained: RunFolder | None = None,
    log: Path | None = None,
    heard: Heard | None = None,
) -> Measured:
    """Return what an image costs at each of `exits`, on random images: no data set is needed.

    With `trained` the networks have that run's best weights, otherwise fresh ones; costs do not depend on their values.

    Raises:
        GreenPoseError: if there is no such device, or weights do not fit the network.
    """
    require_device(config.process.device)
    seed_everything(config)
    net, _ = build_network(config)
    subs = trained_networks(net, trained, exits) if trained is not None else _networks(net, exits)
    shape = replace(counting.architecture_of(config), exits=tuple(sorted(exits)))
    counts = counting.count(shape, config.data.input_size)
    images = to_images(_random_crops(config), torch.device(config.process.device))
    with build_meter(config, log) as meter:
        found = measure_networks(subs, images, meter, config=config, heard=heard)
    return Measured(exits=found, counts=counts, meter=meter)


def measure_networks(
    subs: Mapping[int, SubNetwork],
    images: torch.Tensor,
    meter: Meter,
    *,
    config: Experiment,
    heard: Heard | None = None,
) -> dict[int, ExitMeasurement]:
    """Return what an image costs at each exit's stand-alone network, on the same fixed images."""
    measure = config.measure
    plan = Plan(
        min_window_seconds=measure.min_window_seconds,
        rel_ci=measure.rel_ci,
        max_blocks=measure.max_blocks,
        max_seconds=measure.max_seconds,
    )
    runners = {exit_: _Runner(sub, images) for exit_, sub in subs.items()}
    with torch.inference_mode():
        return measure_exits(runners, meter, items_per_call=len(images), plan=plan, seed=config.seed, heard=heard)


def trained_networks(net: HRNet, folder: RunFolder, exits: Sequence[int]) -> dict[int, SubNetwork]:
    """Return each exit's stand-alone network with its best weights, ready for inference.

    Raises:
        ModelError: if a file of weights cannot be read, or belongs to another network.
    """
    subs = _networks(net, exits)
    for exit_, sub in subs.items():
        report = load_weights(sub, folder.best(exit_))
        unfilled = [*report.missing, *(each.name for each in report.mismatched)]
        if unfilled:
            what = f"{len(unfilled)} of its tensors are absent or of another shape, {unfilled[0]} first"
            raise ModelError([f"{folder.best(exit_)}: belongs to another network than exit {exit_} here: {what}"])
    return subs


def _networks(net: HRNet, exits: Sequence[int]) -> dict[int, SubNetwork]:
    return {exit_: channels_last(net.truncate(exit_).eval()) for exit_ in sorted(exits)}


def _random_crops(config: Experiment) -> np.ndarray:
    """Return noise of the size and kind of a batch of crops: what they show does not change what they cost."""
    width, height = config.data.input_size
    return np.random.default_rng(config.seed).integers(0, 256, (config.measure.batch, height, width, 3), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Runner:
    """One call of one exit's network on fixed images."""

    sub: SubNetwork
    images: torch.Tensor

    def __call__(self) -> object:
        return self.sub(self.images)
