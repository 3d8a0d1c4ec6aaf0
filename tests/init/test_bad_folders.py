"""What cannot be used is refused in plain sentences: what is wrong, where, and what would be right."""

import json

import pytest

from greenpose.errors import DataError
from greenpose.init import target_faults
from tests.init import folders
from tests.init.folders import put
from tests.init.test_layouts import seen


def faults(root, **options) -> str:
    with pytest.raises(DataError) as told:
        seen(root, **options)
    return "\n".join(told.value.faults)


def test_a_folder_of_no_known_layout_says_what_was_looked_for_and_what_there_is(tmp_path):
    put(tmp_path / "a.xml", "<a/>")
    put(tmp_path / "deep/b.xml", "<a/>")
    put(tmp_path / "notes.json", [1, 2])
    words = faults(tmp_path)
    for said in (
        "COCO",
        "YOLO-pose: data.yaml",
        "DeepLabCut: labeled-data",
        "CollectedData.csv",
        "*.slp",
        "Label Studio",
    ):
        assert said in words
    assert words.endswith("There: 2 .xml, 1 .json")
    assert "nothing" in faults(tmp_path / "deep" / "..", layout="sleap") or "2 .xml" in faults(tmp_path, layout="sleap")
    assert "no such folder" in faults(tmp_path / "nowhere")
    assert "--layout slep: is not known" in faults(tmp_path, layout="slep")


def test_a_mixture_says_which_layouts_and_the_option_for_each(tmp_path):
    folders.coco(tmp_path)
    folders.deeplabcut(tmp_path)
    words = faults(tmp_path)
    assert "holds labels in 2 layouts" in words
    assert "--layout coco" in words
    assert "--layout deeplabcut" in words
    assert seen(tmp_path, layout="deeplabcut").layout == "deeplabcut"


def test_labels_of_two_projects_are_told_apart(tmp_path):
    folders.coco(tmp_path)
    others = folders.coco_document(folders.labels(4, prefix="o"), names=("a", "b", "c", "d"), category="fly")
    folders.draw(tmp_path / "images", folders.labels(4, prefix="o"))
    put(tmp_path / "flies.json", others)
    words = faults(tmp_path)
    assert "labels of 2 different sets of keypoints" in words
    assert "--category NAME" in words
    assert "fly in flies.json" in words
    assert seen(tmp_path, category="mouse").labelled.keypoints == folders.NAMES
    assert "no category of that name" in faults(tmp_path, category="cat")


def test_two_sleap_projects_are_told_apart_and_versions_of_one_too(tmp_path):
    import sleap_io

    folders.sleap(tmp_path / "one")
    labels = sleap_io.load_slp(str(tmp_path / "one/labels.slp"))
    sleap_io.save_slp(labels, str(tmp_path / "one/labels.v002.slp"))
    words = faults(tmp_path / "one")
    assert "20 images are labelled in several files (labels.slp, labels.v002.slp)" in words
    assert "greenpose init" in words
    labels.skeleton.rename_node("tail", "end")
    sleap_io.save_slp(labels, str(tmp_path / "one/labels.v002.slp"))
    assert "labels of 2 different sets of keypoints" in faults(tmp_path / "one")
    assert seen(tmp_path / "one/labels.slp").labelled.keypoints == folders.NAMES


@pytest.mark.parametrize("make", [folders.coco, folders.yolo, folders.deeplabcut, folders.sleap, folders.label_studio])
def test_missing_images_are_counted_and_named(tmp_path, make):
    make(tmp_path)
    for file in sorted(tmp_path.rglob("*img00[12].png")):
        file.unlink()
    words = faults(tmp_path)
    assert "img001." in words
    assert "are missing" in words or "are not below" in words


def test_boxes_only_are_no_poses(tmp_path):
    document = folders.coco_document(folders.labels(4), names=())
    for entry in document["annotations"]:
        del entry["keypoints"]
    put(tmp_path / "boxes.json", document)
    assert "no annotation has keypoints: these are boxes only" in faults(tmp_path)
    put(tmp_path / "boxes.json", document | {"annotations": []})
    assert "there are no annotations in it" in faults(tmp_path)
    folders.yolo(tmp_path / "yolo")
    settings = (tmp_path / "yolo/data.yaml").read_text()
    put(tmp_path / "yolo/data.yaml", settings.replace("kpt_shape: [4, 3]\n", ""))
    assert "has no kpt_shape, as of boxes only" in faults(tmp_path / "yolo")


def test_every_line_of_yolo_that_is_wrong_is_named(tmp_path):
    folders.yolo(tmp_path)
    lines = sorted((tmp_path / "train/labels").glob("*.txt"))
    put(lines[0], "0 0.5 0.5 0.2 0.2\n")
    put(lines[1], "0 0.5 0.5 0.2 oops\n")
    put(lines[2], "0 64 32 20 20" + " 0.5 0.5 2" * 4)
    words = faults(tmp_path)
    for said in ("has 5 numbers (a box only); kpt_shape makes it 17", "no number", "is in pixels", "line 1"):
        assert said in words


def test_empty_labels_are_refused(tmp_path):
    folders.yolo(tmp_path / "yolo")
    for file in (tmp_path / "yolo").rglob("*.txt"):
        file.write_text("")
    assert "no label file has a line with joints" in faults(tmp_path / "yolo")
    put(tmp_path / "ls/tasks.json", [{"id": 1, "data": {"image": "a.png"}, "annotations": []}])
    assert "no task has keypoints" in faults(tmp_path / "ls")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.slp", "not HDF5"),
        ("annotations/keypoints_train.json", '{"images": ['),
        ("data.yaml", "names: [a\n train: b"),
        ("data.yaml", "[1, 2]"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    put(tmp_path / name, content)
    words = faults(tmp_path)
    assert name in words
    assert "cannot be read" in words or "is not JSON" in words


def test_a_damaged_table_is_named(tmp_path):
    folders.deeplabcut(tmp_path)
    file = next(iter(sorted(tmp_path.rglob("*.csv"))))
    file.write_text(file.read_text().replace(file.read_text().splitlines()[4].split(",")[3], "oops"))
    assert file.name in faults(tmp_path)


def test_two_subjects_whose_joints_nobody_joined_are_refused(tmp_path):
    folders.label_studio(tmp_path)
    file = tmp_path / "project-1-at-2026.json"
    tasks = json.loads(file.read_text())
    again = [one | {"id": f"{one['id']}-2"} for one in tasks[3]["annotations"][0]["result"]]
    tasks[3]["annotations"][0]["result"] += again
    put(file, tasks)
    assert "task 3: has nose, left_ear, right_ear" in faults(tmp_path)
    assert "join joints and rectangles" in faults(tmp_path)


def test_a_rectangle_without_joints_and_a_cancelled_task_are_passed_over(tmp_path):
    folders.label_studio(tmp_path)
    file = tmp_path / "project-1-at-2026.json"
    tasks = json.loads(file.read_text())
    box = {
        "id": "r",
        "type": "rectanglelabels",
        "original_width": 128,
        "original_height": 64,
        "value": {"x": 1, "y": 1},
    }
    tasks[0]["annotations"][0]["result"].append(box | {"value": {"rectanglelabels": ["mouse"]}})
    tasks[1]["annotations"][0]["was_cancelled"] = True
    put(file, tasks)
    assert len(seen(tmp_path).labelled.instances) == 19


def test_a_folder_that_nobody_may_write_to_is_told_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: str(path) != str(tmp_path))
    assert target_faults(tmp_path / "new", force=True, root=tmp_path / "data") == [
        f"{tmp_path / 'new'}: cannot be written to; give another folder with --out"
    ]


def test_names_that_are_given_twice_are_refused(tmp_path):
    put(tmp_path / "labels.json", folders.coco_document(folders.labels(4), names=("a", "b", "a", "c")))
    assert "keypoints named more than once: a" in faults(tmp_path)
