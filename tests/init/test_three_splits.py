"""What has no split is divided by subject where subjects are known, else by image; what has one is kept."""

from dataclasses import replace

import pytest

from greenpose.errors import DataError
from greenpose.init.labelled_set import divided
from tests.data.planted import instance


def images(count, *, subjects=0, first=0):
    """Instances of an image each, of so many subjects one after the other; of none where nobody knows."""
    return tuple(
        replace(
            instance(),
            id=number + 1,
            image_id=number + 1,
            image=f"{number:03d}.png",
            subject=f"s{(number - first) * subjects // count}" if subjects else "",
        )
        for number in range(first, first + count)
    )


def counts(division):
    return {split: len(its) for split, its in division.splits.items()}


def test_whole_subjects_are_dealt_out():
    found = divided({"": images(100, subjects=10)})
    owners = [{one.subject for one in its} for its in found.splits.values()]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 10
    assert counts(found) == {"train": 60, "val": 20, "test": 20}
    assert (found.shares_subjects, found.made) == (False, True)
    assert "by subject or film (10 of them" in found.how


def test_images_of_nobody_known_are_drawn_and_it_is_said():
    found = divided({"": images(100)})
    assert counts(found) == {"train": 70, "val": 15, "test": 15}
    assert [one.image for one in found.splits["train"]] != sorted(one.image for one in found.splits["train"])
    assert "no file says which subject" in found.how
    assert counts(divided({"": images(3)})) == {"train": 1, "val": 1, "test": 1}


def test_one_film_is_divided_by_time():
    found = divided({"": images(20, subjects=1)})
    (last_trained, first_tested) = (found.splits["train"][-1].image, found.splits["test"][0].image)
    assert last_trained < min(one.image for one in found.splits["val"]) < first_tested
    assert "by time, since all images are of s0" in found.how
    assert found.shares_subjects


def test_subjects_of_one_image_stay_together():
    pair = tuple(replace(one, image="same.png", id=100 + one.id) for one in images(2))
    found = divided({"": (*images(20, first=30), *pair)})
    assert len([split for split, its in found.splits.items() if any(one.image == "same.png" for one in its)]) == 1


def test_a_folders_own_splits_are_kept_and_what_lacks_is_taken_from_training():
    own = {"train": images(20), "val": images(5, first=20), "test": images(5, first=30)}
    assert divided(own).splits == own
    assert not divided(own).made
    half = divided({"train": images(20), "val": images(5, first=20)})
    assert counts(half) == {"train": 16, "val": 5, "test": 4}
    assert "test (the folder has none) divided by image" in half.how
    anew = divided(own, anew=True)
    assert anew.made
    assert sum(counts(anew).values()) == 30


def test_a_split_that_shares_subjects_says_what_its_test_is_worth():
    found = divided({"train": images(6, subjects=3), "val": images(3, subjects=3), "test": images(3, subjects=3)})
    assert found.shares_subjects
    assert "the test says nothing about new subjects" in found.how


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="2 labelled images are too few"):
        divided({"": images(2)})
