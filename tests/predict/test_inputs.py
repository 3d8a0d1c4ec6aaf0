"""What cannot be searched is told in words: before anything is written where it can be known, else at the end."""

import json

import cv2
import numpy as np
import pytest

from greenpose.errors import ArtefactError, DataError, GreenPoseError
from greenpose.predict import of_artefact
from greenpose.predict.inputs import as_seen, find_inputs
from tests.predict.planted import PROFILE, coco, lights, results, some_joints, write
from tests.predict.running import predict


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty", r"empty: holds no image \(png, jpg, .*\) and no film \(mp4, "),
        ("*.gif", r"\*.gif: matches no file from /.*; quote a pattern"),
        ("fames", "fames: no such file or folder; did you mean frames"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "frames/a.png", lights(some_joints(1)))
    with pytest.raises(DataError, match=words):
        find_inputs([name, "frames"], PROFILE)


def test_all_that_is_not_there_is_told_together(tmp_path):
    with pytest.raises(DataError) as caught:
        find_inputs([str(tmp_path / "a"), str(tmp_path / "b")], PROFILE)
    assert len(caught.value.faults) == 2


def test_a_coco_file_goes_alone(tmp_path):
    file = coco(tmp_path / "data", some_joints(1))
    with pytest.raises(DataError, match="goes alone"):
        find_inputs([str(file), str(tmp_path)], PROFILE)


def test_hidden_files_of_a_folder_are_passed_over_and_doubles_taken_once(tmp_path):
    image = lights(some_joints(1))
    first, second = write(tmp_path / "a.png", image), write(tmp_path / "b/c.JPG", image)
    write(tmp_path / ".trash/d.png", image)
    (tmp_path / "notes.txt").write_text("none")
    assert find_inputs([str(tmp_path), str(first)], PROFILE).names == (str(first), str(second))


def test_unreadable_images_are_named_and_the_others_kept(model, tmp_path):
    file = coco(tmp_path / "data", some_joints(6))
    images = sorted((tmp_path / "data/images").rglob("*.png"))
    images[1].write_bytes(images[1].read_bytes()[:60])
    images[2].unlink()
    images[3].write_text("no image")
    account, bill = predict(model, [file], tmp_path / "poses", batch=4)
    assert [pose["image_id"] for pose in results(tmp_path / "poses")] == [1, 5, 6]
    truncated, absent, none = account.faults
    assert "frame2.png: is truncated" in truncated
    assert "frame3.png: cannot be read: No such file" in absent
    assert "frame4.png: cannot be decoded" in none
    assert (bill.images, bill.unreadable) == (3, 3)


def test_where_no_image_can_be_read_nothing_is_written(model, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        predict(model, [tmp_path / "a.png"], tmp_path / "poses")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.zeros((9, 9), np.uint16), "is 16-bit depth, and the model has no depth window"),
        (np.zeros((9, 9, 2), np.uint8), "has 2 channels; known are grey, RGB"),
        (np.zeros((9, 9, 5), np.uint8), "has 5 channels; known are grey, RGB"),
    ],
)
def test_images_of_unknown_layout_are_refused(tmp_path, stored, words):
    with pytest.raises(DataError, match=words):
        as_seen(stored, tmp_path / "a.png", None)


def test_a_file_of_more_channels_is_named_at_the_end(model, tmp_path):
    good = write(tmp_path / "good.png", lights(some_joints(1)))
    cv2.imwritemulti(str(tmp_path / "deep.tiff"), [np.zeros((9, 9, 3), np.uint16)])
    account, _ = predict(model, [good, tmp_path / "deep.tiff"], tmp_path / "poses")
    assert account.images == 1
    assert "holds uint16 (9, 9, 3); known are 8-bit images and 16-bit depth" in account.faults[0]


def test_an_artefact_has_one_exit(model):
    with pytest.raises(ArtefactError, match=r"--exit 3: .* is exit 1; leave --exit out, or export exit 3"):
        of_artefact(model, exit_=3)


def test_a_folder_in_use_is_not_written_into(model, tmp_path):
    image = write(tmp_path / "a.png", lights(some_joints(1)))
    write(tmp_path / "poses/mine.png", lights(some_joints(1)))
    with pytest.raises(DataError, match="is in use already; name a new folder"):
        predict(model, [image], tmp_path / "poses")
    assert [path.name for path in (tmp_path / "poses").iterdir()] == ["mine.png"]


def test_a_place_that_cannot_be_written_to_is_named(model, tmp_path):
    image = write(tmp_path / "a.png", lights(some_joints(1)))
    with pytest.raises(GreenPoseError, match=r"a\.png/poses: cannot be written: "):
        predict(model, [image], image / "poses")


def test_a_coco_file_without_images_is_refused(tmp_path):
    file = coco(tmp_path / "data", some_joints(1))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"images": [], "annotations": []}))
    with pytest.raises(DataError, match="lists no image"):
        find_inputs([str(file)], PROFILE)
