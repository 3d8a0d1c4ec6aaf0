"""Profiles: packaged ones are sound, one's own are checked whole."""

import numpy as np
import pytest
import yaml
from pycocotools.cocoeval import Params

from greenpose.data.instances import load_profile, profile_names
from greenpose.errors import ConfigError

_OWN = {
    "name": "fly",
    "category": "fly",
    "keypoints": ["head", "left_wing", "right_wing"],
    "skeleton": [[0, 1], [0, 2]],
    "flip_pairs": [[1, 2]],
    "sigmas": [0.05, 0.1, 0.1],
    "sigma_source": "assumed",
}


def _write(tmp_path, **changes):
    path = tmp_path / "fly.yaml"
    path.write_text(yaml.safe_dump(_OWN | changes))
    return path


@pytest.mark.parametrize("name", profile_names())
def test_a_packaged_profile_is_found_by_its_name(name):
    profile = load_profile(name)
    assert profile.name == name
    assert len(profile.sigmas) == profile.num_keypoints


def test_the_three_data_sets_have_their_number_of_keypoints():
    assert {n: load_profile(n).num_keypoints for n in profile_names()} == {"babypose": 12, "coco": 17, "openfield": 4}


def test_coco_sigmas_are_the_evaluators():
    np.testing.assert_allclose(load_profile("coco").sigmas, Params(iouType="keypoints").kpt_oks_sigmas)


@pytest.mark.parametrize("name", profile_names())
def test_flip_pairs_join_left_and_right_names_with_equal_sigmas(name):
    profile = load_profile(name)
    for left, right in profile.flip_pairs:
        names = {profile.keypoints[left], profile.keypoints[right]}
        assert len({n.replace("left", "").replace("right", "") for n in names}) == 1
        assert profile.sigmas[left] == profile.sigmas[right]


def test_an_own_profile_is_read_from_its_file(tmp_path):
    assert load_profile(_write(tmp_path)).keypoints == ("head", "left_wing", "right_wing")


def test_names_are_stripped(tmp_path):
    assert load_profile(_write(tmp_path, keypoints=["head ", " a", "b"])).keypoints == ("head", "a", "b")


def test_a_mistyped_name_gets_near_ones():
    with pytest.raises(ConfigError, match="did you mean babypose"):
        load_profile("babypos")


def test_every_fault_of_a_file_is_reported_at_once(tmp_path):
    path = _write(tmp_path, sigmas=[0.05, -1], skeleton=[[0, 3]], flip_pairs=[[1, 1]], colour="red")
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    text = str(caught.value)
    for part in ("2 values for 3 keypoints", "[1] is -1.0", "go from 0 to 2", "with itself", "colour: unknown key"):
        assert part in text
    assert str(path) in text


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", ""])
def test_a_file_that_holds_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        load_profile(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_profile(tmp_path / "none.yaml")


@pytest.mark.parametrize("changes", [{"keypoints": ["a", "a", "b"]}, {"flip_pairs": [[0, 1], [1, 2]]}])
def test_a_keypoint_named_or_mirrored_twice_is_refused(tmp_path, changes):
    with pytest.raises(ConfigError, match="more than on"):
        load_profile(_write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("upper", "fault"), [([0, 3], r"\[1\] is 3, indices go from 0 to 2"), ([2, 0, 1], "the lower half needs some too")]
)
def test_an_upper_body_has_joints_of_the_skeleton_and_leaves_some(tmp_path, upper, fault):
    with pytest.raises(ConfigError, match=f"upper_body: .*{fault}"):
        load_profile(_write(tmp_path, upper_body=upper))
    assert load_profile(_write(tmp_path, upper_body=[0, 1])).upper_body == (0, 1)
    assert "upper_body" not in load_profile(_write(tmp_path)).model_dump()


@pytest.mark.parametrize("sigma", [9e18, 1.01, 0, -0.1])
def test_a_sigma_beyond_the_subjects_own_size_is_refused(tmp_path, sigma):
    """OKS of a sigma of 9e18 is 1 for any pose: AP 100 %."""
    with pytest.raises(ConfigError, match=r"sigmas: \[1\] is .*, must be from 0.001 to 1"):
        load_profile(_write(tmp_path, sigmas=[0.1, sigma, 0.1]))
