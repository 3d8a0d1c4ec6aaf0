"""What is wrong with a data folder ends in one clear message before anything is trained."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.running import greenpose

EXPERIMENT = """
name: mine
data: {source: coco, root: infants, profile: babypose, input_size: [64, 64]}
carbon: {country: ITA}
"""


@pytest.fixture(scope="module")
def infants(tmp_path_factory) -> Path:
    """A small good folder, made by the command line itself."""
    folder = tmp_path_factory.mktemp("good")
    done = greenpose(
        "data", "synth", "infants", "--size", 160, 120, "--patients", 2, 1, 1, "--frames", 2, 1, 1, cwd=folder
    )
    assert done.code == 0, done.err
    return folder / "infants"


@pytest.fixture
def workplace(infants, tmp_path) -> Path:
    """A folder with an experiment and a copy of the data to break."""
    shutil.copytree(infants, tmp_path / "infants")
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    return tmp_path


def annotations(workplace: Path, split: str = "train") -> Path:
    (file,) = (workplace / "infants" / "annotations").glob(f"*{split}*.json")
    return file


def change(file: Path, edit) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def refused(workplace: Path, *names: str) -> None:
    done = greenpose("run", "mine.yaml", "--dry-run", cwd=workplace)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1
    for name in names:
        assert name in done.err


def test_the_folder_is_fine_as_it_was_made(workplace):
    assert greenpose("run", "mine.yaml", "--dry-run", cwd=workplace).code == 0


def test_annotations_without_keypoints_are_named(workplace):
    file = annotations(workplace)
    change(file, lambda document: [annotation.pop("keypoints") for annotation in document["annotations"]])
    refused(workplace, file.name, "keypoints")


def test_an_empty_split_is_named(workplace):
    file = annotations(workplace, "val")
    change(file, lambda document: document.update(images=[], annotations=[]))
    refused(workplace, file.name)


def test_a_missing_split_is_named(workplace):
    annotations(workplace, "test").unlink()
    refused(workplace, "test split")


@pytest.mark.parametrize("damage", ["missing", "truncated", "not an image"])
def test_an_unreadable_image_is_named(workplace, damage):
    image = min((workplace / "infants" / "images").rglob("*.png"))
    if damage == "missing":
        image.unlink()
    else:
        image.write_bytes(image.read_bytes()[:2000] if damage == "truncated" else b"hello")
    refused(workplace, image.name)


def test_a_missing_folder_is_named(workplace):
    shutil.rmtree(workplace / "infants")
    refused(workplace, "infants: no such folder")


def test_joints_of_another_skeleton_are_named(workplace):
    (workplace / "mine.yaml").write_text(EXPERIMENT.replace("babypose", "openfield"))
    done = greenpose("run", "mine.yaml", "--dry-run", cwd=workplace)
    assert done.code == 2
    assert "has 12 instead of 4" in done.err


def verdict(workplace: Path, *options: str) -> str:
    done = greenpose("data", "check", "infants", *options, cwd=workplace)
    assert "Traceback" not in done.err
    return done.out.strip().splitlines()[-1]


def test_a_check_ends_with_whether_and_with_which_profile_the_folder_trains(workplace):
    assert verdict(workplace) == "fine: trains with profile babypose"
    told = json.loads(greenpose("data", "check", "infants", "--json", cwd=workplace).out)
    assert (told["trains"], told["verdict"]) == (True, "fine: trains with profile babypose")
    for split in ("train", "val", "test"):
        change(annotations(workplace, split), lambda document: document["info"].pop("depth_window_mm"))
    assert verdict(workplace, "--profile", "babypose") == (
        "fine: trains with profile babypose and data.depth_window_mm: [NEAR, FAR]"
    )
    annotations(workplace, "test").unlink()
    assert verdict(workplace) == "does not train as it is: no annotation file for test"
    change(annotations(workplace), lambda document: document["annotations"].append(document["annotations"][0]))
    assert verdict(workplace) == "not usable: 1 error"


def test_a_check_of_a_skeleton_that_no_profile_has_says_what_to_write(workplace):
    for split in ("train", "val", "test"):
        change(annotations(workplace, split), lambda document: document["categories"][0]["keypoints"].reverse())
    assert "no packaged profile has these keypoints" in verdict(workplace)


def test_an_image_beside_the_folder_is_not_read(workplace):
    file = annotations(workplace)
    shutil.copy(min((workplace / "infants" / "images").rglob("*.png")), workplace / "private.png")
    change(file, lambda document: document["images"][0].update(file_name="../../private.png"))
    refused(workplace, file.name, "lead outside the data folder")


@pytest.mark.parametrize(("name", "hint"), [("elsewhere", ""), ("infant", "; did you mean infants?")])
def test_a_folder_of_data_that_is_not_there_is_said_to_be_missing(workplace, name, hint):
    done = greenpose("data", "check", name, cwd=workplace)
    assert (done.code, done.err) == (2, f"error: {name}: no such folder{hint}\n")
    (workplace / "file").write_text("")
    done = greenpose("data", "check", "file", cwd=workplace)
    assert (done.code, done.err) == (2, "error: file: is a file; give the folder\n")
