"""Patients are dealt out as the paper did, or as somebody says; never by accident."""

import random

import pytest

from greenpose.data.raw.splits import PAPER, Wish, divide, draw, parse_patients
from greenpose.errors import DataError

_FOUND = (3, 4, 6, 73)


def test_the_papers_patients_fall_as_the_paper_says():
    division = divide(PAPER, Wish())
    assert (division.by, division.rule, division.seed, division.note) == ("patient", "paper", 1, "the paper's")
    assert len(PAPER) == 27
    assert division.patients["val"] == (6, 16, 5)
    assert division.patients["test"] == (73, 36, 7)
    assert sorted(division.patients["train"]) == [n for n in PAPER if n not in {5, 6, 7, 16, 36, 73}]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_draw_is_the_global_generator_shuffling_a_list(seed):
    order = list(PAPER)
    random.seed(seed)
    random.shuffle(order)
    drawn = draw(PAPER, seed)
    assert [*drawn["train"], *drawn["val"], *drawn["test"]] == order
    assert [len(part) for part in drawn.values()] == [21, 3, 3]


def test_some_of_the_papers_patients_stay_where_the_paper_has_them_and_the_others_are_named():
    division = divide(_FOUND, Wish())
    assert {split: set(numbers) for split, numbers in division.patients.items()} == {
        "train": {3, 4},
        "val": {6},
        "test": {73},
    }
    assert "23 of its 27 patients are not here (pz5, pz7, pz11" in division.note


def test_with_patients_that_the_paper_does_not_know_the_found_ones_are_drawn_and_it_is_said():
    found = (1, 2, 3, 27, 29, 40, 41, 50, 51, 52)
    division = divide(found, Wish())
    assert (division.rule, division.seed) == ("seed", 1)
    assert division.patients == draw(found, 1)
    assert "not the paper's split, which knows no pz1, pz2, pz27" in division.note


def test_another_seed_draws_other_patients():
    division = divide(PAPER, Wish(seed=2))
    assert (division.rule, division.seed) == ("seed", 2)
    assert division.patients != divide(PAPER, Wish()).patients
    assert sorted(number for part in division.patients.values() for number in part) == list(PAPER)


def test_named_patients_are_taken_and_the_others_trained_on():
    division = divide(_FOUND, Wish(val=(4,), test=(3,)))
    assert division.patients == {"train": (6, 73), "val": (4,), "test": (3,)}
    assert division.seed is None


def test_a_file_may_say_who_is_where(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: [3, pz73]\nval: [PZ04]\ntest: ['6']\n")
    division = divide(_FOUND, Wish(file=file))
    assert division.patients == {"train": (3, 73), "val": (4,), "test": (6,)}
    assert division.note == "as mine.yaml says"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: [3]\nval: [4]\n", "must hold the lists train, val and test"),
        ("train: 3\nval: [4]\ntest: [6]\n", "must hold the lists"),
        ("train: [3, anna]\nval: [4]\ntest: [6]\n", r"mine\.yaml: train: 'anna': no patients"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        divide(_FOUND, Wish(file=file))


@pytest.mark.parametrize(
    ("wish", "messages"),
    [
        (Wish(val=(4,), test=(4,)), ["pz4: in several splits"]),
        (Wish(val=(9,), test=(4,)), ["pz9: no such patients; here are pz3, pz4, pz6, pz73"]),
        (Wish(val=(4,)), ["no patients for test"]),
        (Wish(val=(9,), test=(3, 4, 6, 73)), ["pz9: no such patients", "no patients for train"]),
        (Wish(seed=1, val=(4,)), ["--seed and --val and --test: each is a split of its own"]),
        (Wish(seed=1), ["no patients for test"]),
    ],
)
def test_a_split_that_cannot_be_is_refused_with_all_its_faults(wish, messages):
    with pytest.raises(DataError) as caught:
        divide(_FOUND, wish)
    assert len(caught.value.faults) == len(messages)
    for fault, message in zip(caught.value.faults, messages, strict=True):
        assert message in fault


def test_a_patient_that_a_file_forgets_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: [3]\nval: [4]\ntest: [6]\n")
    with pytest.raises(DataError, match="pz73: in no split"):
        divide(_FOUND, Wish(file=file))


def test_a_split_by_frame_is_refused_until_its_leak_is_known():
    with pytest.raises(DataError, match="--i-know-it-leaks"):
        divide(_FOUND, Wish(by_frame=True))
    assert divide(_FOUND, Wish(by_frame=True, leak_known=True)).by == "frame"


def test_by_frame_every_patient_is_dealt_out_eighty_ten_ten_and_not_all_alike():
    division = divide(_FOUND, Wish(by_frame=True, leak_known=True))
    dealt = {patient: division.deal(patient, 20) for patient in _FOUND}
    for splits in dealt.values():
        assert [splits.count(split) for split in ("train", "val", "test")] == [16, 2, 2]
    assert len({tuple(splits) for splits in dealt.values()}) > 1
    assert division.deal(3, 20) == dealt[3]


def test_patients_are_named_with_or_without_letters_once():
    assert parse_patients(["6", "pz16", " PZ5", "pz6"], where="--val") == (6, 16, 5)
    with pytest.raises(DataError, match=r"--val: 'x', '': no patients"):
        parse_patients(["6", "x", ""], where="--val")
