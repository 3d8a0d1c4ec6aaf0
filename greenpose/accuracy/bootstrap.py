"""How far an accuracy figure can be trusted: percentile bootstrap over patients, or over images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from greenpose.accuracy.oks import METRICS, evaluate, image_order

Interval = tuple[float, float]
"""Lower and upper end at 95 %; both nan where fewer than two groups leave nothing to resample."""
_SEED = 0
_DRAWN_AT_ONCE = 4_000_000
"""Resamples times detections that are worked on at a time; bounds the memory to some 200 MB."""


def oks_ap_interval(
    ground_truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    *,
    groups: Mapping[Any, str] | None = None,
    resamples: int = 1000,
) -> dict[str, Interval]:
    """Return an interval for each of `ap`, `ap50`, `ap75` and `ar`.

    Whole groups are drawn with replacement, as many as there are. `groups` names the group (the patient) of an image by
    its id; an image without one, by default every image, is a group of its own. Frames of one patient are alike,
    so that an interval over images is too narrow where patients are few. Images are matched once; only the ranking is
    done again per resample. Equal scores in different resampled copies keep their first order.

    Raises:
        DataError: see `oks_ap`.
    """
    matches = _match(ground_truth, detections, sigmas)
    counts = _draw(_image_groups(matches.images, groups or {}), resamples)
    return _intervals(_metrics(matches, counts)) if counts is not None else _unknown()


def oks_ap_difference_interval(
    ground_truth: Mapping[str, Any],
    baseline: Sequence[Mapping[str, Any]],
    candidate: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    *,
    groups: Mapping[Any, str] | None = None,
    resamples: int = 1000,
) -> dict[str, Interval]:
    """Return an interval of candidate minus baseline for each metric, both judged on the same resamples.

    Hard patients are hard for both, so that this is narrower than the two intervals suggest. See `oks_ap_interval`.
    """
    before, after = (_match(ground_truth, found, sigmas) for found in (baseline, candidate))
    counts = _draw(_image_groups(before.images, groups or {}), resamples)
    return _intervals(_metrics(after, counts) - _metrics(before, counts)) if counts is not None else _unknown()


def share_interval(
    correct: Bool[np.ndarray, "sample keypoint"],
    counted: Bool[np.ndarray, "sample keypoint"],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
) -> Interval:
    """Return an interval of PCK from which keypoints are correct and which are counted, as `pck_hits` gives them.

    Whole groups are drawn with replacement; by default every sample is a group.
    """
    names = [str(n) for n in range(len(correct))] if groups is None else list(groups)
    counts = _draw(np.unique(names, return_inverse=True)[1], resamples)
    return (np.nan, np.nan) if counts is None else _ends(_shares(counts, correct, counted))


def share_difference_interval(
    baseline: tuple[Bool[np.ndarray, "sample keypoint"], Bool[np.ndarray, "sample keypoint"]],
    candidate: tuple[Bool[np.ndarray, "sample keypoint"], Bool[np.ndarray, "sample keypoint"]],
    *,
    groups: Sequence[str],
    resamples: int = 1000,
) -> Interval:
    """Return an interval of candidate minus baseline in PCK, both on the same resamples; see `share_interval`."""
    counts = _draw(np.unique(list(groups), return_inverse=True)[1], resamples)
    return (np.nan, np.nan) if counts is None else _ends(_shares(counts, *candidate) - _shares(counts, *baseline))


def _shares(
    counts: Int[np.ndarray, "resample sample"],
    correct: Bool[np.ndarray, "sample keypoint"],
    counted: Bool[np.ndarray, "sample keypoint"],
) -> Float[np.ndarray, " resample"]:
    """Return the mean over keypoints of the share that is correct, for every resample."""
    known = counts @ counted
    shares = np.divide(counts @ correct, known, out=np.full(known.shape, np.nan), where=known > 0)
    return _mean_of_known(shares.T)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ranking:
    """One category's results, best first, and what they hit at each OKS threshold."""

    image: Int[np.ndarray, " result"]
    correct: Bool[np.ndarray, "threshold result"]
    wrong: Bool[np.ndarray, "threshold result"]
    wanted: Int[np.ndarray, " image"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Matches:
    """All images matched once."""

    images: tuple[Any, ...]
    recall_levels: Float[np.ndarray, " level"]
    rankings: tuple[_Ranking, ...]


def _match(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> _Matches:
    evaluator = evaluate(ground_truth, detections, sigmas)
    images = tuple(image_order(ground_truth))
    matched = evaluator.evalImgs
    by_category = [matched[start : start + len(images)] for start in range(0, len(matched), len(images))]
    rankings = (_rank(per_image, len(evaluator.params.iouThrs)) for per_image in by_category)
    return _Matches(
        images=images,
        recall_levels=evaluator.params.recThrs,
        rankings=tuple(ranking for ranking in rankings if ranking.wanted.any()),
    )


def _rank(per_image: Sequence[Mapping[str, Any] | None], num_thresholds: int) -> _Ranking:
    known = [(place, matched) for place, matched in enumerate(per_image) if matched is not None]
    scores = np.concatenate([np.empty(0), *(matched["dtScores"] for _, matched in known)])
    order = np.argsort(-scores, kind="mergesort")
    nothing = np.empty((num_thresholds, 0))
    hit = np.concatenate([nothing, *(matched["dtMatches"] for _, matched in known)], axis=1)[:, order] > 0
    ignored = np.concatenate([nothing, *(matched["dtIgnore"] for _, matched in known)], axis=1)[:, order] > 0
    image = np.concatenate([np.full(len(matched["dtScores"]), place, np.intp) for place, matched in known])[order]
    wanted = np.zeros(len(per_image), dtype=np.intp)
    for place, matched in known:
        wanted[place] = np.count_nonzero(np.asarray(matched["gtIgnore"]) == 0)
    return _Ranking(image=image, correct=hit & ~ignored, wrong=~hit & ~ignored, wanted=wanted)


def _image_groups(images: Sequence[Any], groups: Mapping[Any, str]) -> Int[np.ndarray, " image"]:
    """Return each image's group as a number; an image without a group stands alone."""
    names = [f"group {groups[image]}" if image in groups else f"image {image}" for image in images]
    return np.unique(names, return_inverse=True)[1]


def _draw(group: Int[np.ndarray, " member"], resamples: int) -> Int[np.ndarray, "resample member"] | None:
    """Return how often each member is drawn in each resample, whole groups together; None for less than two groups."""
    num_groups = int(group.max()) + 1
    if num_groups < 2:
        return None
    shares = np.full(num_groups, 1 / num_groups)
    drawn: np.ndarray = np.random.default_rng(_SEED).multinomial(num_groups, shares, size=resamples)[:, group]
    return drawn


def _metrics(matches: _Matches, counts: Int[np.ndarray, "resample image"]) -> Float[np.ndarray, "resample 4"]:
    """Return the four metrics of every resample; nan where a resample wants no subject at all."""
    longest = max(ranking.image.size for ranking in matches.rankings)
    step = max(1, _DRAWN_AT_ONCE // max(1, longest))
    parts = [
        _mean_of_known(np.stack([_ranked(r, counts[at : at + step], matches.recall_levels) for r in matches.rankings]))
        for at in range(0, len(counts), step)
    ]
    return np.concatenate(parts)


def _ranked(
    ranking: _Ranking, counts: Int[np.ndarray, "resample image"], recall_levels: Float[np.ndarray, " level"]
) -> Float[np.ndarray, "resample 4"]:
    """Return the metrics of one category, as pycocotools accumulates them, with every image counted so many times."""
    wanted = counts @ ranking.wanted
    times = counts[:, ranking.image]
    precision, recall = np.empty((2, len(ranking.correct), len(counts)))
    for threshold, (correct, wrong) in enumerate(zip(ranking.correct, ranking.wrong, strict=True)):
        hits = np.cumsum(times * correct, axis=1)
        misses = np.cumsum(times * wrong, axis=1)
        precision[threshold], recall[threshold] = _average_precision(hits, misses, wanted, recall_levels)
    metrics = np.stack([precision.mean(0), precision[0], precision[5], recall.mean(0)], axis=1)
    metrics[wanted == 0] = np.nan
    return metrics


def _average_precision(
    hits: Int[np.ndarray, "resample result"],
    misses: Int[np.ndarray, "resample result"],
    wanted: Int[np.ndarray, " resample"],
    recall_levels: Float[np.ndarray, " level"],
) -> tuple[Float[np.ndarray, " resample"], Float[np.ndarray, " resample"]]:
    """Return average precision and final recall of every resample."""
    if not hits.shape[1]:
        return np.zeros(len(hits)), np.zeros(len(hits))
    recall = hits / np.maximum(wanted, 1)[:, None]
    precision = hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    beyond = np.hstack([envelope, np.zeros((len(hits), 1))])  # recall levels that are never reached
    reached = np.stack([np.searchsorted(row, recall_levels, side="left") for row in recall])
    return np.take_along_axis(beyond, reached, axis=1).mean(1), recall[:, -1]


def _mean_of_known(values: Float[np.ndarray, " first *rest"]) -> Float[np.ndarray, " *rest"]:
    """Return the mean over the first axis without nan; nan where there is nothing else."""
    known = ~np.isnan(values)
    total, number = np.where(known, values, 0).sum(0), known.sum(0)
    means: np.ndarray = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return means


def _intervals(metrics: Float[np.ndarray, "resample 4"]) -> dict[str, Interval]:
    return {name: _ends(metrics[:, column]) for column, name in enumerate(METRICS)}


def _ends(values: Float[np.ndarray, " resample"]) -> Interval:
    low, high = np.quantile(values[~np.isnan(values)], [0.025, 0.975])
    return float(low), float(high)


def _unknown() -> dict[str, Interval]:
    return dict.fromkeys(METRICS, (np.nan, np.nan))
