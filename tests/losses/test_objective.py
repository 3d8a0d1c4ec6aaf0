import pytest
import torch

from greenpose.config import LossConfig
from greenpose.losses import Edge, Objective, Wiring, heatmap_kl, heatmap_mse
from tests.losses.test_losses import maps


def wired(**options):
    edges = (Edge(teacher=4, student=2), Edge(teacher=4, student=3))
    return Objective(
        Wiring(exits=(2, 3, 4), edges=edges, supervised=(2, 4)), LossConfig(**{"kd_weight": 2000} | options)
    )


def outputs_and_target(dtype=torch.float64):
    weight = torch.tensor([[[1], [0], [1]], [[1], [1], [1]]], dtype=dtype)
    return {k: maps(f"out{k}").to(dtype) for k in (2, 3, 4)}, maps("target").to(dtype), weight


def test_the_total_is_the_weighted_sum_of_its_terms():
    outputs, target, weight = outputs_and_target()
    terms = wired(kd_weight=7.0, teacher_weight=2.0, ds_weight=3.0, temperature=5.0)(outputs, target, weight)
    expected = 2 * terms.hard[4] + 3 * terms.hard[2] + 7 * sum(terms.soft.values())
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-12)
    assert set(terms.hard) == {2, 4}
    assert set(terms.soft) == {Edge(teacher=4, student=2), Edge(teacher=4, student=3)}


def test_labels_of_unlabelled_keypoints_count_unless_target_weight_is_used():
    outputs, target, weight = outputs_and_target()
    assert wired()(outputs, target, weight).hard[4] == heatmap_mse(outputs[4], target)
    assert wired(use_target_weight=True)(outputs, target, weight).hard[4] == heatmap_mse(outputs[4], target, weight)


@pytest.mark.parametrize("use_target_weight", [False, True])
def test_the_divergence_always_leaves_unlabelled_keypoints_out(use_target_weight):
    outputs, target, weight = outputs_and_target()
    terms = wired(use_target_weight=use_target_weight, temperature=2.0)(outputs, target, weight)
    expected = heatmap_kl(outputs[3], outputs[4], temperature=2.0, weight=weight)
    assert terms.soft[Edge(teacher=4, student=3)] == expected


@pytest.mark.parametrize(
    "options", [{"temperature_squared": True}, {"normalise": "keypoints"}, {"detach_teacher": True}]
)
def test_conventions_reach_the_divergence(options):
    outputs, target, weight = outputs_and_target()
    for output in outputs.values():
        output.requires_grad_()
    terms = wired(temperature=2.0, **options)(outputs, target, weight)
    soft = terms.soft[Edge(teacher=4, student=2)]
    assert soft == heatmap_kl(outputs[2], outputs[4], temperature=2.0, weight=weight, **options)
    soft.backward()
    assert (outputs[4].grad is None) is options.get("detach_teacher", False)


def test_a_single_exit_needs_no_wiring_beyond_its_name():
    outputs, target, weight = outputs_and_target()
    terms = Objective(Wiring(exits=(3,)))(outputs, target, weight)
    assert terms.total == heatmap_mse(outputs[3], target)
    assert not terms.soft
