"""What each process of a group does: `python -m tests.training.member RANK SIZE PORT FILE [trains astray]`."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from greenpose.config import LossConfig, TrainConfig
from greenpose.losses import Edge, Objective, Wiring
from greenpose.model import HRNet
from greenpose.training import Files, fit
from greenpose.training.distributed import current_group, following
from tests.recipe import S, targets
from tests.training.samples import dots

WIRING = Wiring(exits=(1, 2), edges=(Edge(teacher=2, student=1),), supervised=(1, 2))
OBJECTIVE = Objective(WIRING, LossConfig(kd_weight=10.0))
ASTRAY = replace(OBJECTIVE, loss=OBJECTIVE.loss.model_copy(update={"teacher_weight": float("nan")}))
RECIPE = TrainConfig(epochs=2, batch=3, lr=2e-3, milestones=(2,), patience=9)
GROWING = TrainConfig(epochs=3, batch=3, lr=2e-3, milestones=(2,), patience=9, grow={1: 0.34})
COUNTS = (6, 5, 1)
"""Batches of even parts, of uneven ones, and of less images than processes."""


def network() -> HRNet:
    torch.manual_seed(0)
    return HRNet(4, 2, (1, 2), stem_width=4, modules=(1, 1, 1), blocks=1)


def batch(count):
    """Return images, targets and weights in float64."""
    target, weight = targets("team", count, 2, (8, 8))
    return tuple(torch.from_numpy(array).double() for array in (S("team:x", (count, 3, 32, 32)), target, weight))


def gradients(net, images, target, weight, *, factor=1.0):
    loss = OBJECTIVE(net(images), target, weight).total * factor
    loss.backward()
    return {name.removeprefix("module."): weight.grad.clone() for name, weight in net.named_parameters()}


def shared_gradients(count, *, train):
    """Return the gradients of a batch that the group divides, as they are in this process after the backward pass."""
    group = current_group()
    shard = group.shard(np.arange(count))
    net = group.wrapped(network().double().train(train))
    return gradients(net, *(part[shard.indices] for part in batch(count)), factor=group.weight(shard))


def trained(folder, recipe=RECIPE, objective=OBJECTIVE):
    """Return the weights after a training in the group, and the images that this process cut for it."""
    folder.mkdir(exist_ok=True)
    seen = []
    train = dots(8)
    splits = {"train": replace(train, cut=lambda indices: (seen.extend(indices), train.cut(indices))[1])}
    if current_group().leads:
        splits["val"] = dots(4, seed=1)
    net = network()
    files = Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-{exit_}.safetensors")
    fitted = fit(net, objective, splits, recipe=recipe, seed=5, files=files)
    return {"weights": net.state_dict(), "seen": seen, "epochs": fitted.epochs}


def everything(folder):
    """Return what this process of a group found; all of them do the same in the same order."""
    group = current_group()
    found = {f"fixed {count}": shared_gradients(count, train=False) for count in COUNTS}
    found["own statistics"] = shared_gradients(5, train=True)
    found["agreed"] = group.agreed(group.leads, torch.device("cpu"))
    found["summed"] = group.summed({"a": 1.5, "b": float(group.rank)}, torch.device("cpu"))
    found["grown"] = trained(folder / "grown", GROWING)["weights"]
    return found | trained(folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, size, port = map(int, sys.argv[1:4])
    with following(rank, size, "cpu", port):
        if "trains" in sys.argv:
            trained(Path(sys.argv[4]).parent, objective=ASTRAY if "astray" in sys.argv else OBJECTIVE)
        torch.save(everything(Path(sys.argv[4]).parent), sys.argv[4])
