"""The counters of MACs in use, and why they disagree: a formula each, tested against the counter itself."""

import contextlib
import copy
import io
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

from greenpose.errors import GreenPoseError
from greenpose.formatting import FLOPS_PER_MAC

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


@contextlib.contextmanager
def eager(*modes: type[TorchDispatchMode]) -> Iterator[None]:
    """Let modes see operators without torch's compiler, which would be loaded only to leave the modes alone."""
    hooks: list[Any] = [] if "torch._dynamo" in sys.modules else [mode.__torch_dispatch__ for mode in modes]
    wrapped = [hook.__wrapped__ for hook in hooks if hasattr(hook, "__wrapped__")]
    for hook in wrapped:
        hook.__dynamo_disable = hook  # noqa: SLF001 - where `torch._compile` looks before it loads the compiler
    try:
        yield
    finally:
        for hook in wrapped:
            vars(hook).pop("__dynamo_disable", None)


def census(net: nn.Module, *inputs: Any) -> Census:
    """Return the census of `net` on `inputs` (of one image), from the operations that are really run."""
    taker = _Taker()
    with torch.no_grad(), eager(_Taker), taker:
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


class CountingError(GreenPoseError):
    """A counter that failed on a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """What a counter's MACs consist of."""

    sentence: str
    """The formula in words."""
    macs: Callable[[Census], int]
    """The formula itself."""


FORMULAE = MappingProxyType(
    {
        "torch": Formula(
            sentence="convolutions only (torch's FlopCounterMode counts two FLOPs per MAC; halved here)",
            macs=lambda c: c.conv_macs,
        ),
        "thop": Formula(
            sentence="convolutions without bias + 4 per batch-norm element + 1 per upsampled element; ReLU is free",
            macs=lambda c: c.conv_macs + 4 * c.bn + c.upsample,
        ),
        "ptflops": Formula(
            sentence="convolutions + bias + 2 per batch-norm element + 2 per ReLU element + 2 per upsampled element "
            "(ReLU and upsampling are counted twice: as modules and as the functions these call)",
            macs=lambda c: c.conv_macs + c.conv_bias + 2 * c.bn + 2 * c.relu + 2 * c.upsample,
        ),
        "ptflops_aten": Formula(
            sentence="convolutions + bias",
            macs=lambda c: c.conv_macs + c.conv_bias,
        ),
    }
)
"""By counter; thop 0.1.1 and ptflops 0.7.x (its `pytorch` and its `aten` backend)."""

PAPER_FORMULA = Formula(
    sentence="convolutions + bias + 2 per batch-norm element + 1 per ReLU element + 1 per upsampled element "
    "(the counter that the paper's code brings along)",
    macs=lambda c: c.conv_macs + c.conv_bias + 2 * c.bn + c.relu + c.upsample,
)


def run_counters(net: nn.Module, image: Tensor) -> dict[str, int]:
    """Return the MACs of one inference by counter, each run on a copy of `net`.

    Counters leave hooks, buffers and modes behind; the copies keep that away. `image` is a batch of one.

    Raises:
        CountingError: a counter failed.
    """
    counters = {"torch": _torch, "thop": _thop, "ptflops": _ptflops, "ptflops_aten": _ptflops_aten}
    return {name: counter(copy.deepcopy(net), image) for name, counter in counters.items()}


def conv_flops(step: Callable[[], object]) -> int:
    """Return the floating-point operations of the convolutions in `step`, forward and backward, by torch's counter."""
    with eager(_FlopCounterMode), FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _torch(net: nn.Module, image: Tensor) -> int:
    with torch.no_grad():
        flops = conv_flops(lambda: net.eval()(image))
    macs, rest = divmod(flops, FLOPS_PER_MAC)
    assert rest == 0
    return macs


def _thop(net: nn.Module, image: Tensor) -> int:
    with _silent():
        import thop

        macs, _ = thop.profile(net, inputs=(image,), verbose=False)
    return int(macs)


def _ptflops(net: nn.Module, image: Tensor) -> int:
    return _run_ptflops(net, image, backend="pytorch")


def _ptflops_aten(net: nn.Module, image: Tensor) -> int:
    return _run_ptflops(net, image, backend="aten")


def _run_ptflops(net: nn.Module, image: Tensor, *, backend: str) -> int:
    with _silent() as said, torch.no_grad():
        import ptflops
        from ptflops.aten_engine import FlopCounterMode as AtenMode

        with eager(AtenMode):
            macs, _ = ptflops.get_model_complexity_info(
                net, tuple(image.shape[1:]), as_strings=False, print_per_layer_stat=False, backend=backend
            )
    if macs is None:  # it catches whatever is raised, prints it and goes on
        raise CountingError(f"ptflops ({backend}) could not count this network:\n{said.getvalue().strip()}")
    return int(macs)


@contextlib.contextmanager
def _silent() -> Iterator[io.StringIO]:
    """Catch what counters print and warn of; yields the text."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield said


def operations(net: nn.Module, *inputs: Any, **named: Any) -> dict[str, int]:
    """Return the calls of each operator in one inference, by name, sorted.

    Operators are what reaches torch's dispatcher without gradients: `relu_` (in place) is another one than `relu`, and
    views count. Names and decompositions belong to a minor version of torch. The size of the image does not matter.
    """
    tally = _Tally()
    with torch.no_grad(), eager(_Tally), tally:
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
