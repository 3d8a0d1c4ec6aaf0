"""Training takes the steps and keeps the epochs that the paper's does, under either rule of selection."""

import numpy as np
import pytest
import torch

from greenpose.config import LossConfig
from greenpose.data import batches
from greenpose.losses import Objective
from greenpose.training.step import to_images
from tests.training.fitting import SPLITS, WIRING, network, train


def test_training_is_adam_on_the_objective_batch_by_batch(tmp_path):
    """A plain loop with torch's unfused Adam ends within a twentieth of one step (2e-3) of the same weights."""
    trained, _ = train(tmp_path / "a")
    net, objective = network(), Objective(wiring=WIRING, loss=LossConfig(kd_weight=10.0))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2], gamma=0.33)
    for epoch in (1, 2, 3):
        for batch in batches(SPLITS["train"], 4, np.random.default_rng([5, epoch])):
            outputs = net(to_images(batch.images, torch.device("cpu")))
            terms = objective(outputs, torch.from_numpy(batch.heatmaps), torch.from_numpy(batch.weights)[..., None])
            optimizer.zero_grad()
            terms.total.backward()
            optimizer.step()
        schedule.step()
    for name, weight in net.named_parameters():
        torch.testing.assert_close(trained.get_parameter(name), weight, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("rule", "epoch"), [("per-exit", 1), ("any-exit", 2)])
def test_an_exit_that_was_better_before_goes_along_with_another_only_under_the_official_rule(tmp_path, rule, epoch):
    train(tmp_path, epochs=1)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["selection"]["best"][1]["ap"] = 0.0  # reached by any epoch
    state["selection"]["best"][2]["ap"] = 2.0  # by none
    torch.save(state, tmp_path / "checkpoint.pt")
    _, fitted = train(tmp_path, epochs=2, selection=rule)
    assert {exit_: best.epoch for exit_, best in fitted.best.items()} == {1: 2, 2: epoch}
