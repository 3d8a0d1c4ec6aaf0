"""HRNet's residual blocks, with the parameter names of the official release."""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

EXPANSION = 4
"""A bottleneck's output has this many times its inner channels."""


def conv_bn(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution without bias that keeps the size (but for `stride`), and the norm behind it."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(channels_out)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; channels and size stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(channels, channels, 3)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv_bn(channels, channels, 3)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        """Return the block's features."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return cast("Tensor", self.relu(out))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the output has four times `channels`."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        channels_out = EXPANSION * channels
        self.conv1, self.bn1 = conv_bn(channels_in, channels, 1)
        self.conv2, self.bn2 = conv_bn(channels, channels, 3)
        self.conv3, self.bn3 = conv_bn(channels, channels_out, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None if channels_in == channels_out else nn.Sequential(*conv_bn(channels_in, channels_out, 1))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wider height width"]:
        """Return the block's features."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return cast("Tensor", self.relu(out))
