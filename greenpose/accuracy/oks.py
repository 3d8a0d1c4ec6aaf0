"""Average precision and recall by object keypoint similarity, evaluated by pycocotools."""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from greenpose.data.annotations import crowd_flag
from greenpose.data.findings import first_few
from greenpose.data.heatmaps import CONFIDENT_ABOVE
from greenpose.data.instances import sigma_faults
from greenpose.errors import DataError

METRICS = ("ap", "ap50", "ap75", "ar")
"""AP averaged over the thresholds, AP at OKS .50 and at .75, recall averaged over the thresholds."""


def oks_ap(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """Return `ap`, `ap50`, `ap75` and `ar` over all areas, as fractions; zeros where nothing was detected.

    `ground_truth` is a COCO document, `detections` a list of COCO results, `sigmas` one spread per keypoint. Neither
    is changed. OKS thresholds are .50, .55 ... .95, at most 20 results count per image, and the similarity is scaled
    by each annotation's own `area`: figures from different kinds of area cannot be compared. Annotations are numbered
    anew and their labelled keypoints counted anew, since the evaluator silently misjudges wrong ones; ids of images and
    categories may be of any size, since it only sees their places. A crowd
    (`iscrowd`) and a subject without a labelled keypoint need not be found, and a result on its box is not wrong.

    Raises:
        DataError: keypoints and sigmas differ in number, a sigma is none, a result names an unknown image, an area is
            not above 0 or not finite, or nothing is labelled.

    Source: COCO keypoint evaluation (2017), as in pycocotools.
    """
    evaluator = evaluate(ground_truth, detections, sigmas)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.accumulate()
    return summarise(evaluator.eval["precision"][..., 0, 0], evaluator.eval["recall"][..., 0, 0])


def summarise(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """Return the metrics of precision [threshold, recall level, category] and recall [threshold, category].

    A category without subjects is marked by -1, as the evaluator does, and left out.
    """
    present = recall[0] > -1
    by_threshold = precision[..., present].mean((1, 2))
    return {
        "ap": float(by_threshold.mean()),
        "ap50": float(by_threshold[0]),
        "ap75": float(by_threshold[5]),
        "ar": float(recall[:, present].mean()),
    }


def evaluate(ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]) -> Any:
    """Return pycocotools' evaluator with every image matched (`evalImgs`), for the one area range of everything.

    It knows images by their places in `image_order`.

    Raises:
        DataError: see `oks_ap`.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    _check(ground_truth, detections, sigmas)
    with contextlib.redirect_stdout(io.StringIO()):
        wanted, found = COCO(), COCO()
        wanted.dataset = _prepared(ground_truth)
        wanted.createIndex()
        found.dataset = dict(wanted.dataset) | {"annotations": _results(ground_truth, detections)}
        found.createIndex()
        evaluator = COCOeval(wanted, found, "keypoints")
        evaluator.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, math.inf]], ["all"]
        evaluator.evaluate()
    return evaluator


def image_order(ground_truth: Mapping[str, Any]) -> list[Any]:
    """Return the ids of a document's images in the order in which the evaluator has them.

    It keeps ids in arrays, where whole numbers on both sides of 2^63 become floats that are no longer told apart.
    """
    return sorted({image["id"] for image in ground_truth["images"]}, key=_by_kind)


def _by_kind(id_: Any) -> tuple[bool, Any]:
    return isinstance(id_, str), id_


def _places(ground_truth: Mapping[str, Any]) -> tuple[dict[Any, int], dict[Any, int]]:
    """Return the place of each image and of each category by its id."""
    categories = sorted({category["id"] for category in ground_truth["categories"]}, key=_by_kind)
    images = image_order(ground_truth)
    return {id_: n for n, id_ in enumerate(images)}, {id_: n for n, id_ in enumerate(categories)}


def _prepared(ground_truth: Mapping[str, Any]) -> dict[str, Any]:
    images, categories = _places(ground_truth)
    annotations = [
        dict(annotation)
        | {
            "id": number,
            "image_id": images[annotation["image_id"]],
            "category_id": categories.get(annotation["category_id"], -1),
            "num_keypoints": sum(flag > 0 for flag in annotation["keypoints"][2::3]),
            "iscrowd": int(bool(crowd_flag(annotation.get("iscrowd")))),
            "bbox": annotation.get("bbox") or [0, 0, 0, 0],
        }
        for number, annotation in enumerate(ground_truth["annotations"], start=1)
    ]
    return {
        "images": [dict(image) | {"id": images[image["id"]]} for image in ground_truth["images"]],
        "annotations": annotations,
        "categories": [dict(one) | {"id": categories[one["id"]]} for one in ground_truth["categories"]],
    }


def _results(ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return results as the evaluator's index wants them; their area is never used, but asked for."""
    images, categories = _places(ground_truth)
    return [
        dict(one)
        | {
            "id": number,
            "image_id": images[one["image_id"]],
            "category_id": categories[one["category_id"]],
            "area": 1.0,
            "iscrowd": 0,
        }
        for number, one in enumerate(detections, start=1)
    ]


def _check(ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]) -> None:
    missing = [key for key in ("images", "annotations", "categories") if key not in ground_truth]
    if missing:
        raise DataError([f"ground truth: {', '.join(missing)} missing; a COCO document has all three"])
    faults = [
        *_annotation_faults(ground_truth, len(sigmas)),
        *_result_faults(ground_truth, detections, len(sigmas)),
        *sigma_faults(sigmas),
    ]
    if not faults and not any(_is_judged(annotation) for annotation in ground_truth["annotations"]):
        faults = ["ground truth: no annotation has a labelled keypoint; there is nothing to compare with"]
    if faults:
        raise DataError(faults)


def _is_judged(annotation: Mapping[str, Any]) -> bool:
    return not crowd_flag(annotation.get("iscrowd")) and any(flag > 0 for flag in annotation["keypoints"][2::3])


def _annotation_faults(ground_truth: Mapping[str, Any], num_keypoints: int) -> list[str]:
    annotations = ground_truth["annotations"]
    images = {image["id"] for image in ground_truth["images"]}
    lost = [f"{_name(a)} names {a['image_id']!r}" for a in annotations if a["image_id"] not in images]
    lengths = [(_name(a), len(a.get("keypoints") or ())) for a in annotations]
    wrong = [f"{name} has {n}" for name, n in lengths if n != 3 * num_keypoints]
    flat = [_name(a) for a in annotations if not a.get("area", 0) > 0]
    endless = [_name(a) for a in annotations if a.get("area", 0) == math.inf]
    flags = [f"{_name(a)} has {a['iscrowd']!r}" for a in annotations if crowd_flag(a.get("iscrowd")) is None]
    return [
        *_fault(wrong, f"ground truth: {3 * num_keypoints} numbers are needed for {num_keypoints} sigmas, but "),
        *_fault(lost, "ground truth: image_id must be that of an image, but "),
        *_fault(flat, "ground truth: area must be above 0, but is not for "),
        *_fault(endless, "ground truth: area must be finite, but is not for "),
        *_fault(flags, "ground truth: iscrowd must be 0 or 1, but "),
    ]


def _result_faults(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], num_keypoints: int
) -> list[str]:
    images = {image["id"] for image in ground_truth["images"]}
    categories = {category["id"] for category in ground_truth["categories"]}
    numbered = list(enumerate(detections))
    wrong = [f"[{n}] has {len(d['keypoints'])}" for n, d in numbered if len(d["keypoints"]) != 3 * num_keypoints]
    strange = [f"[{n}] names {d['image_id']!r}" for n, d in numbered if d["image_id"] not in images]
    kinds = [f"[{n}] names {d['category_id']!r}" for n, d in numbered if d["category_id"] not in categories]
    unsure = [f"[{n}] has {d['score']}" for n, d in numbered if not math.isfinite(d["score"])]
    return [
        *_fault(wrong, f"detections: {3 * num_keypoints} numbers are needed for {num_keypoints} sigmas, but "),
        *_fault(strange, "detections: image_id must be one of the ground truth's, but "),
        *_fault(kinds, "detections: category_id must be one of the ground truth's, but "),
        *_fault(unsure, "detections: score must be a number, but "),
    ]


def _name(annotation: Mapping[str, Any]) -> str:
    return f"annotation {annotation.get('id')}"


def _fault(examples: Sequence[str], text: str) -> list[str]:
    return [text + first_few(examples)] if examples else []


_SAME_ABOVE = 0.9
"""Two poses with a greater OKS are one; the paper's value."""


def rescore(peaks: Any, box_score: Any = 1.0, threshold: float = CONFIDENT_ABOVE) -> Any:
    """Return the score of each pose: the mean of its peaks above `threshold` times its box's score, 0 without any.

    `peaks` [..., keypoint] and `box_score` [...] may be arrays or numbers; a single pose gives a float.
    """
    peaks = np.asarray(peaks, dtype=np.float64)
    confident = peaks > threshold
    total = np.where(confident, peaks, 0).sum(-1)
    scores = total / np.maximum(confident.sum(-1), 1) * np.asarray(box_score, dtype=np.float64)
    return scores if scores.ndim else float(scores)


def detect(
    joints: Float[np.ndarray, "pose keypoint 2"],
    peaks: Float[np.ndarray, "pose keypoint"],
    *,
    image_ids: Sequence[int] | np.ndarray,
    areas: Sequence[float] | Float[np.ndarray, " pose"],
    sigmas: Sequence[float],
    box_scores: Sequence[float] | Float[np.ndarray, " pose"] | None = None,
    category_id: int = 1,
) -> list[dict[str, Any]]:
    """Return poses as COCO results, one for each subject that several boxes of an image found.

    Joints are in image pixels; `areas` in square pixels say how large each subject is (the reference code takes its
    crop's), `box_scores` how sure its box is (1 for annotated boxes). Order is kept.
    """
    scores = rescore(peaks, 1.0 if box_scores is None else box_scores)
    image_of = [int(image) for image in image_ids]  # plain numbers: an array makes floats of ids around 2^63
    images = {image: place for place, image in enumerate(dict.fromkeys(image_of))}
    places = np.array([images[image] for image in image_of], dtype=np.intp)
    sizes = np.asarray(areas, dtype=np.float64)
    kept: list[int] = []
    for place in images.values():
        here = np.flatnonzero(places == place)
        if len(here) == 1:  # nothing that it could be a double of
            kept += here.tolist()
            continue
        kept += here[oks_nms(joints[here], scores[here], sizes[here], sigmas)].tolist()
    rows = np.concatenate([joints, peaks[..., None]], -1)
    return [
        {
            "image_id": image_of[pose],
            "category_id": category_id,
            "keypoints": rows[pose].ravel().tolist(),
            "score": float(scores[pose]),
        }
        for pose in sorted(kept)
    ]


def oks_nms(
    joints: Float[np.ndarray, "pose keypoint 2"],
    scores: Float[np.ndarray, " pose"],
    areas: Float[np.ndarray, " pose"],
    sigmas: Sequence[float],
) -> Int[np.ndarray, " kept"]:
    """Return the indices of the poses to keep, best first: none has an OKS above 0.9 with a better one.

    The sigmas are the profile's own; the reference code always takes COCO's 17 and fails on other skeletons as soon
    as an image shows two subjects.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        alike = _similarity(joints[rest], joints[best], (areas[rest] + areas[best]) / 2, np.asarray(sigmas))
        waiting = rest[alike <= _SAME_ABOVE]
    return np.array(kept, dtype=np.intp)


def _similarity(
    joints: Float[np.ndarray, "pose keypoint 2"],
    other: Float[np.ndarray, "keypoint 2"],
    areas: Float[np.ndarray, " pose"],
    sigmas: Float[np.ndarray, " keypoint"],
) -> Float[np.ndarray, " pose"]:
    """Return object keypoint similarity with all keypoints counted: mean of exp(-d² / (2 area (2 sigma)²))."""
    squared = ((joints - other) ** 2).sum(-1)
    spread = 2 * (areas[:, None] + np.spacing(1)) * (2 * sigmas) ** 2
    similarity: np.ndarray = np.exp(-squared / spread).mean(-1)
    return similarity
