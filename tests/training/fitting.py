"""A tiny network that is trained on a few dots, and who listens."""

from importlib import import_module

import torch
from safetensors.torch import load_file

from greenpose.config import LossConfig, TrainConfig
from greenpose.losses import Edge, Objective, Wiring
from greenpose.model import HRNet
from greenpose.training import Files, fit
from tests.training.samples import dots

SPLITS = {"train": dots(8), "val": dots(4, seed=1)}
WIRING = Wiring(exits=(1, 2), edges=(Edge(teacher=2, student=1),), supervised=(1, 2))
RECIPE = TrainConfig(epochs=3, batch=4, lr=2e-3, milestones=(2,), patience=9)
MODULE = import_module("greenpose.training.fit")
"""The module, whose name in the package is that of its function."""


def network(seed=0, exits=(1, 2)):
    torch.manual_seed(seed)
    return HRNet(4, 2, exits, stem_width=4, modules=(1, 1, 1), blocks=1)


def train(folder, net=None, *, splits=SPLITS, seed=5, wiring=WIRING, window=None, ledger=None, **changes):
    """Train in a folder, with the recipe's settings changed; return the network and what `fit` did."""
    folder.mkdir(exist_ok=True)
    files = Files(checkpoint=folder / "checkpoint.pt", best=lambda exit_: folder / f"best-exit{exit_}.safetensors")
    watchers = {name: one for name, one in (("window", window), ("ledger", ledger)) if one}
    recipe, net = RECIPE.model_copy(update=changes), net or network(exits=wiring.exits)
    objective = Objective(wiring=wiring, loss=LossConfig(kd_weight=10.0))
    return net, fit(net, objective, splits, recipe=recipe, seed=seed, files=files, **watchers)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def best_weights(folder):
    return load_file(folder / "best-exit2.safetensors")


class Listener:
    """Keeps what it is told, and may end the training after an epoch; `minds` the losses and their order."""

    def __init__(self, *, stop_after=None, enough_after=None, minds=True):
        self.noted, self.epochs, self.images, self.chosen = [], [], [], []
        self._stop_after, self._enough_after, self._minds = stop_after, enough_after, minds

    def trained(self, epoch, done, loss):
        assert not self._minds or (epoch == len(self.epochs) + 1 and loss > 0)
        self.images.append(done)

    def enough(self):
        return len(self.epochs) + 1 == self._enough_after

    def ended(self, epoch):
        self.noted.append(epoch.epoch)

    def closed(self, epoch):
        self.epochs.append(epoch)
        if epoch.epoch == self._stop_after:
            raise KeyboardInterrupt

    def chose(self, what):
        self.chosen.append(what)
