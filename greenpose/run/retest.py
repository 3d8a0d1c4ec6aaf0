"""A finished run judged anew: its exits' heatmaps decoded otherwise, on the same patients, and nothing trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from greenpose.config import Experiment
from greenpose.config.experiment import Decode
from greenpose.data import load_profile
from greenpose.data.boxes import load_boxes
from greenpose.data.splits import annotations_sha256, check_annotations, load_splits
from greenpose.metering import ExitMeasurement, Plan, worst_kind
from greenpose.metering.inference import measure_in_turns
from greenpose.model import ExitNetwork
from greenpose.run.measure import in_two_passes, random_crops, trained_networks
from greenpose.run.setup import build_meter, build_network, require_device, seed_everything
from greenpose.store import RunFolder
from greenpose.training.evaluate import oks, oks_change, predict_each, resampled
from greenpose.training.step import to_images

CUT_OTHERWISE = "udp"
"""Its crops are not those of the other decodings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retested:
    """One exit, judged as its run was tested, and otherwise."""

    exit: int
    """The exit."""
    ways: tuple[str, str]
    """How heatmaps were decoded, as the run does and as was asked for: `quarter`, `dark+flip`."""
    before: float
    """AP as the run decodes, as a fraction."""
    after: float
    """AP as was asked for, likewise."""
    interval: tuple[float, float]
    """Of after less before: 95 %, paired over the same resampled groups; nan where there is a single one."""
    unit: str
    """What was resampled: `patients` or `images`."""
    groups: int
    """How many of them there are."""


def refusals(config: Experiment, decode: Decode, *, flip: bool, source: str) -> list[str]:
    """Return why a run cannot be judged so: it was already, its crops are others, nobody says what mirrors swap."""
    have, profile = config.data.decode, load_profile(config.data.profile)
    faults = []
    if flip and config.test.flip:
        faults.append(f"--flip: {source} is judged so already; its record says what that is worth")
    if have == decode and not flip:
        faults.append(f"--decode {decode}: {source} is decoded so already; its record says what that is worth")
    if have != decode and CUT_OTHERWISE in (have, decode):
        faults.append(
            f"--decode {decode}: {source} was trained with data.decode={have}, and crops of {CUT_OTHERWISE} are cut"
            f" otherwise; only quarter and dark share theirs: train anew with --set data.decode={decode}"
        )
    if flip and not config.test.flip and not profile.flip_pairs:
        faults.append(f"--flip: profile {profile.name} of {source} has no flip_pairs, which say what a mirror swaps")
    return faults


def retest(
    config: Experiment, folder: RunFolder, exits: Sequence[int], decode: Decode, *, flip: bool = False
) -> list[Retested]:
    """Return what each exit of a finished run is worth as it was tested, and by another decoding of the same heatmaps.

    With `flip` each image is seen twice, as it is and mirrored, and its heatmaps are averaged; where the run's own test
    did that, it stays so. The record stays as it is. AP is judged in detected boxes where the run's was.

    Raises:
        GreenPoseError: weights or data cannot be read, or are not those of the run.
    """
    subs = _networks(config, folder, exits)
    check_annotations(
        folder.read_cell().get("annotations_sha256", {}), annotations_sha256(config.data), where=str(folder.path)
    )
    samples = load_splits(config.data, only=["test"])["test"]
    detected = load_boxes(config.data, samples)
    boxes = samples if detected is None else detected.samples
    unit, groups = resampled(samples, boxes)
    usual, other = boxes.framing, replace(boxes.framing, decode=decode)
    judged = []
    for exit_, net in subs.items():
        found = predict_each(net, boxes, [usual, other], batch=config.train.batch, flip=config.test.flip)
        if flip:
            found[1:] = predict_each(net, boxes, [other], batch=config.train.batch, flip=True)
        before, after = (each[exit_] for each in found)
        judged.append(
            Retested(
                exit=exit_,
                ways=(_way(usual.decode, config.test.flip), _way(decode, flip or config.test.flip)),
                before=oks(boxes, before)["ap"],
                after=oks(boxes, after)["ap"],
                interval=oks_change(boxes, before, after, groups)["ap"],
                unit=unit,
                groups=len({*groups.values()}),
            )
        )
    return judged


def _way(decode: Decode, flip: bool) -> str:
    return f"{decode}+flip" if flip else decode


def price_of_mirrors(config: Experiment, folder: RunFolder, exits: Sequence[int]) -> dict[int, ExitMeasurement]:
    """Return what an image costs at each exit that is run on it and on its mirror image, in turns with once alone.

    `ratios` are to the exit that is run once. Heatmaps are averaged within what is measured.

    Raises:
        GreenPoseError: weights cannot be read.
    """
    images = to_images(random_crops(config), torch.device(config.process.device))
    priced = {}
    for exit_, net in _networks(config, folder, exits).items():
        with build_meter(config) as meter, torch.inference_mode():
            found = measure_in_turns(
                {"once": partial(net, images), "twice": partial(in_two_passes(net, config), images)},
                meter,
                reference="once",
                items_per_call=len(images),
                plan=Plan.of(config.measure),
                seed=config.seed,
            )
        kind = worst_kind(meter.total.joules, meter.provenances)
        ratios = {name: replace(ratio, kind=kind) for name, ratio in found["twice"].ratios.items()}
        priced[exit_] = replace(found["twice"], ratios=ratios)
    return priced


def _networks(config: Experiment, folder: RunFolder, exits: Sequence[int]) -> dict[int, ExitNetwork]:
    require_device(config.process.device)
    seed_everything(config)
    return trained_networks(build_network(config)[0], folder, exits)
