"""Augmented crops show what they should, joints stay where they belong, and what is drawn hangs on nothing else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import truncnorm

from greenpose.config import AugmentConfig
from greenpose.data import Framing, Samples, batch_of, load_profile
from greenpose.data.augment import Augmentation, check_half_body, check_sensor, turned, within
from greenpose.data.crops import crop_matrix, transform_points
from greenpose.data.images import window_depth
from greenpose.errors import DataError
from tests.data.planted import PROFILE, instance
from tests.training.samples import dots

STILL = {"rotation": 0, "scale": (1, 1), "shift": 0}
LAW = truncnorm(-1, 1)
WINDOW = (350.0, 858.0)
"""A grey level is 2 mm."""


def seeing(epoch=1, seed=5, **config):
    return Augmentation(config=AugmentConfig(**config), seeds=(seed, epoch))


def flat(grey, *, window=None, size=(64, 64)):
    """One instance whose crop is an image of one grey level, or of what an array holds; a box loses its last pixel."""
    image = np.full((64, 64), grey, np.uint8) if np.isscalar(grey) else grey
    image = cv2.copyMakeBorder(image, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    one = instance(image_size=(65, 65), box=(0.0, 0.0, 65.0, 65.0))
    framing = Framing.of(size, padding=1.0)
    return Samples.build([one], lambda _: image, profile=PROFILE, framing=framing, window=window)


def seen(samples, augmentation):
    return batch_of(samples, np.arange(len(samples)), augmentation=augmentation).images


def test_what_changes_nothing_is_what_is_seen_without_it():
    samples, indices = dots(4), np.arange(4)
    plain, same = batch_of(samples, indices), batch_of(samples, indices, augmentation=seeing(**STILL))
    np.testing.assert_array_equal(plain.images, same.images)
    np.testing.assert_array_equal(plain.heatmaps, same.heatmaps)


@pytest.mark.parametrize("turn", [{}, {"rotation": 180, "shift": 0.3}, {"scale": (0.4, 1)}], ids=str)
@pytest.mark.parametrize("mirrored", [False, True])
def test_in_an_augmented_batch_every_joint_in_the_frame_still_lies_on_its_dot(turn, mirrored):
    """Joint a is white and joint b black; in the mirror they have changed places."""
    samples, indices = dots(40), np.arange(40)
    flipped = np.full(40, mirrored)
    batch = batch_of(samples, indices, flipped=flipped, augmentation=seeing(**turn))
    found = 0
    for number in indices:
        for joint, grey in enumerate((0, 255) if mirrored else (255, 0)):
            row, column = np.unravel_index(batch.heatmaps[number, joint].argmax(), (16, 16))
            if batch.weights[number, joint] and 0 < row < 15 and 0 < column < 15:
                found += 1
                assert abs(int(batch.images[number, 4 * row, 4 * column]) - grey) < 100, (number, joint)
    assert found > 40


@pytest.mark.parametrize("decode", ["quarter", "udp"])
def test_the_middle_of_a_dot_is_where_its_joint_is_to_a_third_of_a_pixel(decode):
    samples = dots(40)
    samples = replace(samples, framing=replace(samples.framing, decode=decode))
    joints, images = samples.views(np.arange(40), seeing(rotation=180, scale=(0.6, 1.2)))
    covered = np.abs(np.diff(samples.joints, axis=1)[:, 0]).max(1) < 9
    for number, ((x, y), image) in enumerate(zip(joints[:, 0], images, strict=True)):
        bright = np.clip(image.astype(float) - 140, 0, None)
        if 8 < x < 56 and 8 < y < 56 and not covered[number]:
            rows, columns = np.mgrid[:64, :64]
            middle = np.array([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()
            np.testing.assert_allclose(middle, (x, y), atol=0.34)


def test_an_image_is_changed_alike_in_any_batch_and_order_and_otherwise_in_another_epoch_or_by_another_seed():
    samples = dots(6)
    (_, whole), (_, one) = (samples.views(np.array(some), seeing()) for some in ([0, 1, 2, 3, 4, 5], [4]))
    (_, back), (_, later) = samples.views(np.array([5, 4]), seeing()), samples.views(np.array([4]), seeing(epoch=2))
    _, other = samples.views(np.array([4]), seeing(seed=6))
    np.testing.assert_array_equal(whole[4], one[0])
    np.testing.assert_array_equal(whole[4], back[1])
    assert not any(np.array_equal(one, changed) for changed in (later, other, whole[:1]))
    _, taken = samples.take([4]).views(np.array([0]), seeing())
    np.testing.assert_array_equal(taken, one)


def test_parts_of_the_images_are_turned_and_shifted_as_far_as_is_said():
    samples = dots(120)
    joints, _ = samples.views(np.arange(120), seeing(rotation=30, scale=(1, 1), shift=0))
    before, after = (np.diff(some, axis=1)[:, 0] @ [1, 1j] for some in (samples.joints, joints))
    degrees = np.degrees(np.angle(after / before))
    assert 0.5 < (np.abs(degrees) > 0.01).mean() < 0.7
    assert 25 < np.abs(degrees).max() <= 30.01
    joints, _ = samples.views(np.arange(120), seeing(rotation=0, scale=(1, 1), shift=0.25))
    away = (joints - samples.joints)[:, 0]
    assert 0.2 < (np.abs(away).max(1) > 0.01).mean() < 0.4
    assert 13 < np.abs(away).max() <= 16.01
    joints, _ = samples.views(np.arange(120), seeing(rotation=0, scale=(0.5, 2), shift=0))
    factors = np.abs(before) / np.abs(np.diff(joints, axis=1)[:, 0] @ [1, 1j])
    assert 0.499 < factors.min() < 0.56
    assert 1.9 < factors.max() < 2.001


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 1))
def test_a_range_is_drawn_from_as_scipy_s_truncated_normal_distribution(low, length, chance):
    high = low + length
    expected = (low + high) / 2 + length / 2 * LAW.ppf(chance)
    assert within(low, high, chance) == pytest.approx(expected, abs=1e-6)


@given(st.floats(-180, 180), st.floats(0, 640), st.floats(0, 480))
def test_an_image_is_turned_as_opencv_turns_it_and_its_middle_stays(degrees, x, y):
    expected = cv2.getRotationMatrix2D((x, y), -degrees, 1.0)  # which counts against the clock
    np.testing.assert_allclose(turned(np.eye(2, 3), np.array([x, y]), degrees), expected, atol=1e-3)
    matrix = crop_matrix((x, y), (1.5, 2.0), (192, 256))
    np.testing.assert_allclose(transform_points(np.array([x, y]), turned(matrix, np.array([x, y]), degrees)), [96, 128])


def _infant(labelled=12):
    profile = load_profile("babypose")
    rng = np.random.default_rng(3)
    joints = np.where(np.isin(np.arange(12), profile.upper_body)[:, None], [100.0, 80.0], [300.0, 350.0])
    visibility = (np.arange(12) < labelled).astype(int)
    one = {"image_size": (480, 480), "box": (60.0, 40.0, 300.0, 380.0), "visibility": visibility}
    some = [instance(id=n, joints=joints + rng.uniform(-40, 40, (12, 2)), **one) for n in range(1, 41)]
    blank = np.zeros((480, 480), np.uint8)
    return Samples.build(some, lambda _: blank, profile=profile, framing=Framing.of((192, 256)))


def test_half_a_body_is_one_half_s_joints_in_the_middle_of_the_crop_and_all_of_them_in_it():
    samples = _infant()
    joints, _ = samples.views(np.arange(40), seeing(**STILL, half_body=1))
    halves = np.stack([joints[:, :6].mean(1), joints[:, 6:].mean(1)], 1)
    central = np.abs(halves - [96, 128]).max(-1) < 0.01
    assert (central.sum(1) == 1).all()
    assert 8 < central[:, 0].sum() < 32
    framed = (joints > 0).all(-1) & (joints < [192, 256]).all(-1)
    of_half = np.where(central[:, :1], framed[:, :6], framed[:, 6:])
    assert of_half.mean() > 0.95  # the middle is that of the joints, not of the box around them
    batch = batch_of(samples, np.arange(40), augmentation=seeing(**STILL, half_body=1))
    assert not batch.heatmaps[batch.weights == 0].any()
    assert (batch.weights == 0).any()


def test_where_few_joints_are_labelled_or_one_half_s_alone_the_body_stays_whole_or_that_half_is_seen():
    few, plain = _infant(6), _infant(6).joints
    joints, _ = few.views(np.arange(40), seeing(**STILL, half_body=1))
    np.testing.assert_allclose(joints, plain, atol=1e-3)
    joints, _ = _infant(8).views(np.arange(40), seeing(**STILL, half_body=1))
    np.testing.assert_allclose(joints[:, :6].mean(1), np.tile([96, 128], (40, 1)), atol=0.01)


def test_light_changes_grey_levels_about_their_middle_and_blur_leaves_an_even_image_as_it_is():
    assert seen(flat(100), seeing(**STILL, brightness=(0.1, 0.1))).min() == 126
    assert seen(flat(100), seeing(**STILL, brightness=(0.1, 0.1))).max() == 126
    assert seen(flat(100), seeing(**STILL, contrast=(2, 2))).max() == 72
    assert seen(flat(250), seeing(**STILL, contrast=(2, 2))).min() == 255
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    blurred = seen(flat(noise), seeing(**STILL, blur=(1.5, 1.5)))[0]
    np.testing.assert_array_equal(blurred, cv2.GaussianBlur(noise, (0, 0), 1.5))
    assert (seen(flat(100), seeing(**STILL, blur=(1.5, 1.5))) == 100).all()
    colours = seen(flat(np.dstack([noise] * 3)), seeing(**STILL, brightness=(-0.2, 0.2), blur=(0, 2)))
    assert colours.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(colours[..., 0], colours[..., 2])


def test_depth_is_shifted_by_its_window_and_no_return_and_both_ends_stay():
    image = np.tile(np.array([0, 1, 2, 100, 250, 254, 255, 128], np.uint8), (64, 8))
    near = seen(flat(image, window=WINDOW), seeing(**STILL, depth_shift_mm=(-20, -20)))[0, 0, :8]
    assert near.tolist() == [0, 1, 1, 90, 240, 244, 255, 118]
    far = seen(flat(image, window=WINDOW), seeing(**STILL, depth_shift_mm=(20, 20)))[0, 0, :8]
    assert far.tolist() == [0, 1, 12, 110, 255, 255, 255, 138]
    moved = seen(flat(2, window=WINDOW), seeing(**STILL, depth_shift_mm=(500, 500)))
    assert (moved == window_depth(np.array([[352 + 500]]), WINDOW)).all()


def test_depth_gets_noise_of_so_many_millimetres_at_most_and_loses_so_much_at_most():
    depth, size = flat(128, window=WINDOW, size=(256, 256)), range(1, 61)
    levels = [seen(depth, seeing(epoch, **STILL, depth_noise_mm=12))[0].std() for epoch in size]
    assert 5 < max(levels) < 6.1  # 12 mm are 6 levels
    assert 0 <= min(levels) < 1
    parts = [(seen(depth, seeing(epoch, **STILL, depth_dropout=0.2)) == 0).mean() for epoch in size]
    assert 0.17 < max(parts) < 0.23
    assert np.mean(parts) == pytest.approx(0.1, abs=0.03)
    holes = seen(depth, seeing(**STILL, depth_dropout=0.2))[0] == 0
    assert (holes.reshape(64, 4, 64, 4).sum((1, 3)) % 16 == 0).all()


def test_halves_without_an_upper_body_and_what_is_for_another_sensor_are_refused():
    asked = AugmentConfig(half_body=0.3, depth_noise_mm=5, depth_shift_mm=(-9, 9), blur=(0, 1))
    with pytest.raises(DataError, match=r"profile stick: has no upper_body, .* train\.augment\.half_body must be 0"):
        check_half_body(asked, PROFILE)
    with pytest.raises(DataError) as caught:
        check_sensor(asked, None)
    settings = [fault.partition(": is for depth in mm, and these are 8-bit images")[0] for fault in caught.value.faults]
    assert settings == ["depth_noise_mm", "depth_shift_mm"]
    with pytest.raises(DataError, match="blur: is for 8-bit images, and these are depth, seen from 350 to 858 mm"):
        check_sensor(asked, WINDOW)
    for window in (None, WINDOW):
        check_sensor(AugmentConfig(), window)
    check_half_body(asked, load_profile("coco"))
