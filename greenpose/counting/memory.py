"""Bytes that a network needs beside its weights, as torch allocates them; no device's workspaces are included."""

import copy
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def activation_bytes(net: nn.Module, image: Tensor) -> int:
    """Return what a training step keeps for the backward pass, per image.

    Each storage counts once, however many tensors share it. What does not grow with the batch (weights, the norms'
    statistics) is not included: the figure is the difference that one more image makes.
    """
    training = copy.deepcopy(net).train()  # a copy, since training moves the norms' statistics
    fewer, more = (_saved_bytes(training, image.expand(n, -1, -1, -1).contiguous()) for n in (2, 3))
    return more - fewer


def peak_bytes(net: nn.Module, image: Tensor) -> int:
    """Return the most bytes alive at one moment of an inference of one image: the image and all between, no weights."""
    inferring, peak = copy.deepcopy(net).eval(), _Peak()
    with torch.no_grad(), peak:
        peak.watch(image)
        inferring(image)
    return peak.most


def _saved_bytes(net: nn.Module, images: Tensor) -> int:
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # or an address could be used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()  # noqa: SLF001 - the only identity that meta storages have
        alive.append(tensor)
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(keep, lambda tensor: tensor):
        net(images)
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
