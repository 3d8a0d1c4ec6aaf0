"""The counters of MACs in use, and why they disagree: a formula each, tested against the counter itself."""

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from greenpose.counting.census import Census
from greenpose.errors import GreenPoseError
from greenpose.units import FLOPS_PER_MAC


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
    with FlopCounterMode(display=False) as counter:
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
