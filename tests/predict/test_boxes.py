"""Boxes come from files of three kinds, or are found where something stands out or moves; what is wrong is told."""

import json

import cv2
import numpy as np
import pytest

from greenpose.config import DataConfig
from greenpose.data.images import window_depth
from greenpose.data.splits import SYNTHETIC_WINDOW_MM
from greenpose.data.synthetic import generate
from greenpose.errors import DataError
from greenpose.predict.auto_boxes import Movement, silhouette
from tests.predict.planted import coco, joints_of, lights, results, some_joints, subject, write
from tests.predict.running import predict


def overlap(one, other):
    """Intersection over union of two boxes."""
    (x1, y1, w1, h1), (x2, y2, w2, h2) = one, other
    both = max(0, min(x1 + w1, x2 + w2) - max(x1, x2)) * max(0, min(y1 + h1, y2 + h2) - max(y1, y2))
    return both / (w1 * h1 + w2 * h2 - both)


def spoilt(file, **changes):
    """Write a COCO file with changes to its first annotation beside it, and return its path."""
    document = json.loads(file.read_text())
    document["annotations"][0] |= changes
    other = file.with_name("spoilt.json")
    other.write_text(json.dumps(document))
    return other


def detections(path, *entries):
    path.write_text(json.dumps([{"category_id": 1, "score": 1.0, **entry} for entry in entries]))
    return str(path)


def test_annotated_boxes_find_their_images_by_name(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(3))
    predict(model, [file], tmp_path / "listed")
    predict(model, [tmp_path / "data/images"], tmp_path / "plain", boxes=str(file))
    listed, plain = (results(tmp_path / name) for name in ("listed", "plain"))
    assert [pose["keypoints"] for pose in listed] == [pose["keypoints"] for pose in plain]
    assert all("file_name" in pose for pose in plain)
    assert not any("file_name" in pose for pose in listed)


def test_a_coco_file_that_is_searched_names_its_own_boxes_unless_others_are_asked_for(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(2))
    found = {}
    for name, boxes in (("own", None), ("same", str(file)), ("whole", "whole")):
        account, bill = predict(model, [file], tmp_path / name, boxes=boxes)
        found[name] = [pose["keypoints"] for pose in results(tmp_path / name)]
        assert account.images == 2
    assert found["own"] == found["same"] != found["whole"]
    assert bill.boxes == "the whole image"


def test_crowds_are_not_searched_and_an_annotation_without_a_box_is_searched_around_its_joints(model, tmp_path):
    joints = some_joints(2)
    file = coco(tmp_path / "data", joints)
    account, _ = predict(model, [spoilt(file, iscrowd=1)], tmp_path / "crowd")
    assert [pose["image_id"] for pose in results(tmp_path / "crowd")] == [2]
    assert account.images == 2
    predict(model, [spoilt(file, bbox=[])], tmp_path / "boxless")
    assert np.abs(joints_of(results(tmp_path / "boxless")[0]) - joints[0]).max() < 12


def test_doubles_of_a_subject_are_dropped(model, tmp_path):
    joints = some_joints(1)[0]
    write(tmp_path / "one.png", lights(joints))
    box = list(subject(1, joints).box)
    twice = detections(tmp_path / "boxes.json", {"image_id": 1, "bbox": box}, {"image_id": 1, "bbox": box})
    account, _ = predict(model, [tmp_path / "one.png"], tmp_path / "poses", boxes=twice)
    assert account.poses == 1


WRONG = {
    "outside": ({"bbox": [500, 500, 20, 20]}, "boxes show nothing of their image"),
    "corners reversed": ({"bbox": [50, 50, -20, 20]}, "boxes are empty"),
    "three numbers": ({"bbox": [50, 50, 20]}, "boxes are not four numbers"),
    "not given": ({"image_id": 7, "bbox": [5, 5, 20, 20]}, "boxes are in images that were not given; give these too"),
    "no score": ({"bbox": [5, 5, 20, 20], "score": None}, "boxes have no score"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_detected_boxes_is_told_before_anything_is_written(model, tmp_path, kind):
    changes, words = WRONG[kind]
    write(tmp_path / "one.png", lights(some_joints(1)))
    file = detections(tmp_path / "boxes.json", {"image_id": 1} | changes)
    with pytest.raises(DataError, match=words):
        predict(model, [tmp_path / "one.png"], tmp_path / "poses", boxes=file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.json", "one.png"]


def test_annotated_boxes_of_images_that_were_not_given_are_refused(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(3))
    first = min((tmp_path / "data/images").rglob("*.png"))
    with pytest.raises(DataError, match="2 boxes are in images that were not given"):
        predict(model, [first], tmp_path / "poses", boxes=str(file))


def test_annotated_boxes_of_a_name_that_several_files_have_are_refused_unless_the_folder_tells(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(1))
    for part in ("a", "b"):
        write(tmp_path / part / "frame1.png", lights(some_joints(1)))
    document = json.loads(file.read_text())
    for name, refused in (("frame1.png", True), ("a/frame1.png", False)):
        document["images"][0]["file_name"] = name
        file.write_text(json.dumps(document))
        if refused:
            with pytest.raises(DataError, match="1 boxes are in images that were not given"):
                predict(model, [tmp_path / "a", tmp_path / "b"], tmp_path / "poses", boxes=str(file))
    predict(model, [tmp_path / "a", tmp_path / "b"], tmp_path / "poses", boxes=str(file))
    assert [pose["file_name"] for pose in results(tmp_path / "poses")] == [str(tmp_path / "a/frame1.png")]


def test_annotated_boxes_of_other_keypoints_are_refused(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(1))
    document = json.loads(file.read_text())
    document["categories"][0]["keypoints"] = ["nose", "left_eye", "right_eye"]
    file.write_text(json.dumps(document))
    for named, boxes in ((file, None), (tmp_path / "data/images", str(file))):
        with pytest.raises(
            DataError, match=r"no category has the keypoints of profile lights: .*lacks red, green, blue"
        ):
            predict(model, [named], tmp_path / "poses", boxes=boxes)


def test_boxes_in_a_turned_photograph_are_refused(model, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(lights(some_joints(1))).save(tmp_path / "photo.jpg", exif=exif.tobytes())
    file = detections(tmp_path / "boxes.json", {"image_id": 1, "bbox": [5, 5, 50, 50]})
    with pytest.raises(DataError, match="EXIF orientation: are boxes meant before or after turning"):
        predict(model, [tmp_path / "photo.jpg"], tmp_path / "poses", boxes=file)


def test_what_stands_out_of_depth_is_mostly_the_infant():
    """Against the generator's own boxes; a whole image meets them by 0.2 in the middle."""
    spec = DataConfig.model_validate(
        {"synthetic": {"patients": {"train": 1, "val": 1, "test": 6}, "frames": {"train": 1, "val": 1, "test": 4}}}
    ).synthetic
    met, whole = [], []
    for infant, depth in generate(spec, "test"):
        box = silhouette(window_depth(depth, SYNTHETIC_WINDOW_MM)) or (0.0, 0.0, *map(float, infant.image_size))
        met.append(overlap(box, infant.box))
        whole.append(overlap((0, 0, *infant.image_size), infant.box))
    assert np.median(met) > 0.7 > 2 * np.median(whole)


@pytest.mark.parametrize("grey", [np.zeros((120, 160), np.uint8), np.full((120, 160), 90, np.uint8)])
def test_in_depth_without_anything_nothing_stands_out(grey):
    assert silhouette(grey) is None


def test_what_moves_in_a_film_is_followed_and_rest_forgotten_slowly():
    movement, boxes = Movement(), []
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 80, (120, 160, 3), dtype=np.uint8)
    for number in range(40):
        frame = ground + rng.integers(0, 3, ground.shape, dtype=np.uint8)
        cv2.circle(frame, (40 + 2 * number, 60), 15, (200, 200, 200), -1)
        boxes.append(movement(frame))
    assert boxes[0] is None
    x, y, width, height = boxes[-1]
    assert x < 118 - 15 < 118 + 15 < x + width + 2
    assert y < 60 - 13 < 60 + 13 < y + height
    assert height < 60


def test_a_single_photograph_gives_no_clue_to_where_anybody_is(model, tmp_path):
    write(tmp_path / "depth.png", np.pad(np.full((40, 40), 60, np.uint8), 40, constant_values=200))
    write(tmp_path / "photo.png", lights(some_joints(1)))
    account, _ = predict(model, [tmp_path / "depth.png", tmp_path / "photo.png"], tmp_path / "poses", boxes="auto")
    assert (account.images, len(account.faults)) == (1, 1)
    assert "one image in colour; name a file of boxes" in account.faults[0]
