import numpy as np
import pytest
import torch

from greenpose import accuracy
from greenpose.data import Framing, decode_heatmaps
from greenpose.model import HRNet
from greenpose.training import ExitPredictions, predict, score, validation_scores
from greenpose.training.evaluate import averaged, detections, predict_each
from greenpose.training.step import to_images
from tests.training.samples import dots


def perfect(samples) -> ExitPredictions:
    joints = np.stack([instance.joints for instance in samples.instances])
    return ExitPredictions(joints=joints, peaks=np.ones(joints.shape[:2]), places=samples.target_places)


def test_perfect_predictions_score_one_with_no_spread():
    samples = dots(6)
    scores = score(samples, perfect(samples), resamples=50)
    assert scores.values == pytest.approx(dict.fromkeys(scores.values, 1.0))
    assert all(interval == pytest.approx((1, 1)) for interval in scores.intervals.values())
    assert (scores.unit, scores.num_groups) == ("patients", 4)


def test_half_wrong_predictions_have_an_interval_around_their_score():
    samples = dots(20)
    found = perfect(samples)
    found.joints[::2] += 60
    scores = score(samples, found, resamples=200)
    low, high = scores.intervals["ap"]
    assert 0 <= low < scores.values["ap"] < high <= 1
    assert 0.2 < scores.values["ap"] < 0.8


def test_detections_carry_image_category_and_score():
    samples = dots(3)
    found = detections(samples, perfect(samples))
    assert [one["image_id"] for one in found] == [1, 2, 3]
    assert {one["score"] for one in found} == {1.0}


def network():
    """A network that has seen something, so that its norms are not what they begin as."""
    torch.manual_seed(0)
    net = HRNet(4, 2, (1, 2), stem_width=4, modules=(1, 1, 1), blocks=1).train()
    for _ in range(3):
        net(torch.randn(8, 3, 64, 64))
    return net


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_predictions_are_the_networks_own_however_they_are_batched(batch):
    net, samples = network(), dots(7)
    with torch.no_grad():
        images = to_images(samples.crops(range(7)), torch.device("cpu"))
        heatmaps = {exit_: maps.numpy() for exit_, maps in net.eval()(images).items()}
    found = predict(net, samples, batch=batch)
    for exit_, maps in heatmaps.items():
        joints, peaks = decode_heatmaps(maps, samples.centers, samples.scales)
        np.testing.assert_allclose(found[exit_].joints, joints, atol=1e-6)
        np.testing.assert_allclose(found[exit_].peaks, peaks, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_left_as_it_is_in_the_mode_it_is_in(training):
    net = network().train(training)
    before = {name: entry.clone() for name, entry in net.state_dict().items()}
    predict(net, dots(3), batch=2)
    assert net.training is training
    assert all(module.training is training for module in net.modules())
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(before[name], entry) for name, entry in net.state_dict().items())


def test_pck_without_heatmaps_is_that_of_the_heatmaps():
    net, samples = network(), dots(9)
    with torch.no_grad():
        heatmaps = net.eval()(to_images(samples.crops(range(9)), torch.device("cpu")))
    _, pck = validation_scores(net, samples, batch=4)
    found = predict(net, samples, batch=4)
    for exit_, maps in heatmaps.items():
        assert pck[exit_] == pytest.approx(accuracy.pck(maps, samples.targets()))
        values = score(samples, found[exit_], resamples=20).values
        assert values["pck"] == pytest.approx(pck[exit_])
        corrected = accuracy.pck(maps, samples.targets(), norm="corrected")
        assert values["pck_corrected"] == pytest.approx(corrected)


def test_mirrored_passes_are_turned_back_renamed_and_averaged_and_without_them_nothing_changes():
    net, samples = network(), dots(5)
    (usual,), (flipped,) = (predict_each(net, samples, [samples.framing], batch=2, flip=flip) for flip in (False, True))
    with torch.no_grad():
        images = to_images(samples.crops(range(5)), torch.device("cpu"))
        seen, turned = ({e: maps.numpy() for e, maps in net.eval()(x).items()} for x in (images, images.flip(-1)))
    for exit_ in seen:
        back = turned[exit_][:, [1, 0], :, ::-1]
        mean = (seen[exit_] + np.concatenate([back[..., :1], back[..., :-1]], -1)) / 2
        for maps, found in ((seen[exit_], usual[exit_]), (mean, flipped[exit_])):
            joints, peaks = decode_heatmaps(maps, samples.centers, samples.scales)
            np.testing.assert_allclose(found.joints, joints, atol=1e-4)
            np.testing.assert_allclose(found.peaks, peaks, atol=1e-4)


@pytest.mark.parametrize(("decode", "most"), [("quarter", 0.75), ("dark", 0.3), ("udp", 0.005)])
def test_averaging_a_perfect_networks_mirrors_leaves_joints_where_they_are(decode, most):
    """In heatmap pixels: by udp exactly; else a pixel's shift stands for three quarters, and pixels are whole."""
    framing = Framing.of((64, 96), decode=decode)
    joints = np.random.default_rng(2).uniform([20, 24], [44, 72], (50, 2, 2)).astype(np.float32)
    mirrored = np.stack([63 - joints[:, ::-1, 0], joints[:, ::-1, 1]], -1)
    seen, turned = (torch.from_numpy(framing.encode(each, np.ones((50, 2), int))[0]) for each in (joints, mirrored))
    mean = averaged(seen, turned, [1, 0], framing)
    center, scale = np.full((50, 2), [31.5, 47.5]), np.full((50, 2), [63 / 200, 95 / 200])
    if decode != "udp":
        center, scale = np.full((50, 2), [32, 48]), np.full((50, 2), [64 / 200, 96 / 200])
    off = np.abs(framing.places(mean.numpy(), center, scale)[0] - joints) / 4
    assert off.max() < most


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 4, 3)])
def test_images_have_the_papers_mean_and_scale_and_grey_counts_as_all_three_channels(shape):
    crops = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    images = to_images(crops, torch.device("cpu"))
    assert images.shape == (2, 3, 5, 4)
    colour = crops if crops.ndim == 4 else np.repeat(crops[..., None], 3, -1)
    expected = (colour / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
