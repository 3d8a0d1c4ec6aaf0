import pytest
import torch

from greenpose.config import TrainConfig
from greenpose.training.fit import learning_rate


def test_steps_are_those_of_torchs_own_schedule():
    recipe = TrainConfig(epochs=9, lr=1.0, milestones=(3, 5), gamma=0.33)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5], gamma=0.33)
    for epoch in range(1, 10):
        assert learning_rate(recipe, epoch, 0.7) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_one_cycle_rises_to_the_rate_that_was_asked_for_and_ends_at_zero():
    recipe = TrainConfig(epochs=10, lr=2.0, schedule="one-cycle", warmup=0.3)
    rates = [learning_rate(recipe, 1 + step // 8, step % 8 / 8) for step in range(80)]
    top = rates.index(max(rates))
    assert top == 24
    assert rates[top] == 2.0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[0] < 0.1
    assert learning_rate(recipe, 10, 1.0) == pytest.approx(0)
    assert learning_rate(recipe, 7, 0.5) == pytest.approx(1.0)  # half way down a cosine


def test_without_a_warm_up_it_begins_at_the_top():
    assert learning_rate(TrainConfig(lr=2.0, schedule="one-cycle", warmup=0.0), 1, 0.0) == 2.0
