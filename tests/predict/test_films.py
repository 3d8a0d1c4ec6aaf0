"""Films are searched frame by frame, and poses drawn into pictures and films of the same length."""

import json

import cv2
import numpy as np
import pytest

from greenpose.errors import GreenPoseError
from tests.predict.planted import artefact, joints_of, lights, results, some_joints, write
from tests.predict.running import predict


def film(path, frames, *, codec="mp4v", rate=12.0):
    """Write a film of RGB frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame[..., ::-1].copy())
    writer.release()
    return path


def frames_of(path):
    """Return the frames of a film, RGB, and their rate."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1][..., ::-1])
    return found, capture.get(cv2.CAP_PROP_FPS)


def moving(number):
    """Return joints that move to the right, frame by frame."""
    return [some_joints(1, seed=5)[0] * (0.5, 1) + (step, 0) for step in range(number)]


@pytest.mark.parametrize(("name", "codec"), [("night.mp4", "mp4v"), ("night.avi", "MJPG")])
def test_every_frame_has_its_pose_and_its_number(model, tmp_path, name, codec):
    joints = moving(15)
    path = film(tmp_path / name, [lights(each) for each in joints], codec=codec)
    account, _ = predict(model, [path], tmp_path / "poses", batch=4)
    found = results(tmp_path / "poses")
    assert (account.images, account.poses, account.faults) == (15, 15, [])
    assert [pose["frame"] for pose in found] == list(range(15))
    assert [pose["image_id"] for pose in found] == list(range(1, 16))
    for pose, true in zip(found, joints, strict=True):
        assert np.abs(joints_of(pose) - true).max() < 14  # a heatmap pixel is 12.5 image pixels wide


def test_a_film_of_poses_is_as_long_and_as_fast_and_shows_them(model, tmp_path):
    joints = moving(9)
    path = film(tmp_path / "night.mp4", [lights(each) for each in joints])
    predict(model, [path], tmp_path / "poses", drawn=["films"])
    drawn, rate = frames_of(tmp_path / "poses/night.mp4")
    assert (len(drawn), rate) == (9, 12)
    before, _ = frames_of(path)
    zoom = drawn[0].shape[1] / before[0].shape[1]
    assert zoom >= 1
    bright = [frame.astype(int).sum() for frame in drawn]
    assert min(bright) > 1.02 * zoom**2 * max(frame.astype(int).sum() for frame in before)  # limbs are drawn besides


def test_single_images_become_one_film_whatever_their_sizes(model, tmp_path):
    for number, size in enumerate([(160, 120), (201, 99), (90, 300)]):
        write(tmp_path / f"frames/{number}.png", lights(some_joints(1), size=size))
    predict(model, [tmp_path / "frames"], tmp_path / "poses", drawn=["films", "overlays"])
    assert len(frames_of(tmp_path / "poses/images.mp4")[0]) == 3
    names = sorted(path.name for path in (tmp_path / "poses/overlays").iterdir())
    assert names == ["000001-0.jpg", "000002-1.jpg", "000003-2.jpg"]


def test_films_of_one_name_are_kept_apart(model, tmp_path):
    some = [lights(each) for each in moving(3)]
    paths = [film(tmp_path / part / "night.mp4", some[:count]) for part, count in (("a", 2), ("b", 3))]
    predict(model, paths, tmp_path / "poses", drawn=["films"])
    lengths = {path.name: len(frames_of(path)[0]) for path in (tmp_path / "poses").glob("*.mp4")}
    assert lengths == {"night.mp4": 2, "night-2.mp4": 3}


def test_overlays_of_depth_show_the_poses_where_they_are(tmp_path):
    model = artefact(tmp_path / "exported", window=(400.0, 900.0))
    depth = np.full((480, 640), 500, dtype=np.uint16)
    cv2.circle(depth, (400, 160), 24, 880, -1)
    write(tmp_path / "depth.png", depth)
    predict(model, [tmp_path / "depth.png"], tmp_path / "poses", drawn=["overlays"])
    picture = cv2.imread(str(tmp_path / "poses/overlays/000001-depth.png"))
    coloured = np.argwhere(np.ptp(picture.astype(int), axis=-1) > 30)
    assert np.abs(coloured - (160, 400)).max() < 45


def test_a_file_that_is_no_film_is_named_and_the_rest_kept(model, tmp_path):
    good = film(tmp_path / "good.mp4", [lights(each) for each in moving(3)])
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    account, _ = predict(model, [tmp_path / "bad.mp4", good], tmp_path / "poses")
    assert account.images == 3
    assert [pose["image_id"] for pose in results(tmp_path / "poses")] == [1, 2, 3]
    assert "bad.mp4: cannot be opened as a film; it is broken" in account.faults[0]


def test_a_film_without_a_frame_is_told(model, tmp_path):
    empty = tmp_path / "empty.avi"
    writer = cv2.VideoWriter(str(empty), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.release()
    with pytest.raises(GreenPoseError, match=r"empty\.avi: (has no frame that can be read|cannot be opened as a film)"):
        predict(model, [empty], tmp_path / "poses")
    assert not (tmp_path / "poses").exists()


def test_detected_boxes_count_the_frames_of_films_and_those_behind_the_end_are_told(model, tmp_path):
    path = film(tmp_path / "night.mp4", [lights(each) for each in moving(3)])
    entry = {"category_id": 1, "bbox": [0, 0, 160, 120], "score": 1.0}
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 2} | entry]))
    account, _ = predict(model, [path], tmp_path / "poses", boxes=str(boxes))
    assert [pose["frame"] for pose in results(tmp_path / "poses")] == [1]
    assert account.images == 3
    boxes.write_text(json.dumps([{"image_id": 4} | entry]))
    with pytest.raises(GreenPoseError, match="1 boxes are in images that were not given"):
        predict(model, [path], tmp_path / "again", boxes=str(boxes))


def test_a_film_of_depth_is_searched_where_something_stands_out_of_it(tmp_path):
    """Nothing moves in it; in the window of a whole image, the light in the corner would be the brightest."""
    model = artefact(tmp_path / "exported", window=(400.0, 900.0))
    frame = np.full((120, 160, 3), 200, dtype=np.uint8)
    frame[:12, :12] = 255
    cv2.circle(frame, (100, 60), 12, (90, 90, 90), -1)
    cv2.circle(frame, (100, 60), 3, (140, 140, 140), -1)
    path = film(tmp_path / "night.mp4", [frame] * 8)
    account, _ = predict(model, [path], tmp_path / "poses", boxes="auto")
    assert account.eight_bit == 8
    for pose in results(tmp_path / "poses"):
        assert np.abs(joints_of(pose) - (100, 60)).max() < 25


def test_auto_boxes_of_a_film_are_where_it_moves(model, tmp_path):
    """Two lights of each colour, of which the moving ones are searched for although the others are brighter."""
    still = np.array([[20.0, 20.0], [20.0, 60.0], [20.0, 100.0]])
    first = np.array([[60.0, 40.0], [60.0, 70.0], [60.0, 95.0]])
    frames = [lights([still, first + np.array([2 * step, 0])]) for step in range(30)]
    path = film(tmp_path / "night.mp4", frames)
    predict(model, [path], tmp_path / "poses", boxes="auto")
    last = joints_of(results(tmp_path / "poses")[-1])
    assert (last[:, 0] > 90).all()
