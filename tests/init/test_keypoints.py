"""Pairs are guessed from names and said to be guesses; sigmas are never without a source."""

from pathlib import Path

import pytest

from greenpose.data import load_profile
from greenpose.init.keypoints import SIGMA, guessed_pairs, propose_profile
from greenpose.init.labelled_set import Labelled


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("nose left_ear right_ear tail", [(1, 2)]),
        ("snout leftear rightear tailbase", [(1, 2)]),
        ("LEye REye Nose", [(0, 1)]),
        ("eye_l eye_r", [(0, 1)]),
        ("l_paw r_paw tail", [(0, 1)]),
        ("paw-L paw-R", [(0, 1)]),
        ("pawLF pawRF pawLH pawRH", [(0, 1), (2, 3)]),
        ("wing_top wing_bot head", [(0, 1)]),
        ("wing_top wing_bottom", [(0, 1)]),
        ("left_ear_top right_ear_top left_ear_bot right_ear_bot", [(0, 1), (2, 3)]),
        ("Left Hip;Right Hip;Hip", [(0, 1)]),
        ("leftover rightmost tail", []),
        ("l1 l2 l3", []),
        ("collar color", []),
        ("left_ear tail", []),
    ],
)
def test_a_pair_is_what_differs_by_a_side_only(names, pairs):
    assert guessed_pairs(names.split(";" if ";" in names else " ")) == tuple(pairs)


def test_the_pairs_of_the_profiles_that_ship_are_what_their_names_tell():
    for name in ("babypose", "coco", "openfield"):
        profile = load_profile(name)
        assert set(map(frozenset, guessed_pairs(profile.keypoints))) == set(map(frozenset, profile.flip_pairs))


def labelled(*names: str, **changes) -> Labelled:
    fields = {"files": (), "category": "mouse", "keypoints": names, "skeleton": (), "splits": {}, "pixels": Path}
    return Labelled(**(fields | changes))


def test_what_ships_is_not_guessed_anew():
    shipped = load_profile("coco")
    profile, reasons = propose_profile(labelled(*shipped.keypoints), name="mine")
    assert (profile.sigmas, profile.sigma_source) == (shipped.sigmas, shipped.sigma_source)
    assert "GUESSED" not in " ".join(reasons.values())


def test_a_guess_is_said_to_be_one_and_what_the_files_say_is_not():
    guess = propose_profile(labelled("left_ear", "right_ear"), name="mine")[1]["flip_pairs"]
    assert guess.startswith("GUESSED from the names: left_ear and right_ear")
    views = propose_profile(labelled("tail_top", "tail_bot"), name="mine")[1]["flip_pairs"]
    assert "two views" in views
    told = propose_profile(labelled("a", "b", flip_pairs=((0, 1),)), name="mine")
    assert (told[0].flip_pairs, "GUESSED" in told[1]["flip_pairs"]) == (((0, 1),), False)


def test_sigmas_of_people_are_cocos_and_others_are_assumed():
    people, _ = propose_profile(labelled("neck", *load_profile("coco").keypoints), name="mine")
    assert people.sigmas == (SIGMA, *load_profile("coco").sigmas)
    assert "COCO's own, measured on adults in photographs" in people.sigma_source
    mouse, _ = propose_profile(labelled("nose", "left_ear", "right_ear", "tail"), name="mine")
    assert (set(mouse.sigmas), mouse.sigma_source.startswith("assumed: 0.05")) == ({SIGMA}, True)
    low, high = min(load_profile("coco").sigmas), max(load_profile("coco").sigmas)
    assert pytest.approx((low * high) ** 0.5, rel=0.04) == SIGMA
