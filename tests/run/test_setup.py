"""What a configuration is turned into before it runs."""

import subprocess
import sys

import pytest
import torch

from greenpose.config import Experiment
from greenpose.config.grid import LATER, assign, identity
from greenpose.errors import ModelError
from greenpose.model import HRNet
from greenpose.run.setup import build_network
from tests.cli.running import greenpose

SMALL = {"width": 4, "stem_width": 4, "blocks": 1, "modules": [1, 1, 1]}
"""Weights of this shape lack what a network with more modules has."""


def experiment(weights, **model):
    model = {**SMALL, "exits": [4], "weights": weights and str(weights), **model}
    return Experiment.model_validate({"name": "x", "carbon": {"country": "ITA"}, "model": model})


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "small.pt"
    net = HRNet(4, 17, (4,), stem_width=4, modules=(1, 1, 1), blocks=1)
    torch.save(net.state_dict(), path)
    return path


def test_weights_that_fill_all_but_the_head_are_taken(weights):
    _, report = build_network(experiment(weights))
    filled, whole = report.trunk
    assert filled == whole > 100
    assert not report.complete


def test_weights_that_fill_less_than_nine_tenths_of_the_trunk_are_refused(weights):
    with pytest.raises(ModelError, match=r"small\.pt: fills \d+ of the \d+ tensors .*model\.partial=true"):
        build_network(experiment(weights, modules=[1, 4, 3]))


def test_partly_fitting_weights_are_taken_where_they_are_meant(weights):
    net, report = build_network(experiment(weights, modules=[1, 4, 3], partial=True))
    assert report.trunk[0] < 0.9 * report.trunk[1]
    assert torch.equal(net.get_parameter("conv1.weight"), torch.load(weights)["conv1.weight"])


def test_weights_that_do_not_fit_are_refused_before_anything_runs(tmp_path, weights):
    (tmp_path / "e.yaml").write_text(
        "carbon: {country: ITA}\n"
        f"model: {{width: 4, stem_width: 4, blocks: 1, modules: [1, 4, 3], weights: {weights.name}}}\n"
    )
    done = greenpose("run", "e.yaml", "--dry-run", cwd=tmp_path)
    assert done.code == 2
    assert "model.weights: small.pt: fills" in done.err
    assert greenpose("run", "e.yaml", "--dry-run", "--set", "model.partial=true", cwd=tmp_path).code == 0


def test_a_setting_that_came_later_changes_no_run_that_does_not_use_it(weights):
    config = experiment(weights).model_dump(mode="json")
    for key, default in LATER.items():
        section, field = key.split(".")
        older = {**config, section: {name: value for name, value in config[section].items() if name != field}}
        assert identity(Experiment.model_validate(older)) == identity(Experiment.model_validate(config))
        used = Experiment.model_validate(assign(config, key, not default))
        assert identity(used) != identity(Experiment.model_validate(config))


def test_a_run_is_deterministic_or_fails_and_loads_no_compiler():
    code = (
        "import sys, torch\n"
        "from greenpose import counting\n"
        "from greenpose.training.step import Adam\n"
        "from greenpose.run.setup import build_network, seed_everything\n"
        "from tests.run.test_setup import experiment\n"
        "config = experiment(None)\n"
        "seed_everything(config)\n"
        "net = build_network(config)[0].truncate(4)\n"
        "optimizer = Adam(net.parameters(), fused=True)\n"
        "optimizer.zero_grad()\n"
        "net(torch.zeros(2, 3, 32, 32)).sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "counting.count(config)\n"
        "counting.macs.count_macs(torch.nn.Linear(2, 2), torch.zeros(1, 2))\n"
        "print([name for name in ('torch._dynamo', 'torch._inductor') if name in sys.modules])\n"
        "torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    assert "RuntimeError: put_ does not have a deterministic implementation" in done.stderr
