"""Training: Adam, a stepwise schedule, early stopping, each exit's best epoch kept, resumable after a kill.

The order of batches depends on the seed and the epoch alone, so that a resumed training is the one
that was interrupted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch

from greenpose.config import TrainConfig
from greenpose.data import Batch, Samples, batches
from greenpose.losses import Objective
from greenpose.model import HRNet
from greenpose.training.checkpoint import load_state, save_best, save_state
from greenpose.training.evaluate import validation_scores
from greenpose.training.images import to_images
from greenpose.training.selection import Best, Selection
from greenpose.training.window import Parted, Window, unmetered


@runtime_checkable
class Ledger(Protocol):
    """Who is told how training goes."""

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Hear that `done` images of an epoch are through, with the mean loss so far."""

    def enough(self) -> bool:
        """Say whether training is to end with the epoch whose images are through."""

    def closed(self, epoch: "Epoch") -> None:
        """Hear that an epoch is over."""


class _Nobody:
    def trained(self, epoch: int, done: int, loss: float) -> None:
        pass

    def enough(self) -> bool:
        return False

    def closed(self, epoch: "Epoch") -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """How one epoch went."""

    epoch: int
    """Number, from 1."""
    loss: float
    """Mean total loss over the steps."""
    terms: dict[str, float]
    """Mean of each unweighted loss term, e.g. `label 4`, `4->3`."""
    lr: float
    """Learning rate."""
    ap: dict[int, float]
    """Validation AP of each exit; empty where the epoch was not validated."""
    pck: dict[int, float]
    """Validation PCK@0.5 of each exit, as the paper's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What training ended with; the weights lie in the files."""

    best: dict[int, Best]
    """The epoch that each exit is to be tested with."""
    epochs: int
    """Epochs trained, resumed ones included."""
    stopped: Literal["epochs", "patience", "budget"]
    """Why it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where training keeps what it must not lose."""

    checkpoint: Path
    """State after the last epoch."""
    best: Callable[[int], Path]
    """Best weights of an exit."""


def fit(
    net: HRNet,
    objective: Objective,
    splits: Mapping[str, Samples],
    *,
    recipe: TrainConfig,
    seed: int,
    files: Files,
    window: Window = unmetered,
    ledger: Ledger | None = None,
) -> Fitted:
    """Return each exit's best epoch after training `net` in place on `splits["train"]`, validating on `splits["val"]`.

    The network stays on the device it is on. A checkpoint that is there is gone on from. After each epoch the ledger
    is asked whether that is enough; then training ends with that epoch validated and its checkpoint written.
    """
    told = ledger or _Nobody()
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.lr, fused=True)
    selection = Selection(rule=recipe.selection)
    epoch = _resume(net, optimizer, selection, files.checkpoint)
    spent = False
    while epoch < recipe.epochs and selection.waiting < recipe.patience and not spent:
        epoch += 1
        lr = _set_rate(optimizer, recipe, epoch)
        with window(f"train/epoch {epoch}", len(splits["train"])) as parts:
            stream = batches(splits["train"], recipe.batch, np.random.default_rng([seed, epoch]))
            loss, terms = _train_epoch(net, objective, stream, optimizer, epoch, told, parts)
        ap: dict[int, float] = {}
        pck: dict[int, float] = {}
        spent = epoch < recipe.epochs and told.enough()
        if epoch % recipe.validate_every == 0 or epoch == recipe.epochs or spent:
            with window(f"validate/epoch {epoch}", len(splits["val"])):
                ap, pck = validation_scores(net, splits["val"], batch=recipe.batch)
                for exit_ in selection.update(epoch, ap):
                    save_best(files.best(exit_), net.truncate(exit_).state_dict())
        with window(f"checkpoint/epoch {epoch}", 0):
            save_state(files.checkpoint, _state(net, optimizer, selection, epoch))
        told.closed(Epoch(epoch=epoch, loss=loss, terms=terms, lr=lr, ap=ap, pck=pck))
    return Fitted(best=selection.best, epochs=epoch, stopped=_ending(epoch, recipe, selection))


def _ending(epoch: int, recipe: TrainConfig, selection: Selection) -> Literal["epochs", "patience", "budget"]:
    if epoch >= recipe.epochs:
        return "epochs"
    return "patience" if selection.waiting >= recipe.patience else "budget"


def _set_rate(optimizer: torch.optim.Optimizer, recipe: TrainConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, after setting it."""
    lr = recipe.lr * recipe.gamma ** sum(epoch > mark for mark in recipe.milestones)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def _train_epoch(
    net: HRNet,
    objective: Objective,
    stream: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    epoch: int,
    told: Ledger,
    parts: Parted,
) -> tuple[float, dict[str, float]]:
    """Return the epoch's mean loss and mean terms."""
    net.train()
    device = next(net.parameters()).device
    sums: dict[str, float] = {}
    done = 0
    parts.part("data")
    for batch in stream:
        target = torch.from_numpy(batch.heatmaps).to(device)
        weight = torch.from_numpy(batch.weights).to(device)[..., None]
        images = to_images(batch.images, device)
        parts.part("forward")
        terms = objective(net(images), target, weight)
        parts.part("backward")
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        parts.part("step")
        optimizer.step()
        for name, value in _named(terms).items():
            sums[name] = sums.get(name, 0.0) + value * len(batch.indices)
        done += len(batch.indices)
        told.trained(epoch, done, sums["total"] / done)
        parts.part("data")
    means = {name: value / done for name, value in sums.items()}
    return means.pop("total"), means


def _named(terms: Any) -> dict[str, float]:
    """Return the loss and its terms as plain numbers."""
    named = {"total": float(terms.total.detach())}
    named |= {f"label {exit_}": float(value.detach()) for exit_, value in terms.hard.items()}
    named |= {f"{edge.teacher}->{edge.student}": float(value.detach()) for edge, value in terms.soft.items()}
    return named


def _state(net: HRNet, optimizer: torch.optim.Optimizer, selection: Selection, epoch: int) -> dict[str, Any]:
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    return state | {"selection": selection.state()}


def _resume(net: HRNet, optimizer: torch.optim.Optimizer, selection: Selection, checkpoint: Path) -> int:
    """Return the last epoch of the checkpoint after taking everything up from it; 0 where there is none."""
    state = load_state(checkpoint)
    if state is None:
        return 0
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    selection.restore(state["selection"])
    return int(state["epoch"])
