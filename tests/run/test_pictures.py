"""The picture of predictions shows the right images, is never too large, and never ends a run."""

import io
import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from greenpose.data import Framing, Instance, Samples, load_profile
from greenpose.data.overlay import LOOKS
from greenpose.errors import DataError
from greenpose.run.pictures import chosen, leave_picture, predictions_png
from greenpose.store import RunFolder, pictures
from greenpose.store.pictures import MOST_BYTES
from greenpose.training import ExitPredictions, similarities
from tests.report.records import record
from tests.training.samples import dots


def moved(samples: Samples, by) -> ExitPredictions:
    """What an exit says that is off by so many pixels in each image."""
    joints = np.stack([instance.joints for instance in samples.instances])
    joints = joints + np.reshape(np.broadcast_to(by, len(samples)), (-1, 1, 1)) * [1.0, 0.0]
    return ExitPredictions(joints=joints, peaks=np.ones(joints.shape[:2]), places=samples.target_places)


def people(num: int, *, noise: bool, size=(192, 256)) -> Samples:
    """Adults in colour, three an image, on plain grey or on noise, which no format makes small."""
    rng, profile = np.random.default_rng(1), load_profile("coco")
    instances = [
        Instance(
            id=number + 1,
            image_id=number // 3 + 1,
            image=str(number // 3),
            subject="",
            image_size=(400, 300),
            box=(20.0 + 120 * (number % 3), 30.0, 90.0, 200.0),
            area=18000.0,
            joints=np.round(rng.uniform([25 + 120 * (number % 3), 35], [105 + 120 * (number % 3), 225], (17, 2))),
            visibility=rng.integers(0, 3, 17) | (np.arange(17) == 5),
        )
        for number in range(num)
    ]

    def image(_: Instance) -> np.ndarray:
        return rng.integers(0, 256, (300, 400, 3), dtype=np.uint8) if noise else np.full((300, 400, 3), 90, np.uint8)

    return Samples.build(instances, image, profile=profile, framing=Framing.of(size))


@given(oks=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_best_the_median_and_the_worst_are_chosen_and_none_twice(oks):
    groups = chosen(np.array(oks))
    some = [index for _, indices in groups for index in indices]
    assert len(some) == len({*some}) == min(12, len(oks))
    values = [oks[index] for index in some]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (max(oks), min(oks))
    if len(oks) >= 12:
        assert [(name, len(indices)) for name, indices in groups] == [("best", 4), ("median", 4), ("worst", 4)]
        assert values[6] <= np.median(oks) <= values[5]


def test_oks_of_an_image_is_the_formulas_whoever_else_is_in_it():
    samples = people(9, noise=False)
    by = np.arange(9.0)
    seen = np.stack([instance.visibility for instance in samples.instances]) > 0
    variance = (2 * np.array(samples.profile.sigmas)) ** 2
    each = np.exp(-(by[:, None] ** 2) / (2 * (18000.0 + np.spacing(1)) * variance))
    assert similarities(samples, moved(samples, by)) == pytest.approx((each * seen).sum(1) / seen.sum(1))


@pytest.mark.parametrize(
    ("exits", "size", "noise"),
    [
        ((4,), (192, 256), False),
        ((4,), (192, 256), True),
        ((1, 2, 3, 4), (256, 96), True),
        pytest.param((1, 2, 3, 4), (64, 64), True, marks=pytest.mark.slow),
    ],
)
def test_a_picture_is_never_larger_than_what_is_kept(exits, size, noise):
    samples = people(15, noise=noise, size=size)
    png = predictions_png(samples, {exit_: moved(samples, np.arange(15.0) * exit_) for exit_ in exits}, record())
    assert len(png) <= MOST_BYTES
    shown = Image.open(io.BytesIO(png))
    assert shown.width <= 1232  # the width of the page
    assert shown.text["Description"].startswith("12 test images")


def test_poses_stand_where_they_were_found_and_numbers_are_said():
    samples = dots(12)
    named = samples.profile.model_copy(update={"keypoints": ("left", "right")})
    samples = replace(samples, profile=named)
    png = predictions_png(samples, {2: moved(samples, np.arange(12.0)), 3: moved(samples, 0)}, record())
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert Image.open(io.BytesIO(png)).text["Description"] == (
        "12 test images with the annotated pose and that of exits 3 and 2. OKS of exit 3: "
        "best 1.00, 1.00, 1.00 and 1.00; median 1.00, 1.00, 1.00 and 1.00; worst 1.00, 1.00, 1.00 and 1.00."
    )
    lefts = [44 + 96 * column + 12 * (column // 4) for column in range(12)]
    order = [index for _, indices in chosen(np.ones(12)) for index in indices]
    for line, by in enumerate((np.zeros(12), np.arange(12.0))):
        for left, index in zip(lefts, order, strict=True):
            for keypoint, side in enumerate(("left", "right")):
                found = samples.instances[index].joints[keypoint] + [by[index], 0]
                place = ((found - 31.5) * 64 / 63 + 32 + 0.5) * 92 / 64  # a box loses a pixel, and a crop has 64
                x, y = np.floor(place + np.array([left, 15 + 107 * line])).astype(int)
                assert np.abs(shown[y, x] - LOOKS[side].colour).max() <= 40, (line, index, side)


def test_images_are_in_grey_and_dimmed():
    samples = people(3, noise=False)
    shown = np.asarray(
        Image.open(io.BytesIO(predictions_png(samples, {1: moved(samples, 0)}, record()))).convert("RGB")
    )
    tile = shown[15 : 15 + 92, 44 : 44 + 69].reshape(-1, 3)
    assert np.median(tile, axis=0).tolist() == pytest.approx([54] * 3, abs=8)


@pytest.fixture
def heard(caplog) -> pytest.LogCaptureFixture:
    """What a run writes to its log."""
    caplog.set_level(logging.INFO, logger="greenpose.run")
    return caplog


def test_a_picture_lies_beside_its_record_and_is_found_there(tmp_path, heard):
    folder, samples, run = RunFolder(tmp_path), dots(5), record("HRNet4-OKD")
    folder.write_record(run)
    leave_picture(folder, samples, {4: moved(samples, 1)}, run)
    (found,) = pictures([tmp_path])
    assert (found.run, found.png) == (run.name, folder.predictions.read_bytes())
    assert "5 test images" in found.words
    assert not heard.records


def test_what_prevents_a_picture_is_told_in_the_log_and_ends_nothing(tmp_path, heard):
    def gone(_):
        raise DataError(["frame7.png: cannot be read: No such file or directory"])

    samples = dots(5)
    leave_picture(RunFolder(tmp_path / "a"), replace(samples, cut=gone), {4: moved(samples, 1)}, record())
    (tmp_path / "b").write_text("no folder")
    leave_picture(RunFolder(tmp_path / "b"), samples, {4: moved(samples, 1)}, record())
    lost = replace(moved(samples, 1), peaks=np.full((5, 2), np.nan), joints=np.full((5, 2, 2), np.nan))
    leave_picture(RunFolder(tmp_path / "c"), samples, {4: lost}, record())
    said = [each.getMessage() for each in heard.records]
    assert said[0] == "no predictions.png: frame7.png: cannot be read: No such file or directory"
    assert said[1].startswith("no predictions.png: ")
    assert not (tmp_path / "a").exists()


def test_drawing_by_a_library_that_fails_ends_nothing(tmp_path, heard, monkeypatch):
    samples = dots(5)

    def fail(*_, **__):
        raise cv2.error("out of ideas")

    monkeypatch.setattr(cv2, "resize", fail)
    leave_picture(RunFolder(tmp_path), samples, {4: moved(samples, 1)}, record())
    assert [each.getMessage() for each in heard.records] == ["no predictions.png: out of ideas"]
