"""A raw tree becomes a folder that our own loader, other tools and `data check` can use, whole or not at all."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from greenpose.config import DataConfig, load_grid, packaged_experiment
from greenpose.data.check import check_folder
from greenpose.data.raw import Manifest, Wish, prepare
from greenpose.data.raw.splits import PAPER
from greenpose.data.splits import load_splits
from greenpose.errors import DataError
from tests.data.raw.exports import PROFILE, image_file, read, request, stored, write_tree


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("sound") / "raw")


def _bytes(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_papers_27_patients_make_the_papers_split(tmp_path):
    raw = write_tree(tmp_path / "raw", PAPER, count=1)
    prepared = prepare(request(raw), tmp_path / "out")
    found = {
        split: {image["patient"] for image in read(tmp_path / "out", split)["images"]} for split in ("val", "test")
    }
    assert found == {"val": {"pz6", "pz16", "pz5"}, "test": {"pz73", "pz36", "pz7"}}
    assert prepared.manifest.counts["train"].patients == 21
    assert prepared.manifest.split.note == "the paper's"


def test_every_image_is_the_raw_one_upside_down(raw, tmp_path):
    out = tmp_path / "out"
    prepare(request(raw), out)
    entries = [image for split in ("train", "val", "test") for image in read(out, split)["images"]]
    assert len(entries) == 8
    for entry in entries:
        assert entry["file_name"].endswith(f"{entry['id']:012d}.png")
        written, source = stored(out / "images" / entry["file_name"]), stored(raw / entry["source"])
        np.testing.assert_array_equal(written, np.rot90(source, 2))


def test_experiments_of_the_papers_table_load_it(raw, tmp_path):
    out = tmp_path / "out"
    prepare(request(raw), out)
    data = load_grid(packaged_experiment("table1")).base["data"]
    splits = load_splits(DataConfig.model_validate(data | {"root": str(out)}))
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert {split: set(samples.subjects) for split, samples in splits.items()} == {
        "train": {"pz3", "pz4"},
        "val": {"pz6"},
        "test": {"pz73"},
    }
    assert check_folder(out, profile=PROFILE, decode=True).findings == ()


def test_the_manifest_tells_each_patients_counts_and_hashes(raw, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(request(raw), out)
    text = (out / "manifest.json").read_text()
    assert Manifest.model_validate_json(text) == prepared.manifest
    assert json.loads(text)["split"]["patients"] == {"train": ["pz4", "pz3"], "val": ["pz6"], "test": ["pz73"]}
    for note in prepared.manifest.patients:
        assert (note.images_listed, note.images, note.annotations) == (2, 2, 2)
        assert (note.missing, note.broken, note.left_out, note.mended) == ([], [], {}, {})
        assert note.export_sha256 == hashlib.sha256((raw / note.export).read_bytes()).hexdigest()
        names = sorted((raw / "images" / note.patient).iterdir())
        lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(raw)}\n" for file in names]
        assert note.sources_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_every_written_file_is_in_the_sums_and_they_in_the_manifest(raw, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(request(raw), out)
    files = _bytes(out)
    sums = files.pop("SHA256SUMS")
    files.pop("manifest.json")
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    assert sums.decode() == "".join(lines)
    assert prepared.manifest.sums_sha256 == hashlib.sha256(sums).hexdigest()


def test_the_same_raw_tree_makes_the_same_bytes_anywhere(raw, tmp_path):
    prepare(request(raw), tmp_path / "out")
    shutil.copytree(raw, tmp_path / "copy")
    image_file(tmp_path / "copy", 3).touch()
    prepare(request(tmp_path / "copy"), tmp_path / "elsewhere" / "out")
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "elsewhere" / "out")


def test_a_manifest_does_not_tell_where_the_raw_tree_lay(raw, tmp_path, monkeypatch):
    shutil.copytree(raw, tmp_path / "baby_pose")  # also a part of the paths that exports list
    image_file(tmp_path / "baby_pose", 3).unlink()
    monkeypatch.chdir(tmp_path)
    for number, place in enumerate((tmp_path / "baby_pose", Path("baby_pose"))):
        prepared = prepare(request(place, allow_missing=True), tmp_path / f"out{number}")
        (remark,) = prepared.manifest.remarks
        assert remark.where == "annotations/pz3.json: images.file_name"
        assert remark.message.startswith("1 images are not below images: /datasets/baby_pose/pz3/00300_8bit.png;")


def test_named_patients_go_where_they_are_named(raw, tmp_path):
    prepared = prepare(request(raw, wish=Wish(val=(3,), test=(4,))), tmp_path / "out")
    assert prepared.manifest.split.rule == "named"
    assert {image["patient"] for image in read(tmp_path / "out", "val")["images"]} == {"pz3"}


def test_a_split_by_frame_is_marked_and_warned_of_wherever_it_is_used(tmp_path):
    raw = write_tree(tmp_path / "raw", (3, 4), count=10)
    wish = Wish(by_frame=True, leak_known=True)
    prepared = prepare(request(raw, wish=wish), tmp_path / "out")
    assert {split: (counts.patients, counts.images) for split, counts in prepared.manifest.counts.items()} == {
        "train": (2, 16),
        "val": (2, 2),
        "test": (2, 2),
    }
    assert [remark.level for remark in prepared.manifest.remarks] == ["warning"]
    assert [note.splits for note in prepared.manifest.patients] == [["train", "val", "test"]] * 2
    check = check_folder(tmp_path / "out", profile=PROFILE)
    assert check.usable
    (finding,) = check.findings
    assert finding.message.startswith("2 patients are in several splits")
    assert "it tells nothing of new ones" in finding.message


@pytest.mark.parametrize("ending", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("when", [1, 8])
def test_an_interrupted_preparation_leaves_nothing(raw, tmp_path, ending, when):
    def tell(done, total):
        assert total == 8
        if done == when:
            raise ending

    with pytest.raises(type(ending) if isinstance(ending, OSError) else ending):
        prepare(request(raw), tmp_path / "out", tell=tell)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_before_anything_is_read(raw, tmp_path):
    (tmp_path / "mine").write_text("...")
    with pytest.raises(DataError, match="is in use already"):
        prepare(request(raw), tmp_path)
    assert _bytes(tmp_path) == {"mine": b"..."}


def test_a_raw_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        prepare(request(tmp_path / "nowhere"), tmp_path / "out")


def test_annotations_say_where_they_come_from(raw, tmp_path):
    prepare(request(raw), tmp_path / "out")
    content = read(tmp_path / "out", "test")
    original = json.loads((raw / "annotations" / "pz73.json").read_text())
    assert [one["source_id"] for one in content["images"]] == [one["id"] for one in original["images"]]
    for one, before in zip(content["annotations"], original["annotations"], strict=True):
        assert (one["source_id"], one["area"], one["num_keypoints"]) == (before["id"], before["area"], 11)
        width, height = 40, 31
        x, y, w, h = before["bbox"]
        assert one["bbox"] == [width - 1 - x - w, height - 1 - y - h, w, h]
        assert one["keypoints"][2::3] == before["keypoints"][2::3]
        assert one["keypoints"][0] == width - 1 - before["keypoints"][0]
