"""Crowds and unlabelled subjects are neither trained on nor asked for, but stay where a result is no mistake."""

import numpy as np
import pytest

from greenpose.data import Framing, Samples
from greenpose.data.coco import inspect_split
from tests.data.planted import PROFILE, spoilt, write

UNLABELLED = {"keypoints": [0, 0, 0] * 3, "num_keypoints": 0}


def inspect(tmp_path, profile=PROFILE, **changes):
    return inspect_split(*write(tmp_path, content=spoilt(**changes)), profile)


@pytest.mark.parametrize(
    ("changes", "crowd"), [({"iscrowd": 1}, True), (UNLABELLED, False), ({"keypoints": ...}, False)]
)
def test_the_box_of_a_crowd_or_an_unlabelled_subject_is_kept_aside(tmp_path, changes, crowd):
    split = inspect(tmp_path, **changes)
    (one,) = split.aside
    assert (one.id, one.image_id, one.box, one.area, one.crowd) == (11, 2, (5.0, 6.0, 20.0, 18.0), 300.0, crowd)
    assert not one.visibility.any()
    assert [other.id for other in split.instances] == [10, 12]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"category_id": 4},
        UNLABELLED | {"category_id": 4},
        UNLABELLED | {"bbox": [0, 0, 0, 0]},
        UNLABELLED | {"bbox": ...},
        {"iscrowd": 1, "image_id": 99},
    ],
)
def test_what_is_judged_or_of_no_interest_is_not_kept_aside(tmp_path, changes):
    assert inspect(tmp_path, **changes).aside == ()


def test_its_area_is_its_box_where_the_profile_says_so_or_none_is_given(tmp_path):
    of_boxes = PROFILE.model_copy(update={"area": "box"})
    assert inspect(tmp_path / "a", of_boxes, **UNLABELLED).aside[0].area == 360.0
    split = inspect(tmp_path / "b", **UNLABELLED, area=0)
    assert split.aside[0].area == 360.0
    assert not any(finding.where.endswith("annotations.area") for finding in split.findings)


def test_the_ground_truth_lists_it_after_the_subjects_without_keypoints(tmp_path):
    split = inspect(tmp_path, iscrowd=True)
    samples = Samples.build(
        split.instances,
        lambda one: np.zeros(one.image_size[::-1], dtype=np.uint8),
        profile=PROFILE,
        framing=Framing.of((32, 32)),
        truth=(*split.instances, *split.aside),
    )
    found = samples.ground_truth["annotations"]
    told = [(one["image_id"], one["num_keypoints"], one["iscrowd"]) for one in found]
    assert told == [(1, 3, 0), (3, 3, 0), (2, 0, 1)]
    assert {image["id"] for image in samples.ground_truth["images"]} == {1, 2, 3}
    assert len(samples) == 2
    assert len(samples.take([1]).ground_truth["annotations"]) == 1
