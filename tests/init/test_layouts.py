"""Every layout comes in as it was written: names, pairs, coordinates to a millionth of a pixel, visibility, splits."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from greenpose.init import look
from greenpose.init.labelled_set import num_labelled
from tests.init import folders

TOLERANCE = 1e-6
"""Pixels."""
ROUND_TRIPS = {
    "coco": lambda root: folders.coco(root, hidden=True),
    "coco as Roboflow lays it out": lambda root: folders.coco(root, layout="roboflow", hidden=True),
    "coco as its authors lay it out": lambda root: folders.coco(root, layout="official", hidden=True),
    "coco, flat": lambda root: folders.coco(root, layout="flat", hidden=True),
    "coco, one file": lambda root: folders.coco(root, layout="pooled", hidden=True),
    "YOLO as Roboflow lays it out": lambda root: folders.yolo(root, hidden=True),
    "YOLO as Ultralytics lays it out": lambda root: folders.yolo(root, layout="images/split", hidden=True),
    "YOLO, two numbers a joint": lambda root: folders.yolo(root, values=2),
    "DeepLabCut": folders.deeplabcut,
    "DeepLabCut, older": lambda root: folders.deeplabcut(root, flat=True),
    "Lightning Pose": folders.lightning,
    "SLEAP": folders.sleap,
    "SLEAP, embedded": lambda root: folders.sleap(root, embedded=True),
    "Label Studio": folders.label_studio,
    "Label Studio by sleap-io": lambda root: folders.label_studio(root, through="sleap-io"),
}


def seen(root: Path, **options):
    return look(root, **({"name": "mice", "layout": None, "category": None, "anew": False} | options))


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_what_was_labelled_comes_back(name, tmp_path):
    root = tmp_path / "data"
    written = ROUND_TRIPS[name](root)
    found = seen(root)
    labelled = found.labelled
    assert labelled.keypoints == folders.NAMES
    assert {frozenset(pair) for pair in labelled.skeleton} == (
        set() if name.startswith(("Label Studio", "Lightning")) else set(map(frozenset, folders.EDGES))
    )
    assert found.profile.flip_pairs == ((1, 2),)
    assert {split: len(its) for split, its in labelled.splits.items()} == {
        split: len(its) for split, its in written.items()
    }
    embedded = name == "SLEAP, embedded"
    for split, its in written.items():
        by_name = {Path(one.image).name: one for one in labelled.splits[split]}
        for number, label in enumerate(its):
            film, _, image = label.image.rpartition("/")
            mine = list(labelled.splits[split])[number] if embedded else by_name[image]
            np.testing.assert_allclose(mine.joints, label.joints, rtol=0, atol=TOLERANCE)
            assert mine.visibility.tolist() == label.visibility.tolist(), label.image
            assert mine.subject == film
            assert mine.image_size == folders.SIZE
            if name.startswith(("coco", "YOLO")):
                points = label.joints[label.visibility > 0]
                box = (*(points.min(0) - 6), *(np.ptp(points, axis=0) + 12))
                np.testing.assert_allclose(mine.box, box, rtol=0, atol=TOLERANCE)


def test_boxes_without_joints_are_kept_beside_and_not_counted(tmp_path):
    folders.coco(tmp_path, layout="pooled")
    document = json.loads((tmp_path / "labels.json").read_text())
    document["annotations"][0] |= {"keypoints": [0] * 12, "num_keypoints": 0}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    found = seen(tmp_path).labelled
    assert (len(found.instances), num_labelled(found.instances)) == (20, 19)


def test_several_individuals_of_deeplabcut_come_back(tmp_path):
    found = folders.labels(6, prefix="film0/")
    folders.draw(tmp_path / "labeled-data", found)
    places = [("labeled-data", *label.image.split("/")) for label in found]
    table = folders.table(found, places=places, individuals=("a", "b"))
    table.to_csv(tmp_path / "labeled-data/film0/CollectedData_mice.csv")
    labelled = seen(tmp_path).labelled
    assert labelled.keypoints == folders.NAMES
    assert len(labelled.instances) == 12
    first, second = labelled.instances[:2]
    assert (first.image_id, first.id) == (second.image_id, second.id - 1)
    seen_joints = found[0].visibility > 0
    np.testing.assert_allclose(second.joints[seen_joints], found[0].joints[seen_joints] + 3, rtol=0, atol=TOLERANCE)


def test_frames_of_films_that_were_moved_with_their_labels_are_found(tmp_path):
    import sleap_io

    found = folders.labels(8)
    folders.draw(tmp_path / "frames", found)
    skeleton = sleap_io.Skeleton(nodes=list(folders.NAMES))
    frames, films = [], []
    (tmp_path / "before").mkdir()
    for number in range(4):
        file = tmp_path / f"before/cage{number}.avi"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, folders.SIZE)
        for label in found:
            writer.write(cv2.imread(str(tmp_path / "frames" / label.image)))
        writer.release()
        films.append(sleap_io.Video.from_filename(str(file)))
        for at in (2 * number, 2 * number + 1):
            points = np.where((found[at].visibility > 0)[:, None], found[at].joints, np.nan)
            subject = sleap_io.Instance.from_numpy(points, skeleton=skeleton)
            frames.append(sleap_io.LabeledFrame(video=films[-1], frame_idx=at, instances=[subject]))
    sleap_io.save_slp(sleap_io.Labels(frames, videos=films, skeletons=[skeleton]), str(tmp_path / "before/p.slp"))
    (tmp_path / "before").rename(tmp_path / "after")
    its = seen(tmp_path / "after")
    assert "by subject or film (4 of them" in its.division.how
    for label, one in zip(found, its.labelled.instances, strict=True):
        np.testing.assert_allclose(one.joints, label.joints, rtol=0, atol=TOLERANCE)
        drawn = cv2.imread(str(tmp_path / "frames" / label.image), cv2.IMREAD_GRAYSCALE)
        assert np.abs(its.labelled.pixels(one).astype(int) - drawn).mean() < 10  # Motion JPEG loses some


def test_predictions_of_sleap_are_left_out_and_said_to_be(tmp_path):
    import sleap_io

    folders.sleap(tmp_path)
    file = str(tmp_path / "labels.slp")
    labels = sleap_io.load_slp(file)
    for frame in labels.labeled_frames[:5]:
        points = frame.instances[0].numpy() + 1
        frame.instances.append(sleap_io.PredictedInstance.from_numpy(points, skeleton=labels.skeleton))
    sleap_io.save_slp(labels, file)
    found = seen(tmp_path).labelled
    assert len(found.instances) == 20
    assert any(remark.startswith("5 predicted subjects are left out") for remark in found.remarks)


def test_subjects_of_label_studio_are_told_by_relations_or_parents(tmp_path):
    folders.label_studio(tmp_path)
    file = tmp_path / "project-1-at-2026.json"
    tasks = json.loads(file.read_text())
    results = tasks[0]["annotations"][0]["result"]
    size = {"original_width": folders.SIZE[0], "original_height": folders.SIZE[1]}
    second = [one | {"id": f"{one['id']}-2", "parentID": "b2"} for one in results]
    boxes = [
        {"id": name, "type": "rectanglelabels", "value": {"x": 1, "y": 1, "rectanglelabels": ["mouse"]}} | size
        for name in ("b1", "b2")
    ]
    joined = [{"type": "relation", "from_id": one["id"], "to_id": "b1"} for one in results]
    tasks[0]["annotations"][0]["result"] = [*boxes, *results, *second, *joined]
    file.write_text(json.dumps(tasks))
    assert len(seen(tmp_path).labelled.instances) == 21


def test_classes_of_yolo_are_taken_together_or_one_by_one(tmp_path):
    folders.yolo(tmp_path)
    settings = (tmp_path / "data.yaml").read_text().replace("names: [mouse]", "names: {0: mouse, 1: rat}")
    (tmp_path / "data.yaml").write_text(settings)
    for number, word in ((1, "000"), (7, "001"), (1, "002"), (1, "003")):
        file = tmp_path / f"train/labels/train_img{word}.txt"
        file.write_text(f"{number}{file.read_text()[1:]}")
    both = seen(tmp_path).labelled
    assert len(both.instances) == 19
    assert any("classes taken as one: mouse, rat" in remark for remark in both.remarks)
    assert any(remark.startswith("1 lines are of other classes") for remark in both.remarks)
    assert len(seen(tmp_path, category="rat").labelled.instances) == 3


def test_what_sleap_io_writes_as_yolo_comes_back(tmp_path):
    import sleap_io

    written = folders.labels(12, whole=True)
    folders.draw(tmp_path / "frames", written)
    its = folders.sleap_labels(tmp_path / "frames", written)
    root = tmp_path / "yolo"
    sleap_io.save_ultralytics(its, str(root), split_ratios={"train": 0.5, "val": 0.5}, verbose=False)
    labelled = seen(root, layout="yolo").labelled
    assert (labelled.keypoints, labelled.skeleton) == (folders.NAMES, folders.EDGES)
    mine = sorted(tuple(one.joints.ravel().round(6)) for one in labelled.instances)
    assert mine == sorted(tuple(label.joints.ravel()) for label in written)


def test_what_sleap_io_writes_as_coco_comes_back(tmp_path):
    import sleap_io

    written = folders.labels(12)
    folders.draw(tmp_path / "images", written)
    its = folders.sleap_labels(tmp_path / "images", written)
    sleap_io.save_coco(its, str(tmp_path / "labels.json"))
    for entry in (document := json.loads((tmp_path / "labels.json").read_text()))["images"]:
        entry["file_name"] = Path(entry["file_name"]).name
    (tmp_path / "labels.json").write_text(json.dumps(document))
    labelled = seen(tmp_path).labelled
    assert labelled.keypoints == folders.NAMES
    by_name = {Path(one.image).name: one for one in labelled.instances}
    for label in written:
        np.testing.assert_allclose(by_name[label.image].joints, label.joints, rtol=0, atol=TOLERANCE)
        assert by_name[label.image].visibility.tolist() == label.visibility.tolist()
