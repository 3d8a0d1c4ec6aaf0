"""Detected boxes are searched as they stand, against the same truth, and every fault of their file is told at once."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from greenpose.config import DataConfig
from greenpose.data.boxes import inspect_boxes, load_boxes
from greenpose.data.crops import box_to_center_scale, crop, crop_matrix
from greenpose.data.images import read_image, window_depth
from greenpose.data.splits import inspect_splits, load_splits
from greenpose.errors import DataError
from tests.data.planted import PROFILE, document, write

FILE = "person_detection_results/results_test.json"


def box(image_id=7, **changes):
    """A sound box of a detector, changed."""
    return {"image_id": image_id, "category_id": 3, "bbox": [5.0, 6.0, 20.0, 18.0], "score": 0.9} | changes


def folder(root, boxes, *, test=None):
    """Three splits of three images (the test images are 7 to 9, and 10 shows nobody) and a file of boxes."""
    contents = {"train": document(first=1, prefix="a"), "val": document(first=4, prefix="b"), "test": test or nobody()}
    for split, content in contents.items():
        write(root, split, content=content)
    (root / "stick.yaml").write_text(PROFILE.model_dump_json())
    file = root / FILE
    file.parent.mkdir()
    file.write_text(boxes if isinstance(boxes, str) else json.dumps(boxes))
    return DataConfig(
        source="coco", root=str(root), profile=str(root / "stick.yaml"), input_size=(32, 32), detections=FILE
    )


def nobody():
    content = document(first=7, prefix="c")
    content["images"].append({"id": 10, "file_name": "c10.png", "width": 40, "height": 30})
    return content


def test_boxes_become_samples_in_the_files_order_with_their_scores(tmp_path):
    boxes = [box(8, score=1), box(7, score=0.25), box("8", score=0.5)]
    config = folder(tmp_path, boxes)
    found = load_boxes(config, load_splits(config)["test"])
    assert found.file == "results_test.json"
    assert found.sha256 == hashlib.sha256(json.dumps(boxes).encode()).hexdigest()
    assert found.samples.image_ids.tolist() == [8, 7, 8]
    assert found.samples.box_scores == (1.0, 0.25, 0.5)
    assert not found.samples.visibility.any()


@pytest.mark.parametrize("sides", [[5.0, 6.0, 20.0, 18.0], [-6.0, -4.0, 30.0, 10.0], [30.0, 20.0, 1.0, 40.0]])
def test_a_detected_box_is_cropped_as_it_stands(tmp_path, sides):
    """An annotated one would be moved into the image and lose a pixel."""
    config = folder(tmp_path, [box(bbox=sides)])
    samples = load_boxes(config, load_splits(config)["test"]).samples
    center, scale = box_to_center_scale(sides, (32, 32))
    np.testing.assert_array_equal(samples.centers, center[None])
    np.testing.assert_array_equal(samples.scales, scale[None])
    image = read_image(tmp_path / "images" / "c7.png")
    matrix = crop_matrix(center.astype(np.float64), scale.astype(np.float64), (32, 32))
    np.testing.assert_array_equal(samples.crops([0])[0], crop(image, matrix, (32, 32)))


def test_what_is_there_to_be_found_stays_what_is_annotated(tmp_path):
    """A subject without a box is still there, and an image that shows nobody counts once a box is in it."""
    config = folder(tmp_path, [box(8), box(10)])
    annotated = load_splits(config)["test"]
    truth = load_boxes(config, annotated).samples.ground_truth
    assert truth["annotations"] == annotated.ground_truth["annotations"]
    assert truth["categories"] == annotated.ground_truth["categories"]
    assert {image["id"] for image in truth["images"]} == {7, 8, 9, 10}


def test_a_box_belongs_to_the_patient_of_its_image(tmp_path):
    content = nobody()
    for image in content["images"]:
        image["patient"] = f"pz{image['id'] // 2}"
    config = folder(tmp_path, [box(10), box(9)], test=content)
    samples = load_boxes(config, load_splits(config)["test"]).samples
    assert samples.subject_of_image == {7: "pz3", 8: "pz4", 9: "pz4", 10: "pz5"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 99}, "image_id: 1 boxes are in images that the annotation file of the test split does not list"),
        ({"image_id": None}, "image_id: 1 boxes are in images"),
        ({"category_id": 4}, r"category_id: 1 boxes are of another category than .* subjects \(\[1\] has 4\)"),
        ({"bbox": [1, 2, 3]}, "bbox: 1 boxes are not four numbers"),
        ({"bbox": [1, 2, None, 4]}, "bbox: 1 boxes are not four numbers"),
        ({"bbox": [1, 2, 0, 4]}, r"bbox: 1 boxes are empty; .* \(\[1\] has \[1, 2, 0, 4\]\)"),
        ({"bbox": [1, 2, 3, -4]}, "bbox: 1 boxes are empty"),
        ({"bbox": [40, 2, 3, 4]}, "bbox: 1 boxes show nothing of their image"),
        ({"bbox": [-3, 2, 3, 4]}, "bbox: 1 boxes show nothing of their image"),
        ({"score": None}, "score: 1 boxes have no score of 0 or more"),
        ({"score": -0.1}, "score: 1 boxes have no score of 0 or more"),
    ],
)
def test_a_faulty_box_is_named(tmp_path, changes, message):
    config = folder(tmp_path, [box(), box(**changes), box(9)])
    with pytest.raises(DataError, match=rf"results_test\.json: {message}"):
        load_splits(config)


def test_all_faults_of_boxes_and_annotations_are_told_together(tmp_path):
    content = nobody()
    content["annotations"][0]["keypoints"] = [1, 2, 2]
    boxes = [box(99), box(98, category_id=1), box(bbox=[0, 0, 0, 0]), {}]
    with pytest.raises(DataError) as caught:
        inspect_splits(folder(tmp_path, boxes, test=content))
    told = [fault.partition("json: ")[2] for fault in caught.value.faults]
    assert [fault.partition(": ")[0] for fault in told] == [
        "annotations.keypoints", "image_id", "category_id", "bbox", "bbox", "score",
    ]  # fmt: skip
    assert "3 boxes are in images that" in told[1]
    assert "([0] has 99, [1] has 98, [3] has None)" in told[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        (json.dumps(document()), r"is no list of detected boxes, such as \[\{"),
        ("[[1, 2, 3, 4]]", "is no list of detected boxes"),
        ("[]", "holds no box; set data.detections to null"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"results_test\.json: {message}"):
        load_splits(folder(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    config = folder(tmp_path, [box()]).model_copy(update={"detections": "none.json"})
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        load_splits(config)


def test_a_missing_image_that_only_a_box_asks_for_is_named(tmp_path):
    config = folder(tmp_path, [box(10)])
    (tmp_path / "images" / "c10.png").unlink()
    (fault,) = inspect_boxes(config).faults
    assert "1 images are not below" in fault
    assert "c10.png" in fault
    (tmp_path / FILE).write_text(json.dumps([box(9)]))
    assert not inspect_boxes(config).faults


def test_annotated_boxes_are_taken_where_no_file_is_named(tmp_path):
    config = folder(tmp_path, [box()]).model_copy(update={"detections": None})
    assert load_boxes(config, load_splits(config)["test"]) is None


def test_detected_boxes_of_generated_infants_are_refused():
    with pytest.raises(ValidationError, match=r"'x\.json' belong to a coco folder, but source is synthetic"):
        DataConfig(detections="x.json")


def test_detected_and_annotated_boxes_are_seen_through_one_depth_window(tmp_path):
    """The train file recommends a window, the test file none: the same image must look the same in both."""
    depth = np.arange(1200, dtype=np.uint16).reshape(30, 40)
    config = folder(tmp_path, [box(7)])
    for split, (first, prefix) in {"train": (1, "a"), "val": (4, "b"), "test": (7, "c")}.items():
        content = document(first=first, prefix=prefix)
        write(
            tmp_path, split, content=content | ({"info": {"depth_window_mm": [100, 1100]}} if split == "train" else {})
        )
    _write_depth(tmp_path, depth)
    splits = load_splits(config)
    found = load_boxes(config, splits["test"])
    assert splits["test"].window == found.samples.window == (100.0, 1100.0)
    seen = window_depth(depth, (100, 1100))
    np.testing.assert_array_equal(found.samples.crops([0])[0], crop(seen, _whole(found.samples), (32, 32)))
    np.testing.assert_array_equal(splits["test"].crops([0])[0], crop(seen, _whole(splits["test"]), (32, 32)))


def _write_depth(root, depth):
    """Make depth of all images: c7 as it is given, no two alike."""
    for file in (root / "images").glob("*.png"):
        cv2.imwrite(str(file), depth + np.uint16(int(file.stem[1:]) - 1) - np.uint16(6))


def _whole(samples):
    return crop_matrix(samples.centers[0], samples.scales[0], samples.framing.input_size)


@pytest.mark.parametrize("own", [None, (200.0, 800.0)])
def test_files_that_recommend_different_depth_windows_are_refused_unless_one_is_chosen(tmp_path, own):
    config = folder(tmp_path, [box(7)]).model_copy(update={"depth_window_mm": own})
    for split, (first, prefix, near) in {"train": (1, "a", 100), "val": (4, "b", 100), "test": (7, "c", 300)}.items():
        content = document(first=first, prefix=prefix) | {"info": {"depth_window_mm": [near, 900]}}
        write(tmp_path, split, content=content)
    _write_depth(tmp_path, np.full((30, 40), 700, np.uint16))
    if own:
        assert load_splits(config)["test"].window == own
    else:
        with pytest.raises(DataError, match=r"train 100 to 900, val 100 to 900, test 300 to 900.*depth_window_mm"):
            inspect_splits(config)
