"""What goes wrong in raw trees, row by row of the table in docs/data.md: handled and said, never silent."""

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from greenpose.data import image_reader
from greenpose.data.check import check_folder
from greenpose.data.images import window_depth
from greenpose.data.raw import prepare
from greenpose.errors import DataError
from tests.data.raw.exports import (
    PROFILE,
    SIZE,
    change,
    image_file,
    pixels,
    read,
    request,
    stored,
    write_export,
    write_tree,
)

NUM_IMAGES = {"train": 4, "val": 2, "test": 2}


@pytest.fixture
def raw(tmp_path):
    return write_tree(tmp_path / "raw")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def _first(edit):
    """Return an edit of a document that changes its first annotation."""
    return lambda content: edit(content["annotations"][0])


def _refused(raw, out, *messages, **options):
    """Assert that nothing is made, and that every message is in a fault of its own."""
    with pytest.raises(DataError) as caught:
        prepare(request(raw, **options), out)
    assert [entry.name for entry in out.parent.iterdir()] == ["raw"]
    faults = list(caught.value.faults)
    assert len(faults) == len(messages), faults
    for message in messages:
        assert any(message in fault for fault in faults), faults


def _patient(prepared, name):
    (note,) = (note for note in prepared.manifest.patients if note.patient == name)
    return note


def _remarks(prepared):
    return "\n".join(f"{remark.level}: {remark.where}: {remark.message}" for remark in prepared.manifest.remarks)


def _images(prepared):
    return {split: counts.images for split, counts in prepared.manifest.counts.items()}


def _ap(out, split):
    """Return the AP of predictions that are the annotations themselves, by pycocotools alone."""
    content = read(out, split)
    results = [
        {"image_id": one["image_id"], "category_id": one["category_id"], "keypoints": one["keypoints"], "score": 1.0}
        for one in content["annotations"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(out / "annotations" / f"person_keypoints_{split}.json"))
        evaluator = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(PROFILE.sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats[0]


# 16-bit depth


def test_depth_is_kept_in_all_its_bits_and_only_seen_through_a_window_that_is_named(tmp_path, out):
    raw = write_tree(tmp_path / "raw", depth=True)
    prepared = prepare(request(raw), out)
    assert (prepared.manifest.depth.bits, prepared.manifest.depth.grey_of_depth_mm) == (16, None)
    written = stored(out / "images" / "train" / "000000000001.png")
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written[::-1, ::-1], stored(image_file(raw, 3)))
    instance = check_folder(out, profile=PROFILE).splits["train"].instances[0]
    with pytest.raises(DataError, match="name the window"):
        image_reader()(instance)
    assert image_reader(window=(500, 800))(instance).dtype == np.uint8


def test_depth_through_a_window_is_grey_with_no_return_apart_and_the_window_is_written_down(tmp_path, out):
    raw = write_tree(tmp_path / "raw", depth=True)
    prepared = prepare(request(raw, window=(550, 750)), out)
    depth = stored(image_file(raw, 3))
    grey = stored(out / "images" / "train" / "000000000001.png")[::-1, ::-1]
    np.testing.assert_array_equal(grey, window_depth(depth, (550, 750)))
    np.testing.assert_array_equal(grey == 0, depth == 0)
    found = prepared.manifest.depth
    assert (found.bits, found.grey_of_depth_mm) == (8, (550.0, 750.0))
    everything = np.concatenate([stored(file).ravel() for file in (raw / "images").rglob("*.png")])
    returned = everything[everything > 0]
    assert found.inside_share == pytest.approx(((returned >= 550) & (returned <= 750)).mean())
    assert read(out, "train")["info"]["grey_of_depth_mm"] == [550.0, 750.0]
    image_reader()(check_folder(out, profile=PROFILE).splits["train"].instances[0])


def test_depth_that_became_an_8_bit_image_under_way_is_named(tmp_path, out):
    raw = write_tree(tmp_path / "raw", depth=True)
    changed = image_file(raw, 6)

    def tell(done, total):
        cv2.imwrite(str(changed), np.zeros((9, 9), np.uint8))

    with pytest.raises(DataError) as caught:
        prepare(request(raw, window=(550, 750)), out, tell=tell)
    assert f"{changed}: has changed: it was 16-bit depth" in str(caught.value)
    assert not out.exists()


def test_a_window_that_shows_nothing_is_refused_with_what_there_is_to_see(tmp_path, out):
    raw = write_tree(tmp_path / "raw", depth=True)
    _refused(raw, out, "window: 0.4,0.9 holds 0 % of the depths; they go from 500 to 799", window=(0.4, 0.9))


@pytest.mark.parametrize("window", [(900, 400), (500, 500)])
def test_an_empty_window_is_refused(raw, out, window):
    _refused(raw, out, "give near < far", window=window)


def test_a_window_for_eight_bit_images_is_refused(raw, out):
    _refused(raw, out, "are 8-bit; --window is for 16-bit depth", window=(400, 900))


def test_depth_and_grey_do_not_mix(raw, out):
    for index in range(2):
        cv2.imwrite(str(image_file(raw, 4, index)), pixels(f"deep{index}", depth=True))
    _refused(raw, out, "16-bit depth (pz4) and 8-bit images (pz3, pz6, pz73) do not mix")


def test_colour_and_grey_stay_as_they_are(raw, out):
    colour = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    cv2.imwrite(str(image_file(raw, 3)), colour)
    prepare(request(raw), out)
    np.testing.assert_array_equal(stored(out / "images/train/000000000001.png"), colour[::-1, ::-1])
    np.testing.assert_array_equal(
        stored(out / "images/train/000000000002.png"), stored(image_file(raw, 3, 1))[::-1, ::-1]
    )


# images that are missing or broken

_DAMAGES = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-30]),
    "no image": lambda file: file.write_bytes(b"hello"),
    "rotten": lambda file: file.write_bytes(_flipped(file.read_bytes())),
    "cut JPEG": lambda file: file.write_bytes(_cut(stored(file), progressive=0)),
    "cut progressive JPEG": lambda file: file.write_bytes(_cut(stored(file), progressive=1)),
}


def _cut(pixels, *, progressive):
    """Return the first two thirds of a JPEG, closed like a whole one."""
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    return data[: len(data) * 2 // 3] + b"\xff\xd9"


def _flipped(data):
    """Return a file of the same beginning and end with other bytes in the middle."""
    middle = data.index(b"IDAT") + 20
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 200]) + data[middle + 200 :]


@pytest.mark.parametrize("damage", _DAMAGES)
def test_images_that_cannot_be_had_are_counted_and_named_by_patient(raw, out, damage):
    for patient in (3, 73):
        _DAMAGES[damage](image_file(raw, patient))
    told = "images.file_name: 1 images are not below" if damage == "missing" else "images: 1 image files are broken"
    _refused(raw, out, f"pz3.json: {told}", f"pz73.json: {told}")
    prepared = prepare(request(raw, allow_missing=True), out)
    assert _images(prepared) == {"train": 3, "val": 2, "test": 1}
    assert "left out" in _remarks(prepared)
    for patient in (3, 73):
        note = _patient(prepared, f"pz{patient}")
        (name,) = note.missing + note.broken
        assert image_file(raw, patient).name in name
        assert (note.images_listed, note.images, note.annotations) == (2, 1, 1)
    assert not check_folder(out, profile=PROFILE).findings


def test_images_elsewhere_than_in_the_tools_folder_are_found_by_the_end_of_their_path(raw, out):
    def edit(content):
        content["images"][0]["path"] = "/srv/other/pz3/00300_8bit.png"
        content["images"][1]["path"] = "00301_8bit.png"

    change(raw, 3, edit)
    assert _images(prepare(request(raw), out)) == NUM_IMAGES


def test_a_patient_of_whom_nothing_is_left_is_an_error_even_where_missing_images_are_allowed(raw, out):
    for index in range(2):
        image_file(raw, 3, index).unlink()
    _refused(raw, out, "pz3.json: nothing usable is left", allow_missing=True)


# annotations


def _adult(content):
    """Add a subject of another category."""
    content["categories"].append({"id": 8, "name": "adult", "keypoints": [], "skeleton": []})
    other = {"id": 9, "image_id": 600, "category_id": 8, "area": 0, "bbox": [0, 0, 0, 0], "iscrowd": False}
    content["annotations"].append(other)


def _hidden(one):
    one["keypoints"][2] = 0  # with x and y
    one["bbox"] = [one["bbox"]]


@pytest.mark.parametrize(
    ("edit", "left_out", "mended", "remark"),
    [
        (_first(lambda one: one.pop("keypoints")), {"no keypoints": 1}, {}, "1 annotations have no keypoints"),
        (_first(lambda one: one.update(keypoints=[])), {"no keypoints": 1}, {}, "1 annotations have no keypoints"),
        (_first(lambda one: one.update(keypoints=[0] * 36)), {"unlabelled": 1}, {}, "no labelled joint"),
        (_adult, {"other category": 1}, {}, "of another category"),
        (_first(lambda one: one.update(iscrowd=True)), {"crowd": 1}, {}, "are crowds"),
        (
            _first(_hidden),
            {},
            {"hidden": 1, "no box": 1, "recount": 1},
            "if v tells occlusion in this file, write 1 for them",
        ),
        (
            _first(lambda one: one["keypoints"].__setitem__(slice(0, 3), [-1, -1, 2])),
            {},
            {"minus one": 1, "recount": 1},
            "joints at -1, -1",
        ),
    ],
    ids=lambda one: "+".join(one) if isinstance(one, dict) else "",
)
def test_annotations_that_are_left_out_or_mended_are_counted_and_named(raw, out, edit, left_out, mended, remark):
    change(raw, 6, edit)
    prepared = prepare(request(raw), out)
    note, content = _patient(prepared, "pz6"), read(out, "val")
    assert (note.left_out, note.mended) == (left_out, mended)
    assert remark in _remarks(prepared)
    used = 2 if mended or edit is _adult else 1
    assert len(content["annotations"]) == prepared.manifest.counts["val"].annotations == used
    assert _images(prepared) == NUM_IMAGES | {"val": used}
    assert [one["name"] for one in content["categories"]] == ["infant"]
    for one in content["annotations"]:
        rows = np.reshape(one["keypoints"], (12, 3))
        assert not rows[rows[:, 2] == 0].any()
        assert one["num_keypoints"] == (rows[:, 2] > 0).sum()


_ELSEWHERE = "/datasets/baby_pose/../../raw/images/pz6/00600_8bit.png"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content["images"][0].update(path=_ELSEWHERE), "1 images are not below"),
        (lambda content: content["categories"][0]["keypoints"].pop(), "categories.keypoints: no category has the"),
        (_first(lambda one: one.update(id=1601)), "annotations.id: 1 ids are those of several annotations (1601)"),
        (
            lambda content: content["images"][0].update(width=640, height=480),
            "00600_8bit.png is 40 x 31, listed 640 x 480",
        ),
    ],
)
def test_what_is_wrong_with_an_export_is_refused_by_its_name(raw, out, edit, message):
    change(raw, 6, edit)
    _refused(raw, out, message)


def test_an_unlabelled_joint_is_not_turned_into_a_corner(raw, out):
    prepare(request(raw), out)
    for split in NUM_IMAGES:
        for one in read(out, split)["annotations"]:
            assert one["keypoints"][-3:] == [0, 0, 0]


def test_one_image_id_in_two_patients_stays_two_images(raw, out):
    def edit(content):
        for image, one, number in zip(content["images"], content["annotations"], (300, 301), strict=True):
            image["id"] = one["image_id"] = number

    change(raw, 6, edit)
    prepared = prepare(request(raw), out)
    assert _images(prepared) == NUM_IMAGES
    entries = [image for split in NUM_IMAGES for image in read(out, split)["images"]]
    assert len({image["id"] for image in entries}) == len(list((out / "images").rglob("*.png"))) == 8
    told = {(image["patient"], image["source_id"]): image["source"] for image in entries}
    assert told["pz3", 300] == "images/pz3/00300_8bit.png"
    assert told["pz6", 300] == "images/pz6/00600_8bit.png"


def test_an_image_that_two_patients_claim_is_refused(raw, out):
    (raw / "images" / "both").mkdir()
    image_file(raw, 3).rename(raw / "images" / "both" / "x.png")
    for patient in (3, 6):
        change(raw, patient, lambda content: content["images"][0].update(path="/datasets/baby_pose/both/x.png"))
    _refused(raw, out, "1 files are claimed by several images (x.png by pz3 image 300 and pz6 image 600)")


def test_an_image_out_of_another_patients_folder_is_refused(raw, out):
    change(raw, 6, lambda content: content["images"][0].update(path="/datasets/baby_pose/pz9/x.png"))
    (raw / "images" / "pz9").mkdir()
    cv2.imwrite(str(raw / "images" / "pz9" / "x.png"), pixels("x"))
    _refused(raw, out, "pz6.json: images.path: 1 images lie in another patient's folder than pz6")


def test_a_copied_image_in_another_split_is_refused(raw, out):
    image_file(raw, 6).write_bytes(image_file(raw, 3).read_bytes())
    image_file(raw, 4).unlink()
    _refused(
        raw, out, "raw: images: 1 images have a byte-identical copy in another split", "pz4.json: images.file_name"
    )


def test_images_that_a_window_makes_alike_are_refused_by_the_last_check_before_the_folder_is_there(tmp_path, out):
    raw = write_tree(tmp_path / "raw", depth=True)
    for patient, depth in ((3, 900), (6, 910)):
        cv2.imwrite(str(image_file(raw, patient)), np.full(SIZE[::-1], depth, np.uint16))
    _refused(raw, out, f"{out}: 1 images have a byte-identical copy in another split", window=(550, 750))


def test_found_patients_are_listed_and_what_fits_nobody_is_told(raw, out):
    (raw / "annotations" / "all.json").write_text("{}")
    (raw / "images" / "pz99").mkdir()
    prepared = prepare(request(raw), out)
    assert [note.patient for note in prepared.manifest.patients] == ["pz3", "pz4", "pz6", "pz73"]
    assert prepared.manifest.split.rule == "paper"
    assert "23 of its 27 patients are not here" in prepared.manifest.split.note
    assert "warning: annotations: 1 files are not named pzN.json and left out (all.json)" in _remarks(prepared)
    assert "1 patients have images and no export, and are left out (pz99)" in _remarks(prepared)


def test_two_exports_of_one_patient_are_refused(raw, out):
    (raw / "annotations" / "PZ_03.json").write_text((raw / "annotations" / "pz3.json").read_text())
    _refused(raw, out, "1 patients have several exports (PZ_03.json = pz3.json)")


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_an_export_that_is_none_is_named(raw, out, text):
    (raw / "annotations" / "pz3.json").write_text(text)
    _refused(raw, out, "pz3.json: ")


def test_a_box_is_made_from_the_joints_and_an_area_from_the_box_and_both_say_so(raw, out):
    change(raw, 6, _first(lambda one: one.update(bbox=[0, 0, 0, 0], area=0, segmentation=[])))
    prepared = prepare(request(raw), out)
    first, second = read(out, "val")["annotations"]
    assert (first["bbox_source"], first["area_source"]) == ("joints", "bbox")
    assert (second["bbox_source"], second["area_source"]) == ("drawn", "drawn")
    x, y, width, height = first["bbox"]
    joints = np.reshape(first["keypoints"], (12, 3))[:11, :2]
    assert (joints >= [x, y]).all()
    assert (joints <= [x + width, y + height]).all()
    assert first["area"] == pytest.approx(width * height)
    assert _patient(prepared, "pz6").mended == {"no box": 1, "no area": 1}
    loaded = check_folder(out, profile=PROFILE).splits["val"].instances
    assert [instance.image_id for instance in loaded] == [one["image_id"] for one in (first, second)]
    assert _ap(out, "val") == pytest.approx(1)


@pytest.mark.parametrize(
    "changes",
    [{"id": 0}, {"image_id": "600"}, {"num_keypoints": 0}, {"num_keypoints": None}, {"iscrowd": 0}],
    ids=str,
)
def test_what_bends_pycocotools_figures_is_mended(raw, out, changes):
    change(raw, 6, _first(lambda one: one.update(changes)))
    prepare(request(raw), out)
    content = read(out, "val")
    assert [one["id"] for one in content["annotations"]] == [1, 2]
    assert [one["source_id"] for one in content["annotations"]] == sorted([changes.get("id", 1600), 1601])
    assert all(one["num_keypoints"] == 11 for one in content["annotations"])
    assert _ap(out, "val") == pytest.approx(1)


@pytest.mark.parametrize("key", ["num_keypoints", "iscrowd", "segmentation"])
def test_what_an_annotation_may_lack_is_filled_in(raw, out, key):
    change(raw, 6, _first(lambda one: one.pop(key)))
    prepare(request(raw), out)
    assert read(out, "val")["annotations"][0][key] == {"num_keypoints": 11, "iscrowd": 0, "segmentation": []}[key]
    assert _ap(out, "val") == pytest.approx(1)


def test_blanks_around_names_are_not_kept(raw, out):
    prepare(request(raw), out)
    assert read(out, "train")["categories"][0]["keypoints"] == list(PROFILE.keypoints)


def test_an_image_of_another_size_is_turned_by_its_own(raw, out):
    pixel = np.zeros((20, 50), np.uint8)
    x, y = json.loads((raw / "annotations" / "pz6.json").read_text())["annotations"][0]["keypoints"][:2]
    pixel[min(y, 19), x] = 255

    def edit(content):
        content["images"][0].update(width=50, height=20)
        content["annotations"][0]["keypoints"] = [x, min(y, 19), 2, *[0] * 33]

    change(raw, 6, edit)
    cv2.imwrite(str(image_file(raw, 6)), pixel)
    prepare(request(raw), out)
    content = read(out, "val")
    column, row = content["annotations"][0]["keypoints"][:2]
    assert stored(out / "images" / content["images"][0]["file_name"])[int(row), int(column)] == 255
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (50, 20)


def test_patients_are_counted_beside_frames(raw, out):
    prepared = prepare(request(raw), out)
    assert {split: (counts.patients, counts.images) for split, counts in prepared.manifest.counts.items()} == {
        "train": (2, 4),
        "val": (1, 2),
        "test": (1, 2),
    }


def test_which_area_it_is_gets_counted_and_a_mixture_is_a_warning(raw, out):
    change(raw, 3, _first(lambda one: one.update(area=250)))
    change(raw, 4, _first(lambda one: one.update(area=0)))
    prepared = prepare(request(raw), out)
    areas = prepared.manifest.counts["train"].areas
    assert (areas.drawn_boxes, areas.drawn_silhouettes, areas.boxes) == (2, 1, 1)
    (finding,) = check_folder(out, profile=PROFILE).findings
    assert finding.level == "warning"
    assert "areas are of two kinds, the box's and a silhouette's: train 3 and 1, val 2 and 0" in finding.message


def test_faults_of_all_exports_and_images_are_told_together(raw, out):
    change(raw, 3, _first(lambda one: one.update(id=1301)))
    change(raw, 4, lambda content: content["categories"][0]["keypoints"].reverse())
    _DAMAGES["rotten"](image_file(raw, 6))
    image_file(raw, 73).unlink()
    _refused(raw, out, "pz3.json", "pz4.json", "pz6.json: images: 1 image files are broken", "pz73.json")


def test_a_tree_without_exports_is_refused(tmp_path, out):
    raw = write_tree(tmp_path / "raw", patients=())
    raw.mkdir()
    _refused(raw, out, "no export annotations/pzN.json")
    write_export(raw, "all", {})
    (raw / "annotations" / "pzall.json").rename(raw / "annotations" / "all.json")
    _refused(raw, out, "found 1 other .json files there")
