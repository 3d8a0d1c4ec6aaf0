"""What is written comes back as it was meant, names that YAML takes for something else too; reasons stand above."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from greenpose.config.profile import Profile, own_profile
from greenpose.config.yaml_files import parse_yaml
from greenpose.init.yaml_texts import as_yaml, profile_text

HOSTILE = ("yes", "no", "null", "~", "1e3", "0x10", "1_000", "on", "true", ".inf", "2026-01-01", "12:30", "- a", "a: b")
MORE = (
    "#tail",
    "tail # end",
    "'",
    '"',
    "{",
    "[0, 1]",
    "*a",
    "&a",
    "!x",
    "%",
    "@",
    "`",
    "äöü",
    "名前",
    "a  b",
    "?",
    "=",
    "<<",
)


@pytest.mark.parametrize("name", [*HOSTILE, *MORE])
def test_a_hostile_name_comes_back(name, tmp_path):
    profile = Profile(
        name=name, category=name, keypoints=(name, "tail"), sigmas=(0.05, 0.05), sigma_source=name, flip_pairs=((0, 1),)
    )
    file = tmp_path / "profile.yaml"
    file.write_text(profile_text(profile, {"keypoints": "because " * 40}, origin=name), encoding="utf-8")
    assert own_profile(file) == profile
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["keypoints"] == [name, "tail"]


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=150)


VALUES = st.one_of(TEXT, st.integers(), st.none(), st.lists(TEXT, max_size=4), st.floats(-9, 9))


@given(st.dictionaries(TEXT, VALUES, min_size=1))
def test_any_document_comes_back(document):
    assert parse_yaml(as_yaml(document, {}, head="h"), where="it") == document


def test_reasons_stand_above_what_they_are_of():
    text = as_yaml({"a": {"b": 1, "c": [1, 2]}}, {"a.c": "two of them", "a": "why"}, head="what")
    assert text == "# what\n# why\na:\n  b: 1\n  # two of them\n  c: [1, 2]\n"
