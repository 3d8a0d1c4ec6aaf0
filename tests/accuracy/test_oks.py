"""AP and AR are pycocotools' own, without its traps."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from greenpose.accuracy import oks_ap
from greenpose.accuracy.oks import detect, rescore
from greenpose.data import load_profile
from greenpose.errors import DataError
from tests.accuracy.poses import SIGMAS, poses

_GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ap_small_golden.json").read_text())


def _golden_results():
    return detect(
        np.array([p["keypoints_xy"] for p in _GOLDEN["predictions"]]),
        np.array([p["maxvals"] for p in _GOLDEN["predictions"]]),
        image_ids=[p["image_id"] for p in _GOLDEN["predictions"]],
        areas=[1.0] * 8,
        sigmas=_GOLDEN["sigmas"],
        category_id=3,
    )


def test_a_small_set_is_scored_as_by_the_papers_code():
    found = oks_ap(_GOLDEN["gt"], _golden_results(), _GOLDEN["sigmas"])
    expected = _GOLDEN["expected"]
    assert found == pytest.approx(
        {"ap": expected["AP"], "ap50": expected["AP .5"], "ap75": expected["AP .75"], "ar": expected["AR"]}, abs=1e-12
    )


def test_poses_get_the_papers_scores():
    found = {r["image_id"]: r["score"] for r in _golden_results()}
    for expected in _GOLDEN["expected_detection_scores"]:
        assert found[expected["image_id"]] == pytest.approx(expected["score"], abs=1e-6)


def test_the_papers_sigmas_are_the_profiles():
    np.testing.assert_allclose(load_profile("babypose").sigmas, _GOLDEN["sigmas"])


def _perfect(ground_truth):
    return [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": list(a["keypoints"]), "score": 0.5}
        for a in ground_truth["annotations"]
    ]


def test_a_perfect_result_scores_one():
    ground_truth, _ = poses()
    assert oks_ap(ground_truth, _perfect(ground_truth), SIGMAS) == pytest.approx(
        {"ap": 1.0, "ap50": 1.0, "ap75": 1.0, "ar": 1.0}
    )


def test_one_pose_of_known_similarity_passes_the_thresholds_below_it():
    """A shift of d gives exp(-d² / (8 area sigma²)); .72 lies above five of the ten thresholds: .50 to .70."""
    area, sigma = 1e4, 0.1
    distance = np.sqrt(-8 * area * sigma**2 * np.log(0.72))
    ground_truth = {
        "images": [{"id": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "area": area, "keypoints": [50, 50, 2, 90, 90, 2]}],
        "categories": [{"id": 1}],
    }
    result = {"image_id": 1, "category_id": 1, "score": 1.0, "keypoints": [50 + distance, 50, 1, 90, 90 - distance, 1]}
    assert oks_ap(ground_truth, [result], [sigma, sigma]) == pytest.approx(
        {"ap": 0.5, "ap50": 1.0, "ap75": 0.0, "ar": 0.5}
    )


def test_nothing_detected_scores_zero():
    ground_truth, _ = poses()
    assert oks_ap(ground_truth, [], SIGMAS) == {"ap": 0.0, "ap50": 0.0, "ap75": 0.0, "ar": 0.0}


def test_the_evaluators_traps_change_nothing():
    """Ids from 0 or used twice, wrong or missing num_keypoints and iscrowd."""
    ground_truth, results = poses()
    expected = oks_ap(ground_truth, results, SIGMAS)
    traps = copy.deepcopy(ground_truth)
    for number, annotation in enumerate(traps["annotations"]):
        annotation.update(id=number // 2, num_keypoints=0)
        if number % 2:
            annotation.update(iscrowd=False)
    assert oks_ap(traps, results, SIGMAS) == expected


def test_a_subject_with_occluded_joints_only_is_judged():
    ground_truth, _ = poses(2)
    ground_truth["annotations"][1]["keypoints"][2::3] = [1, 1, 1, 1]
    assert oks_ap(ground_truth, _perfect(ground_truth)[:1], SIGMAS)["ar"] == pytest.approx(0.5)


def test_the_inputs_stay_as_they_were(capfd):
    ground_truth, results = poses()
    before = copy.deepcopy((ground_truth, results))
    oks_ap(ground_truth, results, SIGMAS)
    assert (ground_truth, results) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("sigmas", [(0.05,), (0.05,) * 3, (0.05,) * 17])
def test_a_wrong_number_of_sigmas_is_refused(sigmas):
    ground_truth, results = poses()
    with pytest.raises(DataError, match=f"for {len(sigmas)} sigmas, but annotation 1 has 12"):
        oks_ap(ground_truth, results, sigmas)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [0.0] * 9}, r"12 numbers are needed for 4 sigmas, but \[1\] has 9"),
        ({"image_id": "10"}, r"\[1\] names '10'"),
        ({"category_id": 2}, r"\[1\] names 2"),
        ({"score": float("nan")}, r"\[1\] has nan"),
    ],
)
def test_a_faulty_result_is_named(change, message):
    ground_truth, results = poses()
    results[1] |= change
    with pytest.raises(DataError, match=message):
        oks_ap(ground_truth, results, SIGMAS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": 0}, "area must be above 0, but is not for annotation 2"),
        ({"image_id": 5}, "annotation 2 names 5"),
        ({"keypoints": []}, "annotation 2 has 0"),
    ],
)
def test_a_faulty_annotation_is_named(change, message):
    ground_truth, results = poses()
    ground_truth["annotations"][1] |= change
    with pytest.raises(DataError, match=message):
        oks_ap(ground_truth, results, SIGMAS)


def test_nothing_labelled_and_missing_parts_are_refused():
    ground_truth, results = poses(1)
    ground_truth["annotations"][0]["keypoints"] = [0] * 12
    with pytest.raises(DataError, match="no annotation has a labelled keypoint"):
        oks_ap(ground_truth, results, SIGMAS)
    with pytest.raises(DataError, match="categories missing"):
        oks_ap({"images": [], "annotations": []}, results, SIGMAS)


def test_many_faults_of_a_kind_are_counted():
    ground_truth, results = poses(9)
    for result in results:
        result["score"] = float("inf")
    with pytest.raises(DataError, match="and 4 more"):
        oks_ap(ground_truth, results, SIGMAS)


def test_a_pose_without_confident_peaks_scores_zero():
    assert rescore(np.array([0.1, 0.2, 0.0])) == 0.0
    np.testing.assert_allclose(rescore(np.array([[0.1, 0.4, 0.6], [0.9, 0.0, 0.0]]), [1.0, 0.5]), [0.5, 0.45])


_AROUND_2_63 = 2**63 - 512


@pytest.mark.parametrize("first", [_AROUND_2_63, 2**64 - 3, 10**30])
def test_image_ids_of_any_size_are_told_apart(first):
    """As floats, ids on both sides of 2^63 fall together, and one image's results are judged by another's subjects."""
    ground_truth, results = poses(24, noise=20)
    wanted = oks_ap(ground_truth, results, SIGMAS)
    new = {image["id"]: first + 100 * n for n, image in enumerate(ground_truth["images"])}
    large = {
        "images": [image | {"id": new[image["id"]]} for image in ground_truth["images"]],
        "annotations": [one | {"image_id": new[one["image_id"]]} for one in ground_truth["annotations"]],
        "categories": ground_truth["categories"],
    }
    found = [one | {"image_id": new[one["image_id"]]} for one in results]
    assert oks_ap(large, found, SIGMAS) == wanted


def test_category_ids_of_any_size_are_told_apart():
    ground_truth, results = poses()
    wanted = oks_ap(ground_truth, results, SIGMAS)
    large = {**ground_truth, "categories": [{"id": 2**63 + 5}, {"id": 3}]}
    large["annotations"] = [one | {"category_id": 2**63 + 5} for one in ground_truth["annotations"]]
    assert oks_ap(large, [one | {"category_id": 2**63 + 5} for one in results], SIGMAS) == wanted


@pytest.mark.parametrize("sigma", [9e18, 0, -0.1, float("nan")])
def test_a_sigma_that_calls_every_pose_alike_is_refused(sigma):
    with pytest.raises(DataError, match=r"\[1\] is .*, must be from 0.001 to 1"):
        oks_ap(*poses(), (SIGMAS[0], sigma, *SIGMAS[2:]))


def test_a_crowd_that_is_written_as_text_is_one_and_its_denial_is_none():
    ground_truth, results = poses()
    wanted = oks_ap(ground_truth, results, SIGMAS)
    for annotation in ground_truth["annotations"]:
        annotation["iscrowd"] = "0"
    assert oks_ap(ground_truth, results, SIGMAS) == wanted
    ground_truth["annotations"][0]["iscrowd"] = "perhaps"
    with pytest.raises(DataError, match="iscrowd must be 0 or 1, but annotation 1 has 'perhaps'"):
        oks_ap(ground_truth, results, SIGMAS)
