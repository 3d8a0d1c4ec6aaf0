"""Every layout comes in as it was written: names, pairs, coordinates to a millionth of a pixel, visibility, splits."""

import json
from pathlib import Path

import numpy as np
import pytest

from greenpose.init import look
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
