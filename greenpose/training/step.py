"""One step of training: prefetch, forward, loss, backward, the weights moved and averaged."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from inspect import unwrap
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from greenpose.data import MEAN, STD, Batch
from greenpose.losses import LossTerms, Objective
from greenpose.model import Network
from greenpose.training.distributed import ProcessGroup
from greenpose.training.precision import Precision, autocast


class Adam(torch.optim.Adam):
    """torch's Adam, less the wrappers of its methods.

    They load torch's compiler, only for it to leave them alone: more than a second of CPU in every process that trains,
    which its meter would book as training. Without gradients a step is what `step`'s own wrapper makes it.
    """

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class Ema:
    """A network that follows another one, step by step; without a decay it is the other one itself.

    Averages smooth what the last steps happened to do, so that a shorter training ends as well as a longer one.

    Source: Polyak & Juditsky (1992), SIAM J. Control Optim. 30(4); torch.optim.swa_utils.
    """

    def __init__(self, net: Network, *, decay: float) -> None:
        """Begin with the weights as they are; `decay` is the part of the average that a step leaves, 0 to 1."""
        self._source = net
        follow = get_ema_multi_avg_fn(decay) if decay else None  # type: ignore[no-untyped-call]  # torch's
        self._follower = None if follow is None else AveragedModel(net, multi_avg_fn=follow, use_buffers=True)

    @property
    def net(self) -> Network:
        """Return what is to be validated, tested and kept."""
        return self._source if self._follower is None else cast("Network", self._follower.module)

    def follow(self) -> None:
        """Take a step of the other network in."""
        if self._follower is not None:
            self._follower.update_parameters(self._source)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs; empty without an average."""
        return {} if self._follower is None else self._follower.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Take up from what `state` gave."""
        if self._follower is not None and state:
            self._follower.load_state_dict(state)


def to_images(
    crops: UInt8[np.ndarray, "batch height width *channel"], device: torch.device
) -> Float[Tensor, "b 3 h w"]:
    """Return crops as normalised images, grey repeated in all three channels.

    Channel by channel, in one pass each: a loop over three values for every pixel takes two to five times as long.

    Source: the official HRNet pose code normalises with ImageNet's channel means and deviations.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device).float()
    grey = pixels.ndim == 3
    batch, height, width = pixels.shape[:3]
    images = torch.empty((batch, height, width, 3), device=device)
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        plane = pixels if grey else pixels[..., channel]
        shift = torch.tensor(-mean / std, device=device)
        torch.add(shift, plane, alpha=1 / (255 * std), out=images[..., channel])
    return images.permute(0, 3, 1, 2)


@runtime_checkable
class Parted(Protocol):
    """A piece of work whose alternating parts are told apart."""

    def part(self, name: str) -> None:
        """Hear that a part begins, which ends the one before."""


Window = Callable[[str, int], AbstractContextManager[Parted]]
"""Called with a name and a number of images; the context that it returns spans the work."""


class _Whole:
    """A piece of work in which nobody tells parts apart."""

    def part(self, name: str) -> None:
        del name


WHOLE = _Whole()


def unmetered(name: str, items: int) -> AbstractContextManager[Parted]:
    """Return a window that measures nothing."""
    del name, items
    return nullcontext(WHOLE)


class Step:
    """Takes steps with one network, one objective and one optimiser."""

    def __init__(
        self,
        net: Network,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        *,
        ema: Ema | None = None,
        precision: Precision = "float32",
        group: ProcessGroup | None = None,
    ) -> None:
        """Keep what a step needs; in a group, `net` is made to average its gradients over all processes."""
        self.group = group or ProcessGroup()
        self.device = next(net.parameters()).device
        self._final, self._reached = net.depth, net.depth
        self._partly = _Partly(net)
        self._net: nn.Module = self.group.wrapped(self._partly)
        self._whole, self._optimizer, self._precision = objective, optimizer, precision
        self.reach(net.depth)
        self._ema = ema

    def reach(self, exit_number: int) -> None:
        """Train only as far as an exit from now on."""
        is_whole = exit_number == self._final
        self._objective = self._whole if is_whole else self._whole.up_to(exit_number)
        self._exits = None if is_whole else self._objective.wiring.exits
        if is_whole != (self._reached == self._final):
            self._net = self._partly  # the wrapping that was must be gone before the next: it listens to gradients
            self._net = self.group.wrapped(self._partly, whole=is_whole)
        self._reached = exit_number

    def train(self) -> None:
        """Put the network into training mode."""
        self._net.train()

    def __call__(self, batch: Batch, parts: Parted = WHOLE, *, weight: float = 1.0) -> dict[str, float]:
        """Return the loss (`total`) and its unweighted terms (`label 4`, `4->3`), after the step.

        `weight` is a factor of the loss that is minimised, not of what is returned.
        """
        target = torch.from_numpy(batch.heatmaps).to(self.device)
        counts = torch.from_numpy(batch.weights).to(self.device)[..., None]
        images = to_images(batch.images, self.device)
        parts.part("forward")
        terms = self._objective(self._forward(images), target, counts)
        parts.part("backward")
        self._optimizer.zero_grad(set_to_none=True)
        (terms.total if weight == 1 else terms.total * weight).backward()  # type: ignore[no-untyped-call]
        parts.part("step")
        self._optimizer.step()
        if self._ema is not None:
            self._ema.follow()
        return _named(terms)

    def _forward(self, images: Tensor) -> dict[int, Tensor]:
        with autocast(self.device, self._precision):
            outputs: dict[int, Tensor] = self._net(images, self._exits)
        return outputs if self._precision == "float32" else {exit_: maps.float() for exit_, maps in outputs.items()}


class _Partly(nn.Module):
    """A network of which no more is computed than the exits asked for need."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, exits: tuple[int, ...] | None) -> dict[int, Tensor]:
        """Return the heatmaps of some exits, all where none are named."""
        return cast("dict[int, Tensor]", self.net(images)) if exits is None else self.net.read(images, exits)


def _named(terms: LossTerms) -> dict[str, float]:
    """Return the loss and its terms as plain numbers, fetched from the device at once."""
    named = {"total": terms.total}
    named |= {f"label {exit_}": value for exit_, value in terms.hard.items()}
    named |= {str(edge): value for edge, value in terms.soft.items()}
    return dict(zip(named, torch.stack([value.detach() for value in named.values()]).tolist(), strict=True))


Item = TypeVar("Item")
Made = TypeVar("Made")

THREADS = 4
"""Threads beside a GPU: decoding, warping and drawing targets leave the interpreter's lock alone most of the time."""


def prefetch(make: Callable[[Item], Made], items: Iterable[Item], *, threads: int) -> Iterator[Made]:
    """Yield `make(item)` of every item in order, at most `threads` of them made ahead; with none, made when asked for.

    On a CPU nothing is made ahead: the threads would take the time of those that train, and be metered as theirs.
    """
    if not threads:
        yield from map(make, items)
        return
    waiting = deque[Future[Made]]()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
