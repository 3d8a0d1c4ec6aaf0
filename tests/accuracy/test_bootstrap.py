"""Resampling counts images as often as they are drawn, exactly as the evaluator would."""

import numpy as np
import pytest

from greenpose.accuracy import (
    bootstrap,
    oks_ap,
    oks_ap_difference_interval,
    oks_ap_interval,
    pck,
    pck_hits,
    share_difference_interval,
    share_interval,
)
from tests.accuracy.poses import SIGMAS, poses, repeated
from tests.recipe import exit_output, targets

_METRICS = ("ap", "ap50", "ap75", "ar")


@pytest.mark.parametrize("per_image", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_resample_scores_as_the_evaluator_scores_the_repeated_images(per_image, seed):
    ground_truth, results = poses(per_image=per_image, seed=seed)
    matches = bootstrap._match(ground_truth, results, SIGMAS)
    counts = np.random.default_rng(seed).multinomial(12, [1 / 12] * 12, size=4)
    counts[0] = 1
    found = bootstrap._metrics(matches, counts)
    for row, times in zip(found, counts, strict=True):
        expected = oks_ap(*repeated(ground_truth, results, times), SIGMAS)
        assert dict(zip(_METRICS, row, strict=True)) == pytest.approx(expected, abs=1e-12)


def test_images_without_results_count_as_missed():
    ground_truth, results = poses()
    matches = bootstrap._match(ground_truth, results[:6], SIGMAS)
    found = bootstrap._metrics(matches, np.ones((1, 12), dtype=int))
    assert dict(zip(_METRICS, found[0], strict=True)) == pytest.approx(oks_ap(ground_truth, results[:6], SIGMAS))


def test_the_interval_holds_the_figure_and_has_a_width():
    ground_truth, results = poses(40)
    figures = oks_ap(ground_truth, results, SIGMAS)
    found = oks_ap_interval(ground_truth, results, SIGMAS, resamples=300)
    for name, (low, high) in found.items():
        assert low < figures[name] < high


def test_the_same_poses_have_the_same_interval_whatever_is_drawn_at_once(monkeypatch):
    ground_truth, results = poses()
    first = oks_ap_interval(ground_truth, results, SIGMAS, resamples=50)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 100)
    assert oks_ap_interval(ground_truth, results, SIGMAS, resamples=50) == first


def test_few_patients_make_the_interval_wider_than_many_images():
    """Each patient's frames are equally good, so that patients, not frames, are the sample."""
    ground_truth, results = poses(40, noise=0.0)
    for number, result in enumerate(results):
        result["keypoints"] = [v + 60 * (number % 4 == 0) for v in result["keypoints"]]
    patients = {image["id"]: f"p{number % 4}" for number, image in enumerate(ground_truth["images"])}
    by_image = oks_ap_interval(ground_truth, results, SIGMAS, resamples=300)["ar"]
    by_patient = oks_ap_interval(ground_truth, results, SIGMAS, groups=patients, resamples=300)["ar"]
    assert by_patient[1] - by_patient[0] > 1.5 * (by_image[1] - by_image[0])


def test_all_images_of_a_patient_are_drawn_together():
    group = np.array([0, 1, 0, 1])
    drawn = bootstrap._draw(group, 20)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    np.testing.assert_array_equal(drawn[:, 0] + drawn[:, 1], np.full(20, 2))


def test_one_patient_gives_no_interval():
    ground_truth, results = poses()
    patients = {image["id"]: "p1" for image in ground_truth["images"]}
    found = oks_ap_interval(ground_truth, results, SIGMAS, groups=patients)
    assert np.isnan(list(found.values())).all()
    difference = oks_ap_difference_interval(ground_truth, results, results, SIGMAS, groups=patients)
    assert np.isnan(list(difference.values())).all()


def test_an_image_without_a_patient_is_drawn_for_itself():
    ground_truth, results = poses()
    some = {image["id"]: "p1" for image in ground_truth["images"][:10]}
    assert bootstrap._image_groups([3, 10, 17, 80, 87], some).tolist() == [0, 0, 0, 1, 2]
    assert not np.isnan(list(oks_ap_interval(ground_truth, results, SIGMAS, groups=some, resamples=20).values())).any()


def test_nothing_detected_gives_an_interval_of_zero():
    ground_truth, _ = poses()
    assert oks_ap_interval(ground_truth, [], SIGMAS, resamples=10) == dict.fromkeys(_METRICS, (0.0, 0.0))


def test_a_result_does_not_differ_from_itself():
    ground_truth, results = poses()
    assert oks_ap_difference_interval(ground_truth, results, results, SIGMAS, resamples=20) == dict.fromkeys(
        _METRICS, (0.0, 0.0)
    )


def test_the_paired_difference_is_narrower_than_two_intervals():
    ground_truth, results = poses(40)
    better = [
        r | {"keypoints": (0.9 * np.array(r["keypoints"]) + 0.1 * np.array(a["keypoints"])).tolist()}
        for r, a in zip(results, ground_truth["annotations"], strict=True)
    ]
    low, high = oks_ap_difference_interval(ground_truth, results, better, SIGMAS, resamples=300)["ap"]
    alone = oks_ap_interval(ground_truth, results, SIGMAS, resamples=300)["ap"]
    gain = oks_ap(ground_truth, better, SIGMAS)["ap"] - oks_ap(ground_truth, results, SIGMAS)["ap"]
    assert 0 < low < gain < high
    assert high - low < alone[1] - alone[0]


def test_pck_has_an_interval_over_samples_and_over_patients():
    target = targets("A", 12, 6, (48, 64))[0]
    prediction = exit_output("A", 1, target)
    prediction[::4, :, :32] = 0
    figure = pck(prediction, target)
    hits = pck_hits(prediction, target)
    low, high = share_interval(*hits, resamples=200)
    assert low < figure < high
    by_patient = share_interval(*hits, groups=[str(n % 4) for n in range(12)], resamples=200)
    assert by_patient[1] - by_patient[0] > high - low
    assert np.isnan(share_interval(*hits, groups=["a"] * 12)).all()


def test_a_difference_in_pck_is_judged_on_the_same_patients():
    target = targets("A", 12, 6, (48, 64))[0]
    prediction = exit_output("A", 1, target)
    worse = prediction.copy()
    worse[:, 0] = np.roll(worse[:, 0], 20, -1)  # one of six keypoints is lost everywhere
    groups = [str(n % 4) for n in range(12)]
    before, after = (pck_hits(each, target) for each in (prediction, worse))
    assert share_difference_interval(before, before, groups=groups, resamples=200) == (0, 0)
    low, high = share_difference_interval(before, after, groups=groups, resamples=200)
    assert low <= pck(worse, target) - pck(prediction, target) <= high < 0
    alone = share_interval(*before, groups=groups, resamples=200)
    assert high - low < alone[1] - alone[0]
    assert np.isnan(share_difference_interval(before, after, groups=["a"] * 12)).all()


def test_intervals_know_the_patients_of_images_with_64_bit_ids():
    ground_truth, results = poses(12)
    groups = {image["id"]: f"p{n // 3}" for n, image in enumerate(ground_truth["images"])}
    wanted = oks_ap_interval(ground_truth, results, SIGMAS, groups=groups, resamples=200)
    new = {image["id"]: 2**63 - 6 + n for n, image in enumerate(ground_truth["images"])}
    large = {**ground_truth, "images": [{"id": id_} for id_ in new.values()]}
    large["annotations"] = [one | {"image_id": new[one["image_id"]]} for one in ground_truth["annotations"]]
    found = [one | {"image_id": new[one["image_id"]]} for one in results]
    patients = {new[id_]: patient for id_, patient in groups.items()}
    assert oks_ap_interval(large, found, SIGMAS, groups=patients, resamples=200) == wanted
