"""A network of one's own, small enough to be a template: a residual encoder with a heatmap head after two of its parts.

What GreenPose wants of it: a function (`build`) that gives an `nn.Module`, and a forward that gives heatmaps by exit.
`exits=` in the forward, or a `truncate(exit)`, tells GreenPose how to compute no more than an exit needs; without
either, an exit costs as much as the whole network.
"""

from collections.abc import Sequence

from torch import Tensor, nn


def build(num_joints: int, width: int = 24, blocks: int = 2) -> nn.Module:
    """Return the network.

    GreenPose fills `num_joints` in, and `exits` and `input_size` where a function names them too; `width` and `blocks`
    are the experiment's `model.settings`.
    """
    return Encoder(num_joints, width, blocks)


class Encoder(nn.Module):
    """Features at a quarter of the image's size, refined twice: exit 1 lies after the first time, exit 2 at the end."""

    def __init__(self, num_joints: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv(3, width, stride=2), *conv(width, width, stride=2))
        self.part1 = Refine(width, blocks)
        self.part2 = Refine(width, blocks)
        # One head per exit: as many channels as keypoints. Small first weights keep the first steps calm.
        self.heads = nn.ModuleDict({exit_: nn.Conv2d(width, num_joints, 1) for exit_ in ("1", "2")})
        for head in self.heads.children():
            nn.init.normal_(head.weight, std=0.001)
            nn.init.zeros_(head.bias)

    def forward(self, images: Tensor, exits: Sequence[int] = (1, 2)) -> dict[int, Tensor]:
        """Return heatmaps by exit [batch, keypoint, height / 4, width / 4]; part 2 runs only where exit 2 is asked for.

        `images` are [batch, 3, height, width], normalised with ImageNet's means and deviations.
        """
        found = {}
        features = self.part1(self.stem(images))
        if 1 in exits:
            found[1] = self.heads["1"](features)
        if 2 in exits:
            found[2] = self.heads["2"](self.part2(features))
        return found


class Refine(nn.Module):
    """A look at the whole picture: down to a quarter of the size, residual blocks there, and back up to be added."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Sequential(*conv(width, 2 * width, stride=2), *conv(2 * width, 4 * width, stride=2))
        self.deep = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))
        self.up = nn.Sequential(
            nn.Conv2d(4 * width, width, 1, bias=False), nn.BatchNorm2d(width), nn.Upsample(scale_factor=4)
        )
        self.fine = Residual(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features, of the same shape."""
        return self.fine(x + self.up(self.deep(self.down(x))))


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(width, width), *conv(width, width)[:2])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        return self.relu(x + self.body(x))


def conv(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    """Return a 3x3 convolution, its norm and a rectifier."""
    layer = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    return [layer, nn.BatchNorm2d(channels_out), nn.ReLU()]
