"""The search for a policy, from a finished run to its curve: look, calibrate, judge, measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from greenpose.config import Experiment, MeasureConfig
from greenpose.data import Samples
from greenpose.data.splits import annotations_sha256, check_annotations, load_splits
from greenpose.errors import GreenPoseError, ModelError
from greenpose.formatting import listed
from greenpose.metering import ExitMeasurement, Meter, Plan, exit_place, measure_in_turns
from greenpose.model import HRNet, SubNetwork
from greenpose.policy.calibrate import GRADES, Judged, Setting, SplitOutputs, calibrate, cheapest, exit_ap, judge, look
from greenpose.policy.cascade import EVER, NEVER, Cascade, Confidence, PathCosts, Thresholds, path_costs
from greenpose.quantity import Quantity
from greenpose.run.measure import trained_networks
from greenpose.run.setup import (
    build_meter,
    build_network,
    channels_last,
    require_device,
    seed_everything,
    two_passes,
)
from greenpose.store import RunFolder
from greenpose.training.step import to_images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """The network, and where its weights come from."""

    net: HRNet
    """Trunk of the deepest exit's best epoch, each head of its own exit's; in eval mode."""
    subs: dict[int, SubNetwork]
    """Each exit's own network with its own best weights, shallow to deep; in eval mode."""
    own: dict[int, bool]
    """Whether the network gives each exit all the weights of its own."""

    @property
    def sentence(self) -> str:
        """Return whose weights the network has, in words."""
        foreign = [str(exit_) for exit_, same in self.own.items() if not same]
        if not foreign:
            return "every exit has its own best weights: all are of one epoch"
        which = f"exit{'s' if len(foreign) > 1 else ''} {listed(foreign)}"
        return (
            f"{which}: head of an epoch of its own on the trunk of exit {max(self.own)}, since the best epochs differ; "
            "a run with train.selection=any-exit keeps one epoch for all"
        )


def shared_network(config: Experiment, folder: RunFolder, exits: Sequence[int]) -> Shared:
    """Return one network with some of a finished run's exits."""
    if faults := two_passes(config):
        raise ModelError(faults)
    whole = build_network(config)[0]
    if not isinstance(whole, HRNet):
        raise ModelError(
            [
                f"{folder.path}: leaving early takes a network that goes on from the exit where an image stayed; that"
                f" of {whole.architecture.config.factory} computes every exit from the image on, so that asking first"
                " would cost more than it saves: choose one exit for all images"
            ]
        )
    subs = {exit_: sub for exit_, sub in trained_networks(whole, folder, exits).items() if isinstance(sub, SubNetwork)}
    net = channels_last(HRNet(**whole.architecture.at(exits).keywords).to(config.process.device)).eval()
    entries = dict(subs[net.depth].state_dict())
    for sub in subs.values():
        entries |= {name: entry for name, entry in sub.state_dict().items() if name.startswith("heads.")}
    net.load_state_dict(entries)
    own = {
        exit_: all(torch.equal(entry, entries[name]) for name, entry in sub.state_dict().items())
        for exit_, sub in subs.items()
    }
    return Shared(net=net, subs=subs, own=own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """What an image costs; ratios are to the deepest exit's own network."""

    alone: Mapping[int, ExitMeasurement]
    """In each exit's minimal sub-network."""
    cumulative: Mapping[int, ExitMeasurement]
    """Asked at every exit up to this one, where it leaves."""
    policy: ExitMeasurement
    """Under the chosen thresholds: wherever each image leaves."""

    def of_point(self, exited: Mapping[int, float], thresholds: Thresholds) -> Quantity | None:
        """Return the mean of the ways, weighted by the part of the images that takes each; None where one is unknown.

        Asking takes the same at every exit: of what a way with all of them takes more than the exit alone, an image is
        charged for those that it is asked at. Ends of intervals are weighted too, as if all ways erred together.
        """
        parts: list[tuple[float, Quantity | None]] = []
        for exit_, part in exited.items():
            asked = _asked_part(exit_, thresholds)
            parts += [(part * (1 - asked), self.alone[exit_].energy_j_per_item)]
            parts += [(part * asked, self.cumulative[exit_].energy_j_per_item)]
        return mix([each for each in parts if each[0] > 0])


def mix(parts: Sequence[tuple[float, Quantity | None]]) -> Quantity | None:
    """Return the weighted sum of numbers whose errors move together; None where one of them is not known."""
    known = [(part, each) for part, each in parts if each is not None]
    if len(known) < len(parts) or not known:
        return None
    return reduce(add, (each * part for part, each in known))


def measure_paths(
    shared: Shared,
    batches: Sequence[Tensor],
    meter: Meter,
    *,
    thresholds: Thresholds,
    confidence: Confidence,
    plan: MeasureConfig,
    seed: int,
) -> Energies:
    """Return what an image of some batches costs, whichever way it takes; every block holds all of them once."""
    exits = shared.net.exits
    cascades = {exit_: Cascade(shared.net, _until(exits, exit_), confidence=confidence) for exit_ in exits}
    policy = Cascade(shared.net, thresholds, confidence=confidence)
    calls: dict[str, Callable[[Tensor], object]] = {"policy": policy}
    calls |= {_way(exit_): cascade for exit_, cascade in cascades.items()}
    calls |= {exit_place(exit_): shared.subs[exit_] for exit_ in exits}
    with torch.inference_mode():
        found = measure_in_turns(
            {place: partial(_each, call, batches) for place, call in calls.items()},
            meter,
            reference=exit_place(exits[-1]),
            items_per_call=sum(len(images) for images in batches),
            plan=Plan.of(plan),
            seed=seed,
        )
    return Energies(
        policy=found["policy"],
        cumulative={exit_: found[_way(exit_)] for exit_ in exits},
        alone={exit_: found[exit_place(exit_)] for exit_ in exits},
    )


def _way(exit_: int) -> str:
    return f"up to {exit_place(exit_)}"


def _until(exits: Sequence[int], last: int) -> dict[int, float | None]:
    """Return thresholds that ask every image at every exit up to one, where all of them leave."""
    return {exit_: EVER if exit_ == last else NEVER if exit_ < last else None for exit_ in exits[:-1]}


def _asked_part(exit_: int, thresholds: Thresholds) -> float:
    """Return the part of the exits up to one, the deepest left out, at which images are asked."""
    before = [threshold for each, threshold in thresholds.items() if each <= exit_]
    return sum(1 for threshold in before if threshold) / len(before)


def _each(call: Callable[[Tensor], object], batches: Sequence[Tensor]) -> None:
    for images in batches:
        call(images)


DROP = 0.01
"""How much less than the deepest exit's validation AP is wanted, where nobody says otherwise."""
TRIED_BATCHES = 4
"""Batches of test images that energy is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """The chosen thresholds at work, and energy measured meanwhile."""

    energies: Energies
    """What an image costs, by its way."""
    exited: dict[int, float]
    """Part of the images that left at each exit."""
    images: int
    """Images."""
    elsewhere: int
    """Images that left at another exit than in a batch that goes on as a whole."""
    meter: Meter
    """The meter, closed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundPolicy:
    """Everything that is known of a policy."""

    shared: Shared
    """The network."""
    paths: PathCosts
    """What images cost in multiply-accumulates."""
    val: SplitOutputs
    """The split that thresholds are from."""
    test: SplitOutputs
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
    on_progress: Callable[[str], object] = lambda _: None,
) -> FoundPolicy:
    """Return a finished run's early exit at run time, calibrated on its validation split, judged on its test split.

    `wanted` is the AP that the validation split is to hold, by default what the deepest exit has there less `DROP`.

    Raises:
        GreenPoseError: fewer than two exits, data or weights that cannot be read, other annotations than the run's, or
            an AP that is out of reach.
    """
    if len(exits) - 1 not in GRADES:
        raise GreenPoseError(f"{folder.path}: leaving early takes two exits at least, and here there is {len(exits)}")
    require_device(config.process.device)
    seed_everything(config)
    shared = shared_network(config, folder, exits)
    kept = folder.read_cell().get("annotations_sha256", {})
    judged_by = {split: digest for split, digest in kept.items() if split != "train"}
    check_annotations(judged_by, annotations_sha256(config.data), where=str(folder.path))
    on_progress("reading the images")
    splits = load_splits(config.data)
    on_progress("looking at both splits")
    val, test = (
        look(shared.net, splits[name], confidence=confidence, batch=config.train.batch) for name in ("val", "test")
    )
    paths = path_costs(shared.subs, config.data.input_size)
    on_progress("trying thresholds")
    settings = calibrate(val, paths)
    wanted = exit_ap(val, val.exits[-1]) - DROP if wanted is None else wanted
    chosen = cheapest(settings, wanted)
    judged = [judge(test, setting.thresholds, paths) for setting in settings]
    on_progress("measuring energy" if measured else "done")
    trial = _try(config, shared, test, settings[chosen], confidence) if measured else None
    return FoundPolicy(
        shared=shared,
        paths=paths,
        val=val,
        test=test,
        settings=settings,
        judged=judged,
        wanted=wanted,
        chosen=chosen,
        trial=trial,
    )


def _try(config: Experiment, shared: Shared, test: SplitOutputs, setting: Setting, confidence: Confidence) -> Trial:
    """Return what the thresholds do to some test images, evenly spaced, and what every way costs on them."""
    batches, indices = _some_batches(test.samples, config)
    cascade = Cascade(shared.net, setting.thresholds, confidence=confidence)
    with torch.inference_mode():
        exited = np.concatenate([cascade(images).exits.cpu().numpy() for images in batches])
    with build_meter(config) as meter:
        energies = measure_paths(
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
        exited={exit_: float(np.mean(exited == exit_)) for exit_ in test.exits},
        images=len(indices),
        elsewhere=int(np.sum(exited != test.exits_of(setting.thresholds)[indices])),
        meter=meter,
    )


def _some_batches(samples: Samples, config: Experiment) -> tuple[list[Tensor], np.ndarray]:
    """Return up to `TRIED_BATCHES` batches of test images on the device, and their numbers."""
    count = min(len(samples), TRIED_BATCHES * config.measure.batch)
    indices = np.linspace(0, len(samples) - 1, count).round().astype(int)
    device = torch.device(config.process.device)
    images = to_images(samples.crops(indices), device)
    return list(torch.split(images, config.measure.batch)), indices
