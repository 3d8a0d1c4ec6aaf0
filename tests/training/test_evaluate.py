import numpy as np
import pytest
import torch

from greenpose.data import MEAN, STD, normalise
from greenpose.training import ExitPredictions, score
from greenpose.training.evaluate import detections
from greenpose.training.images import to_images
from tests.training.samples import dots


def perfect(samples) -> ExitPredictions:
    joints = np.stack([instance.joints for instance in samples.instances])
    return ExitPredictions(joints=joints, peaks=np.ones(joints.shape[:2]), heatmaps=samples.targets())


def test_perfect_predictions_score_one_with_no_spread():
    samples = dots(6)
    scores = score(samples, perfect(samples), resamples=50)
    assert scores.values == pytest.approx(dict.fromkeys(scores.values, 1.0))
    assert all(interval == pytest.approx((1, 1)) for interval in scores.intervals.values())
    assert (scores.unit, scores.num_groups) == ("patients", 4)


def test_half_wrong_predictions_have_an_interval_around_their_score():
    samples = dots(20)
    found = perfect(samples)
    found.joints[::2] += 60
    scores = score(samples, found, resamples=200)
    low, high = scores.intervals["ap"]
    assert 0 <= low < scores.values["ap"] < high <= 1
    assert 0.2 < scores.values["ap"] < 0.8


def test_detections_carry_image_category_and_score():
    samples = dots(3)
    found = detections(samples, perfect(samples))
    assert [one["image_id"] for one in found] == [1, 2, 3]
    assert {one["score"] for one in found} == {1.0}


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 4, 3)])
def test_images_on_the_device_are_normalised_like_arrays(shape):
    crops = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    images = to_images(crops, torch.device("cpu"))
    assert images.shape == (2, 3, 5, 4)
    np.testing.assert_allclose(images.numpy(), normalise(crops), atol=1e-5)
    assert len(MEAN) == len(STD) == 3
