"""A folder is checked as a whole: which file is which split, and what two of them share."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from greenpose.data import Framing, Samples, image_reader, load_profile
from greenpose.data.check import FILE, check_folder, sha256, split_files, sums_text, verify_sums
from greenpose.errors import DataError
from tests.data.planted import PROFILE, document, write

_REAL = Path(os.environ.get("GREENPOSE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _folder(root, **patients):
    """Write the three splits; a keyword gives a split's patient."""
    for first, split in enumerate(("train", "val", "test")):
        content = document(first=10 * first + 1, prefix=f"{split}_")
        for image in content["images"]:
            image["patient"] = patients.get(split, f"pz{first}")
        write(root, split, content=content)
    return root


def _errors(check):
    return [finding.message for finding in check.findings if finding.level == "error"]


def test_a_sound_folder_has_its_counts_and_no_findings(tmp_path):
    check = check_folder(_folder(tmp_path), profile=PROFILE)
    assert (check.findings, check.usable) == ((), True)
    assert {name: (s.num_images, s.subjects) for name, s in check.splits.items()} == {
        "train": (3, ("pz0",)),
        "val": (3, ("pz1",)),
        "test": (3, ("pz2",)),
    }


def test_validating_and_testing_on_one_file_is_said_and_allowed(tmp_path):
    _folder(tmp_path)
    (val,) = (path for path in (tmp_path / "annotations").glob("*val*"))
    check = check_folder(tmp_path, profile=PROFILE, named={"test": f"annotations/{val.name}"})
    assert check.usable
    (finding,) = check.findings
    assert finding.level == "warning"
    assert "both validation and test" in finding.message


def test_a_patient_in_two_splits_is_an_error(tmp_path):
    check = check_folder(_folder(tmp_path, test="pz0"), profile=PROFILE)
    assert _errors(check) == [
        "1 patients are in several splits: pz0 in train and test; a patient belongs to one split, whole"
    ]
    assert not check.usable


def test_an_image_in_two_splits_is_an_error(tmp_path):
    _folder(tmp_path)
    shutil.copy(tmp_path / "annotations/person_keypoints_val.json", tmp_path / "annotations/person_keypoints_test.json")
    found = _errors(check_folder(tmp_path, profile=PROFILE))
    assert any(message.startswith("3 images are in several splits: val_11.png in val and test") for message in found)


def test_a_copied_image_under_another_name_is_an_error(tmp_path):
    _folder(tmp_path)
    shutil.copy(tmp_path / "images" / "train_1.png", tmp_path / "images" / "test_21.png")
    assert "1 images have a byte-identical copy" in _errors(check_folder(tmp_path, profile=PROFILE))[0]


def test_unknown_patients_are_a_warning(tmp_path):
    _folder(tmp_path)
    write(tmp_path, "train", content=document(prefix="train_"))
    write(tmp_path, "val", content=document(first=11, prefix="val_"))
    findings = check_folder(tmp_path, profile=PROFILE).findings
    assert [finding.level for finding in findings] == ["warning"]
    assert "nobody can check" in findings[0].message


def test_an_image_that_only_looks_whole_is_found_by_reading_it(tmp_path):
    _folder(tmp_path)
    file = tmp_path / "images" / "val_12.png"
    data = file.read_bytes()
    middle = data.index(b"IDAT") + 20
    file.write_bytes(data[:middle] + bytes(255 - byte for byte in data[middle : middle + 200]) + data[middle + 200 :])
    assert check_folder(tmp_path, profile=PROFILE).usable
    (message,) = _errors(check_folder(tmp_path, profile=PROFILE, decode=True))
    assert message.startswith("1 images cannot be decoded")
    assert "val_12.png" in message


def test_areas_of_two_kinds_are_a_warning(tmp_path):
    _folder(tmp_path)
    content = document(first=11, prefix="val_")
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        image["patient"] = "pz1"
        annotation["area"] = 360.0
    write(tmp_path, "val", content=content)
    check = check_folder(tmp_path, profile=PROFILE)
    assert [split.num_box_areas for split in check.splits.values()] == [0, 3, 0]
    (finding,) = check.findings
    assert (finding.level, "train 0 and 3, val 3 and 0, test 0 and 3" in finding.message) == ("warning", True)


def test_a_split_by_frame_is_a_warning_only_where_every_file_says_so(tmp_path):
    _folder(tmp_path, val="pz0", test="pz0")
    files = sorted((tmp_path / "annotations").iterdir())
    for file in files[1:]:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"info": {"split_by": "frame"}}))
    assert not check_folder(tmp_path, profile=PROFILE).usable
    files[0].write_text(json.dumps(json.loads(files[0].read_text()) | {"info": {"split_by": "frame"}}))
    (finding,) = check_folder(tmp_path, profile=PROFILE).findings
    assert finding.level == "warning"
    assert "pz0 in train and val and test; split by frame" in finding.message


def test_faults_of_all_splits_are_found_together(tmp_path):
    _folder(tmp_path)
    for split in ("train", "test"):
        file = tmp_path / "annotations" / f"person_keypoints_{split}.json"
        content = json.loads(file.read_text())
        content["annotations"][0]["keypoints"] = [1, 2, 3]
        file.write_text(json.dumps(content))
    assert len(_errors(check_folder(tmp_path, profile=PROFILE))) == 2


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(DataError, match="no annotation file found"):
        check_folder(tmp_path)


def _touch(root, *names):
    (root / "annotations").mkdir(parents=True)
    for name in names:
        (root / "annotations" / name).write_text("{}")


def test_keypoint_files_go_before_captions_and_boxes(tmp_path):
    _touch(tmp_path, "captions_val2017.json", "instances_val2017.json", "person_keypoints_val2017.json")
    assert split_files(tmp_path, required=()) == {"val": tmp_path / "annotations" / "person_keypoints_val2017.json"}


def test_two_files_for_a_split_and_none_for_another_are_told_together(tmp_path):
    _touch(tmp_path, "a_train.json", "b_train.json", "val.json", "trainval.json")
    with pytest.raises(DataError) as caught:
        split_files(tmp_path)
    several, none = caught.value.faults
    assert "several files may be the train split: a_train.json, b_train.json" in several
    assert "no file for the test split" in none


def test_a_named_file_is_taken(tmp_path):
    _touch(tmp_path, "a_train.json", "b_train.json")
    assert split_files(tmp_path, named={"train": "annotations/b_train.json"}, required=("train",)) == {
        "train": tmp_path / "annotations" / "b_train.json"
    }


@pytest.mark.skipif(not (_REAL / "openfield").exists(), reason="the mouse's images are not at hand")
def test_a_real_folder_is_usable_and_makes_samples():
    profile = load_profile("openfield")
    check = check_folder(_REAL / "openfield", profile=profile)
    assert check.usable
    assert [finding.level for finding in check.findings] == ["warning"]
    val = check.splits["val"]
    assert val.labelled == dict.fromkeys(profile.keypoints, 18)
    samples = Samples.build(val.instances, image_reader(), profile=profile, framing=Framing.of((96, 128)))
    assert samples.crops([0, 17]).shape[:3] == (2, 128, 96)
    inside = (samples.joints >= 0) & (samples.joints < [96, 128])
    assert inside.all()


@pytest.fixture
def folder(tmp_path):
    names = ["a b.txt", "deep/c.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / FILE).write_text(sums_text({name: sha256(name.encode()) for name in names}))
    return tmp_path


def test_a_sum_is_that_of_the_bytes():
    assert sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the tool is not here")
def test_everybodys_tool_reads_the_file(folder):
    done = subprocess.run(["sha256sum", "-c", FILE], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unchanged_folder_and_one_without_sums_have_nothing_to_say(folder):
    assert verify_sums(folder) == []
    (folder / "a b.txt").write_text("another")
    (folder / FILE).unlink()
    assert verify_sums(folder) == []


def test_changed_and_missing_files_are_named(folder):
    (folder / "a b.txt").write_text("another")
    (folder / "deep" / "c.txt").unlink()
    (finding,) = verify_sums(folder)
    assert finding.level == "warning"
    assert finding.message.startswith("2 files are not")
    assert finding.message.endswith("(a b.txt, deep/c.txt)")
