"""Evaluation of every exit: decoded keypoints, OKS AP and AR, PCK, and how far they can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from greenpose import accuracy
from greenpose.data import Samples, decode_heatmaps
from greenpose.model import HRNet, PoseNetwork
from greenpose.training.images import to_images


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPredictions:
    """What one exit says about a split."""

    joints: Float[np.ndarray, "sample keypoint 2"]
    """Keypoints in image pixels."""
    peaks: Float[np.ndarray, "sample keypoint"]
    """Heatmap maxima."""
    heatmaps: Float[np.ndarray, "sample keypoint height width"]
    """The heatmaps themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitScores:
    """Accuracy of one exit on a split, as fractions, each with its 95 % bootstrap interval over subjects or images."""

    values: dict[str, float]
    """`ap`, `ap50`, `ap75`, `ar`, `pck`, `pck_corrected`."""
    intervals: dict[str, tuple[float, float]]
    """The same names: lower and upper end."""
    unit: str
    """What was resampled: `patients` or `images`."""
    num_groups: int
    """How many of them there are."""


def validation_scores(net: HRNet, samples: Samples, *, batch: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return AP and PCK of each exit, without intervals; the network is left in training mode if it was."""
    predictions = predict(net, samples, batch=batch)
    target = samples.targets()
    ap = {exit_: oks(samples, found)["ap"] for exit_, found in predictions.items()}
    pck = {exit_: accuracy.pck(found.heatmaps, target) for exit_, found in predictions.items()}
    return ap, pck


def predict(net: PoseNetwork, samples: Samples, *, batch: int) -> dict[int, ExitPredictions]:
    """Return what each exit of a network says about a split; a truncated network has its one exit."""
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    maps: dict[int, list[np.ndarray]] = {}
    with torch.inference_mode():
        for start in range(0, len(samples), batch):
            images = to_images(samples.crops(np.arange(start, min(start + batch, len(samples)))), device)
            for exit_, heatmaps in _outputs(net, images).items():
                maps.setdefault(exit_, []).append(heatmaps.float().cpu().numpy())
    net.train(was_training)
    return {exit_: _decoded(np.concatenate(chunks), samples) for exit_, chunks in maps.items()}


def score(samples: Samples, found: ExitPredictions, *, resamples: int = 1000) -> ExitScores:
    """Return one exit's accuracy with intervals over patients, or over images where no patients are known."""
    by_subject = len(set(samples.subjects)) > 1
    groups = list(samples.subjects) if by_subject else [str(image) for image in samples.image_ids]
    target = samples.targets()
    values: dict[str, float] = dict(oks(samples, found))
    intervals = dict(
        accuracy.oks_ap_interval(
            samples.ground_truth, detections(samples, found), samples.profile.sigmas, groups=groups, resamples=resamples
        )
    )
    norms: dict[str, Literal["paper", "corrected"]] = {"pck": "paper", "pck_corrected": "corrected"}
    for name, norm in norms.items():
        values[name] = accuracy.pck(found.heatmaps, target, norm=norm)
        intervals[name] = accuracy.pck_interval(found.heatmaps, target, norm=norm, groups=groups, resamples=resamples)
    return ExitScores(
        values=values,
        intervals=intervals,
        unit="patients" if by_subject else "images",
        num_groups=len(set(groups)),
    )


def oks(samples: Samples, found: ExitPredictions) -> Mapping[str, float]:
    """Return AP, AP50, AP75 and AR of one exit."""
    return accuracy.oks_ap(samples.ground_truth, detections(samples, found), samples.profile.sigmas)


def detections(samples: Samples, found: ExitPredictions) -> list[dict[str, Any]]:
    """Return keypoints as COCO results, scored by the mean of confident peaks, doubles of an image dropped."""
    return accuracy.detect(
        found.joints,
        found.peaks,
        image_ids=samples.image_ids,
        areas=[instance.area for instance in samples.instances],
        sigmas=samples.profile.sigmas,
        category_id=int(samples.ground_truth["categories"][0]["id"]),
    )


def _outputs(net: PoseNetwork, images: Tensor) -> dict[int, Tensor]:
    output = net(images)
    return output if isinstance(output, dict) else {net.depth: output}


def _decoded(heatmaps: np.ndarray, samples: Samples) -> ExitPredictions:
    joints, peaks = decode_heatmaps(heatmaps, samples.centers, samples.scales)
    return ExitPredictions(joints=joints, peaks=peaks, heatmaps=heatmaps)
