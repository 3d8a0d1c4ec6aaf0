"""What every exit says of a split and how sure it is, so that thresholds can be tried without the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from greenpose.data import Samples, decode_heatmaps, in_turn
from greenpose.data.heatmaps import find_peaks
from greenpose.model import HRNet
from greenpose.policy.cascade import Thresholds
from greenpose.policy.confidence import CONFIDENCES, Confidence
from greenpose.training import ExitPredictions
from greenpose.training.step import to_images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A split, as every exit sees it."""

    samples: Samples
    """The split."""
    said: Mapping[int, ExitPredictions]
    """Predictions of each exit, shallow to deep."""
    sure: Mapping[int, Float[np.ndarray, " sample"]]
    """Confidence of each exit."""

    @property
    def exits(self) -> tuple[int, ...]:
        """Return the exit numbers, shallow to deep."""
        return tuple(self.said)

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

    def leave(self, thresholds: Thresholds) -> Int[np.ndarray, " sample"]:
        """Return the exit at which each image leaves: the first one that is sure enough, else the deepest."""
        left = np.full(len(self.samples), self.exits[-1])
        for exit_, threshold in sorted(thresholds.items(), reverse=True):
            if threshold is not None:
                left[self.sure[exit_] >= threshold] = exit_
        return left

    def at(self, left: Int[np.ndarray, " sample"]) -> ExitPredictions:
        """Return what is said of each image by the exit at which it leaves."""
        which, sample = np.searchsorted(self.exits, left), np.arange(len(left))
        said = self.said.values()
        return ExitPredictions(
            joints=np.stack([each.joints for each in said])[which, sample],
            peaks=np.stack([each.peaks for each in said])[which, sample],
            places=np.stack([each.places for each in said])[which, sample],
        )


def look(net: HRNet, samples: Samples, *, confidence: Confidence, batch: int) -> Seen:
    """Return what every exit of a network in eval mode says of a split; heatmaps are not kept."""
    device = next(net.parameters()).device
    parts: list[dict[int, tuple[np.ndarray, ...]]] = []
    with torch.inference_mode():
        for indices in in_turn(len(samples), batch):
            heatmaps = net(to_images(samples.crops(indices), device))
            parts.append({exit_: _told(maps, samples, indices, confidence) for exit_, maps in heatmaps.items()})
    together = {exit_: _joined([part[exit_] for part in parts]) for exit_ in net.exits}
    return Seen(
        samples=samples,
        said={exit_: ExitPredictions(joints=j, peaks=p, places=q) for exit_, (j, p, q, _) in together.items()},
        sure={exit_: sure for exit_, (*_, sure) in together.items()},
    )


def _told(
    heatmaps: torch.Tensor, samples: Samples, indices: np.ndarray, confidence: Confidence
) -> tuple[np.ndarray, ...]:
    """Return joints, peaks, their places and the confidence of one exit for some images."""
    sure = CONFIDENCES[confidence](heatmaps).cpu().numpy()
    maps = heatmaps.float().cpu().numpy()
    joints, peaks = decode_heatmaps(maps, samples.centers[indices], samples.scales[indices])
    return joints, peaks, find_peaks(maps)[0], sure


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
