"""Our experiment files do what the paper's 29 configurations do with its own code.

Each file is read, expanded and built as `greenpose run` does it, and held against what the official code has or gave:
its hyper-parameters (`official_configs.json`), its losses and gradients on made-up heatmaps (`losses.json`,
`composition.json`), and three training steps of a whole network (`train_steps.json`). Which entry of ours is which
configuration is read from `docs/paper.md`.

Tolerances: both sides compute in float64 but add in another order. The parts of a loss agree to 1e-9 (divergences are
small differences of large sums), a network's losses to 1e-8; Adam divides gradients by their size, so that weights
agree to 1e-9 although gradients only do to 1e-8; heatmaps after three steps, through a million weights, to 1e-7. The
figures in float32 are looser by as much as float32 is: 5e-4.
"""

import json
from pathlib import Path

import pytest
import torch

from greenpose.run.setup import build_network, build_objective
from greenpose.training.step import Adam
from tests.losses.test_losses import setup
from tests.model.filling import fill, reference_name
from tests.paper import entry_of
from tests.recipe import S, f32, targets
from tests.shipped import shipped

GOLDEN = Path(__file__).parents[1] / "golden"
OFFICIAL = json.loads((GOLDEN / "official_configs.json").read_text())
ELEMENTS = json.loads((GOLDEN / "losses.json").read_text())["float64"]
COMPOSITION = {
    name: run for name, run in json.loads((GOLDEN / "composition.json").read_text()).items() if name != "setup"
}
STEPS = json.loads((GOLDEN / "train_steps.json").read_text())
ENTRIES = entry_of()
OURS = shipped("table1") | shipped("table1_ablations")


def ours(official):
    return OURS[ENTRIES[official]]


def test_every_official_configuration_is_an_entry_of_ours_and_nothing_else_is():
    assert set(ENTRIES) == set(OFFICIAL["configs"])
    assert sorted(ENTRIES.values()) == sorted(OURS)
    assert len(OURS) == 29


def translated(config):
    """One of our experiments in the words of the official configurations."""
    model, loss, recipe, data = config.model, config.loss, config.train, config.data
    edges = config.wiring.edges
    return {
        "n_stage": max(model.exits),
        "multi": len(model.exits) > 1,
        "pretrained": model.weights and Path(model.weights).name,
        "init_weights": model.init == "normal",
        "lr": recipe.lr,
        "lr_type": {"steps": "multistep"}[recipe.schedule],
        "lr_factor": recipe.gamma,
        "lr_steps": list(recipe.milestones),
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "kld_weight": loss.kd_weight if edges else 1,  # where nobody teaches it has no effect
        "teacher_weight": loss.teacher_weight,
        "temperature": loss.temperature,
        "use_kld": bool(edges),
        "use_mse": len(config.supervised) > 1,
        "use_target_weight": loss.use_target_weight,
        "kld_couples": [[student, teacher] for teacher, student in edges],
        "image_size_wh": list(data.input_size),
        "heatmap_size_wh": list(data.heatmap_size),
        "sigma": data.sigma,
    }


@pytest.mark.parametrize("official", OFFICIAL["configs"])
def test_an_entry_has_the_hyper_parameters_of_its_configuration(official):
    wanted = OFFICIAL["configs"][official] | OFFICIAL["same in all"]
    found = translated(ours(official))
    wanted["pretrained"] = wanted["pretrained"] and Path(wanted["pretrained"]).name
    assert found == {key: wanted[key] for key in found}
    left = {"optimizer": "adam", "ramp_length": 0, "flip": False, "rot": 0, "scale": 0}
    left |= {"test_set": "val", "post_process": True, "flip_test": False}  # test_set: docs/paper.md, row 7
    assert {key: value for key, value in wanted.items() if key not in found} == left


@pytest.mark.parametrize("official", OFFICIAL["configs"])
def test_an_entry_keeps_the_conventions_and_the_network_of_the_official_code(official):
    config = ours(official)
    students = {student for _, student in config.wiring.edges}
    assert set(config.model.exits) == students | {max(config.model.exits)}
    assert config.supervised in ((max(config.model.exits),), tuple(sorted(config.model.exits)))
    assert (config.model.width, config.model.stem_width) == (32, 64)
    assert (config.model.modules, config.model.blocks) == ((1, 4, 3), 4)
    loss = config.loss
    assert (loss.ds_weight, loss.normalise) == (1, "pixels")
    assert not any((loss.detach_teacher, loss.temperature_squared, loss.use_target_weight))
    assert (config.data.profile, config.data.padding, config.data.detections) == ("babypose", 1.25, None)
    recipe = config.train
    assert (recipe.recipe, recipe.precision, recipe.average, recipe.patience) == ("paper", "float32", 0, 13)


def test_all_entries_share_data_place_and_metering():
    base = OURS["HRNet4"]
    for config in OURS.values():
        assert config.data == base.data
        assert (config.carbon, config.process, config.measure) == (base.carbon, base.process, base.measure)


def parts(terms, objective):
    final = objective.wiring.final
    return {
        "loss": terms.total.item(),
        "teacher_loss": terms.hard[final].item(),
        "hard_loss": sum(loss.item() for k, loss in terms.hard.items() if k != final),
        "soft_loss": objective.loss.kd_weight * sum(loss.item() for loss in terms.soft.values()),
    }


def losses(config, dtype):
    """Our terms on the golden heatmaps, and all four exits' heatmaps with their gradients."""
    outputs, target, weight = setup(dtype)
    for output in outputs.values():
        output.requires_grad_()
    objective = build_objective(config)
    terms = objective({exit_: outputs[exit_] for exit_ in config.model.exits}, target, weight)
    terms.total.backward()
    return parts(terms, objective), terms, outputs


@pytest.mark.parametrize("official", OFFICIAL["configs"])
def test_an_entrys_loss_is_made_of_the_references_elements(official):
    """All 29: what the official code gives for each squared error and each divergence, summed as its settings say."""
    run = OFFICIAL["configs"][official]
    students = {student for student, _ in run["kld_couples"]} if run["use_mse"] else set()
    teacher = ELEMENTS[f"mse_nw_exit{run['n_stage']}"]
    hard = sum(ELEMENTS[f"mse_nw_exit{student}"] for student in students)
    divergences = [ELEMENTS[f"kld_{s}to{t}_T{run['temperature']:g}"] for s, t in run["kld_couples"]]
    soft = run["kld_weight"] * sum(divergences)
    expected = {"loss": teacher + hard + soft, "teacher_loss": teacher, "hard_loss": hard, "soft_loss": soft}
    assert losses(ours(official), torch.float64)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", COMPOSITION)
def test_each_experiment_of_table_1_sums_as_the_reference_does(name):
    """The 11 that the official code's own training and validation loops were run with, gradients included."""
    run = COMPOSITION[name]
    precision, experiment = name.split(" ")
    rel = 1e-9 if precision == "float64" else 5e-4
    found, terms, outputs = losses(OURS[experiment], getattr(torch, precision))
    assert found == pytest.approx(run["losses"], rel=rel, abs=1e-12)
    validation = run["validate"]
    assert validation["loss"] == pytest.approx(terms.total.item(), rel=rel)
    soft = sum(loss.item() for loss in terms.soft.values())
    assert soft == pytest.approx(validation["soft_loss"], rel=rel, abs=1e-12)
    norms = [0.0 if output.grad is None else output.grad.norm().item() for output in outputs.values()]
    assert norms == pytest.approx(run["gradient_l2"], rel=rel, abs=1e-12)


def filled_network(config, salt):
    """The experiment's network at the goldens' width, in float64, with the recipe's weights."""
    model = config.model.model_copy(update={"width": STEPS["setup"]["width"], "weights": None})
    net, _ = build_network(config.model_copy(update={"model": model}))
    return fill(net, salt).double().train()


@pytest.mark.parametrize(
    "name",
    [
        "HRNet4-OKD-DS",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("HRNet4", "HRNet4-MSOKD-DS", "HRNet4-COKD")),
    ],
)
def test_three_training_steps_follow_the_reference(name):
    """Network, losses, backward pass and Adam together: after each step the weights and running statistics."""
    run, salt, config = STEPS[name], STEPS["setup"]["salt"], OURS[name]
    objective, net = build_objective(config), filled_network(config, salt)
    mine = {reference_name(entry): entry for entry in net.state_dict()}
    optimizer = Adam(net.parameters(), lr=config.train.lr, fused=True)
    for number, step in enumerate(run["steps"]):
        tag = f"{salt}step{number}"
        target, weight = (torch.from_numpy(array).double() for array in targets(tag, 4, 12, (16, 16)))
        images = torch.from_numpy(f32(S(f"{tag}:x", (4, 3, 64, 64)))).double()
        terms = objective(net(images), target, weight)
        assert parts(terms, objective) == pytest.approx(step["losses"], rel=1e-8, abs=1e-12)
        optimizer.zero_grad()
        terms.total.backward()
        check_gradients(net, mine, step.get("grad_l2", {}))
        optimizer.step()
        check_weights(net.state_dict(), mine, step)
    check_heatmaps(net, salt, run["eval_after"])


def check_gradients(net, mine, norms):
    parameters = dict(net.named_parameters())
    for theirs, norm in norms.items():
        gradient = parameters[mine[theirs]].grad if theirs in mine else None
        assert (gradient is None) is (norm is None), theirs
        if norm is not None:
            assert gradient.norm().item() == pytest.approx(norm, rel=1e-8)


def check_weights(state, mine, step):
    """Weights by their norms, running statistics by their sums: what the goldens hold of each."""
    norms = {theirs: norm for theirs, norm in step["param_l2_after"].items() if theirs in mine}
    sums = {theirs: total for theirs, total in step["buffers_sum_after"].items() if theirs in mine}
    assert len(norms) >= 8
    assert sums
    assert {theirs: state[mine[theirs]].norm().item() for theirs in norms} == pytest.approx(norms, rel=1e-9)
    assert {theirs: state[mine[theirs]].sum().item() for theirs in sums} == pytest.approx(sums, rel=1e-9)


def check_heatmaps(net, salt, expected):
    """Every exit's heatmaps of unseen images, which all weights on the way have their part in."""
    net.eval()
    with torch.no_grad():
        outputs = net(torch.from_numpy(f32(S(f"{salt}eval:x", (4, 3, 64, 64)))).double())
    for exit_, heatmaps in outputs.items():
        found = {"sum": heatmaps.sum().item(), "abs_mean": heatmaps.abs().mean().item()}
        assert found == pytest.approx(expected[exit_ - 1], rel=1e-7)
