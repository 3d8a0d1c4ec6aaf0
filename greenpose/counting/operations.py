"""Which torch operators one inference calls, and how often: what a change of the code shows up in first."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def operations(net: nn.Module, *inputs: Any, **named: Any) -> dict[str, int]:
    """Return the calls of each operator in one inference, by name, sorted.

    Operators are what reaches torch's dispatcher without gradients: `relu_` (in place) is another one than `relu`, and
    views count. Names and decompositions belong to a minor version of torch. The size of the image does not matter.
    """
    tally = _Tally()
    with torch.no_grad(), tally:
        net(*inputs, **named)
    return dict(sorted(tally.calls.items()))


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts calls as they pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))
