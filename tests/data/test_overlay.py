"""Drawn poses stand where the joints are, are seen on any background, and tell sides and confidence apart."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.data.instances import Profile, load_profile
from greenpose.data.overlay import LEAST_PX, draw_pose, side_of

INFANT = load_profile("babypose")
LOST = np.full((1, 12, 2), np.nan)
SURE = np.ones((1, 12))
SHAPES = {"left": np.pi / 4, "right": 1.0, "middle": 0.5}
"""The part of its bounding box that a circle, a square and a triangle fill."""


def profile(*names: str, limbs: tuple[tuple[int, int], ...] = ()) -> Profile:
    """A skeleton of its own."""
    return Profile(
        name="own", category="any", keypoints=names, skeleton=limbs, sigmas=(0.1,) * len(names), sigma_source="assumed"
    )


def background(grey: int = 90, size: tuple[int, int] = (600, 500)) -> np.ndarray:
    """An empty image, large enough not to be enlarged."""
    return np.full((size[1], size[0], 3), grey, dtype=np.uint8)


def changed(picture: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Which pixels were drawn on."""
    return (picture != before).any(-1)


def with_joint(place: tuple[float, float], keypoint: int = 0) -> np.ndarray:
    """An infant of whom one joint is known."""
    joints = LOST.copy()
    joints[0, keypoint] = place
    return joints


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """The ratio of two colours' luminances, by WCAG 2.2."""

    def luminance(colour: np.ndarray) -> float:
        share = np.asarray(colour, dtype=float) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05

    darker, lighter = sorted((luminance(one), luminance(other)))
    return lighter / darker


@given(x=st.floats(20, 80), y=st.floats(20, 60), zoom=st.integers(1, 6))
def test_a_joint_is_drawn_around_its_place_in_images_of_any_size(x, y, zoom):
    small = np.full((80, 100), 90, dtype=np.uint8)
    picture = draw_pose(small, with_joint((x, y)), SURE, profile=INFANT, least_px=100 * zoom)
    assert picture.shape == (80 * zoom, 100 * zoom, 3)
    rows, columns = np.nonzero(changed(picture, np.full_like(picture, 90)))
    middle = (np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2 + 0.5) / zoom - 0.5
    assert np.abs(middle - (x, y)).max() <= 1 / zoom


def test_each_joint_of_several_people_has_the_colour_of_its_side():
    rng = np.random.default_rng(3)
    spots = np.stack(np.meshgrid(np.arange(60, 560, 60), np.arange(40, 480, 60)), -1).reshape(-1, 2)
    joints = rng.permutation(spots)[:24].reshape(2, 12, 2)
    alone = INFANT.model_copy(update={"skeleton": ()})
    picture = draw_pose(background(), joints, np.ones((2, 12)), profile=alone)
    found = picture[joints[..., 1], joints[..., 0]].astype(int)
    for keypoint, name in enumerate(INFANT.keypoints):
        red, _, blue = found[:, keypoint].T
        assert ((red > blue) if name.startswith("right") else (blue > red)).all()
    assert np.array_equal(
        changed(picture, background()),
        np.logical_or.reduce(
            [changed(draw_pose(background(), one, np.ones(12), profile=alone), background()) for one in joints]
        ),
    )


@pytest.mark.parametrize("side", SHAPES)
@pytest.mark.parametrize("grey", range(0, 256, 15))
def test_joints_and_limbs_of_every_side_stand_out_from_black_to_white(side, grey):
    own = profile(f"{side}_a".replace("middle", "nose"), f"{side}_b".replace("middle", "chin"), limbs=((0, 1),))
    joints = np.array([[100.0, 250.0], [500.0, 250.0]])
    picture = draw_pose(background(grey), joints, np.ones(2), profile=own)
    limb = picture[230:271, 200:401].reshape(-1, 3)
    around_joint = picture[230:271, 80:121].reshape(-1, 3)
    for drawn in (limb, around_joint):
        best = max(np.unique(drawn, axis=0), key=lambda colour: contrast(colour, [grey] * 3))
        assert contrast(best, [grey] * 3) >= 3
        assert max(contrast(colour, [0, 0, 0]) for colour in np.unique(drawn, axis=0)) >= 7  # light within dark


@pytest.mark.parametrize(("side", "filled"), SHAPES.items())
def test_sides_have_shapes_of_their_own(side, filled):
    own = profile(f"{side}_x".replace("middle", "nose"))
    picture = draw_pose(background(size=(2400, 2000)), np.array([[1200.0, 1000.0]]), np.ones(1), profile=own)
    drawn = picture.max(-1) > 170  # what is within its edge, whose corners are round
    rows, columns = np.nonzero(drawn)
    share = drawn.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
    assert share == pytest.approx(filled, abs=0.08)


@pytest.mark.parametrize(("side", "dashed"), [("left", False), ("right", True), ("nose", False)])
def test_limbs_of_the_right_are_dashed(side, dashed):
    own = profile(f"{side}_a", f"{side}_b", limbs=((0, 1),))
    line = draw_pose(background(), np.array([[100.0, 250], [500, 250]]), np.ones(2), profile=own)[250, 120:481]
    light = cv2.cvtColor(line[None], cv2.COLOR_RGB2GRAY)[0] > 100
    assert (np.diff(light.astype(int)) == 1).sum() > 5 if dashed else light.all()


def test_a_joint_grows_with_its_confidence_and_is_faint_up_to_the_papers_threshold():
    pictures = [
        draw_pose(background(0), with_joint((300, 250)), SURE * sure, profile=INFANT) for sure in (0.05, 0.2, 0.21, 1.0)
    ]
    areas = [int(changed(picture, background(0)).sum()) for picture in pictures]
    assert areas == sorted(areas)
    assert areas[0] < 0.8 * areas[-1]
    light = [int(picture.max()) for picture in pictures]
    assert light[0] == light[1] < 0.5 * light[2]
    assert light[2] == light[3]


@pytest.mark.parametrize("odd", [np.nan, -1.0, 0.0])
def test_a_confidence_that_is_none_is_drawn_as_that_of_no_confidence(odd):
    without = draw_pose(background(), with_joint((300, 250)), SURE * 0, profile=INFANT)
    assert np.array_equal(draw_pose(background(), with_joint((300, 250)), SURE * odd, profile=INFANT), without)


def test_a_limb_is_as_sure_as_its_less_sure_end():
    own = profile("left_a", "left_b", limbs=((0, 1),))
    joints = np.array([[100.0, 250.0], [500.0, 250.0]])
    sure, faint = (draw_pose(background(0), joints, np.array([1.0, c]), profile=own)[250, 300] for c in (0.9, 0.1))
    assert faint.max() < 0.5 * sure.max()


def test_truth_is_hollow_and_stands_around_what_was_found():
    picture = draw_pose(background(), LOST, SURE, profile=INFANT, truth=with_joint((300, 250), keypoint=3))
    assert (picture[250, 300] == 90).all()
    drawn = changed(picture, background())
    rays = (drawn[250, 300:315], drawn[250, 285:300], drawn[235:250, 300], drawn[250:265, 300])
    assert all(ray.any() for ray in rays)
    both = draw_pose(background(), with_joint((300, 250), 3), SURE, profile=INFANT, truth=with_joint((300, 250), 3))
    assert (both[250, 300] == draw_pose(background(), with_joint((300, 250), 3), SURE, profile=INFANT)[250, 300]).all()
    assert both[235:266, 285:316].min(-1).max() > 200


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_joints_that_are_nowhere_are_left_out_with_their_limbs(lost):
    joints = LOST.copy()
    joints[0, 2] = 300, 250
    known = draw_pose(background(), joints, SURE, profile=INFANT, truth=joints)
    joints[0, 1] = lost, 250
    assert np.array_equal(draw_pose(background(), joints, SURE, profile=INFANT, truth=joints), known)
    none = draw_pose(background(), np.full((0, 12, 2), np.nan), np.empty((0, 12)), profile=INFANT, truth=LOST)
    assert np.array_equal(none, background())


@given(places=st.lists(st.tuples(st.floats(-700, 1300), st.floats(-700, 1200)), min_size=12, max_size=12))
def test_nothing_is_drawn_farther_from_the_pose_than_a_joint_is_wide(places):
    alone = INFANT.model_copy(update={"skeleton": ()})
    joints = np.array([places])
    before = background()
    drawn = changed(draw_pose(before, joints, SURE, profile=alone, truth=joints), before)
    assert (before == 90).all()
    rows, columns = np.nonzero(drawn)
    far = np.hypot(columns[:, None] - joints[0, :, 0], rows[:, None] - joints[0, :, 1])
    assert (far.min(1) <= 18).all()


def test_small_images_are_enlarged_and_large_ones_are_not():
    small = draw_pose(np.zeros((64, 48), dtype=np.uint8), LOST, SURE, profile=INFANT)
    assert small.shape == (512, 384, 3)
    assert max(small.shape) >= LEAST_PX
    large = np.random.default_rng(1).integers(0, 255, (500, 700, 3), dtype=np.uint8)
    assert np.array_equal(draw_pose(large, LOST, SURE, profile=INFANT), large)


def test_lines_grow_with_the_image_and_shrink_with_the_subject():
    def area(size: tuple[int, int], extent: float) -> float:
        joints = np.array([[[50.0, 50.0], [50.0 + extent, 50.0]]])
        own = profile("left_a", "left_b")
        return float(
            changed(draw_pose(background(size=size), joints, SURE[:, :2], profile=own), background(size=size)).sum()
        )

    assert 2.5 < area((1440, 1200), 1200) / area((720, 600), 600) < 5
    assert area((480, 400), 50) < 0.6 * area((480, 400), 400)


def test_sides_come_from_names_or_from_pairs():
    own = profile("leftear", "Right paw", "tail", "l1", "l2").model_copy(update={"flip_pairs": ((3, 4),)})
    assert [side_of(own, keypoint) for keypoint in range(5)] == ["left", "right", "middle", "left", "right"]
