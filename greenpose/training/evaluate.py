"""Evaluation of every exit: decoded keypoints, OKS AP and AR, PCK, and how far they can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from greenpose import accuracy
from greenpose.accuracy.oks import evaluate
from greenpose.accuracy.pck import Norm
from greenpose.data import Framing, Samples, in_turn
from greenpose.data.crops import flip_partners
from greenpose.data.heatmaps import find_peaks
from greenpose.data.splits import repeated
from greenpose.model import ExitNetwork, InBfloat16, OwnNetwork, PoseNetwork, fold_batchnorm
from greenpose.training.step import THREADS, prefetch, to_images

Predictor = PoseNetwork | OwnNetwork | InBfloat16
"""A network of several exits, or of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPredictions:
    """What one exit says about a split."""

    joints: Float[np.ndarray, "sample keypoint 2"]
    """Keypoints in image pixels."""
    peaks: Float[np.ndarray, "sample keypoint"]
    """Heatmap maxima."""
    places: Float[np.ndarray, "sample keypoint 2"]
    """Where they lie, in whole heatmap pixels; the heatmaps themselves, of which a split has gigabytes, are gone."""


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


def validation_scores(net: Predictor, samples: Samples, *, batch: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return AP and PCK of each exit, without intervals; the network is left in training mode if it was."""
    predictions = predict(net, samples, batch=batch)
    ap = {exit_: oks(samples, found)["ap"] for exit_, found in predictions.items()}
    pck = {exit_: _share(*hits(samples, found, "paper")) for exit_, found in predictions.items()}
    return ap, pck


def predict(net: Predictor, samples: Samples, *, batch: int, flip: bool = False) -> dict[int, ExitPredictions]:
    """Return what each exit of a network says about a split; a truncated network has its one exit.

    A copy with norms folded into convolutions does the work, unless weights are rounded, and heatmaps are decoded batch
    by batch; `net` stays as it is, in the mode it is in. `flip`: see `predict_each`.
    """
    return predict_each(net, samples, [samples.framing], batch=batch, flip=flip)[0]


def predict_each(
    net: Predictor, samples: Samples, framings: Sequence[Framing], *, batch: int, flip: bool = False
) -> list[dict[int, ExitPredictions]]:
    """Return the same by several ways of decoding one network's heatmaps, which is run once on each batch.

    With `flip` it is run on each batch and on its mirror images, whose heatmaps are averaged.

    Raises:
        DataError: some images are mirrored, and the profile does not say which joints that swaps.
    """
    sides = flip_partners(samples.profile) if flip else []
    device = next(net.parameters()).device
    folded = net if isinstance(net, InBfloat16) else _folded(net)
    found: list[dict[int, list[ExitPredictions]]] = [{} for _ in framings]
    some = in_turn(len(samples), batch)
    with torch.inference_mode():
        for indices, crops in prefetch(
            partial(_cropped, samples), some, threads=THREADS if device.type == "cuda" else 0
        ):
            images = to_images(crops, device)
            outputs = _outputs(folded, images)
            if flip:
                turned = _outputs(folded, images.flip(-1))
                outputs = {
                    exit_: averaged(maps, turned[exit_], sides, samples.framing) for exit_, maps in outputs.items()
                }
            for exit_, heatmaps in outputs.items():
                maps = heatmaps.float().cpu().numpy()
                for parts, framing in zip(found, framings, strict=True):
                    parts.setdefault(exit_, []).append(_decoded(maps, samples, indices, framing))
    return [{exit_: _together(each) for exit_, each in parts.items()} for parts in found]


def averaged(
    seen: Float[Tensor, "batch keypoint height width"],
    turned: Float[Tensor, "batch keypoint height width"],
    sides: Sequence[int],
    framing: Framing,
) -> Float[Tensor, "batch keypoint height width"]:
    """Return the mean of heatmaps and of those of the mirrored images, turned back; `sides` are a profile's partners.

    At HRNet's stride of 4, heatmaps that are turned back lie three quarters of a pixel left of the others: they are
    moved one to the right. Those of `udp` lie on each other, as do those of a stride of 1.

    Source: HRNet's code (2019), `validate` with FLIP_TEST and SHIFT_HEATMAP; Huang et al. (2020), section 3.2,
    https://arxiv.org/abs/1911.07524.
    """
    back = turned.flip(-1)[:, sides]
    stride = framing.input_size[0] / framing.heatmap_size[0]
    if framing.decode != "udp" and round((stride - 1) / stride):
        back = torch.cat([back[..., :1], back[..., :-1]], -1)
    return (seen + back) / 2


def judge(
    net: ExitNetwork | InBfloat16, samples: Samples, boxes: Samples | None = None, *, batch: int, flip: bool = False
) -> tuple[ExitScores, ExitPredictions]:
    """Return the accuracy of a truncated network on a split, and what it found in the annotated boxes.

    AP and AR are those of detected `boxes`, where given. PCK compares with a target in each crop, which only annotated
    boxes have: it is always theirs. `flip`: see `predict_each`.
    """
    found = predict(net, samples, batch=batch, flip=flip)[net.exit]
    searched = None if boxes is None else (boxes, predict(net, boxes, batch=batch, flip=flip)[net.exit])
    return score(samples, found, searched=searched), found


def score(
    samples: Samples,
    found: ExitPredictions,
    *,
    searched: tuple[Samples, ExitPredictions] | None = None,
    resamples: int = 1000,
) -> ExitScores:
    """Return one exit's accuracy with intervals over patients, or over images where no patients are known.

    `searched` are detected boxes and what the exit says about them: then AP and AR are judged on these.
    """
    boxes, in_boxes = searched or (samples, found)
    unit, groups = resampled(samples, boxes)
    members = [groups[image] for image in samples.image_ids.tolist()]
    values: dict[str, float] = dict(oks(boxes, in_boxes))
    intervals = dict(
        accuracy.oks_ap_interval(
            boxes.ground_truth, detections(boxes, in_boxes), boxes.profile.sigmas, groups=groups, resamples=resamples
        )
    )
    norms: dict[str, Norm] = {"pck": "paper", "pck_corrected": "corrected"}
    for name, norm in norms.items():
        correct, counted = hits(samples, found, norm)
        values[name] = _share(correct, counted)
        intervals[name] = accuracy.share_interval(correct, counted, groups=members, resamples=resamples)
    return ExitScores(
        values=values,
        intervals=intervals,
        unit=unit,
        num_groups=len({*groups.values()}),
    )


def resampled(samples: Samples, boxes: Samples) -> tuple[str, dict[int, str]]:
    """Return what intervals over a split are over, `patients` or `images`, and each image's."""
    if len(set(samples.subjects)) > 1:
        return "patients", boxes.subject_of_image
    return "images", {image: str(image) for image in boxes.subject_of_image}


def oks_change(
    boxes: Samples, before: ExitPredictions, after: ExitPredictions, groups: Mapping[int, str]
) -> dict[str, tuple[float, float]]:
    """Return the paired interval of what AP, AP50, AP75 and AR gain, over groups of images; nan for a single one."""
    was, now = (detections(boxes, each) for each in (before, after))
    return accuracy.oks_ap_difference_interval(boxes.ground_truth, was, now, boxes.profile.sigmas, groups=groups)


def oks(samples: Samples, found: ExitPredictions) -> Mapping[str, float]:
    """Return AP, AP50, AP75 and AR of one exit."""
    return accuracy.oks_ap(samples.ground_truth, detections(samples, found), samples.profile.sigmas)


def similarities(samples: Samples, found: ExitPredictions) -> Float[np.ndarray, " sample"]:
    """Return the OKS of each sample with its own annotation, whoever else is in its image."""
    alone = repeated(samples, len(samples))
    matched = evaluate(alone.ground_truth, detections(alone, found), samples.profile.sigmas).ious
    return np.array([matched[place, 0].item() for place in range(len(samples))])


def detections(samples: Samples, found: ExitPredictions) -> list[dict[str, Any]]:
    """Return keypoints as COCO results, doubles of an image dropped.

    A result's score is the mean of its confident peaks times its box's score, which is 1 for an annotated box.
    """
    return accuracy.detect(
        found.joints,
        found.peaks,
        image_ids=samples.image_ids,
        areas=samples.crop_areas,
        sigmas=samples.profile.sigmas,
        box_scores=samples.box_scores,
        category_id=int(samples.ground_truth["categories"][0]["id"]),
    )


def _folded(net: PoseNetwork | OwnNetwork) -> PoseNetwork | OwnNetwork:
    return fold_batchnorm(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # stubs


def _outputs(net: Predictor, images: Tensor) -> dict[int, Tensor]:
    output = net(images)
    return output if isinstance(output, dict) else {net.depth: output}


def _cropped(samples: Samples, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return indices, samples.crops(indices)


def _decoded(heatmaps: np.ndarray, samples: Samples, indices: np.ndarray, framing: Framing) -> ExitPredictions:
    joints, peaks = framing.places(heatmaps, samples.centers[indices], samples.scales[indices])
    return ExitPredictions(joints=joints, peaks=peaks, places=find_peaks(heatmaps)[0])


def _together(parts: Sequence[ExitPredictions]) -> ExitPredictions:
    names = [field.name for field in fields(ExitPredictions)]
    return ExitPredictions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def hits(samples: Samples, found: ExitPredictions, norm: Norm) -> tuple[np.ndarray, np.ndarray]:
    """Return which keypoints are correct, and which are counted."""
    return accuracy.peak_hits(found.places, samples.target_places, samples.framing.heatmap_size, norm=norm)


def _share(correct: np.ndarray, counted: np.ndarray) -> float:
    return accuracy.mean_share(correct.sum(0), counted.sum(0))
