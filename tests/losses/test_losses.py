""""""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from greenpose.losses import heatmap_kl, heatmap_mse
from tests.recipe import S, exit_output, targets

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def setup(dtype):
    """The golden set-up: outputs of four exits, target, weight."""
    target, weight = targets("A", 4, 12, (48, 64))
    outputs = {k: torch.from_numpy(exit_output("A", k, target)).to(dtype) for k in (1, 2, 3, 4)}
    return outputs, torch.from_numpy(target).to(dtype), torch.from_numpy(weight).to(dtype)


def maps(name, shape=(2, 3, 4, 6)):
    return torch.from_numpy(S(name, shape))


def test_the_set_up_is_the_golden_one():
    outputs, target, weight = setup(torch.float64)
    assert target.sum().item() == pytest.approx(GOLDEN["target_sum"], rel=1e-12)
    assert weight.sum().item() == GOLDEN["n_visible"]
    assert [outputs[k].sum().item() for k in outputs] == pytest.approx(GOLDEN["out_sums"], rel=1e-9)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_squared_error_is_the_references(precision, k):
    outputs, target, weight = setup(getattr(torch, precision))
    golden, rel = GOLDEN[precision], TOLERANCE[precision]
    assert heatmap_mse(outputs[k], target).item() == pytest.approx(golden[f"mse_nw_exit{k}"], rel=rel)
    assert heatmap_mse(outputs[k], target, weight).item() == pytest.approx(golden[f"mse_w_exit{k}"], rel=rel)


def test_the_weight_multiplies_prediction_and_target_alike():
    prediction, target, weight = maps("p"), maps("t"), maps("w", (2, 3, 1))
    by_keypoint = ((prediction - target) ** 2).mean(dim=(2, 3)) * weight[..., 0] ** 2
    assert heatmap_mse(prediction, target, weight).item() == pytest.approx(by_keypoint.mean().item() / 2)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(name for name in GOLDEN["float64"] if name.startswith("kld")))
def test_divergence_is_the_references(precision, name):
    outputs, _, weight = setup(getattr(torch, precision))
    pair, temperature, *rest = name.removeprefix("kld_").split("_", 2)
    student, teacher = (int(k) for k in pair.split("to"))
    divergence = heatmap_kl(
        outputs[student],
        outputs[teacher],
        temperature=float(temperature[1:]),
        weight=torch.ones_like(weight) if rest else weight,
    )
    # A divergence is a small difference of large sums: float32 keeps fewer of its digits.
    rel = 1e-9 if precision == "float64" else 5e-4
    assert divergence.item() == pytest.approx(GOLDEN[precision][name], rel=rel)


def test_one_image_gives_the_references_losses():
    outputs, target, weight = setup(torch.float32)
    outputs = {k: output[:1] for k, output in outputs.items()}
    target, weight, golden = target[:1], weight[:1], GOLDEN["batch1"]
    assert heatmap_mse(outputs[1], target).item() == pytest.approx(golden["mse_nw"], rel=1e-5)
    assert heatmap_mse(outputs[1], target, weight).item() == pytest.approx(golden["mse_w"], rel=1e-5)
    divergence = heatmap_kl(outputs[1], outputs[4], temperature=1.0, weight=weight)
    assert divergence.item() == pytest.approx(golden["kld"], rel=1e-4)


def test_gradients_of_the_divergence_reach_both_ends_as_in_the_reference():
    outputs, _, weight = setup(torch.float64)
    student, teacher = outputs[3].requires_grad_(), outputs[4].requires_grad_()
    heatmap_kl(student, teacher, temperature=1.0, weight=weight).backward()
    for role, tensor in (("student", student), ("teacher", teacher)):
        assert tensor.grad.norm().item() == pytest.approx(GOLDEN[f"kld_3to4_T1_grad_{role}_l2"], rel=1e-9)
        assert tensor.grad.abs().max().item() == pytest.approx(GOLDEN[f"kld_3to4_T1_grad_{role}_absmax"], rel=1e-9)


def test_a_detached_teacher_gets_no_gradient_and_the_student_the_same():
    gradients = []
    for detach in (False, True):
        student, teacher = maps("s").requires_grad_(), maps("t").requires_grad_()
        heatmap_kl(student, teacher, temperature=2.0, detach_teacher=detach).backward()
        gradients.append(student.grad)
        assert (teacher.grad is None) is detach
    torch.testing.assert_close(*gradients)


def by_hand(student, teacher, temperature, weight):
    """The textbook's divergence in numpy, summed over images and keypoints."""
    total = 0.0
    for s, t, w in zip(student.reshape(-1, 24), teacher.reshape(-1, 24), weight.reshape(-1), strict=True):
        p, q = (np.exp(w * x / temperature) / np.exp(w * x / temperature).sum() for x in (t, s))
        total += (p * np.log(p / q)).sum()
    return total


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 1 / (2 * 24)),
        ({"normalise": "pixels"}, 1 / (2 * 24)),
        ({"normalise": "keypoints"}, 1 / (2 * 3)),
        ({"temperature_squared": True}, 9 / (2 * 24)),
        ({"temperature_squared": True, "normalise": "keypoints"}, 9 / (2 * 3)),
    ],
)
def test_each_convention_is_the_textbooks_divergence_over_its_divisor(options, factor):
    student, teacher, weight = maps("s"), maps("t"), maps("w", (2, 3, 1))
    expected = by_hand(student.numpy(), teacher.numpy(), 3.0, weight.numpy()) * factor
    assert heatmap_kl(student, teacher, temperature=3.0, weight=weight, **options).item() == pytest.approx(expected)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.2, 20))
def test_divergence_is_zero_only_for_equal_distributions(seed, temperature):
    student, teacher = maps(f"s{seed}"), maps(f"t{seed}")
    assert heatmap_kl(student, teacher, temperature=temperature).item() > 0
    shifted = student + 5.0  # a distribution does not know its maps' level
    assert heatmap_kl(student, shifted, temperature=temperature).item() == pytest.approx(0, abs=1e-15)


def test_divergence_is_the_teachers_against_the_students():
    forth = heatmap_kl(maps("s"), maps("t") * 5, temperature=1.0)
    back = heatmap_kl(maps("t") * 5, maps("s"), temperature=1.0)
    expected = by_hand(maps("s").numpy(), maps("t").numpy() * 5, 1.0, np.ones(6)) / 48
    assert forth.item() == pytest.approx(expected)
    assert back.item() != pytest.approx(expected, rel=0.01)


def test_keypoints_of_weight_zero_add_nothing_to_either_loss():
    weight = torch.tensor([[[1.0], [0.0], [1.0]]] * 2, dtype=torch.float64)
    garbled = maps("s").index_fill(1, torch.tensor([1]), 99.0)
    for loss in (
        heatmap_mse(maps("s"), maps("t"), weight),
        heatmap_kl(maps("s"), maps("t"), temperature=1.0, weight=weight),
    ):
        assert loss > 0
    torch.testing.assert_close(heatmap_mse(garbled, maps("t"), weight), heatmap_mse(maps("s"), maps("t"), weight))
    torch.testing.assert_close(
        heatmap_kl(garbled, maps("t"), temperature=1.0, weight=weight),
        heatmap_kl(maps("s"), maps("t"), temperature=1.0, weight=weight),
    )


def test_extreme_maps_stay_finite():
    student = maps("s").mul(1e4).requires_grad_()
    divergence = heatmap_kl(student, maps("t") * 1e4, temperature=0.1)
    divergence.backward()
    assert divergence.isfinite()
    assert student.grad.isfinite().all()
