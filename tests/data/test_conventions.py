"""What other tools write otherwise than COCO is refused, or mended and said, before it bends a number."""

import copy
import io
import json
import random
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from greenpose.config import SyntheticConfig
from greenpose.data.annotations import Pose
from greenpose.data.boxes import inspect_boxes
from greenpose.data.check import check_folder, split_files
from greenpose.data.coco import inspect_split
from greenpose.data.conventions import note_conventions
from greenpose.data.findings import Notebook
from greenpose.data.synthetic import generate
from greenpose.errors import DataError, GreenPoseError
from tests.data.planted import PROFILE, document, write
from tests.data.test_boxes import FILE, box, folder

SIZE = (640, 480)


def _large(edit=dict, count=6):
    """Return a sound document of 640 x 480 px with one subject in each image, whose annotation is `edit`ed."""
    content = document(count, size=SIZE)
    for n, annotation in enumerate(content["annotations"]):
        x, y = 40.0 + 85 * n, 30.0 + 60 * n
        joints = [x + 10, y + 10, 2, x + 40, y + 60, 1, x + 70, y + 20, 2]
        annotation |= {"bbox": [x, y, 80.0, 90.0], "area": 5000.0, "keypoints": joints}
        edit(annotation)
    return content


def _inspect(root, content, profile=PROFILE):
    pixels = np.random.default_rng(0).integers(0, 256, SIZE[::-1], dtype=np.uint8)
    return inspect_split(*write(root, content=content, pixels=pixels), profile)


def _said(split, level):
    return "\n".join(str(finding) for finding in split.findings if finding.level == level)


def test_numbers_as_coco_means_them_pass_in_silence(tmp_path):
    assert _inspect(tmp_path, _large()).findings == ()


def test_a_few_boxes_that_leave_their_image_are_no_corners(tmp_path):
    def large(annotation):
        x, y = annotation["bbox"][:2]
        annotation["bbox"] = [x, y, SIZE[0] - x + 3 * (x < 50), SIZE[1] - y]

    assert _said(_inspect(tmp_path, _large(large)), "error") == ""


def test_boxes_that_are_two_corners_are_refused(tmp_path):
    def corners(annotation):
        x, y = annotation["bbox"][:2]
        annotation["bbox"] = [x, y, x + 80, y + 90]

    said = _said(_inspect(tmp_path, _large(corners)), "error")
    assert "annotations.bbox: boxes look like corners x1, y1, x2, y2" in said
    assert "as which 3 leave their image" in said


def test_detected_boxes_that_are_two_corners_are_refused(tmp_path):
    corners = [box(7 + n % 3, bbox=[12.0 + n, 8.0 + n, 30.0 + n, 25.0]) for n in range(6)]
    (fault,) = inspect_boxes(folder(tmp_path, corners)).faults
    assert "bbox: boxes look like corners x1, y1, x2, y2" in fault
    assert FILE in fault


@pytest.mark.parametrize(("scale", "word"), [(1, "shares"), (100, "percentages")])
@pytest.mark.parametrize("boxes", [True, False])
def test_relative_coordinates_are_refused(tmp_path, scale, word, boxes):
    def relative(annotation):
        by = [scale / SIZE[0], scale / SIZE[1]]
        rows = np.array(annotation["keypoints"]).reshape(-1, 3) * [*by, 1]
        annotation["keypoints"] = rows.ravel().tolist()
        if boxes:
            annotation["bbox"] = [side * factor for side, factor in zip(annotation["bbox"], by * 2, strict=True)]

    said = _said(_inspect(tmp_path, _large(relative)), "error")
    assert f"are they {word} of its width and height? Write pixels" in said


@pytest.fixture(scope="module")
def infants():
    """Forty poses of generated infants, whose boxes, silhouettes and joints are true, in pixels of 640 x 480."""
    config = SyntheticConfig(patients={"train": 8, "val": 1, "test": 1}, frames={"train": 5, "val": 1, "test": 1})
    return [instance for instance, _ in generate(config, "train")]


def _told(infants, width, change):
    """Return what is said of the infants in images so wide, each annotation's joints, box and area `change`d."""
    by, notebook = width / 640, Notebook("x")
    size, poses = (width, round(480 * by)), []
    for one in infants:
        joints, box, area = one.joints * by, np.array(one.box) * by, one.area * by * by
        changed, sides, area = change(joints, box, area, np.array(size))
        known = {"id": one.id, "image_id": one.id, "visibility": one.visibility, "drawn_area": area is not None}
        area = float(sides[2] * sides[3]) if area is None else float(area)
        shown = changed * (one.visibility > 0)[:, None]
        poses.append(Pose(joints=shown, box=tuple(sides.tolist()), area=area, **known))
    note_conventions(poses, dict.fromkeys((pose.image_id for pose in poses), size), notebook)
    return notebook.findings


def _upper_left(joints, box, area, *_):
    """Moved by half of the way to the image's corner."""
    by = np.array(box[:2]) / 2
    return joints - by, np.array([*(box[:2] - by), *box[2:]]), area


def _with_box_areas(joints, box, *_):
    return joints, box, box[2] * box[3]


def _whole_images(joints, box, area, size):
    return joints, np.array([0, 0, *size]), min(area, box[2] * box[3])


TRUE = {
    "as generated": lambda *one: one[:3],
    "without areas": lambda *one: (*one[:2], None),
    "with the boxes' areas": _with_box_areas,
    "near the upper left": _upper_left,
    "near the upper left without areas": lambda *one: (*_upper_left(*one)[:2], None),
    "boxes of whole images": _whole_images,
    "joints in the boxes' upper halves": lambda *one: (one[0], one[1] * [1, 1, 1, 2], None),
}


@pytest.mark.parametrize("width", [32, 64, 96, 100, 128, 160, 640])
@pytest.mark.parametrize("change", TRUE)
def test_true_boxes_and_pixels_are_never_refused_whatever_the_size(infants, width, change):
    assert [str(one) for one in _told(infants, width, TRUE[change]) if one.level == "error"] == []


@pytest.mark.parametrize("width", [32, 64, 96, 160, 640])
@pytest.mark.parametrize("area", ["silhouettes", "boxes", "none"])
@pytest.mark.parametrize("where", ["anywhere", "near the upper left"])
def test_corners_are_told_from_boxes_by_areas_and_joints_also_near_the_upper_left(infants, width, area, where):
    """As x, y, width, height these leave their image seldom or never."""

    def corners(joints, box, silhouette, size):
        if where != "anywhere":
            joints, box, _ = _upper_left(joints, box, silhouette)
        known = {"silhouettes": silhouette, "boxes": box[2] * box[3], "none": None}
        return joints, np.array([*box[:2], *(box[:2] + box[2:])]), known[area]

    (finding,) = _told(infants, width, corners)
    assert finding.level == "error"
    assert "boxes look like corners x1, y1, x2, y2; COCO's are x, y, width, height" in finding.message


@pytest.mark.parametrize(
    ("width", "parts", "field"),
    [
        (64, "jb", "keypoints"),
        (96, "jb", "keypoints"),
        (200, "jb", "keypoints"),
        (64, "j", "keypoints"),
        (200, "j", "keypoints"),
        (64, "b", "bbox"),
        (200, "b", "bbox"),
    ],
)
def test_percentages_are_told_in_small_images_by_what_image_box_and_area_say(infants, width, parts, field):
    def relative(joints, box, area, size):
        by = 100 / size
        return (joints * by if "j" in parts else joints), (box * np.tile(by, 2) if "b" in parts else box), area

    (finding,) = _told(infants, width, relative)
    assert (finding.level, finding.where) == ("error", f"x: annotations.{field}")
    assert "are they percentages" in finding.message or "are boxes percentages" in finding.message
    assert "of 40 annotations make no sense" in finding.message
    assert "as percentages 0" in finding.message


@pytest.mark.parametrize("scale", [1, 100])
def test_one_wrong_number_does_not_hide_of_what_kind_the_others_are(tmp_path, scale):
    def relative(annotation):
        by = [scale / SIZE[0], scale / SIZE[1], 1]
        annotation["keypoints"] = (np.array(annotation["keypoints"]).reshape(-1, 3) * by).ravel().tolist()
        if annotation["id"] == 12:
            annotation["keypoints"][0] = 320.0

    assert f"are they {'shares' if scale == 1 else 'percentages'}" in _said(
        _inspect(tmp_path, _large(relative)), "error"
    )


def test_numbers_that_may_be_percentages_are_warned_of():
    """Nothing in the file speaks against pixels, but no joint lies in the right third of any image."""
    notebook = Notebook("x")
    joints = np.array([[92.0, 95.0], [20.0, 30.0], [50.0, 40.0]])
    poses = [
        Pose(id=n, image_id=1, box=(10, 20, 90, 80), area=7200, joints=joints, visibility=np.array([2, 2, 2]))
        for n in range(5)
    ]
    note_conventions(poses, {1: (160, 120)}, notebook)
    (finding,) = notebook.findings
    assert finding.level == "warning"
    assert "within 95 px of their image's corner: are they percentages" in finding.message


@pytest.mark.parametrize("form", ["boxes", "corners"])
def test_detected_corners_of_small_subjects_are_told_by_the_annotated_boxes(tmp_path, form):
    """All of them lie in their image, read either way; the annotated box is 5, 6, 20, 18."""
    given = [5.5, 6.5, 20.0, 17.0] if form == "boxes" else [5.5, 6.5, 25.0, 23.0]
    found = inspect_boxes(folder(tmp_path, [box(7 + n % 3, bbox=given) for n in range(6)]))
    assert len(found.instances) == (6 if form == "boxes" else 0)
    assert [("6 fit the annotated boxes worse" in fault, FILE in fault) for fault in found.faults] == (
        [] if form == "boxes" else [(True, True)]
    )


@pytest.mark.parametrize("area", [80 * 90 / (640 * 480), 1])
def test_areas_that_are_none_are_taken_from_the_boxes_and_that_is_said(tmp_path, area):
    """OKS of an area of 1 is nearly 0 for any pose: AP .64 becomes 0."""
    split = _inspect(tmp_path, _large(lambda annotation: annotation.update(area=area)))
    assert [one.area for one in split.instances] == [7200.0] * 6
    assert "6 annotations have an area of 1 or less" in _said(split, "warning")


def test_joints_that_a_tool_exports_as_visible_at_the_origin_are_unlabelled(tmp_path):
    split = _inspect(tmp_path, _large(lambda annotation: annotation["keypoints"].__setitem__(slice(3), [0, 0, 2])))
    assert [one.visibility.tolist() for one in split.instances] == [[0, 1, 2]] * 6
    assert "6 annotations have joints at 0, 0" in _said(split, "warning")


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        ([[1, 2], [1, 3]], ""),
        ([[2, 1]], ""),
        ([], ""),
        (None, ""),
        ([[0, 1], [0, 2]], "counts keypoints from 0 in its skeleton"),
        ([[1, 4]], "joins keypoints that are not there: it has 3"),
        ([[2, 3]], "joins [2, 3], which profile stick does not; are the joints in the same order?"),
    ],
)
def test_a_files_own_skeleton_is_held_against_the_profiles(tmp_path, skeleton, message):
    profile = PROFILE.model_copy(update={"skeleton": ((0, 1), (0, 2))})
    content = document()
    content["categories"][0]["skeleton"] = skeleton
    split = inspect_split(*write(tmp_path, content=content), profile)
    assert (message in _said(split, "warning")) if message else split.findings == ()


def _turned(orientation, size=(40, 30)):
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = orientation
    Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)).save(file, "png", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [(40, 30), (40, 40)])
def test_images_that_exif_turns_are_refused_by_name(tmp_path, orientation, side):
    content = document(size=side)
    file, images = write(tmp_path, content=content)
    for n in (1, 2, 3):
        (images / f"frame{n}.png").write_bytes(_turned(orientation if n == 2 else 1, side))
    said = _said(inspect_split(file, images, PROFILE), "error")
    assert ("1 images have an EXIF orientation" in said) == (orientation > 1)
    assert (f"(frame2.png has {orientation})" in said) == (orientation > 1)


def test_the_first_frame_of_an_animation_is_taken_and_that_is_said(tmp_path):
    file, images = write(tmp_path)
    frames = [Image.fromarray(np.full((30, 40), grey, np.uint8)) for grey in (10, 20)]
    frames[0].save(images / "frame2.png", save_all=True, append_images=frames[1:])
    split = inspect_split(file, images, PROFILE)
    assert "1 images have several frames; the first one is taken (frame2.png)" in _said(split, "warning")
    assert len(split.instances) == 3


@pytest.fixture
def secret(tmp_path):
    """An image beside the data folder, which nobody gave us."""
    file = tmp_path / "secret" / "x.png"
    file.parent.mkdir()
    cv2.imwrite(str(file), np.zeros((30, 40), np.uint8))
    return file


@pytest.mark.parametrize("way", ["up", "absolute", "backslashes", "link", "linked folder", "split"])
def test_nothing_outside_the_data_folder_is_read(tmp_path, secret, way):
    root = tmp_path / "data"
    file, images = write(root)
    (images / "link.png").symlink_to(secret)
    for name in ("linked", "train"):
        (images / name).symlink_to(secret.parent)
    names = {
        "up": "../../secret/x.png",
        "absolute": str(secret),
        "backslashes": "..\\..\\secret\\x.png",
        "link": "link.png",
        "linked folder": "linked/x.png",
        "split": "x.png",
    }
    content = document()
    content["images"][1]["file_name"] = names[way]
    file.write_text(json.dumps(content))
    split = inspect_split(file, images, PROFILE)
    assert "1 file names or links lead outside the data folder and are not read" in _said(split, "error")
    assert all("secret" not in one.image for one in split.instances)


def test_a_data_folder_that_is_a_link_itself_is_read(tmp_path):
    write(tmp_path / "real")
    (tmp_path / "data").symlink_to(tmp_path / "real")
    (tmp_path / "other").mkdir()
    shutil.copytree(tmp_path / "real" / "annotations", tmp_path / "other" / "annotations")
    (tmp_path / "other" / "images").symlink_to(tmp_path / "real" / "images")
    for name in ("data", "other"):
        file = tmp_path / name / "annotations" / "person_keypoints_train.json"
        assert inspect_split(file, tmp_path / name / "images", PROFILE).findings == ()


def test_images_of_a_folder_named_as_the_data_itself_are_not_looked_for_beside_it(tmp_path, secret):
    file, _ = write(tmp_path / "data")
    content = document()
    content["images"][0]["file_name"] = "secret/x.png"
    file.write_text(json.dumps(content))
    split = inspect_split(file, tmp_path / "data" / "images" / "..", PROFILE)
    assert all("secret" not in one.image for one in split.instances)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "nul\0.png", "", 5, ["a"], None, ".", "con.png/"])
def test_a_name_that_no_file_can_have_is_a_missing_image(tmp_path, name):
    content = document()
    file, images = write(tmp_path, content=content)
    content["images"][1]["file_name"] = name
    file.write_text(json.dumps(content))
    assert "1 images are not below" in _said(inspect_split(file, images, PROFILE), "error")


def test_a_name_that_windows_keeps_for_itself_is_noted(tmp_path):
    content = document()
    content["images"][0]["file_name"] = "CON.png"
    content["images"][1]["file_name"] = "contour.png"
    split = inspect_split(*write(tmp_path, content=content), PROFILE)
    assert _said(split, "note").endswith("1 file names cannot be used on Windows (CON.png)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"images": ' + "[" * 3000 + "]" * 3000 + "}", "nested too deeply"),
        ('{"images": ' + "1" * 5000 + "}", "Exceeds the limit (4300 digits)"),
        (
            '{"images": [{"id": 1, "file_name": "a\\ud800.png"}], "annotations": [], "categories": []}',
            "half a character",
        ),
        ("null", "it holds no mapping"),
        ("\ufeff[]", "it holds a list"),
        (b"\xff\xfe{}", "is not JSON"),
    ],
)
def test_a_file_that_cannot_be_a_document_is_named_without_a_traceback(tmp_path, text, message):
    file = tmp_path / "train.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = _said(inspect_split(file, tmp_path, PROFILE), "error")
    assert message in said
    assert "train.json" in said
    said.encode()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["latest_train.json", "interval_val.json", "test.json"], ["train", "val", "test"]),
        (["keypointsTrain.json", "keypointsVal2017.json"], ["train", "val"]),
        (["latest.json", "interval.json", "strained.json"], []),
        (["validation.json", "training_1.json", "testing.json"], ["train", "val", "test"]),
    ],
)
def test_a_split_is_told_by_a_word_of_its_own(tmp_path, names, expected):
    (tmp_path / "annotations").mkdir()
    for name in names:
        (tmp_path / "annotations" / name).write_text("{}")
    found = split_files(tmp_path, required=())
    assert list(found) == expected


def test_roboflows_layout_is_taken_as_it_is(tmp_path):
    for first, (name, split) in enumerate({"train": "train", "valid": "val", "test": "test"}.items()):
        content = document(first=10 * first + 1, prefix=f"{split}_")
        for image in content["images"]:
            image["patient"] = split
        write(tmp_path / "old", split, content=content)
        (tmp_path / "new" / name).mkdir(parents=True)
        for image in (tmp_path / "old" / "images").glob("*.png"):
            image.rename(tmp_path / "new" / name / image.name)
        (tmp_path / "new" / name / "_annotations.coco.json").write_text(json.dumps(content))
    check = check_folder(tmp_path / "new", profile=PROFILE, decode=True)
    assert check.findings == ()
    assert {split: found.num_images for split, found in check.splits.items()} == {"train": 3, "val": 3, "test": 3}
    assert check.verdict("stick.yaml") == "fine: trains with profile stick.yaml"


_STRANGE = (
    None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "0", "x", "9" * 5000, "\x1b[31m", [],
    [[]], {}, {"a": 1}, [None], "../../x", "a" * 300, -0.0, "\u202e",
)  # fmt: skip


def _mutated(content, rng):
    """Return a document with a few of its values, at any depth, removed, exchanged or made strange."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        place, path = content, []
        while isinstance(place, dict | list) and place and (not path or rng.random() < 0.8):
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            path.append((place, key))
            place = place[key]
        holder, key = path[-1]
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = rng.choice(_STRANGE)
    return content


@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_in_a_file_is_found_or_named(tmp_path, seed):
    rng = random.Random(seed)
    file, images = write(tmp_path)
    sound = document()
    for _ in range(100):
        file.write_text(json.dumps(_mutated(sound, rng)))
        for profile in (PROFILE, None):
            try:
                split = inspect_split(file, images, profile)
            except GreenPoseError as error:
                pytest.fail(f"raised {error}")
            assert split.instances or _said(split, "error")
            for finding in split.findings:
                assert str(file) in str(finding)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_stands_in_a_file_of_boxes_is_found_or_named(tmp_path, seed):
    rng = random.Random(seed)
    config = folder(tmp_path, [box(7)])
    for _ in range(60):
        (tmp_path / FILE).write_text(json.dumps(_mutated([box(7), box(8)], rng)))
        try:
            found = inspect_boxes(config)
        except DataError as error:
            pytest.fail(f"raised {error}")
        assert found.instances or found.faults


def test_what_would_steer_a_terminal_is_written_out(tmp_path):
    content = document()
    content["images"][1]["file_name"] = "\x1b[2Jx\u202e\n.png"
    content["categories"].append({"id": 3, "name": "\x1b]8;;http://x\x07", "keypoints": []})
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "train.json"
    file.write_text(json.dumps(content))
    said = [str(finding) for finding in inspect_split(file, tmp_path / "images", PROFILE).findings]
    assert all(text.isprintable() for text in said)
    assert any("\\x1b[2Jx\\u202e\\n.png" in text for text in said)
