"""`greenpose data prepare` as a user meets it: from raw exports to a set that trains, and every way to fail."""

import contextlib
import json
import os
import signal
import time

import cv2
import numpy as np
import pytest
import typer.main

from greenpose.cli.data import app
from tests.cli.running import begun, greenpose
from tests.data.raw.exports import image_file, write_export, write_tree
from tests.data.raw.test_page import PAGE

EXPERIMENT = """
name: mine
data: {source: coco, root: babypose, profile: babypose}
carbon: {country: ITA}
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("sound") / "raw")


def test_what_is_prepared_passes_the_check_and_is_ready_to_train_on(raw, tmp_path):
    done = greenpose("data", "prepare", raw, "babypose", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.err == ""
    assert (done.json["folder"], done.json["swept"]) == ("babypose", False)
    assert done.json["manifest"] == json.loads((tmp_path / "babypose" / "manifest.json").read_text())
    checked = greenpose("data", "check", "babypose", "--profile", "babypose", "--json", cwd=tmp_path)
    assert (checked.code, checked.json["findings"]) == (0, [])
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    planned = greenpose("run", "mine.yaml", "--dry-run", cwd=tmp_path)
    assert planned.code == 0, planned.err


def test_in_words_it_says_the_split_the_counts_and_the_next_step(raw, tmp_path):
    done = greenpose("data", "prepare", raw, "babypose", cwd=tmp_path)
    rows = [line.split() for line in done.out.splitlines()]
    assert ["val", "1", "2", "2", "2", "drawn", "boxes"] in rows
    assert "split: the paper's, but 23 of its 27 patients are not here" in done.out
    assert "--set data.root=babypose" in done.err


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--by-frame"], ["--i-know-it-leaks"]),
        (["--window", "400"], ["--window 400: must be two numbers in mm"]),
        (["--window", "400,900"], ["are 8-bit; --window is for 16-bit depth"]),
        (["--val", "6,anna"], ["--val: 'anna': no patients"]),
        (["--val", "9", "--test", "73"], ["pz9: no such patients"]),
        (["--profile", "coco"], ["no category has the keypoints of profile coco"] * 4),
    ],
)
def test_a_mistake_ends_in_words_and_nothing_is_made(raw, tmp_path, arguments, messages):
    done = greenpose("data", "prepare", raw, "babypose", *arguments, "--json", cwd=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert len(done.json["error"]) == len(messages)
    for fault, message in zip(done.json["error"], messages, strict=True):
        assert message in fault
    assert list(tmp_path.iterdir()) == []


def test_missing_images_end_in_code_two_unless_they_are_allowed(tmp_path):
    raw = write_tree(tmp_path / "raw")
    image_file(raw, 3).unlink()
    refused = greenpose("data", "prepare", "raw", "babypose", cwd=tmp_path)
    assert refused.code == 2
    assert "pz3.json: images.file_name: 1 images are not below raw/images" in refused.err
    allowed = greenpose("data", "prepare", "raw", "babypose", "--allow-missing", cwd=tmp_path)
    assert allowed.code == 0
    assert "warning: annotations/pz3.json: images.file_name: 1 images are not below images" in allowed.err


@pytest.fixture
def slow(tmp_path):
    """A tree that takes many seconds to prepare: one large image under many names."""
    raw = write_tree(tmp_path / "raw", count=1)
    content = json.loads((raw / "annotations" / "pz3.json").read_text())
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1500), dtype=np.uint8)
    cv2.imwrite(str(image_file(raw, 3)), noise)
    content["images"][0].update(width=1500, height=1000)
    for number in range(301, 500):
        content["images"].append(content["images"][0] | {"id": number, "path": f"/x/pz3/{number:05d}_8bit.png"})
        content["annotations"].append(content["annotations"][0] | {"id": number, "image_id": number})
        os.link(image_file(raw, 3), raw / "images" / "pz3" / f"{number:05d}_8bit.png")
    write_export(raw, 3, content)
    return raw


@contextlib.contextmanager
def _preparing(slow, folder):
    """Yield a process in the middle of its work."""
    process = begun("data", "prepare", slow, "out", cwd=folder)
    try:
        for _ in range(1200):
            if len(list(folder.glob(".out.unfinished/images/train/*"))) > 1 or process.exitcode is not None:
                break
            time.sleep(0.05)
        assert process.exitcode is None, process.err.read_text()
        yield process
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(slow, tmp_path, number):
    with _preparing(slow, tmp_path) as process:
        os.kill(process.pid, number)
        process.join(60)
    assert process.exitcode == 130
    assert "Traceback" not in process.err.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["raw"]


def test_what_a_kill_leaves_is_no_folder_and_is_swept_by_the_next_attempt(slow, raw, tmp_path):
    with _preparing(slow, tmp_path):
        beside = greenpose("data", "prepare", raw, "out", cwd=tmp_path)
        assert beside.code == 2
        assert "another process is making out just now" in beside.err
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.unfinished").exists()
    again = greenpose("data", "prepare", raw, "out", cwd=tmp_path)
    assert again.code == 0
    assert "an earlier attempt was killed; what it had left is removed" in again.err
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 8
    assert not (tmp_path / ".out.unfinished").exists()


def test_a_file_that_changed_after_it_was_prepared_is_told_by_the_check(raw, tmp_path):
    greenpose("data", "prepare", raw, "babypose", cwd=tmp_path)
    file = min((tmp_path / "babypose" / "images" / "test").iterdir())
    cv2.imwrite(str(file), 255 - cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
    checked = greenpose("data", "check", "babypose", "--json", cwd=tmp_path)
    (finding,) = checked.json["findings"]
    assert (
        f"1 files are not, or no longer, what they were when the folder was made (images/test/{file.name})"
        in finding["message"]
    )


def test_every_option_of_the_command_is_on_the_page():
    command = typer.main.get_command(app).commands["prepare"]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert {option for option in options - {"--json", "--quiet", "--verbose"} if f"`{option}" not in PAGE} == set()
