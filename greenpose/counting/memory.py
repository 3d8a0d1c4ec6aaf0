"""Bytes that a network needs beside its weights, as torch allocates them; no device's workspaces are included."""

import copy
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from greenpose.counting.counters import CountingError

_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises that cannot be run on a batch."""


def activation_bytes(net: nn.Module, *inputs: Any, **named: Any) -> int:
    """Return what a training step keeps for the backward pass, per image.

    Each storage counts once, however many tensors share it. What does not grow with the batch (weights, the norms'
    statistics) is not included: the figure is the difference that one more image makes. Where the inputs are no batch
    of one (tensors whose first side is 1), or the network takes no larger batch, it is what these very inputs make it
    keep, less its weights and statistics.

    Raises:
        CountingError: the network cannot be run in training mode.
    """
    training = copy.deepcopy(net).train()  # a copy, since training moves the norms' statistics
    if _is_batch_of_one((inputs, named)):
        with suppress(*_REFUSALS):
            fewer, more = (_saved_bytes(training, *_repeated((inputs, named), times)) for times in (2, 3))
            return more - fewer
    try:
        return _saved_bytes(training, inputs, named)
    except _REFUSALS as error:
        raise CountingError(
            f"activation_bytes: the network cannot be run in training mode on this input ({type(error).__name__}:"
            f" {error}); give a batch of one that it can be trained with"
        ) from error


def peak_bytes(net: nn.Module, *inputs: Any, **named: Any) -> int:
    """Return the most bytes alive at one moment of an inference of one image: the image and all between, no weights."""
    inferring, peak = copy.deepcopy(net).eval(), _Peak()
    with torch.no_grad(), peak:
        for tensor in _tensors((inputs, named)):
            peak.watch(tensor)
        inferring(*inputs, **named)
    return peak.most


def _tensors(inputs: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]


def _is_batch_of_one(inputs: Any) -> bool:
    return any(tensor.ndim > 0 and tensor.shape[0] == 1 for tensor in _tensors(inputs))


def _repeated(inputs: Any, times: int) -> Any:
    """Return inputs with every tensor that is a batch of one repeated."""

    def batch(leaf: Any) -> Any:
        alone = isinstance(leaf, Tensor) and leaf.ndim > 0 and leaf.shape[0] == 1
        return leaf.expand(times, *leaf.shape[1:]).contiguous() if alone else leaf

    return tree_map(batch, inputs)


def _saved_bytes(net: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """Return the bytes of all storages that the backward pass needs, without the network's own."""
    own = {entry.untyped_storage()._cdata for entry in [*net.parameters(), *net.buffers()]}  # noqa: SLF001 - as below
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # or an address could be used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:  # noqa: SLF001 - as below
            sizes[storage._cdata] = storage.nbytes()  # noqa: SLF001 - the only identity that meta storages have
        alive.append(tensor)
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        net(*inputs, **named)
    return sum(sizes.values())


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Follows every storage from its first operation to its end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.alive = 0
        self.most = 0
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.watch(leaf)
        return out

    def watch(self, tensor: Tensor) -> None:
        """Count the tensor's storage until it is freed."""
        storage = tensor.untyped_storage()
        if storage in self._watched:
            return
        self._watched.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size
