"""Several boxes on one subject become one result, by the profile's own sigmas."""

import numpy as np
import pytest

from greenpose.accuracy import detect
from greenpose.accuracy.oks import oks_nms

_SIGMAS = (0.1, 0.1)
_POSE = np.array([[50.0, 50.0], [90.0, 90.0]])
_AREA = 1e4


def _shift_for(similarity):
    """Return the shift along x that gives two poses of the same area this OKS."""
    return np.array([np.sqrt(-8 * _AREA * 0.1**2 * np.log(similarity)), 0.0])


@pytest.mark.parametrize(("similarity", "kept"), [(0.91, [1]), (0.89, [1, 0])])
def test_the_better_of_two_like_poses_is_kept(similarity, kept):
    joints = np.stack([_POSE, _POSE + _shift_for(similarity)])
    found = oks_nms(joints, np.array([0.4, 0.8]), np.array([_AREA, _AREA]), _SIGMAS)
    assert found.tolist() == kept


def test_two_subjects_in_one_image_are_both_kept_and_a_double_is_not():
    joints = np.stack([_POSE, _POSE + 200, _POSE + 1])
    results = detect(
        joints,
        np.array([[0.9, 0.7], [0.5, 0.5], [0.6, 0.6]]),
        image_ids=[4, 4, 4],
        areas=[_AREA] * 3,
        sigmas=_SIGMAS,
    )
    assert [r["score"] for r in results] == pytest.approx([0.8, 0.5])
    assert results[0]["keypoints"] == [50.0, 50.0, 0.9, 90.0, 90.0, 0.7]


def test_like_poses_in_different_images_do_not_meet():
    results = detect(
        np.stack([_POSE, _POSE]),
        np.full((2, 2), 0.5),
        image_ids=np.array([2, 1]),
        areas=np.array([_AREA, _AREA]),
        sigmas=_SIGMAS,
        box_scores=[1.0, 0.5],
    )
    assert [(r["image_id"], r["score"]) for r in results] == [(2, 0.5), (1, 0.25)]


def test_poses_of_images_with_64_bit_ids_stay_with_their_images():
    joints, peaks = np.zeros((4, 3, 2)), np.ones((4, 3))
    ids = [2**63 - 1, 2**63, 2**63 + 1, 5]
    found = detect(joints, peaks, image_ids=ids, areas=[100.0] * 4, sigmas=[0.1] * 3)
    assert [one["image_id"] for one in found] == ids
