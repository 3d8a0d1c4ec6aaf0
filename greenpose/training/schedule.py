"""The learning rate from step to step."""

import math

from greenpose.config import TrainConfig


def learning_rate(recipe: TrainConfig, epoch: int, done: float) -> float:
    """Return the learning rate when the part `done`, 0 to 1, of the `epoch`-th epoch, from 1, is over.

    `steps` holds still within an epoch and falls at milestones, as the paper's does. `one-cycle` rises in a straight
    line over the first `warmup` of all epochs and falls to zero along half a cosine.

    Source: Smith & Topin (2019), Super-Convergence, arXiv 1708.07120; Loshchilov & Hutter (2017), SGDR, 1608.03983.
    """
    if recipe.schedule == "steps":
        return recipe.lr * recipe.gamma ** sum(epoch > mark for mark in recipe.milestones)
    progress = min(1.0, (epoch - 1 + done) / recipe.epochs)
    if progress < recipe.warmup:
        return recipe.lr * (progress + 1e-2) / (recipe.warmup + 1e-2)
    return recipe.lr * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup))) / 2
