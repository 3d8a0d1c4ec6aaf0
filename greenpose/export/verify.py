"""Verification: every model file is run, held against the network that was trained, and judged on the test split."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from greenpose import accuracy
from greenpose.artefact import Artefact
from greenpose.artefact.card import JUDGED, CardNumber, Validated
from greenpose.config.experiment import STRIDE
from greenpose.data import Samples, in_turn
from greenpose.data.crops import normalised
from greenpose.data.heatmaps import find_peaks
from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.training import ExitPredictions, ExitScores, score
from greenpose.training.evaluate import hits, oks, oks_change, resampled

TOLERANCE = 1e-4
"""Largest difference of a float32 file's output, over the largest output."""
BATCHES = (1, 3)
"""Sizes at which float32 files are held against the network."""
BATCH = 8
PEAKS_SAME, PEAKS_NEAR = 0.94, 0.99
"""Shares of keypoints on validation patients that are to peak at the same pixel, and within one; else int8 leaves more
layers in float. The first is a point above the 93 % aimed at, which is what 1200 keypoints tell it by."""
Run = Callable[[Float32[np.ndarray, "batch 3 height width"]], np.ndarray]
"""From normalised crops to what the model puts out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a network, or a file of it, says about the test split, and how good that is."""

    found: ExitPredictions
    """What it says about the annotated boxes."""
    in_boxes: ExitPredictions | None
    """What it says about detected boxes, if AP is judged on these."""
    scores: ExitScores
    """AP, AR and PCK with their intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """What accuracy is judged on, as in the run."""

    samples: Samples
    """The annotated boxes."""
    boxes: Samples | None
    """Detected ones, on which the run judged AP and AR; None where it took the annotated ones."""

    def judged(self, found: ExitPredictions, in_boxes: ExitPredictions | None) -> Examined:
        """Return predictions with their scores."""
        searched = None if self.boxes is None or in_boxes is None else (self.boxes, in_boxes)
        return Examined(found=found, in_boxes=in_boxes, scores=score(self.samples, found, searched=searched))

    def judge(self, run: Run, artefact: Artefact) -> Examined:
        """Return what a model says about the split."""
        in_boxes = None if self.boxes is None else predictions(run, artefact, self.boxes)
        return self.judged(predictions(run, artefact, self.samples), in_boxes)

    def crops(self) -> Float32[np.ndarray, "crop 3 height width"]:
        """Return a few real crops, normalised, to compare outputs on."""
        return normalised(self.samples.crops(range(min(len(self.samples), sum(BATCHES)))))


def validated(found: ExitPredictions, reference: ExitPredictions, samples: Samples) -> Validated:
    """Return what a file does to the validation patients, beside the network in float32."""
    same, near = peaks_kept(found, reference)
    change = oks(samples, found)["ap"] - oks(samples, reference)["ap"]
    patients = len({*samples.subjects} - {""})
    return Validated(images=len(samples), patients=patients, ap_change=change, peaks_same=same, peaks_near=near)


def predictions(run: Run, artefact: Artefact, samples: Samples) -> ExitPredictions:
    """Return what a model says about a split, decoded as its card says."""
    parts = [_decoded(run, artefact, samples, indices) for indices in in_turn(len(samples), BATCH)]
    joints, peaks, places = (np.concatenate(each) for each in zip(*parts, strict=True))
    return ExitPredictions(joints=joints, peaks=peaks, places=places)


def _decoded(
    run: Run, artefact: Artefact, samples: Samples, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = run(normalised(samples.crops(indices)))
    joints, peaks = artefact.places(outputs, samples.centers[indices], samples.scales[indices])
    if artefact.file.outputs == "heatmaps":
        return joints, peaks, find_peaks(outputs)[0]
    return joints, peaks, np.rint(outputs[..., :2] / STRIDE).astype(np.float64)  # a quarter of a pixel beside them


def difference(run: Run, reference: Run, crops: Float32[np.ndarray, "crop 3 height width"]) -> float:
    """Return the largest difference of two models' outputs over the largest output of the second, at two batch sizes.

    Not a number where one of them is not.
    """
    first = min(BATCHES[0], len(crops) - 1) or len(crops)
    parts = [crops[:first], crops[first:]] if len(crops) > first else [crops]
    pairs = [(run(part), reference(part)) for part in parts]
    gaps = [float(np.abs(ours - theirs).max()) / float(np.abs(theirs).max()) for ours, theirs in pairs]
    return max(gaps) if all(map(math.isfinite, gaps)) else math.nan


def accuracy_of(judged: Examined, how: str) -> dict[str, CardNumber]:
    """Return AP, AR and PCK with their intervals."""
    scores = judged.scores
    method = f"{how}; interval: percentile bootstrap over {scores.num_groups} {scores.unit} of the test split"
    return {name: _number(name, scores.values[name], scores.intervals[name], method) for name in JUDGED}


def change_of(judged: Examined, reference: Examined, split: Examiner) -> dict[str, CardNumber]:
    """Return AP, AR and PCK of a file minus those of the network, both judged on the same resampled patients."""
    boxes = split.boxes or split.samples
    _, groups = resampled(split.samples, boxes)
    before, after = (each.in_boxes or each.found for each in (reference, judged))
    intervals = oks_change(boxes, before, after, groups)
    members = [groups[image] for image in split.samples.image_ids.tolist()]
    intervals["pck"] = accuracy.share_difference_interval(
        *(hits(split.samples, each.found, "paper") for each in (reference, judged)), groups=members
    )
    method = (
        "this file minus the trained network in float32, on the same test split; interval: paired percentile bootstrap "
        f"over {judged.scores.num_groups} {judged.scores.unit}"
    )
    values = {name: judged.scores.values[name] - reference.scores.values[name] for name in JUDGED}
    return {name: _number(name, values[name], intervals[name], method) for name in JUDGED}


def peaks_kept(found: ExitPredictions, reference: ExitPredictions) -> tuple[float, float]:
    """Return the share of keypoints that peak at the same heatmap pixel, and that within one pixel in x and in y."""
    apart = np.abs(found.places - reference.places).max(-1)
    return float((apart < 0.5).mean()), float((apart < 1.5).mean())


def _number(name: str, value: float, interval: tuple[float, float], method: str) -> CardNumber:
    ends = None if math.isnan(interval[0]) else Bounds(*interval)
    return CardNumber.of(name, Quantity(value=value, unit="fraction", kind="computed", method=method, type_a=ends))
