"""A look at data tells what loading them all would, and costs little."""

import json
from pathlib import Path

import numpy as np
import pytest

from greenpose.config import DataConfig
from greenpose.data.folders import write_coco
from greenpose.data.instances import load_profile
from greenpose.data.splits import SYNTHETIC_WINDOW_MM, load_splits, preview, repeated
from greenpose.data.synthetic import generate
from greenpose.errors import DataError

SYNTHETIC = {
    "input_size": [32, 32],
    "synthetic": {
        "size": [160, 120],
        "patients": {"train": 3, "val": 2, "test": 1},
        "frames": {"train": 4, "val": 2, "test": 3},
    },
}


@pytest.fixture
def synthetic(tmp_path, monkeypatch) -> DataConfig:
    """Tiny synthetic data with a cache of their own."""
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path / "cache"))
    return DataConfig.model_validate(SYNTHETIC)


@pytest.fixture
def folder(synthetic, tmp_path) -> DataConfig:
    """The same data as a COCO folder."""
    splits = {split: generate(synthetic.synthetic, split) for split in ("train", "val", "test")}
    write_coco(tmp_path / "infants", splits, profile=load_profile("babypose"), window=SYNTHETIC_WINDOW_MM)
    return DataConfig.model_validate({"source": "coco", "root": str(tmp_path / "infants"), "input_size": [32, 32]})


def test_synthetic_data_are_counted_without_being_made(synthetic, tmp_path):
    seen = preview(synthetic, num=2)
    assert seen.counts == {"train": 12, "val": 4, "test": 3}
    assert not (tmp_path / "cache").exists()
    assert {split: len(samples) for split, samples in load_splits(synthetic).items()} == seen.counts


def test_what_must_be_made_is_what_the_cache_does_not_hold(synthetic, tmp_path):
    assert preview(synthetic, num=2).to_make == 19
    load_splits(synthetic)
    assert preview(synthetic, num=2).to_make == 0
    (train,) = (tmp_path / "cache").glob("synthetic-train-*")
    train.unlink()
    assert preview(synthetic, num=2).to_make == 12


def test_a_folder_is_counted_by_its_annotations_and_all_of_it_is_read_each_time(folder):
    seen = preview(folder, num=2)
    assert seen.counts == {split: len(samples) for split, samples in load_splits(folder).items()}
    assert seen.to_make == sum(seen.counts.values())


def test_detected_boxes_are_counted_apart_and_have_to_be_read_too(folder):
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 60, 60], "score": 0.5}
    (Path(folder.root) / "boxes.json").write_text(json.dumps([box] * 5))
    plain, seen = (preview(folder.model_copy(update={"detections": name}), num=2) for name in (None, "boxes.json"))
    assert (plain.searched, seen.searched) == (0, 5)
    assert seen.to_make == plain.to_make + 5
    (Path(folder.root) / "boxes.json").write_text("[]")
    with pytest.raises(DataError, match="holds no box"):
        preview(folder.model_copy(update={"detections": "boxes.json"}), num=2)


def test_the_few_samples_are_the_first_of_the_training_split(synthetic, folder):
    for config in (synthetic, folder):
        few, whole = preview(config, num=3).few, load_splits(config)["train"]
        assert len(few) == 3
        assert np.array_equal(few.crops(range(3)), whole.crops(range(3)))
        assert np.array_equal(few.targets(), whole.targets(range(3)))


def test_images_that_are_to_be_augmented_are_looked_at_whole(synthetic, folder):
    load_splits(synthetic)
    assert preview(synthetic, num=2, whole=True).to_make == preview(synthetic, num=2).counts["train"]
    for config in (synthetic, folder):
        few, all_ = preview(config, num=3, whole=True).few, load_splits(config, whole=True)["train"]
        assert few.window == all_.window
        for image, same in zip(repeated(few, 5).images([4, 2]), all_.images([1, 2]), strict=True):
            assert np.array_equal(image, same)


def test_repeated_samples_show_the_same_and_are_images_of_their_own(synthetic):
    few = preview(synthetic, num=3).few
    many = repeated(few, 8)
    assert np.array_equal(many.crops(range(8)), few.crops([0, 1, 2, 0, 1, 2, 0, 1]))
    assert len({*many.image_ids.tolist()}) == len(many.ground_truth["images"]) == 8
    assert len(repeated(few, 2)) == 2


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(DataError, match="nowhere: no such folder"):
        preview(DataConfig.model_validate({"source": "coco", "root": "nowhere"}), num=2)
