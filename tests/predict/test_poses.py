"""Poses are where the lights are: through boxes, crops, channels, networks and back into the image."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from greenpose.accuracy import oks_ap
from greenpose.data.images import window_depth
from greenpose.errors import ModelError
from greenpose.metering import Meter
from greenpose.predict import Regions, find_poses, of_artefact
from greenpose.predict.inputs import find_inputs
from greenpose.predict.outputs import Results
from greenpose.predict.search import search
from tests.predict.planted import PROFILE, artefact, coco, joints_of, lights, results, some_joints, subject, write
from tests.predict.running import Silent, predict


def near(found, true, px):
    return np.abs(np.asarray(found) - np.asarray(true)).max() <= px


def heatmap_px(box, padding=1.25):
    """Return how many image pixels a heatmap pixel is: a second way to the scale of a crop."""
    return max(box[2], box[3]) * padding / 16


def test_poses_of_a_coco_file_are_at_its_joints_and_score_as_such(model, tmp_path):
    joints = some_joints(12)
    file = coco(tmp_path / "data", joints)
    account, _ = predict(model, [file], tmp_path / "poses", batch=5)
    found = results(tmp_path / "poses")
    assert (account.images, account.poses) == (12, 12)
    assert [pose["image_id"] for pose in found] == list(range(1, 13))
    for pose, true, number in zip(found, joints, range(1, 13), strict=True):
        assert near(joints_of(pose), true, heatmap_px(subject(number, true).box))
    truth = json.loads(file.read_text())
    assert oks_ap(truth, found, PROFILE.sigmas)["ap"] > 0.9


@pytest.mark.parametrize("names", [["frames"], ["frames/*.png"], ["frames/a2.png", "frames/a10.png"]])
def test_plain_images_are_searched_whole_in_the_order_of_their_numbers(model, tmp_path, names):
    first, second = some_joints(2, seed=3)
    write(tmp_path / "frames/a10.png", lights(second))
    write(tmp_path / "frames/a2.png", lights(first))
    predict(model, [tmp_path / name for name in names], tmp_path / "poses")
    found = results(tmp_path / "poses")
    assert [pose["image_id"] for pose in found] == [1, 2]
    assert [pose["file_name"].rpartition("/")[2] for pose in found] == ["a2.png", "a10.png"]
    assert near(joints_of(found[0]), first, heatmap_px((0, 0, 160, 120)))
    assert near(joints_of(found[1]), second, heatmap_px((0, 0, 160, 120)))


def test_several_subjects_of_an_image_are_found_each_in_its_box(model, tmp_path):
    left, right = some_joints(1, seed=1)[0], some_joints(1, seed=2)[0] + (160, 0)
    write(tmp_path / "one.png", lights([left, right], size=(320, 120)))
    boxes = [
        {"image_id": 1, "category_id": 1, "bbox": list(subject(1, joints).box), "score": score}
        for joints, score in ((left, 0.5), (right, 1.0))
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    account, _ = predict(model, [tmp_path / "one.png"], tmp_path / "poses", boxes=str(tmp_path / "boxes.json"))
    found = results(tmp_path / "poses")
    assert (account.images, account.poses) == (1, 2)
    assert near(joints_of(found[0]), left, 12)
    assert near(joints_of(found[1]), right, 12)
    for pose, score in zip(found, (0.5, 1.0), strict=True):
        assert pose["score"] == pytest.approx(score * np.mean(pose["keypoints"][2::3]))


def test_depth_is_seen_through_the_models_window(tmp_path):
    window = (400.0, 900.0)
    model = artefact(tmp_path / "exported", window=window)
    depth = np.full((120, 160), 500, dtype=np.uint16)
    cv2.circle(depth, (100, 40), 6, 880, -1)  # far, and so bright
    write(tmp_path / "depth.png", depth)
    write(tmp_path / "grey.png", window_depth(depth, window))
    account, _ = predict(model, [tmp_path / "depth.png", tmp_path / "grey.png"], tmp_path / "poses")
    deep, grey = results(tmp_path / "poses")
    assert near(joints_of(deep), (100, 40), heatmap_px((0, 0, 160, 120)))
    assert deep["keypoints"] == grey["keypoints"]
    assert account.eight_bit == 1


def test_the_table_says_what_the_results_say(model, tmp_path):
    predict(model, [coco(tmp_path / "data", some_joints(3))], tmp_path / "poses")
    with (tmp_path / "poses/poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, pose in zip(rows, results(tmp_path / "poses"), strict=True):
        assert int(row["image_id"]) == pose["image_id"]
        assert float(row["score"]) == pytest.approx(pose["score"], abs=1e-4)
        told = [float(row[f"{name}_{part}"]) for name in PROFILE.keypoints for part in ("x", "y", "confidence")]
        assert told == pytest.approx(pose["keypoints"], abs=0.0051)


def test_no_file_name_becomes_a_formula_of_a_spreadsheet(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "=1+1.png", lights(some_joints(1)))
    predict(model, ["=1+1.png"], tmp_path / "poses")
    assert "1,'=1+1.png,,1," in (tmp_path / "poses/poses.csv").read_text()


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_change_no_pose(model, tmp_path, batch):
    file = coco(tmp_path / "data", some_joints(7))
    predict(model, [file], tmp_path / "one", batch=7)
    predict(model, [file], tmp_path / "other", batch=batch)
    assert results(tmp_path / "one") == results(tmp_path / "other")


def test_a_crowded_image_goes_through_the_network_in_batches_of_the_size_asked_for(model, tmp_path):
    sizes, estimator = [], of_artefact(model)
    write(tmp_path / "one.png", lights(some_joints(1)))
    inputs = find_inputs([str(tmp_path / "one.png")], PROFILE)
    crowd = Regions(of=lambda _: [((x, 0.0, 50.0, 50.0), 1.0) for x in range(21)], as_given=True, said="many")

    def network(images):
        sizes.append(len(images))
        return estimator.network(images)

    results = Results(tmp_path, inputs, PROFILE)
    with results.written():
        search(inputs, replace(estimator, network=network), crowd, results, batch=8)
    assert sizes == [7, 7, 7]


def test_a_network_that_puts_out_no_numbers_is_refused(model, tmp_path):
    estimator = of_artefact(model)
    image = write(tmp_path / "one.png", lights(some_joints(1)))
    broken = replace(estimator, network=lambda images: estimator.network(images) * np.float32(np.nan))
    with Meter([]) as meter, pytest.raises(ModelError, match="gives values that are no numbers"):
        find_poses(lambda: broken, [str(image)], tmp_path / "poses", meter=meter, watcher=Silent())
    assert not (tmp_path / "poses").exists()


def test_what_is_interrupted_keeps_what_is_done_whole(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(20))
    account, bill = predict(model, [file], tmp_path / "poses", batch=4, watcher=Silent(most=8))
    assert account.interrupted
    assert [pose["image_id"] for pose in results(tmp_path / "poses")] == list(range(1, 9))
    assert (bill.images, bill.interrupted) == (8, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_searched_as_it_is_shown(model, tmp_path, orientation):
    """Pillow's own way of turning it is the other way of telling."""
    from PIL import Image, ImageOps

    joints = some_joints(1, seed=4)[0]
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(lights(joints, size=(160, 120))).save(tmp_path / "photo.png", exif=exif.tobytes())
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "photo.png")))
    account, _ = predict(model, [tmp_path / "photo.png"], tmp_path / "poses")
    write(tmp_path / "upright.png", shown)
    predict(model, [tmp_path / "upright.png"], tmp_path / "again")
    assert results(tmp_path / "poses")[0]["keypoints"] == results(tmp_path / "again")[0]["keypoints"]
    assert account.turned == (orientation != 1)
