"""DARK and UDP find joints between pixels, and UDP's crops are mirrored onto themselves."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from greenpose.accuracy import detect, oks_ap
from greenpose.config import DataConfig
from greenpose.config.experiment import SyntheticConfig
from greenpose.data import Framing, Samples, decode_heatmaps, encode_heatmaps, load_profile
from greenpose.data.crops import transform_points
from greenpose.data.heatmaps import find_peaks
from greenpose.data.synthetic import generate

WIDTH, HEIGHT = 48, 64
SIZES = {"input_size": (192, 256), "heatmap_size": (WIDTH, HEIGHT)}


def in_heatmap(places, decode, size=(WIDTH, HEIGHT)):
    """Places in pixels of a crop that is the image itself, in pixels of its heatmap."""
    less = 1 if decode == "udp" else 0
    return places * (np.array(size) - less) / (4 * np.array(size) - less)


def decoded(maps, **how):
    """Places in pixels of the heatmap: the image has the crop's pixels, or those between its first and its last."""
    height, width = maps.shape[-2:]
    less = 1 if how.get("decode") == "udp" else 0
    size = np.array([[width, height]]) - less
    return decode_heatmaps(maps, np.repeat(size / 2, len(maps), 0), np.repeat(size / 200, len(maps), 0), **how)[0]


@pytest.mark.parametrize("decode", ["dark", "udp"])
@pytest.mark.parametrize("sigma", [1, 1.7, 3])
def test_the_maximum_of_a_gaussian_is_found_wherever_it_lies_between_pixels(decode, sigma):
    places = np.random.default_rng(6).uniform([5, 5], [42, 58], (200, 2))
    x, y = places.T[:, :, None, None]
    bells = np.exp(-((np.arange(WIDTH) - x) ** 2 + (np.arange(HEIGHT)[:, None] - y) ** 2) / (2 * sigma**2))
    off = np.abs(decoded(bells[:, None], decode=decode, sigma=sigma)[:, 0] - places).max(1)
    inside = 4.5 * sigma < np.minimum(places, (WIDTH - 1, HEIGHT - 1) - places).min(1)
    assert inside.any()
    assert off[inside].max() < 0.005
    assert off.max() < 0.35


def darks_places(maps, sigma):
    """Peaks as DARK's code refines them: the whole map blurred in a frame of zeros, one Taylor step by hand."""
    places, (around, _) = find_peaks(maps)[0], (int(np.ceil(2.5 * sigma)), 0)
    for number in np.ndindex(maps.shape[:2]):
        framed = np.pad(maps[number], around)
        blurred = cv2.GaussianBlur(framed, (2 * around + 1, 2 * around + 1), sigma)[around:-around, around:-around]
        logs = np.log(np.maximum(blurred, 1e-10)).astype(np.float64)
        x, y = places[number].astype(int)
        if not (0 < x < maps.shape[3] - 1 and 0 < y < maps.shape[2] - 1):
            continue
        gradient = np.array([logs[y, x + 1] - logs[y, x - 1], logs[y + 1, x] - logs[y - 1, x]]) / 2
        crossed = (logs[y + 1, x + 1] - logs[y - 1, x + 1] - logs[y + 1, x - 1] + logs[y - 1, x - 1]) / 4
        along_x = logs[y, x + 1] - 2 * logs[y, x] + logs[y, x - 1]
        along_y = logs[y + 1, x] - 2 * logs[y, x] + logs[y - 1, x]
        hessian = np.array([[along_x, crossed], [crossed, along_y]])
        if (np.linalg.eigvalsh(hessian) < 0).all():
            places[number] += np.clip(-np.linalg.solve(hessian, gradient), -1, 1)
    return places


@pytest.mark.parametrize("sigma", [1, 1.5, 2, 4])
@pytest.mark.parametrize("size", [(12, 16), (48, 64)])
def test_blurring_around_the_peaks_alone_gives_what_blurring_whole_maps_gives(sigma, size):
    noise = np.random.default_rng(3).random((6, 5, size[1], size[0]), dtype=np.float32)
    joints = np.random.default_rng(4).random((6, 5, 2)) * 4 * np.array(size)
    bells, _ = encode_heatmaps(
        joints, np.ones((6, 5)), input_size=(4 * size[0], 4 * size[1]), heatmap_size=size, sigma=sigma, decode="dark"
    )
    for maps in (noise, bells, bells + 0.3 * noise):
        found = decoded(maps, decode="dark", sigma=sigma)
        np.testing.assert_allclose(found, darks_places(maps, sigma), atol=5e-3)


def test_maps_without_a_maximum_are_decoded_to_their_peak():
    maps = np.zeros((1, 6, 16, 12), dtype=np.float32)
    maps[0, 1] = np.nan
    maps[0, 2] = -1
    maps[0, 3] = np.inf
    maps[0, 4, 0, 7] = maps[0, 5, 9, 11] = 1
    for decode in ("dark", "udp"):
        found = decoded(maps, decode=decode)
        np.testing.assert_allclose(found[0], [[0, 0], [0, 0], [0, 0], [0, 0], [7, 0], [11, 9]], atol=1e-9)


@pytest.mark.parametrize("sigma", [1.0, 4 / 3, 2.0])
def test_targets_between_pixels_peak_at_the_joint_and_whole_ones_beside_it(sigma):
    joints, seen = np.random.default_rng(7).uniform([24, 24], [164, 228], (100, 1, 2)), np.ones((100, 1))
    for decode in ("dark", "udp"):
        maps, weight = encode_heatmaps(joints, seen, **SIZES, sigma=sigma, decode=decode)
        places = in_heatmap(joints, decode)
        assert (weight == 1).all()
        assert np.abs(decoded(maps, decode=decode, sigma=sigma) - places).max() < 0.1
        distance = ((np.rint(places) - places) ** 2).sum(-1)
        np.testing.assert_allclose(maps.max((2, 3)), np.exp(-distance / (2 * sigma**2)), rtol=1e-5)
    whole, _ = encode_heatmaps(joints, seen, **SIZES, sigma=sigma)
    assert (whole.max((2, 3)) == 1).all()


@pytest.fixture(scope="module")
def infants():
    """Made-up infants, whose images nobody looks at."""
    numbers = {"train": 1, "val": 1}
    few = SyntheticConfig(patients=numbers | {"test": 12}, frames=numbers | {"test": 2}, size=(160, 120))
    return [instance for instance, _ in generate(few, "test")]


def samples_of(infants, **how):
    return Samples.build(
        infants,
        lambda one: np.zeros(one.image_size[::-1], np.uint8),
        profile=load_profile("babypose"),
        framing=Framing.of_data(DataConfig(input_size=(64, 64), **how)),
    )


def test_perfect_heatmaps_of_small_crops_are_worth_everything_by_dark_and_udp_and_not_by_the_papers_way(infants):
    """On 16x16 pixels, drawn as training draws them."""

    def ap(decode, sigma, *, judged=None):
        samples = samples_of(infants, decode=decode, sigma=sigma)
        judging = replace(samples.framing, decode=judged or decode)
        joints, peaks = judging.places(samples.targets(), samples.centers, samples.scales)
        found = detect(
            joints,
            peaks,
            image_ids=samples.image_ids,
            areas=samples.crop_areas,
            sigmas=samples.profile.sigmas,
            category_id=1,
        )
        return oks_ap(samples.ground_truth, found, samples.profile.sigmas)["ap"]

    for sigma in (1.0, 2.0):
        assert ap("dark", sigma) >= 0.99
        assert ap("udp", sigma) >= 0.99
        assert ap("quarter", sigma) == pytest.approx(0.9, abs=0.1)
    assert ap("quarter", 2.0, judged="dark") < 0.99  # what whole pixels have lost, no decoding finds again


def test_udp_lays_the_first_and_the_last_pixel_of_a_crop_on_the_edges_of_its_box():
    framing = Framing.of((64, 96), decode="udp")
    matrix = framing.matrix((100.0, 80.0), (0.4, 0.6))
    corners = transform_points(np.array([[60.0, 20.0], [140.0, 140.0], [100.0, 80.0]]), matrix)
    np.testing.assert_allclose(corners, [[0, 0], [63, 95], [31.5, 47.5]], atol=1e-9)


def test_mirrored_targets_are_targets_of_mirrored_joints_by_udp_alone():
    joints = np.random.default_rng(5).random((200, 1, 2), dtype=np.float32) * np.array([63, 95], np.float32)
    mirrored, seen = np.abs(joints - np.array([63, 0], np.float32)), np.ones((200, 1), int)

    def off(decode):
        framing = Framing.of((64, 96), decode=decode)
        return np.abs(framing.encode(joints, seen)[0][..., ::-1] - framing.encode(mirrored, seen)[0]).max((1, 2, 3))

    assert off("udp").max() < 1e-4
    assert min(np.median(off(decode)) for decode in ("quarter", "dark")) > 0.1


def test_udp_decodes_what_it_has_drawn_to_the_image(infants):
    samples = samples_of(infants, decode="udp")
    found, _ = samples.framing.places(samples.targets(), samples.centers, samples.scales)
    truth = np.stack([one.joints for one in samples.instances])
    pixel = samples.scales[:, None] * 200 / 15
    inside = (samples.visibility > 0) & ((samples.joints > 12) & (samples.joints < 52)).all(-1)
    assert (np.abs(found - truth) / pixel)[inside].max() < 0.1
    assert np.median((np.abs(found - truth) / pixel)[inside]) < 0.02
