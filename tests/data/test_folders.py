"""A folder that was written reads back as it was."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from greenpose.data import image_reader
from greenpose.data.check import check_folder
from greenpose.data.folders import unfinished_path, whole_folder, write_coco
from greenpose.data.images import window_depth
from greenpose.errors import DataError
from tests.data.planted import PROFILE, instance, read_split

_WINDOW = (400.0, 900.0)


def _depth(seed):
    return np.random.default_rng(seed).integers(0, 1200, (30, 40), dtype=np.uint16)


def _source(first, count=3):
    for n in range(first, first + count):
        one = instance(
            id=n + 1, image_id=n + 5, image=f"patient{first:04d}/{n:06d}.png", subject=f"pz{first}", area=77.5
        )
        yield one, _depth(n)


def _write(root):
    splits = {"train": _source(0), "val": _source(10), "test": _source(20)}
    return write_coco(root, splits, profile=PROFILE, window=_WINDOW)


def test_a_written_folder_is_sound_and_its_splits_are_apart(tmp_path):
    _write(tmp_path / "set")
    check = check_folder(tmp_path / "set", profile=PROFILE)
    assert {finding.level for finding in check.findings} == {"note"}  # that the images are 16-bit depth
    assert [split.subjects for split in check.splits.values()] == [("pz0",), ("pz10",), ("pz20",)]
    assert {split.window for split in check.splits.values()} == {_WINDOW}


def test_instances_and_depth_come_back_as_they_were(tmp_path):
    files = _write(tmp_path / "set")
    back = read_split(files["val"], tmp_path / "set" / "images", PROFILE)
    read = image_reader(window=_WINDOW)
    for found, (one, depth) in zip(back, _source(10), strict=True):
        assert (found.image_id, found.subject, found.box, found.area) == (one.image_id, one.subject, one.box, one.area)
        np.testing.assert_array_equal(found.joints, one.joints)
        np.testing.assert_array_equal(found.visibility, one.visibility)
        np.testing.assert_array_equal(read(found), window_depth(depth, _WINDOW))


def test_colour_comes_back_in_order(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    files = write_coco(tmp_path / "set", {"train": [(instance(), image)]}, profile=PROFILE)
    back = read_split(files["train"], tmp_path / "set" / "images", PROFILE)
    np.testing.assert_array_equal(image_reader()(back[0]), image)


def test_two_subjects_of_one_image_share_its_file(tmp_path):
    pair = [(instance(id=n, image="frame"), _depth(0)) for n in (1, 2)]
    files = write_coco(tmp_path / "set", {"train": pair}, profile=PROFILE)
    assert len(list((tmp_path / "set" / "images").rglob("*.png"))) == 1
    assert len(json.loads(files["train"].read_text())["annotations"]) == 2


@pytest.mark.parametrize("name", ["/etc/frame", "../frame", "frame", "train/frame.jpg", "a\\frame"])
def test_every_image_stays_in_its_splits_folder(tmp_path, name):
    write_coco(tmp_path / "set", {"train": [(instance(image=name), _depth(0))]}, profile=PROFILE)
    (file,) = tmp_path.rglob("*.png")
    assert (tmp_path / "set" / "images" / "train") in file.parents


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is in use already"):
        _write(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "set").mkdir()
    assert _write(tmp_path / "set")["train"].is_file()


def _failing():
    yield from _source(0, 1)
    raise DataError(["the camera fell"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (_failing, "the camera fell"),
        (list, "train: nothing to write"),
        (lambda: [(instance(image_id=n), _depth(n)) for n in (1, 2)], "images 1 and 2 both want this file"),
        (lambda: [(instance(), np.zeros((40, 30), np.uint8))], "uint8 of 30 x 40"),
        (lambda: [(instance(), np.zeros((30, 40), np.float32))], "float32"),
    ],
)
def test_nothing_is_left_behind_when_writing_fails(tmp_path, source, message):
    with pytest.raises(DataError, match=message):
        write_coco(tmp_path / "set", {"train": source()}, profile=PROFILE)
    assert list(tmp_path.iterdir()) == []


_HOLD = """
import os, sys
from pathlib import Path
from greenpose.data.folders import whole_folder
with whole_folder(Path(sys.argv[1])) as unfinished:
    (unfinished.path / "deep").mkdir()
    (unfinished.path / "deep" / "half").write_text("...")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_nothing_is_seen_before_the_end_and_everything_after(tmp_path):
    out = tmp_path / "new" / "out"
    with whole_folder(out) as unfinished:
        (unfinished.path / "a").write_text("1")
        assert not out.exists()
    assert [entry.name for entry in out.iterdir()] == ["a"]
    assert [entry.name for entry in out.parent.iterdir()] == ["out"]
    assert not unfinished.swept


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_whatever_ends_it(tmp_path, ending):
    with pytest.raises(ending), whole_folder(tmp_path / "out") as unfinished:  # noqa: PT012
        (unfinished.path / "a").write_text("1")
        raise ending
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_there_and_a_full_one_or_a_file_may_not(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with whole_folder(out) as unfinished:
        (unfinished.path / "a").write_text("1")
    for taken in (out, out / "a"):
        with pytest.raises(DataError, match="is in use already"), whole_folder(taken):
            pass
    assert (out / "a").read_text() == "1"


def test_a_living_process_is_not_disturbed_and_what_a_killed_one_left_is_swept(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(DataError, match="another process is making"), whole_folder(out):
            pass
        assert (unfinished_path(out) / "deep" / "half").exists()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert not out.exists()
    with whole_folder(out) as unfinished:
        assert unfinished.swept
        assert not (unfinished.path / "deep").exists()
    assert list(out.iterdir()) == []


def test_the_remains_of_a_folder_that_somebody_deleted_do_no_harm(tmp_path):
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "out") as unfinished:
        shutil.rmtree(unfinished.path)
    assert list(tmp_path.iterdir()) == []
