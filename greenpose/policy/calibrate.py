"""Thresholds from the validation split: what every exit says of it, which no others beat, the cheapest."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from greenpose import accuracy
from greenpose.data import Samples, in_turn
from greenpose.data.heatmaps import find_peaks
from greenpose.errors import GreenPoseError
from greenpose.intervals import Bounds
from greenpose.model import HRNet
from greenpose.policy.cascade import CONFIDENCES, Confidence, PathCosts, Thresholds
from greenpose.quantity import Quantity
from greenpose.training import ExitPredictions
from greenpose.training.evaluate import detections, oks
from greenpose.training.step import to_images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitOutputs:
    """A split, as every exit sees it."""

    samples: Samples
    """The split."""
    predictions: Mapping[int, ExitPredictions]
    """Predictions of each exit, shallow to deep."""
    confidences: Mapping[int, Float[np.ndarray, " sample"]]
    """Confidence of each exit."""

    @property
    def exits(self) -> tuple[int, ...]:
        """Return the exit numbers, shallow to deep."""
        return tuple(self.predictions)

    @property
    def groups(self) -> list[str]:
        """Return the patient of each sample, or its image where no patients are known."""
        if self.by_subject:
            return list(self.samples.subjects)
        return [str(image) for image in self.samples.image_ids]

    @property
    def group_of_image(self) -> dict[int, str]:
        """Return the same by image."""
        return dict(zip(self.samples.image_ids.tolist(), self.groups, strict=True))

    @property
    def by_subject(self) -> bool:
        """Return whether patients are known."""
        return len(set(self.samples.subjects)) > 1

    @property
    def resampled(self) -> Literal["patients", "images"]:
        """Return what intervals are over."""
        return "patients" if self.by_subject else "images"

    def exits_of(self, thresholds: Thresholds) -> Int[np.ndarray, " sample"]:
        """Return the exit at which each image leaves: the first one that is sure enough, else the deepest."""
        exited = np.full(len(self.samples), self.exits[-1])
        for exit_, threshold in sorted(thresholds.items(), reverse=True):
            if threshold is not None:
                exited[self.confidences[exit_] >= threshold] = exit_
        return exited

    def at(self, exited: Int[np.ndarray, " sample"]) -> ExitPredictions:
        """Return what is said of each image by the exit at which it leaves."""
        which, sample = np.searchsorted(self.exits, exited), np.arange(len(exited))
        predictions = self.predictions.values()
        return ExitPredictions(
            joints=np.stack([each.joints for each in predictions])[which, sample],
            peaks=np.stack([each.peaks for each in predictions])[which, sample],
            places=np.stack([each.places for each in predictions])[which, sample],
        )


def look(net: HRNet, samples: Samples, *, confidence: Confidence, batch: int) -> SplitOutputs:
    """Return what every exit of a network in eval mode says of a split; heatmaps are not kept."""
    device = next(net.parameters()).device
    parts: list[dict[int, tuple[np.ndarray, ...]]] = []
    with torch.inference_mode():
        for indices in in_turn(len(samples), batch):
            heatmaps = net(to_images(samples.crops(indices), device))
            parts.append({exit_: _outputs_of(maps, samples, indices, confidence) for exit_, maps in heatmaps.items()})
    together = {exit_: _joined([part[exit_] for part in parts]) for exit_ in net.exits}
    return SplitOutputs(
        samples=samples,
        predictions={exit_: ExitPredictions(joints=j, peaks=p, places=q) for exit_, (j, p, q, _) in together.items()},
        confidences={exit_: confidences for exit_, (*_, confidences) in together.items()},
    )


def _outputs_of(
    heatmaps: torch.Tensor, samples: Samples, indices: np.ndarray, confidence: Confidence
) -> tuple[np.ndarray, ...]:
    """Return joints, peaks, their places and the confidence of one exit for some images."""
    confidences = CONFIDENCES[confidence](heatmaps).cpu().numpy()
    maps = heatmaps.float().cpu().numpy()
    joints, peaks = samples.framing.places(maps, samples.centers[indices], samples.scales[indices])
    return joints, peaks, find_peaks(maps)[0], confidences


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


GRADES = {1: 41, 2: 15, 3: 8}
"""Thresholds that are tried at an exit, by how many exits have one: all together are tried, at most some 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Some thresholds, and what they come to on the validation split."""

    thresholds: Thresholds
    """For every exit but the deepest."""
    ap: float
    """AP."""
    macs: float
    """Mean multiply-accumulates of an image."""


def calibrate(outputs: SplitOutputs, paths: PathCosts) -> tuple[Setting, ...]:
    """Return the settings that no other beats, cheapest first: with each, AP rises.

    Every combination of thresholds at evenly spaced parts of the images is tried, so that among those the result is
    exact; settings under which every image leaves at the same exit as under another one are tried once.
    """
    tried: dict[bytes, Setting] = {}
    for thresholds in _combinations(outputs):
        exited = outputs.exits_of(thresholds)
        if exited.tobytes() not in tried:
            macs = float(paths.of_each(exited, thresholds).mean())
            tried[exited.tobytes()] = Setting(
                thresholds=thresholds, ap=oks(outputs.samples, outputs.at(exited))["ap"], macs=macs
            )
    return _unbeaten(list(tried.values()))


def cheapest(settings: Sequence[Setting], wanted: float) -> int:
    """Return the place of the cheapest setting whose AP is `wanted` or more.

    Raises:
        GreenPoseError: none is.
    """
    for place, setting in enumerate(settings):
        if setting.ap >= wanted:
            return place
    most = max(setting.ap for setting in settings)
    raise GreenPoseError(
        f"an AP of {wanted:g} is out of reach: on the validation split the most is {most:.4f}, whichever exits images "
        f"leave at; ask for {np.floor(1000 * most) / 1000:g} or less"
    )


def _combinations(outputs: SplitOutputs) -> Iterator[Thresholds]:
    """Yield every combination, those that read fewer exits first."""
    early = outputs.exits[:-1]
    for values in itertools.product(*(_candidates(outputs.confidences[exit_], GRADES[len(early)]) for exit_ in early)):
        yield dict(zip(early, values, strict=True))


def _candidates(confidences: np.ndarray, grades: int) -> list[float | None]:
    """Return thresholds from never to always: such that evenly spaced parts of the images are sure enough."""
    ranked = np.sort(confidences)[::-1]
    counts = np.unique(np.round(np.linspace(0, len(ranked), grades)).astype(int))[1:-1]
    return [None, *dict.fromkeys(float(ranked[count - 1]) for count in counts), 0.0]


def _unbeaten(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    kept: list[Setting] = []
    for setting in sorted(settings, key=lambda each: (each.macs, -each.ap)):
        if not kept or setting.ap > kept[-1].ap:
            kept.append(setting)
    return tuple(kept)


RESAMPLES = 1000
LEVEL = (0.025, 0.975)


class Judged(NamedTuple):
    """Some thresholds on a split."""

    exited: Mapping[int, float]
    """Part of the images that leaves at each exit."""
    numbers: dict[str, Quantity]
    """`ap`; `ap_less_final`, both judged on the same resamples; `macs_per_image`, whose interval tells that other
    patients would leave elsewhere. A single group leaves nothing to resample."""


def fraction(value: float, method: str, interval: Bounds | None = None) -> Quantity:
    """Return an AP, or a difference of two, as a document has it."""
    return Quantity(value=value, unit="fraction", kind="computed", method=method, type_a=interval)


def macs_of(value: float, method: str, interval: Bounds | None = None) -> Quantity:
    """Return multiply-accumulates of an image as a document has them."""
    return Quantity(value=value, unit="MACs", kind="counted", method=method, type_a=interval)


def judge(outputs: SplitOutputs, thresholds: Thresholds, paths: PathCosts) -> Judged:
    """Return what thresholds come to on a split."""
    exited = outputs.exits_of(thresholds)
    ours, finals = (
        detections(outputs.samples, outputs.at(each)) for each in (exited, np.full_like(exited, outputs.exits[-1]))
    )
    given = (outputs.samples.ground_truth, outputs.samples.profile.sigmas)
    ap, final = (accuracy.oks_ap(given[0], found, given[1])["ap"] for found in (ours, finals))
    groups = outputs.group_of_image
    costs = paths.of_each(exited, thresholds)
    interval = accuracy.oks_ap_interval(given[0], ours, given[1], groups=groups, resamples=RESAMPLES)
    lost = accuracy.oks_ap_difference_interval(given[0], finals, ours, given[1], groups=groups, resamples=RESAMPLES)
    over = f"interval over {outputs.resampled}"
    numbers = {
        "ap": fraction(ap, f"OKS AP on the test split, {over}", _known(interval["ap"])),
        "ap_less_final": fraction(ap - final, f"difference of two APs, paired, {over}", _known(lost["ap"])),
        "macs_per_image": macs_of(
            float(costs.mean()), f"mean of the test images, {over}", mean_interval(costs, outputs.groups)
        ),
    }
    return Judged(parts_of(exited, outputs.exits), numbers)


def exit_ap(outputs: SplitOutputs, exit_: int) -> float:
    """Return the AP of a split whose images all leave at one exit."""
    return oks(outputs.samples, outputs.predictions[exit_])["ap"]


def exit_accuracy(outputs: SplitOutputs, exit_: int) -> Quantity:
    """Return that AP with its interval over patients."""
    found = detections(outputs.samples, outputs.predictions[exit_])
    sigmas = outputs.samples.profile.sigmas
    interval = accuracy.oks_ap_interval(
        outputs.samples.ground_truth, found, sigmas, groups=outputs.group_of_image, resamples=RESAMPLES
    )
    method = f"OKS AP on the test split, interval over {outputs.resampled}"
    return fraction(exit_ap(outputs, exit_), method, _known(interval["ap"]))


def parts_of(exited: Int[np.ndarray, " sample"], exits: Sequence[int]) -> dict[int, float]:
    """Return the part of the images that leaves at each exit."""
    return {exit_: float(np.mean(exited == exit_)) for exit_ in exits}


def mean_interval(values: Float[np.ndarray, " sample"], groups: Sequence[str]) -> Bounds | None:
    """Return the 95 % percentile bootstrap interval of a mean, whole groups drawn with replacement; None for one group.

    A mean without any spread is its own interval.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    if np.ptp(values) == 0:
        return Bounds(float(values[0]), float(values[0]))
    shares = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(0).multinomial(len(names), shares, size=RESAMPLES)
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), LEVEL)
    return Bounds(float(low), float(high))


def _known(ends: tuple[float, float]) -> Bounds | None:
    return None if np.isnan(ends[0]) else Bounds(*ends)
