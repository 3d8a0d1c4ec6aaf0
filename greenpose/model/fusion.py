"""What happens between resolutions: the fusing module of a stage and the transition that opens a branch."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from greenpose.model.blocks import BasicBlock, conv_bn


class FusionModule(nn.Module):
    """Parallel branches of basic blocks, then every kept row sums all branches at its own resolution.

    Row 0 is the finest. A module whose coarser outputs nobody reads keeps row 0 only.
    """

    def __init__(self, widths: Sequence[int], blocks: int, *, num_rows: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(_fuse_row(widths, row) for row in range(num_rows))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return one feature map per kept row, from one per branch, finest first."""
        refined = self.refine(features)
        return [self.fuse(row, refined) for row in range(len(self.fuse_layers))]

    def refine(self, features: list[Tensor]) -> list[Tensor]:
        """Return each branch's own features, before they are fused."""
        return [branch(x) for branch, x in zip(self.branches, features, strict=True)]

    def fuse(self, row: int, features: list[Tensor]) -> Tensor:
        """Return one row from what `refine` gave, which stays as it is: the other rows can be had later."""
        total: Tensor | None = None
        for layer, x in zip(self._layers(row), features, strict=True):
            term = x if layer is None else layer(x)
            total = term if total is None else total + term
        return cast("Tensor", self.relu(total))

    def _layers(self, row: int) -> list[nn.Module | None]:
        return list(cast("nn.ModuleList", self.fuse_layers[row]))


def transition(channels_before: Sequence[int], channels: Sequence[int]) -> nn.ModuleList:
    """Return the layers that lead from one stage's branches to the next one's; None where nothing has to change."""
    return _optional([_transition_layer(channels_before, channels, branch) for branch in range(len(channels))])


def advance(layers: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Return the next stage's inputs; a new branch starts from the coarsest feature map so far."""
    return [lead(layers, features, branch) for branch in range(len(layers))]


def lead(layers: nn.ModuleList, features: list[Tensor], branch: int) -> Tensor:
    """Return what one branch of the next stage begins with."""
    layer: nn.Module | None = layers[branch]
    if layer is None:
        return features[branch]
    return cast("Tensor", layer(features[min(branch, len(features) - 1)]))


def _transition_layer(channels_before: Sequence[int], channels: Sequence[int], branch: int) -> nn.Module | None:
    if branch >= len(channels_before):
        return nn.Sequential(_step(channels_before[-1], channels[branch], stride=2, relu=True))
    if channels_before[branch] == channels[branch]:
        return None
    return _step(channels_before[branch], channels[branch], stride=1, relu=True)


def _step(channels_in: int, channels_out: int, *, stride: int, relu: bool) -> nn.Sequential:
    layers: list[nn.Module] = [*conv_bn(channels_in, channels_out, 3, stride=stride)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def _fuse_row(widths: Sequence[int], row: int) -> nn.ModuleList:
    return _optional([_fuse_layer(widths, row, branch) for branch in range(len(widths))])


def _optional(layers: Sequence[nn.Module | None]) -> nn.ModuleList:
    """Return a list whose empty places keep the others' numbers, as the official names need it."""
    return nn.ModuleList(cast("Sequence[nn.Module]", layers))


def _fuse_layer(widths: Sequence[int], row: int, branch: int) -> nn.Module | None:
    """Return what brings `branch` to the resolution and width of `row`: nothing, an enlargement, or strided steps."""
    if branch == row:
        return None
    if branch > row:
        enlarge = nn.Upsample(scale_factor=2 ** (branch - row), mode="nearest")
        return nn.Sequential(*conv_bn(widths[branch], widths[row], 1), enlarge)
    steps = row - branch
    return nn.Sequential(
        *(_step(widths[branch], widths[branch], stride=2, relu=True) for _ in range(steps - 1)),
        _step(widths[branch], widths[row], stride=2, relu=False),
    )
