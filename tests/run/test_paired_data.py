"""The way of a few images to batches: what is read and decoded on it, counted the same every time."""

import os
from pathlib import Path

import pytest

from greenpose.config import expand, load_experiment
from greenpose.config.experiment import DataConfig
from greenpose.data.excerpt import IMAGES, excerpt
from greenpose.data.splits import inspect_splits
from greenpose.errors import DataError
from greenpose.run import paired_data
from tests.run.infants import infants


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in paired_data.CACHES:
        monkeypatch.setenv(name, os.environ.get(name, str(tmp_path / "cache")))
    if paired_data.IO.exists():  # a worker of the tests hears of what is next in another thread
        monkeypatch.setattr(paired_data, "IO", Path("/proc/thread-self/io"))
    infants(tmp_path, "e", exits=(2,))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(place, *settings):
    (cell,) = expand(load_experiment(place / "e.yaml", settings=settings), where="e")
    return cell.config


def test_every_image_of_the_training_split_is_read_once_for_two_epochs(place):
    config = read(place)
    facts, call = paired_data.prepare({}, config)
    images = [*(place / "infants" / "images" / "train").rglob("*.png")]
    assert len(images) == 4
    assert facts["batch"] == call() == 2 * len(images)
    everywhere = [*(place / "infants").rglob("*.png")]
    assert facts["counts"]["images_decoded"] == len(everywhere)  # the other splits are loaded with it
    files = [file for file in (place / "infants").rglob("*") if file.is_file()]
    assert facts["counts"].get("bytes_read", 10**9) >= sum(file.stat().st_size for file in files)
    assert paired_data.prepare({}, config)[0] == facts


def test_images_that_are_not_kept_are_decoded_again_in_every_epoch(place, monkeypatch):
    monkeypatch.setattr("greenpose.data.samples._kept", lambda *_: None)
    facts, _ = paired_data.prepare({}, read(place))
    assert facts["counts"]["images_decoded"] == 2 * 4


def test_augmented_images_are_read_once_too_and_cut_in_every_epoch(place):
    facts, call = paired_data.prepare({}, read(place, "train.augment={}"))
    assert facts["batch"] == call() == 2 * 4
    assert facts["counts"] == paired_data.prepare({}, read(place))[0]["counts"]


def test_generated_images_are_drawn_anew_in_every_call(place):
    synthetic = "{size: [64, 48], patients: {train: 1, val: 1, test: 1}, frames: {train: 3, val: 1, test: 1}}"
    config = read(place, "data.source=synthetic", "data.root=null", f"data.synthetic={synthetic}")
    facts, call = paired_data.prepare({}, config)
    assert facts["counts"]["images_decoded"] == 0
    assert facts["batch"] == call() <= 2 * 3


def test_an_excerpt_is_the_first_images_of_each_split_as_they_are_with_their_joints(place):
    (place / "infants" / "detections.json").write_text("[]")
    whole = DataConfig(source="coco", root=str(place / "infants"))
    with excerpt(whole) as settings:
        config = read(place, *settings).data
        root = Path(config.root)
        assert root != place / "infants"
        few, all_ = inspect_splits(config), inspect_splits(whole)
        for split, most in IMAGES.items():
            pairs = zip(few[split].instances, all_[split].instances[:most], strict=True)
            for one, other in pairs:
                assert Path(one.image).read_bytes() == Path(other.image).read_bytes()
                assert (one.joints == other.joints).all()
                assert one.box == pytest.approx(other.box)
        assert len(few["test"].instances) == 2 < len(all_["test"].instances)
    assert not root.exists()


def test_large_images_are_fewer_but_two(place, monkeypatch):
    monkeypatch.setattr("greenpose.data.excerpt.MOST_BYTES", 1)
    with excerpt(DataConfig(source="coco", root=str(place / "infants"))) as settings:
        assert len(inspect_splits(read(place, *settings).data)["train"].instances) == 2


def test_without_a_folder_there_is_no_excerpt(place):
    with pytest.raises(DataError, match="nowhere: no such folder"), excerpt(DataConfig(source="coco", root="nowhere")):
        pass
