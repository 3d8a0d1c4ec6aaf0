"""The counters of MACs in use, and why they disagree: a formula each, tested against the counter itself."""

import contextlib
import copy
import io
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one inference was seen to do."""

    census: Census
    """Multiplications of convolutions, and output elements of everything else."""
    operations: Mapping[str, int]
    """Calls of each operator, by name, sorted."""
    peak_bytes: int
    """The most bytes alive at one moment: the inputs and all between, no weights."""


def tally(net: nn.Module, *inputs: Any, **named: Any) -> Tally:
    """Return what `net` does in one inference, in its own mode, from the operators that are really run.

    Operators are what reaches torch's dispatcher without gradients: `relu_` (in place) is another one than `relu`, and
    views count. Names and decompositions belong to a minor version of torch. The size of the image does not matter to
    their calls.
    """
    seen = _Dispatched()
    with torch.no_grad(), eager(_Dispatched), seen:
        seen.watch((inputs, named))
        net(*inputs, **named)
    calls = dict(sorted(seen.calls.items()))
    return Tally(census=Census(**seen.elements), operations=calls, peak_bytes=seen.most)


def census(net: nn.Module, *inputs: Any) -> Census:
    """Return the census of `net` on `inputs` (of one image); see `tally`."""
    return tally(net, *inputs).census


def operations(net: nn.Module, *inputs: Any, **named: Any) -> Mapping[str, int]:
    """Return the calls of each operator in one inference; see `tally`."""
    return tally(net, *inputs, **named).operations


def peak_bytes(net: nn.Module, *inputs: Any, **named: Any) -> int:
    """Return the most bytes alive at one moment of an inference in eval mode; see `tally`."""
    return tally(copy.deepcopy(net).eval(), *inputs, **named).peak_bytes


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts operators as they pass, and follows every storage from its first one to its end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.calls: Counter[str] = Counter()
        self.elements: Counter[str] = Counter()
        self.alive = self.most = 0
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.calls[name] += 1
        self._count_elements(name.removesuffix("_"), args, out)
        self.watch(out)
        return out

    def _count_elements(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        if name == "convolution":
            self.elements["conv_macs"] += out.numel() * prod(args[1].shape[1:])
            self.elements["conv_bias"] += out.numel() if args[2] is not None else 0
        elif name in _NORMS:
            self.elements["bn"] += out[0].numel()
        elif name in {"relu", "add"}:
            self.elements[name] += out.numel()
        elif name == "upsample_nearest2d":
            self.elements["upsample"] += out.numel()

    def watch(self, tensors: Any) -> None:
        """Count the storages of some tensors until they are freed."""
        for leaf in tree_leaves(tensors):
            if not isinstance(leaf, Tensor) or (storage := leaf.untyped_storage()) in self._watched:
                continue
            self._watched.add(storage)
            size = storage.nbytes()
            self.alive += size
            self.most = max(self.most, self.alive)
            weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size


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

    A run computes them by `FORMULAE`, which give the same. Counters leave hooks, buffers and modes behind; the copies
    keep that away. `image` is a batch of one.

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
