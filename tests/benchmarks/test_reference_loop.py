"""The loop that speed is measured against gives the official code's golden figures, and takes its steps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference_loop import (
    Evaluation,
    Recipe,
    ReferenceLoop,
    ReferenceSet,
    WholeNetwork,
    accuracy,
    divergence,
    draw_targets,
    final_places,
    highest,
    move_point,
    squared_error,
    three_point_matrix,
)
from greenpose.data import Framing, Samples, image_reader
from greenpose.model import HRNet
from greenpose.training.step import to_images
from tests.data.planted import PROFILE, instance
from tests.model.filling import fill, reference_name
from tests.recipe import S, exit_output, f32, peaks, targets, u

GOLDEN = Path(__file__).parents[1] / "golden"
FRAMING = Framing.of((192, 256))


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


COMPOSITION = {
    name.removeprefix("float64 "): run for name, run in golden("composition").items() if name.startswith("float64 ")
}


def made_up():
    """The golden set-up: outputs of four exits, target, weight."""
    target, weight = targets("A", 4, 12, (48, 64))
    outputs = [torch.from_numpy(exit_output("A", k, target)).double() for k in (1, 2, 3, 4)]
    return outputs, torch.from_numpy(target).double(), torch.from_numpy(weight).double()


def recipe_of(run):
    return Recipe(
        stages=run["n_stage"],
        couples=tuple(tuple(couple) for couple in run["couples"]),
        labels_students=run["use_mse"],
        temperature=run["temperature"],
        kd_weight=run["kld_weight"],
    )


@pytest.mark.parametrize("exit_", [1, 2, 3, 4])
def test_the_squared_error_of_all_joints_is_the_official_one(exit_):
    outputs, target, _ = made_up()
    expected = golden("losses")["float64"][f"mse_nw_exit{exit_}"]
    assert squared_error(outputs[exit_ - 1], target).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pair", [(1, 2), (3, 4)])
@pytest.mark.parametrize("temperature", [1, 2, 5, 10])
def test_the_divergence_of_all_joints_is_the_official_one(pair, temperature):
    outputs, _, weight = made_up()
    student, teacher = pair
    found = divergence(outputs[student - 1], outputs[teacher - 1], weight, temperature=temperature)
    expected = golden("losses")["float64"][f"kld_{student}to{teacher}_T{temperature}"]
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", COMPOSITION)
def test_every_experiment_sums_its_losses_as_the_official_code_does(name):
    outputs, target, weight = made_up()
    for output in outputs:
        output.requires_grad_()
    run = COMPOSITION[name]
    loop = ReferenceLoop(small_network(), recipe_of(run))
    losses = loop.losses(outputs, target, weight)
    assert {key: loss.item() for key, loss in losses.items()} == pytest.approx(run["losses"], rel=1e-10, abs=1e-12)
    losses["loss"].backward()
    norms = [0.0 if output.grad is None else output.grad.norm().item() for output in outputs]
    assert norms == pytest.approx(run["gradient_l2"], rel=1e-9, abs=1e-12)


def small_network():
    return HRNet(2, 12, stem_width=2, modules=(1, 1, 1), blocks=1)


@pytest.mark.parametrize("name", ["HRNet4-OKD-DS", pytest.param("HRNet3", marks=pytest.mark.slow)])
def test_three_training_steps_follow_the_official_ones(name):
    steps, salt = golden("train_steps")[name]["steps"], "ts/"
    net = fill(HRNet(8), salt).double()
    loop = ReferenceLoop(net, recipe_of(COMPOSITION[name]))
    ours = {reference_name(entry): entry for entry in net.state_dict()}
    for number, step in enumerate(steps):
        tag = f"{salt}step{number}"
        target, weight = (torch.from_numpy(array).double() for array in targets(tag, 4, 12, (16, 16)))
        images = torch.from_numpy(f32(S(f"{tag}:x", (4, 3, 64, 64)))).double()
        assert loop.train(images, target, weight) == pytest.approx(step["losses"], rel=1e-8, abs=1e-12)
        golden_norms = {entry: norm for entry, norm in step["param_l2_after"].items() if entry in ours}
        assert len(golden_norms) >= 8
        norms = {entry: net.state_dict()[ours[entry]].norm().item() for entry in golden_norms}
        assert norms == pytest.approx(golden_norms, rel=1e-9)


@pytest.mark.parametrize(("stages", "macs"), [(2, 1_827_667_968), (3, 4_746_510_336), (4, 7_648_051_200)])
def test_the_whole_network_multiplies_as_often_as_the_official_one(stages, macs):
    """All branches and heads up to the last stage that runs, W32 at 256 x 192 pixels, which are 48 times 32 x 32."""
    with torch.device("meta"):
        network = WholeNetwork(HRNet(32), stages).eval()
        image = torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs = network(image)
    assert len(outputs) == stages
    assert counter.get_total_flops() / 2 * 48 == macs


@pytest.mark.parametrize("name", ["exit1", "exit2", "exit3", "exit4", "shifted"])
def test_accuracy_is_the_official_one(name):
    target = targets("A", 4, 12, (48, 64))[0]
    expected = golden("pck_golden")[name]
    maps = shifted(expected) if name == "shifted" else exit_output("A", int(name[-1]), target)
    shares, mean, count = accuracy(maps, target)
    assert (mean, count) == (pytest.approx(expected["avg"], abs=1e-12), expected["cnt"])
    assert shares == pytest.approx(expected["acc"][1:], abs=1e-12)


def shifted(expected):
    mx, my, _ = peaks("A", 4, 12, (48, 64))
    x, y = np.clip(mx + expected["dx"], 0, 47), np.clip(my + expected["dy"], 0, 63)
    maps = np.zeros((4, 12, 64, 48), dtype=np.float32)
    np.put_along_axis(maps.reshape(4, 12, -1), (y * 48 + x)[..., None], 1.0, -1)
    return maps


@pytest.mark.parametrize("case", golden("target_golden")["joints"], ids=lambda c: f"{c['joint_xy']}v{c['vis']}")
def test_a_joint_is_drawn_as_the_official_code_draws_it(case):
    maps, weight = draw_targets(np.array([case["joint_xy"]], float), np.array([case["vis"]]), FRAMING)
    assert weight[0, 0] == case["target_weight"]
    assert maps.sum(dtype=np.float64) == pytest.approx(case["sum"], abs=1e-5)
    assert maps.max() == pytest.approx(case["max"], abs=1e-6)
    assert np.count_nonzero(maps) == case["n_nonzero"]


def test_final_places_are_the_official_ones():
    expected = golden("final_preds_golden")
    maps = f32(S("A:hm", (4, 12, 64, 48)))
    for b, j, y, x, value in expected["edits"]:
        maps[b, j, slice(None) if y == "all" else y, slice(None) if x == "all" else x] = value
    centers = np.stack([f32(100 + 50 * u("A:cx", 4)), f32(200 + 50 * u("A:cy", 4))], -1)
    s = f32(0.5 + u("A:s", 4))
    scales = np.stack([f32(0.75 * s.astype(float)), s], -1)
    for shift, name in ((True, "preds_post_process"), (False, "preds_no_post_process")):
        places, values = final_places(maps, centers, scales, shift=shift)
        np.testing.assert_allclose(places, expected[name], atol=1e-3)
        np.testing.assert_allclose(values[..., 0], np.reshape(expected["maxvals"], (4, 12)), atol=1e-7)
    np.testing.assert_array_equal(highest(maps)[0], expected["max_preds_heatmap_xy"])


@pytest.mark.parametrize(
    "case", [case for case in golden("affine_golden")["cases"] if case["rot"] == 0], ids=lambda c: str(c["box_xywh"])
)
def test_the_matrix_of_a_crop_is_the_official_one(case):
    center, scale = np.array(case["center"], np.float32), np.array(case["scale"], np.float32)
    size = tuple(case["output_wh"])
    matrix = three_point_matrix(center, scale, size)
    np.testing.assert_allclose(matrix, case["matrix"], atol=1e-4)
    np.testing.assert_allclose(three_point_matrix(center, scale, size, back=True), case["inverse_matrix"], atol=1e-3)
    moved = [move_point(point, matrix) for point in case["points"]]
    np.testing.assert_allclose(moved, case["points_transformed"], atol=1e-2)


def test_a_small_set_is_scored_as_by_the_official_code(tmp_path):
    small = golden("ap_small_golden")
    entries = [{"image_id": p["image_id"], "area": 1.0, "score": 1.0} for p in small["predictions"]]
    places = np.array([p["keypoints_xy"] for p in small["predictions"]])
    values = np.array([p["maxvals"] for p in small["predictions"]])[..., None]
    figures = Evaluation(small["gt"], small["sigmas"], tmp_path)(places, values, entries)
    assert figures == pytest.approx(list(small["expected"].values()), abs=1e-12)


def test_two_poses_alike_in_an_image_are_one_result(tmp_path):
    small = golden("ap_small_golden")
    first = small["predictions"][0]
    entries = [{"image_id": first["image_id"], "area": 1000.0, "score": score} for score in (1.0, 0.5)]
    places = np.array([first["keypoints_xy"], np.array(first["keypoints_xy"]) + 0.01])
    values = np.array([first["maxvals"]] * 2)[..., None]
    Evaluation(small["gt"], small["sigmas"], tmp_path)(places, values, entries)
    assert len(json.loads((tmp_path / "keypoints_results.json").read_text())) == 1


def test_images_and_targets_are_those_that_our_own_samples_give(tmp_path):
    rng = np.random.default_rng(0)
    instances = []
    for number in (1, 2, 3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (60, 80), dtype=np.uint8))
        joints = 20 + 20 * rng.random((3, 2))
        instances.append(
            instance(
                id=number,
                image_id=number,
                image=str(path),
                image_size=(80, 60),
                box=(10.0, 8.0, 50.0, 40.0),
                joints=joints,
                visibility=np.array([2, 1, 0]),
            )
        )
    framing = Framing.of((64, 64))
    samples = Samples.build(instances, image_reader(), profile=PROFILE, framing=framing)
    loader = DataLoader(ReferenceSet(instances, framing), batch_size=3)
    images, maps, weight, about = next(iter(loader))
    grey_level = 1 / 255 / 0.224
    difference = (images - to_images(samples.crops(range(3)), images.device)).abs().numpy()
    assert np.quantile(difference, 0.999) < 1.01 * grey_level  # matrices differ in their last digits
    np.testing.assert_allclose(maps.numpy(), samples.targets(), atol=1e-6)
    np.testing.assert_array_equal(weight.numpy()[..., 0], [[1, 1, 0]] * 3)
    np.testing.assert_allclose(about["center"].numpy(), samples.centers)


def test_validation_follows_the_exits_that_the_experiment_names(tmp_path):
    small = golden("ap_small_golden")
    loop = ReferenceLoop(small_network(), Recipe(stages=4, couples=((3, 4),)))
    count = len(small["predictions"])
    about = {
        "center": torch.full((count, 2), 100.0),
        "scale": torch.ones(count, 2),
        "image_id": torch.tensor([p["image_id"] for p in small["predictions"]]),
        "area": torch.ones(count),
        "score": torch.ones(count),
    }
    batch = (torch.zeros(count, 3, 32, 32), torch.zeros(count, 12, 8, 8), torch.ones(count, 12, 1), about)
    figures = loop.validate([batch], Evaluation(small["gt"], small["sigmas"], tmp_path))
    assert {exit_: len(found) for exit_, found in figures.items()} == {3: 10, 4: 10}
