"""Training: Adam, schedules, early stopping, each exit's best epoch kept, resumable after a kill.

A step that ends at a shallow exit costs what its sub-network costs, and deeper stages that join later start on features
that are of use already. The paper trains the whole network from the first step on.

Source: the idea is that of progressive stacking, Gong et al. (2019), Efficient Training of BERT by Progressively
Stacking, PMLR 97; with exits nothing has to be copied.

The order of batches depends on the seed and the epoch alone, so that a resumed training is the one
that was interrupted. Several processes may train together (`distributed`): one leads and keeps everything.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch

from greenpose.config import TrainConfig
from greenpose.config.training import depth_schedule
from greenpose.data import Batch, Samples, batch_of, in_turn
from greenpose.data.augment import Augmentation, check_half_body, check_sensor
from greenpose.errors import GreenPoseError
from greenpose.losses import Objective
from greenpose.model import Network
from greenpose.training.checkpoint import DAMAGE, damaged, load_state, save_best, save_state, settle, waiting
from greenpose.training.distributed import Shard, current_group
from greenpose.training.evaluate import validation_scores
from greenpose.training.precision import KINDS, Precision, choose
from greenpose.training.step import THREADS, Adam, Ema, Parted, Step, Window, prefetch, unmetered


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best epoch of one exit."""

    epoch: int
    """Number, from 1."""
    ap: float
    """Best AP on the validation split so far."""


@dataclass(slots=True, kw_only=True)
class EpochSelection:
    """Follows validations; what it knows survives in a checkpoint."""

    rule: Literal["per-exit", "any-exit"] = "per-exit"
    """`any-exit`: as soon as one exit ties or beats its best, all exits take this epoch (the official code's rule)."""
    best: dict[int, Best] = field(default_factory=dict)
    """The epoch that each exit is to be tested with."""
    waiting: int = 0
    """Validations in a row in which no exit tied or beat its best."""

    def update(self, epoch: int, ap: Mapping[int, float]) -> list[int]:
        """Return the exits that take this epoch's weights: those that tie or beat their own best."""
        better = [exit_ for exit_, value in ap.items() if exit_ not in self.best or value >= self.best[exit_].ap]
        self.waiting = 0 if better else self.waiting + 1
        chosen = list(ap) if better and self.rule == "any-exit" else better
        for exit_ in chosen:
            before = self.best[exit_].ap if exit_ in self.best else ap[exit_]
            self.best[exit_] = Best(epoch=epoch, ap=max(before, ap[exit_]))
        return chosen

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"waiting": self.waiting, "best": {exit_: asdict(value) for exit_, value in self.best.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.waiting = int(state["waiting"])
        self.best = {
            int(exit_): Best(epoch=int(value["epoch"]), ap=float(value["ap"])) for exit_, value in state["best"].items()
        }


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


EMPTY = 0.5
"""No empty heatmap is further from its labels: half the mean square of what is 1 at most."""
ASTRAY = 5
"""Epochs in a row in which an exit is worse than empty heatmaps before its training is ended."""
LOST = 1e3
"""A term of the loss that is above this over an epoch and in its last step: heatmaps are 45 times off their peak's
height at every pixel."""
SHOWN = 100
"""Characters that are shown of what torch says of a damaged checkpoint."""
FLIP = 1
"""Draws which images are flipped apart from their order, which stays that of a training without flips."""


@runtime_checkable
class TrainingCallbacks(Protocol):
    """Who is told how training goes."""

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Hear that `done` images of an epoch are through, with the mean loss so far."""

    def enough(self) -> bool:
        """Say whether training is to end with the epoch whose images are through."""

    def ended(self, epoch: "Epoch") -> None:
        """Hear how an epoch went, before its checkpoint is written: what is noted now outlives a kill from then on."""

    def closed(self, epoch: "Epoch") -> None:
        """Hear that an epoch is over, its checkpoint written."""

    def chose(self, what: str) -> None:
        """Hear what was chosen by measuring before the first epoch, and why."""


class _NoCallbacks:
    def trained(self, epoch: int, done: int, loss: float) -> None:
        pass

    def enough(self) -> bool:
        return False

    def ended(self, epoch: "Epoch") -> None:
        pass

    def closed(self, epoch: "Epoch") -> None:
        pass

    def chose(self, what: str) -> None:
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
    precision: str = ""
    """The arithmetic that was chosen by measuring, and why; empty where the recipe names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where training keeps what it must not lose."""

    checkpoint: Path
    """State after the last epoch."""
    best: Callable[[int], Path]
    """Best weights of an exit."""


def fit(
    net: Network,
    objective: Objective,
    splits: Mapping[str, Samples],
    *,
    recipe: TrainConfig,
    seed: int,
    files: Files,
    window: Window = unmetered,
    ledger: TrainingCallbacks | None = None,
) -> Fitted:
    """Return each exit's best epoch after training `net` in place on `splits["train"]`, validating on `splits["val"]`.

    The network stays on the device it is on. A checkpoint that is there is gone on from. After each epoch the ledger
    is asked whether that is enough; then training ends with that epoch validated and its checkpoint written. Where this
    process trains in a group that it does not lead, it only takes the steps.

    Raises:
        DataError: if the images are to be augmented in a way that they or their skeleton do not bear.
    """
    if recipe.augment:
        check_half_body(recipe.augment, splits["train"].profile)
        check_sensor(recipe.augment, splits["train"].window)
    told = ledger or _NoCallbacks()
    optimizer = Adam(net.parameters(), lr=recipe.lr, fused=True)
    selection = EpochSelection(rule=recipe.selection)
    ema = Ema(net, decay=recipe.average)
    epoch, chosen_before = _resume(net, optimizer, selection, ema, files.checkpoint)
    precision, chosen_by = _precision(net, objective, splits, recipe, seed, chosen_before, told, window)
    step = Step(net, objective, optimizer, ema=ema, precision=precision, group=current_group())
    if step.group.leads:
        _settle(selection, net.exits, files)
    schedule = depth_schedule(recipe, net.exits, images=len(splits["train"]) if recipe.grow else 1)
    spent, astray = False, 0

    def paced(images: int) -> float:
        """Set the learning rate for when so many images of the epoch are done, and return it."""
        return _set_rate(optimizer, learning_rate(recipe, epoch, images / len(splits["train"])))

    while step.group.agreed(
        epoch < recipe.epochs and _may_go_on(recipe, selection, schedule, epoch) and not spent, device=step.device
    ):
        epoch += 1
        lr = paced(0)
        step.reach(schedule[epoch - 1])
        with window(f"train/epoch {epoch}", len(splits["train"])) as parts:
            stream = _shards(splits["train"], recipe, (seed, epoch), step)
            loss, terms = _train_epoch(step, stream, epoch, told, parts, paced=paced)
        if not step.group.leads:
            continue
        astray = astray + 1 if _is_astray(terms) else 0
        if astray >= ASTRAY or (astray and epoch == recipe.epochs):
            raise _diverged(epoch, len(splits["train"]), loss)
        ap, pck, chosen = dict[int, float](), dict[int, float](), list[int]()
        spent = epoch < recipe.epochs and told.enough()
        if epoch % recipe.validate_every == 0 or epoch == recipe.epochs or spent:
            with window(f"validate/epoch {epoch}", len(splits["val"])):
                ap, pck = validation_scores(ema.net, splits["val"], batch=recipe.batch)
                chosen = selection.update(epoch, ap)
                _keep(ema.net, chosen, epoch, files)
        how = Epoch(epoch=epoch, loss=loss, terms=terms, lr=lr, ap=ap, pck=pck)
        told.ended(how)
        with window(f"checkpoint/epoch {epoch}", 0):
            save_state(files.checkpoint, _state(net, optimizer, selection, ema, epoch, chosen_by))
            _settle(selection, chosen, files)
        told.closed(how)
    return Fitted(best=selection.best, epochs=epoch, stopped=_ending(epoch, recipe, selection), precision=chosen_by)


def _precision(
    net: Network,
    objective: Objective,
    splits: Mapping[str, Samples],
    recipe: TrainConfig,
    seed: int,
    before: str,
    told: TrainingCallbacks,
    window: Window,
) -> tuple[Precision, str]:
    """Return the arithmetic of training, and by what it was chosen; a training that goes on keeps what it began with.

    Steps are measured on a copy of the network, so that it begins as it would anyhow.
    """
    if recipe.precision != "auto":
        return recipe.precision, ""
    group, device = current_group(), next(net.parameters()).device
    found = before
    if group.leads and not found:

        def steps() -> dict[Precision, Callable[[], object]]:
            copy = deepcopy(net)
            optimizer = Adam(copy.parameters(), lr=recipe.lr, fused=True)
            copy.train()
            samples = splits["train"]
            batch = batch_of(samples, np.random.default_rng(seed).permutation(len(samples))[: recipe.batch])
            return {kind: partial(Step(copy, objective, optimizer, precision=kind), batch) for kind in KINDS}

        with window("train precision", 0):
            found = str(choose(steps, device))
    if group.leads:
        told.chose(found)
    is_bf16 = group.agreed(found.startswith("bf16"), device=device)
    return "bf16" if is_bf16 else "float32", found


def _keep(net: Network, exits: Iterable[int], epoch: int, files: Files) -> None:
    """Write exits' weights, beside their best ones until the checkpoint knows of them."""
    for exit_ in exits:
        save_best(waiting(files.best(exit_)), net.truncate(exit_).state_dict(), epoch=epoch)


def _settle(selection: EpochSelection, exits: Iterable[int], files: Files) -> None:
    """Make the best weights of exits those of the epochs that the checkpoint knows."""
    for exit_ in exits:
        settle(files.best(exit_), selection.best[exit_].epoch if exit_ in selection.best else None)


def _may_go_on(recipe: TrainConfig, selection: EpochSelection, schedule: Sequence[int], epoch: int) -> bool:
    """Say whether patience bears another epoch; it does for as long as exits are still to join."""
    return selection.waiting < recipe.patience or (epoch > 0 and schedule[epoch - 1] != schedule[-1])


def _ending(epoch: int, recipe: TrainConfig, selection: EpochSelection) -> Literal["epochs", "patience", "budget"]:
    if epoch >= recipe.epochs:
        return "epochs"
    return "patience" if selection.waiting >= recipe.patience else "budget"


def _set_rate(optimizer: torch.optim.Optimizer, lr: float) -> float:
    """Return a learning rate after setting it."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def _shards(samples: Samples, recipe: TrainConfig, seeds: tuple[int, int], step: Step) -> Iterator[tuple[Shard, Batch]]:
    """Yield this process's part of every batch; beside a GPU they are made ahead."""
    augmentation = Augmentation(config=recipe.augment, seeds=seeds) if recipe.augment else None
    flipped = np.random.default_rng([*seeds, FLIP]).random(len(samples)) < recipe.mirror

    def made(shard: Shard) -> tuple[Shard, Batch]:
        turned = flipped[shard.indices] if recipe.mirror else None
        return shard, batch_of(samples, shard.indices, flipped=turned, augmentation=augmentation)

    order = in_turn(len(samples), recipe.batch, np.random.default_rng(seeds))
    shards = (step.group.shard(indices) for indices in order)
    yield from prefetch(made, shards, threads=THREADS if step.device.type == "cuda" else 0)


def _train_epoch(
    step: Step,
    stream: Iterable[tuple[Shard, Batch]],
    epoch: int,
    told: TrainingCallbacks,
    parts: Parted,
    *,
    paced: Callable[[int], object],
) -> tuple[float, dict[str, float]]:
    """Return the epoch's mean loss and mean terms; the ledger hears those of this process's parts meanwhile."""
    step.train()
    sums: dict[str, float] = {}
    done = mine = 0
    parts.part("data")
    for shard, batch in stream:
        paced(done)
        values = step(batch, parts, weight=step.group.weight(shard))
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value * shard.num
        done, mine = done + shard.total, mine + shard.num
        if step.group.leads and not isfinite(sums["total"]):  # another's comes here with the gradients, a step later
            raise _diverged(epoch, done, sums["total"])
        told.trained(epoch, done, sums["total"] / max(1, mine))
        parts.part("data")
    means = {name: value / done for name, value in step.group.summed(sums, step.device).items()}
    if step.group.leads and not all(
        min(means[name], value) < LOST for name, value in values.items() if name != "total"
    ):
        raise _diverged(epoch, done, means["total"])
    return means.pop("total"), means


def _is_astray(terms: Mapping[str, float]) -> bool:
    """Return whether an exit that sees labels is further from them than if it said nothing."""
    return any(value > EMPTY for name, value in terms.items() if name.startswith("label "))


def _diverged(epoch: int, images: int, loss: float) -> GreenPoseError:
    """Return the error that ends a training whose weights are beyond repair."""
    return GreenPoseError(
        f"training diverged: the mean loss is {loss:.3g} after {images} images of epoch {epoch}, and later"
        " epochs would not mend it; lower train.lr or the loss's weights, or look at model.weights and the images"
    )


def _state(
    net: Network, optimizer: torch.optim.Optimizer, selection: EpochSelection, ema: Ema, epoch: int, precision: str
) -> dict[str, Any]:
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "average": ema.state()}
    return state | {"selection": selection.state()} | ({"precision": precision} if precision else {})


def _resume(
    net: Network, optimizer: torch.optim.Optimizer, selection: EpochSelection, ema: Ema, checkpoint: Path
) -> tuple[int, str]:
    """Return the checkpoint's last epoch and chosen arithmetic after taking all up from it; 0 where there is none.

    Raises:
        GreenPoseError: the checkpoint is damaged.
    """
    state = load_state(checkpoint)
    if state is None:
        return 0, ""
    try:
        net.load_state_dict(state["net"])
        settings = optimizer.state_dict()["param_groups"]  # they are the recipe's, and the rate is set before each step
        optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": settings})
        selection.restore(state["selection"])
        ema.restore(state.get("average", {}))
        epoch, precision = int(state["epoch"]), str(state.get("precision", ""))
    except DAMAGE as error:
        raise damaged(checkpoint, f"{type(error).__name__} {' '.join(str(error).split())[:SHOWN]}") from None
    if (fault := _fault(optimizer, selection, net.exits, epoch)) is not None:
        raise damaged(checkpoint, fault)
    return epoch, precision


def _fault(
    optimizer: torch.optim.Optimizer, selection: EpochSelection, exits: Collection[int], epoch: int
) -> str | None:
    """Return what cannot be in a state that was loaded whole; None where all of it can."""
    if epoch < 1:
        return f"epoch {epoch}"
    for exit_, best in selection.best.items():
        if exit_ not in exits or not 1 <= best.epoch <= epoch or not isfinite(best.ap):
            return f"exit {exit_} with AP {best.ap} in epoch {best.epoch} of {epoch}"
    for parameter, moments in optimizer.state.items():
        shapes = isinstance(moments, Mapping) and {
            name: value.shape for name, value in moments.items() if torch.is_tensor(value)
        }
        if not torch.is_tensor(parameter) or shapes != {
            "step": torch.Size(),
            "exp_avg": parameter.shape,
            "exp_avg_sq": parameter.shape,
        }:
            return "moments that are not this network's"
    return None
