"""COCO files of any origin are read, and whatever is wrong with them is said before it costs a run."""

import functools
import json
import operator
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from greenpose.data import load_profile
from greenpose.data.coco import inspect_split
from greenpose.errors import DataError
from tests.data.planted import NAMES, PROFILE, document, read_split, spoilt, write

_REAL = Path(os.environ.get("GREENPOSE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
_BOX_AREA = PROFILE.model_copy(update={"area": "box"})


def _inspect(tmp_path, content=None, profile=PROFILE):
    return inspect_split(*write(tmp_path, content=content), profile)


def _said(split, level):
    return "\n".join(str(finding) for finding in split.findings if finding.level == level)


def test_a_sound_file_is_read_whole_and_nothing_is_said(tmp_path):
    file, images = write(tmp_path)
    split = inspect_split(file, images, PROFILE)
    assert split.findings == ()
    first = read_split(file, images, PROFILE)[0]
    assert (first.id, first.image_id, first.image) == (10, 1, str(images / "frame1.png"))
    assert (first.image_size, first.box, first.area) == ((40, 30), (5.0, 6.0, 20.0, 18.0), 300.0)
    np.testing.assert_array_equal(first.joints, [[10, 10], [15, 20], [20, 12]])
    np.testing.assert_array_equal(first.visibility, [2, 1, 2])


def test_counts_tell_images_patients_and_labelled_joints(tmp_path):
    content = spoilt(keypoints=[0, 0, 0, 15, 20, 1, 0, 0, 0], num_keypoints=1)
    content["images"][0]["patient"] = content["images"][1]["patient"] = "pz7"
    split = _inspect(tmp_path, content)
    assert (split.num_images, len(split.instances), split.subjects) == (3, 3, ("pz7",))
    assert split.labelled == {"head": 2, "left": 3, "right": 2}


@pytest.mark.parametrize(
    ("changes", "level", "message"),
    [
        ({"id": 10}, "error", "annotations.id: 1 ids are those of several annotations (10)"),
        ({"id": None}, "error", "annotations.id: 1 annotations have no whole number as id (None)"),
        ({"image_id": 99}, "error", "annotations.image_id: 1 annotations belong to no listed image (11)"),
        ({"keypoints": [1, 2, 2]}, "error", "annotations.keypoints: 1 annotations have not three numbers"),
        ({"keypoints": [float("nan"), 1, 2] * 3}, "error", "annotations.keypoints: 1 annotations hold something"),
        ({"keypoints": [None, 1, 2] * 3}, "error", "annotations.keypoints: 1 annotations hold something"),
        ({"keypoints": [5, 5, 3] * 3}, "error", "annotations.keypoints: 1 annotations have a visibility that is not"),
        ({"bbox": [], "keypoints": [900, 5, 2] * 3}, "error", "annotations.bbox: 1 annotations have no box and no"),
        ({"keypoints": ...}, "warning", "annotations.keypoints: 1 annotations have no keypoints"),
        ({"keypoints": []}, "warning", "annotations.keypoints: 1 annotations have no keypoints"),
        ({"category_id": 4}, "warning", "annotations.category_id: 1 annotations are of another category"),
        ({"keypoints": [5, 5, 0, 9, 9, 2, 8, 8, 2], "num_keypoints": 2}, "warning", "v=0 although x and y are given"),
        ({"keypoints": [50, 5, 2, 9, 9, 2, 8, 8, 2]}, "warning", "1 annotations have labelled joints outside"),
        ({"bbox": [0, 0, 0, 0]}, "warning", "annotations.bbox: 1 annotations have no usable box"),
        ({"bbox": [[5, 6, 20, 18]]}, "warning", "annotations.bbox: 1 annotations have no usable box"),
        ({"bbox": ...}, "warning", "annotations.bbox: 1 annotations have no usable box"),
        ({"bbox": [200, 0, 10, 10]}, "warning", "annotations.bbox: 1 annotations have no usable box"),
        ({"area": 0}, "warning", "annotations.area: 1 annotations have no area"),
        ({"area": ...}, "warning", "annotations.area: 1 annotations have no area"),
        ({"area": 1}, "warning", "annotations.area: 1 annotations have an area of 1 or less"),
        ({"area": 0.3}, "warning", "annotations.area: 1 annotations have an area of 1 or less"),
        ({"area": 2}, "warning", "annotations.area: 1 annotations have an area below a hundredth of their box"),
        ({"area": 700}, "warning", "annotations.area: 1 annotations have an area larger than their box"),
        ({"area": 1201}, "error", "annotations.area: 1 annotations have an area, or a box in its place, larger than"),
        ({"area": ..., "bbox": [-5, -5, 60, 60]}, "error", "annotations.area: 1 annotations have an area, or a box in"),
        ({"bbox": [0, 20, 4, 4]}, "warning", "annotations.bbox: 1 annotations have most of their joints outside their"),
        ({"keypoints": [0, 0, 2, 16, 20, 1, 20, 12, 2]}, "warning", "1 annotations have joints at 0, 0 with v=1 or 2"),
        ({"iscrowd": "perhaps"}, "error", "annotations.iscrowd: 1 annotations have an iscrowd that is neither 0 nor 1"),
        ({"iscrowd": {}}, "error", "annotations.iscrowd: 1 annotations have an iscrowd that is neither 0 nor 1"),
        ({"num_keypoints": []}, "note", "annotations.num_keypoints: 1 annotations count their keypoints otherwise"),
        ({"id": "9" * 5000}, "error", "annotations.id: 1 annotations have no whole number as id"),
        ({"area": 10**400}, "warning", "annotations.area: 1 annotations have no area"),
        ({"iscrowd": True}, "note", "annotations.iscrowd: 1 annotations are crowds"),
        ({"keypoints": [0, 0, 0] * 3, "num_keypoints": 0}, "note", "1 annotations have no labelled joint"),
        ({"keypoints": [-1, -1, 2, 9, 9, 2, 8, 8, 2]}, "note", "1 annotations have joints at -1, -1"),
        ({"num_keypoints": 0}, "note", "annotations.num_keypoints: 1 annotations count their keypoints otherwise"),
        ({"image_id": "2"}, "note", "annotations.image_id: 1 annotations give it as text"),
        ({"id": 0}, "note", "annotations.id: ids below 1 are in use"),
    ],
)
def test_what_is_wrong_with_an_annotation_is_counted_and_named(tmp_path, changes, level, message):
    split = _inspect(tmp_path, spoilt(**changes))
    assert message in _said(split, level)
    if level == "error":
        with pytest.raises(DataError, match=r"person_keypoints_train\.json: annotations"):
            read_split(tmp_path / "annotations" / "person_keypoints_train.json", tmp_path / "images", PROFILE)


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": ...},
        {"num_keypoints": ...},
        {"iscrowd": False},
        {"iscrowd": "0"},
        {"iscrowd": "false"},
        {"iscrowd": None},
        {"segmentation": []},
        {"image_id": 2.0},
        {"id": "11"},
    ],
)
def test_what_other_tools_leave_out_or_write_otherwise_is_no_fault(tmp_path, changes):
    split = _inspect(tmp_path, spoilt(**changes))
    assert split.findings == ()
    assert len(split.instances) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoints": ...},
        {"category_id": 4},
        {"iscrowd": 1},
        {"iscrowd": "1"},
        {"iscrowd": "True"},
        {"keypoints": [0, 0, 0] * 3},
    ],
)
def test_what_cannot_be_used_is_left_out(tmp_path, changes):
    assert [one.id for one in _inspect(tmp_path, spoilt(**changes)).instances] == [10, 12]


def test_ids_are_numbered_anew_when_one_is_zero(tmp_path):
    assert [one.id for one in _inspect(tmp_path, spoilt(id=0)).instances] == [1, 2, 3]


@pytest.mark.parametrize("keypoints", [[10, 10, 2, 16, 20, 1, 20, 12, 2], [1, 1, 2, 39, 29, 1, 0, 0, 0]])
def test_a_missing_box_is_made_from_the_joints_and_holds_them(tmp_path, keypoints):
    made = _inspect(tmp_path, spoilt(bbox=[0, 0, 0, 0], area=0, keypoints=keypoints)).instances[1]
    x, y, width, height = made.box
    labelled = made.joints[made.visibility > 0]
    assert (labelled >= [x, y]).all()
    assert (labelled <= [x + width, y + height]).all()
    assert x >= 0
    assert y >= 0
    assert x + width <= 40
    assert y + height <= 30
    assert made.area == pytest.approx(width * height)


def test_the_profile_says_which_area_oks_takes(tmp_path):
    assert [one.area for one in _inspect(tmp_path, profile=PROFILE).instances] == [300.0] * 3
    assert [one.area for one in _inspect(tmp_path, profile=_BOX_AREA).instances] == [360.0] * 3


def test_unlabelled_joints_are_zero_whatever_the_file_says(tmp_path):
    split = _inspect(tmp_path, spoilt(keypoints=[-1, -1, 2, 7, 7, 0, 8, 9, 2]))
    np.testing.assert_array_equal(split.instances[1].joints, [[0, 0], [0, 0], [8, 9]])
    np.testing.assert_array_equal(split.instances[1].visibility, [0, 0, 2])


def test_all_faults_of_a_file_are_reported_at_once(tmp_path):
    content = spoilt(id=10, keypoints=[1, 2])
    content["images"][2]["width"] = 41
    with pytest.raises(DataError) as caught:
        read_split(*write(tmp_path, content=content), PROFILE)
    assert len(caught.value.faults) == 3


def _edit(content, edit):
    """Return a document with values put at places such as `images 1 height`; `...` removes one."""
    for place, value in edit.items():
        *path, key = [int(part) if part.isdecimal() else part for part in place.split()]
        holder = functools.reduce(operator.getitem, path, content)
        if value is ...:
            del holder[key]
        elif key == "+":
            holder.append(value)
        else:
            holder[key] = value
    return content


_OTHER = r"categories.keypoints: no category has the keypoints .*"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {f"annotations {n} keypoints": ... for n in range(3)},
            r"train\.json: annotations\.keypoints: none of the 3 annotations has keypoints",
        ),
        ({"annotations": []}, "nothing usable is left"),
        ({"categories 0 keypoints": ["head", "right", "left"]}, _OTHER + "in another order"),
        ({"categories 0 keypoints": ["head", "left"]}, _OTHER + "'stick' has 2 instead of 3, lacks right"),
        ({"categories 0 keypoints": ["head", "left", "tail"]}, _OTHER + "lacks right, has also tail"),
        ({"images 1 height": 31}, "frame2.png is 40 x 30, listed 40 x 31"),
        ({"images 1 id": 1}, r"images.id: 1 ids are those of several images \(1\)"),
        (
            {"images 1 file_name": "./frame1.png"},
            r"1 files are listed as several images \(frame1.png is 1 and 2\)",
        ),
        (
            {"annotations +": document()["annotations"][0] | {"id": 99}},
            r"1 annotations are there again under another id: same image, box and joints \(99 = 10\)",
        ),
        (
            {"categories +": {"id": 3, "name": "other", "keypoints": ["a", "b", "c"]}},
            r"categories.id: 1 ids are those of several categories \(3 is 'stick' and 'other'\)",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named_in_one_fault(tmp_path, edit, message):
    with pytest.raises(DataError, match=message) as caught:
        read_split(*write(tmp_path, content=_edit(document(), edit)), PROFILE)
    assert "in another order" in message or not any("in another order" in fault for fault in caught.value.faults)


def test_a_category_that_names_no_keypoints_is_taken_with_a_warning(tmp_path):
    content = document()
    del content["categories"][0]["keypoints"]
    split = _inspect(tmp_path, content)
    assert len(split.instances) == 3
    assert "names no keypoints" in _said(split, "warning")


def test_without_a_profile_the_files_own_names_are_taken(tmp_path):
    assert _inspect(tmp_path, profile=None).keypoints == tuple(NAMES)


def test_without_a_profile_two_skeletons_are_a_question(tmp_path):
    content = document()
    content["categories"].append({"id": 4, "name": "bird", "keypoints": ["beak"]})
    assert "several categories have different ones; name a profile" in _said(_inspect(tmp_path, content, None), "error")
    assert _inspect(tmp_path, content).findings == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"train\.json: cannot be read"),
        ("{", "is not JSON"),
        (
            '{"images": [], "annotations": [], "categories": [], "images": []}',
            "is not JSON: key 'images' is given twice",
        ),
        ("{}", r"3 of the three lists .* \(images, annotations, categories\)"),
        ('{"images": [], "annotations": [1], "categories": []}', r"1 of the three lists .* \(annotations\)"),
    ],
)
def test_a_file_that_is_no_coco_document_is_refused(tmp_path, text, message):
    file = tmp_path / "train.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(file, tmp_path, PROFILE)


def test_missing_images_are_counted_named_and_listed_by_patient(tmp_path):
    content = document()
    for image in content["images"]:
        image["file_name"] = f"pz{image['id'] // 2}/{image['id']}.png"
    file, images = write(tmp_path, content=content)
    (images / "pz1" / "2.png").unlink()
    (images / "pz1" / "3.png").unlink()
    with pytest.raises(DataError, match=r"2 images are not below .*: pz1/2.png, pz1/3.png; by patient pz1: 2"):
        read_split(file, images, PROFILE)


def test_a_broken_image_is_named(tmp_path):
    file, images = write(tmp_path)
    (images / "frame2.png").write_bytes((images / "frame2.png").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"frame2\.png: is truncated"):
        read_split(file, images, PROFILE)


def test_a_size_that_is_not_listed_is_taken_from_the_file(tmp_path):
    content = document()
    del content["images"][1]["width"]
    split = _inspect(tmp_path, content)
    assert split.instances[1].image_size == (40, 30)
    assert "1 images are listed without a size" in _said(split, "note")


def test_images_without_annotations_may_be_missing(tmp_path):
    file, images = write(tmp_path)
    content = document(4)
    content["annotations"].pop()
    file.write_text(json.dumps(content))
    split = inspect_split(file, images, PROFILE)
    assert len(split.instances) == 3
    assert [finding.level for finding in split.findings] == ["note"]


def test_images_may_lie_in_a_subfolder_that_the_files_name_mentions(tmp_path):
    file, images = write(tmp_path, "val2017")
    (images / "val2017").mkdir()
    for image in images.glob("*.png"):
        image.rename(images / "val2017" / image.name)
    assert len(read_split(file, images, PROFILE)) == 3


@pytest.mark.parametrize(
    ("image", "annotation", "expected"),
    [
        ({"patient": 7}, {}, "7"),
        ({"subject": "anna"}, {}, "anna"),
        ({"file_name": "pz12/x.png"}, {}, "pz12"),
        ({"path": "/datasets/baby_pose/pz3/x.png"}, {}, "pz3"),
        ({"file_name": "val/x.png"}, {}, ""),
        ({}, {"patient": "pz4"}, "pz4"),
        ({"patient": "pz5"}, {"patient": "pz4"}, "pz5"),
    ],
)
def test_the_patient_is_found_where_files_tell_it(tmp_path, image, annotation, expected):
    content = document(1)
    content["images"][0].update(image)
    content["annotations"][0].update(annotation)
    assert _inspect(tmp_path, content).instances[0].subject == expected


def test_depth_images_are_noted_and_a_mixture_is_refused(tmp_path):
    content = document()
    file, images = write(tmp_path, content=content, pixels=np.full((30, 40), 700, np.uint16))
    assert "3 images are 16-bit depth" in _said(inspect_split(file, images, PROFILE), "note")
    cv2.imwrite(str(images / "frame1.png"), np.zeros((30, 40), np.uint8))
    assert "2 images are 16-bit depth and the others 8-bit" in _said(inspect_split(file, images, PROFILE), "error")


@pytest.mark.parametrize(
    ("info", "expected"),
    [({"depth_window_mm": [400, 900]}, (400.0, 900.0)), ({"depth_window_mm": [400]}, None), ({}, None), ("text", None)],
)
def test_a_file_may_recommend_its_depth_window(tmp_path, info, expected):
    assert _inspect(tmp_path, document() | {"info": info}).window == expected


@pytest.mark.skipif(not (_REAL / "coco4").exists(), reason="the four COCO images are not at hand")
def test_real_coco_images_are_read():
    split = inspect_split(
        _REAL / "coco4" / "annotations" / "person_keypoints_val.json", _REAL / "coco4" / "images", load_profile("coco")
    )
    assert [finding.level for finding in split.findings if finding.level != "note"] == []
    assert (split.num_images, len(split.instances)) == (4, 12)
    assert "2 annotations have no labelled joint" in _said(split, "note")


@pytest.mark.skipif(not (_REAL / "openfield").exists(), reason="the mouse's images are not at hand")
@pytest.mark.parametrize(("name", "count"), [("train", 80), ("val", 18), ("test", 18)])
def test_a_real_mouse_is_read(name, count):
    root = _REAL / "openfield"
    instances = read_split(root / "annotations" / f"keypoints_{name}.json", root / "images", load_profile("openfield"))
    assert len(instances) == count
    for one in instances:
        assert one.area == pytest.approx(one.box[2] * one.box[3])
