"""The search for a policy, from a finished run to its curve: look, calibrate, judge, measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from greenpose.config import Experiment
from greenpose.data import Samples
from greenpose.data.splits import annotations_sha256, check_annotations, load_splits
from greenpose.errors import GreenPoseError
from greenpose.metering import Meter
from greenpose.policy.calibrate import GRADES, Setting, calibrate, cheapest
from greenpose.policy.cascade import Cascade
from greenpose.policy.confidence import Confidence
from greenpose.policy.energy import Energies, measure_ways
from greenpose.policy.judge import Judged, exit_ap, judge
from greenpose.policy.seen import Seen, look
from greenpose.policy.shared import Shared, shared_network
from greenpose.policy.ways import Ways, ways_of
from greenpose.run.setup import build_meter, require_device, seed_everything
from greenpose.store import RunFolder
from greenpose.training.step import to_images

DROP = 0.01
"""How much less than the deepest exit's validation AP is wanted, where nobody says otherwise."""
TRIED_BATCHES = 4
"""Batches of test images that energy is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """The chosen thresholds at work, and energy measured meanwhile."""

    energies: Energies
    """What an image costs, by its way."""
    left: dict[int, float]
    """Part of the images that left at each exit."""
    images: int
    """Images."""
    elsewhere: int
    """Images that left at another exit than in a batch that goes on as a whole."""
    meter: Meter
    """The meter, closed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Everything that is known of a policy."""

    shared: Shared
    """The network."""
    ways: Ways
    """What images cost in multiply-accumulates."""
    val: Seen
    """The split that thresholds are from."""
    test: Seen
    """The split that they are judged by."""
    settings: Sequence[Setting]
    """Thresholds that no others beat on the validation split, cheapest first."""
    judged: Sequence[Judged]
    """The same on the test split."""
    wanted: float
    """AP that the validation split is to hold."""
    chosen: int
    """Place of the cheapest setting that holds it."""
    trial: Trial | None
    """None where nothing was measured."""


def find_policy(
    config: Experiment,
    folder: RunFolder,
    *,
    exits: Sequence[int],
    wanted: float | None = None,
    confidence: Confidence = "peak",
    measured: bool = True,
    heard: Callable[[str], object] | None = None,
) -> Found:
    """Return a finished run's early exit at run time, calibrated on its validation split, judged on its test split.

    `wanted` is the AP that the validation split is to hold, by default what the deepest exit has there less `DROP`.

    Raises:
        GreenPoseError: fewer than two exits, data or weights that cannot be read, other annotations than the run's, or
            an AP that is out of reach.
    """
    if len(exits) - 1 not in GRADES:
        raise GreenPoseError(f"{folder.path}: leaving early takes two exits at least, and here there is {len(exits)}")
    heard = heard or _nobody
    require_device(config.process.device)
    seed_everything(config)
    shared = shared_network(config, folder, exits)
    kept = folder.read_cell().get("annotations_sha256", {})
    judged_by = {split: digest for split, digest in kept.items() if split != "train"}
    check_annotations(judged_by, annotations_sha256(config.data), where=str(folder.path))
    heard("reading the images")
    splits = load_splits(config.data)
    heard("looking at both splits")
    val, test = (
        look(shared.net, splits[name], confidence=confidence, batch=config.train.batch) for name in ("val", "test")
    )
    ways = ways_of(shared.subs, config.data.input_size)
    heard("trying thresholds")
    settings = calibrate(val, ways)
    wanted = exit_ap(val, val.exits[-1]) - DROP if wanted is None else wanted
    chosen = cheapest(settings, wanted)
    judged = [judge(test, setting.thresholds, ways) for setting in settings]
    heard("measuring energy" if measured else "done")
    trial = _try(config, shared, test, settings[chosen], confidence) if measured else None
    return Found(
        shared=shared,
        ways=ways,
        val=val,
        test=test,
        settings=settings,
        judged=judged,
        wanted=wanted,
        chosen=chosen,
        trial=trial,
    )


def _try(config: Experiment, shared: Shared, test: Seen, setting: Setting, confidence: Confidence) -> Trial:
    """Return what the thresholds do to some test images, evenly spaced, and what every way costs on them."""
    batches, indices = _some_batches(test.samples, config)
    cascade = Cascade(shared.net, setting.thresholds, confidence=confidence)
    with torch.inference_mode():
        left = np.concatenate([cascade(images).exits.cpu().numpy() for images in batches])
    with build_meter(config) as meter:
        energies = measure_ways(
            shared,
            batches,
            meter,
            thresholds=setting.thresholds,
            confidence=confidence,
            plan=config.measure,
            seed=config.seed,
        )
    return Trial(
        energies=energies,
        left={exit_: float(np.mean(left == exit_)) for exit_ in test.exits},
        images=len(indices),
        elsewhere=int(np.sum(left != test.leave(setting.thresholds)[indices])),
        meter=meter,
    )


def _nobody(words: str) -> None:
    """Hear nothing."""
    del words


def _some_batches(samples: Samples, config: Experiment) -> tuple[list[Tensor], np.ndarray]:
    """Return up to `TRIED_BATCHES` batches of test images on the device, and their numbers."""
    count = min(len(samples), TRIED_BATCHES * config.measure.batch)
    indices = np.linspace(0, len(samples) - 1, count).round().astype(int)
    device = torch.device(config.process.device)
    images = to_images(samples.crops(indices), device)
    return list(torch.split(images, config.measure.batch)), indices
