import json
from pathlib import Path

import pytest
import torch

from greenpose.losses import Edge, Objective, Wiring, heatmap_kl, heatmap_mse
from greenpose.model import HRNet
from tests.losses.test_heatmaps import maps, setup
from tests.model.filling import fill, reference_name
from tests.recipe import S, f32, targets

GOLDEN = Path(__file__).parents[1] / "golden"
COMPOSITION = json.loads((GOLDEN / "composition.json").read_text())
STEPS = json.loads((GOLDEN / "train_steps.json").read_text())
RUNS = {name: run for name, run in COMPOSITION.items() if name != "setup"}


def objective_of(run):
    """One of the paper's experiments as a wiring."""
    edges = tuple(Edge(teacher=teacher, student=student) for student, teacher in run["couples"])
    students = tuple(dict.fromkeys(edge.student for edge in edges))
    final = run["n_stage"]
    wiring = Wiring(
        exits=(*students, final), edges=edges, supervised=(*students, final) if run["use_mse"] else (final,)
    )
    return Objective(wiring, kd_weight=run["kld_weight"], temperature=run["temperature"])


def parts(terms, objective):
    final = objective.wiring.final
    return {
        "loss": terms.total.item(),
        "teacher_loss": terms.hard[final].item(),
        "hard_loss": sum(loss.item() for k, loss in terms.hard.items() if k != final),
        "soft_loss": objective.kd_weight * sum(loss.item() for loss in terms.soft.values()),
    }


@pytest.mark.parametrize("name", RUNS)
def test_each_experiment_of_table_1_sums_as_the_reference_does(name):
    run = RUNS[name]
    precision = name.split(" ")[0]
    rel = 1e-10 if precision == "float64" else 5e-4
    outputs, target, weight = setup(getattr(torch, precision))
    for output in outputs.values():
        output.requires_grad_()
    objective = objective_of(run)
    terms = objective(outputs, target, weight)
    assert parts(terms, objective) == pytest.approx(run["losses"], rel=rel, abs=1e-12)
    validation = run["validate"]
    assert validation["loss"] == pytest.approx(terms.total.item(), rel=rel)
    assert sum(loss.item() for loss in terms.soft.values()) == pytest.approx(
        validation["soft_loss"], rel=rel, abs=1e-12
    )

    terms.total.backward()
    norms = [0.0 if output.grad is None else output.grad.norm().item() for output in outputs.values()]
    assert norms == pytest.approx(run["gradient_l2"], rel=rel, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in STEPS if name != "setup"])
def test_three_training_steps_follow_the_reference(name):
    """Network, losses and backward together: losses to 1e-8, parameters to 1e-9."""
    run, salt = STEPS[name], STEPS["setup"]["salt"]
    objective = objective_of(RUNS[f"float64 {name}"])
    net = fill(HRNet(width=8, exits=tuple(range(1, objective.wiring.final + 1))), salt).double().train()
    ours = {reference_name(entry): entry for entry in net.state_dict()}
    if objective.wiring.final == 3:  # there the reference's own final layer is idle
        ours = {theirs: entry for theirs, entry in ours.items() if not theirs.startswith("final_layer")}
    optimizer = torch.optim.Adam(net.parameters(), lr=7.5e-4)
    for number, step in enumerate(run["steps"]):
        tag = f"{salt}step{number}"
        target, weight = (torch.from_numpy(array).double() for array in targets(tag, 4, 12, (16, 16)))
        images = torch.from_numpy(f32(S(f"{tag}:x", (4, 3, 64, 64)))).double()
        terms = objective(net(images), target, weight)
        assert parts(terms, objective) == pytest.approx(step["losses"], rel=1e-8, abs=1e-12)
        optimizer.zero_grad()
        terms.total.backward()
        check_gradients(net, ours, step.get("grad_l2", {}))
        optimizer.step()
        state = net.state_dict()
        check_norms(state, ours, step["param_l2_after"])
        sums = {theirs: state[ours[theirs]].sum().item() for theirs in step["buffers_sum_after"] if theirs in ours}
        assert sums == pytest.approx({theirs: step["buffers_sum_after"][theirs] for theirs in sums}, rel=1e-9)
    net.eval()
    with torch.no_grad():
        outputs = net(torch.from_numpy(f32(S(f"{salt}eval:x", (4, 3, 64, 64)))).double())
    found = [{"sum": heatmaps.sum().item(), "abs_mean": heatmaps.abs().mean().item()} for heatmaps in outputs.values()]
    assert len(found) == len(run["eval_after"])
    for ours_at_exit, expected in zip(found, run["eval_after"], strict=True):
        assert ours_at_exit == pytest.approx(expected, rel=1e-7)


def check_gradients(net, ours, norms):
    parameters = dict(net.named_parameters())
    for theirs, norm in norms.items():
        if theirs not in ours:
            assert norm is None
            continue
        gradient = parameters[ours[theirs]].grad
        assert (gradient is None) is (norm is None)
        if norm is not None:
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-8)


def check_norms(state, ours, norms):
    found = {theirs: state[ours[theirs]].norm().item() for theirs in norms if theirs in ours}
    assert len(found) >= 8
    assert found == pytest.approx({theirs: norms[theirs] for theirs in found}, rel=1e-9)


def wired(**options):
    edges = (Edge(teacher=4, student=2), Edge(teacher=4, student=3))
    return Objective(Wiring(exits=(2, 3, 4), edges=edges, supervised=(2, 4)), **options)


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
