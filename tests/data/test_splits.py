"""Generated splits are cached, and made anew whenever something about them could have changed."""

import numpy as np
import pytest

from greenpose.config import DataConfig, SplitNumbers, SyntheticConfig
from greenpose.data import Framing, load_profile
from greenpose.data.splits import code_digest, load_splits
from greenpose.errors import DataError


def config(**changes) -> DataConfig:
    numbers = SplitNumbers(train=2, val=1, test=1)
    synthetic = SyntheticConfig(size=(80, 60), patients=numbers, frames=numbers)
    return DataConfig(input_size=(32, 32), synthetic=synthetic, **changes)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path))
    return tmp_path


def test_what_comes_from_the_cache_is_what_was_generated(cache):
    first, second = load_splits(config()), load_splits(config())
    assert len(list(cache.iterdir())) == 3
    for split, samples in first.items():
        indices = range(len(samples))
        np.testing.assert_array_equal(samples.crops(indices), second[split].crops(indices))
        np.testing.assert_array_equal(samples.joints, second[split].joints)


def test_whole_images_of_the_training_split_are_kept_apart_for_all_sizes_and_give_the_same_crops(cache):
    plain, whole = load_splits(config()), load_splits(config(), whole=True)
    assert len(list(cache.iterdir())) == 4
    np.testing.assert_array_equal(plain["train"].crops(range(2)), whole["train"].crops(range(2)))
    np.testing.assert_array_equal(plain["train"].joints, whole["train"].joints)
    assert [image.shape for image in whole["train"].images([1, 0])] == [(60, 80)] * 2
    assert (plain["train"].images, whole["val"].images) == (None, None)
    again = load_splits(config(padding=1.0), only=["train"], whole=True)["train"]
    assert len(list(cache.iterdir())) == 4
    assert not np.array_equal(again.crops(range(2)), plain["train"].crops(range(2)))


def test_no_patient_is_in_two_splits(cache):
    subjects = [set(samples.subjects) for samples in load_splits(config()).values()]
    assert [len(some) for some in subjects] == [2, 1, 1]
    assert len(set.union(*subjects)) == 4


def test_other_settings_and_another_profile_are_other_data(cache, tmp_path_factory):
    load_splits(config())
    for changes in ({"sigma": 1.0}, {"stride": 8}, {"decode": "udp"}):
        framing = load_splits(config(**changes))["test"].framing
        assert framing == Framing.of_data(config(**changes))
    assert len(list(cache.iterdir())) == 12
    text = load_profile("babypose").model_copy(update={"name": "mine", "sigmas": (0.1,) * 12}).model_dump_json()
    own = tmp_path_factory.mktemp("profiles") / "mine.yaml"
    own.write_text(text)
    assert load_splits(config(profile=str(own)))["test"].profile.sigmas == (0.1,) * 12


def test_joints_that_the_generator_does_not_draw_are_refused(cache):
    with pytest.raises(DataError, match="use babypose"):
        load_splits(config(profile="coco"))


def test_only_code_that_draws_images_counts(tmp_path):
    (tmp_path / "synthetic").mkdir()
    digests = []
    for text in ("x = 1", "x = 2"):
        for name in ("synthetic/body.py", "crops.py", "check.py"):
            (tmp_path / name).write_text(text)
            digests.append(code_digest(tmp_path))
    assert len(set(digests)) == 4
    assert digests[1] == digests[2]
    assert digests[4] == digests[5]
