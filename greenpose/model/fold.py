"""Norms folded into the convolutions before them, for networks that only infer."""

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def fold_batchnorm(net: ModuleT) -> ModuleT:
    """Return a copy for inference whose norms have become part of the convolutions; `net` stays as it is.

    In eval mode a norm scales and shifts each channel by constants, which the weights and a bias of the convolution
    before it can take up. Outputs stay the same but for rounding, compute (MACs) stays the same, and a pass over every
    feature map is saved. The copy is in eval mode and of the same class; it cannot be trained any further, nor cut.

    In these networks every norm is declared right behind its convolution; others than those are left alone.
    """
    folded = copy.deepcopy(net).eval()
    for module in folded.modules():
        for (_, conv), (name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, norm)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(module, name, nn.Identity().eval())
    return folded
