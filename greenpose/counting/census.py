"""How many elements each kind of operation puts out: what every counter's figure is made of."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_NORMS = frozenset({"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_no_update"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Multiplications of convolutions, and output elements of everything else, in one inference of one image."""

    conv_macs: int = 0
    """Multiply-accumulates of all convolutions, without bias."""
    conv_bias: int = 0
    """Output elements of convolutions that add a bias."""
    bn: int = 0
    """Output elements of batch norms."""
    relu: int = 0
    """Output elements of rectifiers."""
    upsample: int = 0
    """Output elements of nearest-neighbour enlargements."""
    add: int = 0
    """Output elements of additions: shortcuts and fusions. No counter counts them."""

    def __add__(self, other: "Census") -> "Census":
        """Return the census of both together."""
        return Census(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: "Census") -> "Census":
        """Return the census of what `other` lacks."""
        return Census(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __mul__(self, times: int) -> "Census":
        """Return the census of `times` images."""
        return Census(**{f.name: getattr(self, f.name) * times for f in fields(self)})


def census(net: nn.Module, *inputs: Any) -> Census:
    """Return the census of `net` on `inputs` (of one image), from the operations that are really run."""
    taker = _Taker()
    with torch.no_grad(), taker:
        net(*inputs)
    return Census(**taker.counts)


class _Taker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts operations as they pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")
        if name == "convolution":
            self._count_convolution(args[1], args[2], out)
        elif name in _NORMS:
            self.counts["bn"] += out[0].numel()
        elif name in {"relu", "add"}:
            self.counts[name] += out.numel()
        elif name == "upsample_nearest2d":
            self.counts["upsample"] += out.numel()
        return out

    def _count_convolution(self, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
        self.counts["conv_macs"] += out.numel() * prod(weight.shape[1:])
        self.counts["conv_bias"] += out.numel() if bias is not None else 0
