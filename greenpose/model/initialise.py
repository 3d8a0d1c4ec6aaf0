"""Where the weights start; the caller seeds torch."""

from typing import Literal, get_args

from torch import nn

from greenpose.errors import ModelError

Scheme = Literal["default", "normal", "torch"]
HEAD_STD = 0.001
"""Standard deviation of a head's first weights, and under `normal` of every convolution's.

Source: Sun et al. (2019), official code, heads; the paper's INIT_WEIGHTS for all others.
"""


def initialise(net: nn.Module, scheme: str = "default") -> None:
    """Draw the weights anew, in place.

    `default`: torch's own for the trunk, N(0, 0.001) and bias 0 for the heads.
    `normal`: N(0, 0.001) for every convolution, norms at 1 and 0: the paper's INIT_WEIGHTS.
    `torch`: torch's own everywhere, heads too: what the paper's configurations without pretraining start from.

    Raises:
        ModelError: an unknown scheme.
    """
    if scheme not in get_args(Scheme):
        raise ModelError([f"initialisation {scheme!r} is unknown; known: {', '.join(get_args(Scheme))}"])
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.reset_parameters()
    if scheme == "normal":
        _draw_normal(net)
    elif scheme == "default":
        initialise_heads(net.get_submodule("heads"))


def initialise_heads(heads: nn.Module) -> None:
    """Draw every head's weights from N(0, 0.001) and set its bias to 0, in place."""
    _draw_normal(heads)


def _draw_normal(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=HEAD_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
