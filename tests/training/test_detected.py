"""Accuracy on the paper's small set and in detected boxes: several in an image, false ones, and none where one was due.

Expected figures are the paper's own, or follow from COCO's rule by hand: AP is the mean, over 101 levels of recall from
0 to 1, of the best precision from that recall on.
"""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from greenpose.data import Framing, Instance, Samples, load_profile
from greenpose.training import ExitPredictions, score
from greenpose.training.evaluate import detections
from tests.data.planted import read_split
from tests.training.samples import PROFILE

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ap_small_golden.json").read_text())
SIZE = (200, 200)
POSE = np.array([[60.0, 60.0], [100.0, 90.0]])
AWAY = POSE + np.array([80, 90])


def blank(one):
    return np.zeros(one.image_size[::-1], dtype=np.uint8)


def samples_of(instances, profile=PROFILE, framing=None, **more):
    return Samples.build(instances, blank, profile=profile, framing=framing or Framing.of((64, 64)), **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The paper's small set as a COCO folder; what the images show does not matter."""
    root = tmp_path_factory.mktemp("small")
    for image in GOLDEN["gt"]["images"]:
        cv2.imwrite(str(root / image["file_name"]), np.zeros((480, 640), np.uint8))
    (root / "gt.json").write_text(json.dumps(GOLDEN["gt"]))
    return root


def small_set(folder, **changes):
    """The set read with a changed profile, and the poses that the paper's code was given."""
    profile = load_profile("babypose").model_copy(update=changes)
    instances = read_split(folder / "gt.json", folder, profile)
    samples = samples_of(instances, profile, Framing.of((192, 256)))
    order = {found["image_id"]: found for found in GOLDEN["predictions"]}
    found = [order[image] for image in samples.image_ids.tolist()]
    return samples, ExitPredictions(
        joints=np.array([one["keypoints_xy"] for one in found], dtype=np.float64),
        peaks=np.array([one["maxvals"] for one in found], dtype=np.float64),
        places=samples.target_places,
    )


def test_a_folder_is_framed_and_judged_as_by_the_papers_code(folder):
    samples, found = small_set(folder)
    np.testing.assert_allclose(samples.centers, [one["center"] for one in GOLDEN["expected_center_scale"]], atol=1e-4)
    np.testing.assert_allclose(samples.scales, [one["scale"] for one in GOLDEN["expected_center_scale"]], atol=1e-6)
    values, expected = score(samples, found, resamples=20).values, GOLDEN["expected"]
    figures = {"ap": "AP", "ap50": "AP .5", "ap75": "AP .75", "ar": "AR"}
    assert {name: values[name] for name in figures} == pytest.approx(
        {name: expected[theirs] for name, theirs in figures.items()}, abs=1e-12
    )


def test_another_area_is_another_ap(folder):
    drawn, boxes = (score(*small_set(folder, area=area), resamples=20).values["ap"] for area in ("drawn", "box"))
    assert boxes > drawn + 0.05


def subject(number, image_id, joints=POSE, **changes):
    """A labelled subject with a box of 100 pixels a side around its middle."""
    x, y = joints.mean(0)
    fields = {
        "id": number,
        "image_id": image_id,
        "image": f"image{image_id}",
        "subject": "",
        "image_size": SIZE,
        "box": (x - 50, y - 50, 100.0, 100.0),
        "area": 5000.0,
        "joints": joints,
        "visibility": np.array([2, 2]),
    }
    return Instance(**fields | changes)


def unlabelled(number, image_id, joints=POSE, **changes):
    return subject(number, image_id, joints, visibility=np.array([0, 0]), **changes)


def searched(truth, boxes):
    """Samples of detected boxes, each (image, pose found there, score), and what was found there, all peaks at 1."""
    places = [unlabelled(number, image, pose) for number, (image, pose, _) in enumerate(boxes, start=1)]
    framing = replace(Framing.of((64, 64)), as_given=True)
    samples = samples_of(places, framing=framing, truth=truth, box_scores=[sure for _, _, sure in boxes])
    joints = np.array([pose for _, pose, _ in boxes])
    peaks = np.ones(joints.shape[:2])
    return samples, ExitPredictions(joints=joints, peaks=peaks, places=np.zeros_like(joints))


def judged(truth, boxes):
    """AP and AR of detected boxes, and PCK of the annotated ones, in which all was found."""
    annotated = samples_of([one for one in truth if one.visibility.any()])
    perfect = ExitPredictions(
        joints=np.stack([one.joints for one in annotated.instances]),
        peaks=np.ones((len(annotated), 2)),
        places=annotated.target_places,
    )
    return score(annotated, perfect, searched=searched(truth, boxes), resamples=20)


TWO = (subject(1, 1), subject(2, 2))


def test_a_box_on_each_subject_finds_all():
    scores = judged(TWO, [(1, POSE, 0.9), (2, POSE, 0.8)])
    assert (scores.values["ap"], scores.values["ar"]) == pytest.approx((1, 1))


def test_a_missing_box_is_a_missed_subject():
    scores = judged(TWO, [(1, POSE, 0.9)])
    assert scores.values["ar"] == pytest.approx(1 / 2)
    assert scores.values["ap"] == pytest.approx(51 / 101)


def test_a_false_box_costs_precision_by_the_rank_of_its_score():
    """Before both true ones two results of three are right; after them it costs nothing."""
    first = judged(TWO, [(1, AWAY, 0.95), (1, POSE, 0.9), (2, POSE, 0.8)])
    assert first.values["ap"] == pytest.approx(2 / 3)
    last = judged(TWO, [(1, AWAY, 0.1), (1, POSE, 0.9), (2, POSE, 0.8)])
    assert last.values["ap"] == pytest.approx(1)


def test_a_false_box_in_an_image_that_shows_nobody_counts():
    scores = judged(TWO, [(3, POSE, 0.95), (1, POSE, 0.9), (2, POSE, 0.8)])
    assert scores.values["ap"] == pytest.approx(2 / 3)
    assert (scores.unit, scores.num_groups) == ("images", 3)


def test_several_boxes_on_one_subject_are_one_result_the_best():
    """Kept, the double would come before the second subject: two of three right."""
    boxes = [(1, POSE + 0.5, 0.85), (1, POSE, 0.9), (2, POSE, 0.8)]
    assert judged(TWO, boxes).values["ap"] == pytest.approx(1)
    found = detections(*searched(TWO, boxes))
    assert [(one["image_id"], one["score"]) for one in found] == [(1, 0.9), (2, 0.8)]


def test_poses_are_compared_by_the_size_of_their_crops():
    """The reference code takes the crop's area, here (1.25 x 100 px)²; OKS is exp(-d² / (8 area sigma²))."""
    spread = 8 * 125.0**2 * 0.1**2
    for similarity, kept in ((0.91, 1), (0.89, 2)):
        shifted = POSE + np.array([np.sqrt(-spread * np.log(similarity)), 0])
        assert len(detections(*searched(TWO, [(1, POSE, 0.9), (1, shifted, 0.8)]))) == kept


def test_a_results_score_is_its_mean_confident_peak_times_its_boxs_score():
    samples, found = searched(TWO, [(1, POSE, 0.5), (2, POSE, 0.25)])
    peaks = np.array([[0.8, 0.6], [0.9, 0.2]])
    assert [one["score"] for one in detections(samples, replace(found, peaks=peaks))] == pytest.approx([0.35, 0.225])


@pytest.mark.parametrize(("crowd", "extra", "ap"), [(True, 3, 1), (False, 1, 1), (False, 2, 2 / 3)])
def test_a_crowd_may_be_found_often_an_unlabelled_subject_once(crowd, extra, ap):
    """A second result on an unlabelled subject is wrong; results there come first here."""
    truth = (*TWO, unlabelled(3, 1, AWAY, crowd=crowd))
    surplus = [(1, AWAY + 15 * number, 0.99 - number / 100) for number in range(extra)]
    scores = judged(truth, [*surplus, (1, POSE, 0.9), (2, POSE, 0.8)])
    assert scores.values["ap"] == pytest.approx(ap)
    assert scores.values["ar"] == pytest.approx(1)


def test_pck_is_that_of_the_annotated_boxes():
    assert judged(TWO, [(1, AWAY, 0.9)]).values["pck"] == 1
