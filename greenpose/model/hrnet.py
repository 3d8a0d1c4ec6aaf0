"""HRNet for heatmaps: blocks, fusion, stages, a head after any of them, and the walk from exit to exit."""

import functools
from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from greenpose.errors import ModelError
from greenpose.model.architecture import Architecture, check_input_size, named

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
        _draw_normal(net.get_submodule("heads"))


def _draw_normal(net: nn.Module) -> None:
    """Draw every convolution's weights from N(0, 0.001) and set its bias to 0, in place."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # torch would load its compiler for those
            nn.init.normal_(module.weight, std=HEAD_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


Heatmaps = Float[Tensor, "batch keypoint height//4 width//4"]


class PoseNetwork(nn.Module):
    """The trunk up to the last exit, and one head per exit.

    The trunk's parameters have the names of the official HRNet release; exit k's head is `heads.{k}`.
    The last stage's last module puts out the finest resolution only: nobody reads the others.

    Source: Sun et al. (2019), section 3, https://arxiv.org/abs/1902.09212
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self._build_stem()
        self._build_first_transition()
        for stage in range(2, self.depth + 1):
            self._build_stage(stage)
        self.heads = nn.ModuleDict(
            {str(k): nn.Conv2d(architecture.width, architecture.num_joints, 1) for k in architecture.exits}
        )
        _draw_normal(self.heads)

    @property
    def exits(self) -> tuple[int, ...]:
        """The stages with a head, ascending."""
        return self.architecture.exits

    @property
    def depth(self) -> int:
        """The last stage that the network holds."""
        return self.architecture.exits[-1]

    def heatmaps(self, images: Float[Tensor, "batch 3 height width"]) -> dict[int, Heatmaps]:
        """Return one heatmap per keypoint at every exit.

        Raises:
            ModelError: a side of the images is no multiple of 32.
        """
        return self.read(images, self.exits)

    def read(self, images: Float[Tensor, "batch 3 height width"], exits: Sequence[int]) -> dict[int, Heatmaps]:
        """Return the heatmaps of some exits, shallow to deep; no more is computed than these need.

        Raises:
            ModelError: a side of the images is no multiple of 32, or there is no such exit.
        """
        forward = IncrementalForward(self, images)
        return {exit_: forward.read(exit_) for exit_ in exits}

    def stem(self, images: Tensor) -> Tensor:
        """Return the features that the first transition begins with, at a quarter of the images' size."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))
        return cast("Tensor", self.layer1(x))

    def truncate(self, exit_number: int) -> "SubNetwork":
        """Return a stand-alone network with a copy of what one exit needs, in the same mode (training or eval).

        Raises:
            ModelError: this network has no such exit, or its norms are folded away already.
        """
        # On the meta device nothing is allocated and no random number is drawn for weights that are replaced at once.
        with torch.device("meta"):
            sub = SubNetwork(self.architecture.only(exit_number))
        mine = self.state_dict()
        if not mine.keys() >= sub.state_dict().keys():
            raise ModelError(["the norms of this network are folded into its convolutions: truncate first, then fold"])
        sub.load_state_dict({name: mine[name].clone() for name in sub.state_dict()}, assign=True)
        return sub.train(self.training)

    def _build_stem(self) -> None:
        stem_width, blocks = self.architecture.stem_width, self.architecture.blocks
        self.conv1, self.bn1 = conv_bn(3, stem_width, 3, stride=2)
        self.conv2, self.bn2 = conv_bn(stem_width, stem_width, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        wide = EXPANSION * stem_width
        self.layer1 = nn.Sequential(*(Bottleneck(wide if i else stem_width, stem_width) for i in range(blocks)))

    def _build_first_transition(self) -> None:
        wide = EXPANSION * self.architecture.stem_width
        self.transition1 = transition([wide], self.architecture.widths(min(self.depth, 2)))

    def _build_stage(self, stage: int) -> None:
        widths, count = self.architecture.widths(stage), self.architecture.modules[stage - 2]
        if stage > 2:
            self.add_module(f"transition{stage - 1}", transition(self.architecture.widths(stage - 1), widths))
        rows = [len(widths)] * (count - 1) + [1 if stage == self.depth else len(widths)]
        modules = [FusionModule(widths, self.architecture.blocks, num_rows=num_rows) for num_rows in rows]
        self.add_module(f"stage{stage}", nn.Sequential(*modules))


class HRNet(PoseNetwork):
    """The multi-exit network; give it images, get the heatmaps of every exit.

    The trunk starts from torch's defaults and the heads from N(0, 0.001) with bias 0; `initialise` offers others.
    """

    def __init__(
        self,
        width: int = 32,
        num_joints: int = 12,
        exits: Sequence[int] = (1, 2, 3, 4),
        *,
        stem_width: int = 64,
        modules: Sequence[int] = (1, 4, 3),
        blocks: int = 4,
    ) -> None:
        """Build what the last of `exits` needs; see `Architecture` for the other numbers.

        Raises:
            ModelError: a number that no such network can have.
        """
        super().__init__(
            Architecture.of(
                width=width,
                num_joints=num_joints,
                exits=exits,
                stem_width=stem_width,
                modules=modules,
                blocks=blocks,
            )
        )

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> dict[int, Heatmaps]:
        """Return one heatmap per keypoint at every exit, by exit."""
        return self.heatmaps(images)


class SubNetwork(PoseNetwork):
    """What one exit needs and no more; give it images, get that exit's heatmaps."""

    @property
    def exit(self) -> int:
        """The only exit."""
        return self.depth

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Heatmaps:
        """Return one heatmap per keypoint."""
        return self.heatmaps(images)[self.depth]


class IncrementalForward:
    """The forward pass of some images, exit by exit.

    Nothing is computed twice, and nothing before it is needed: to read an exit takes what its minimal sub-network
    takes. What the last module before it puts out at coarser resolutions, and the next stage, are left until a deeper
    exit is read.
    """

    def __init__(self, net: PoseNetwork, images: Float[Tensor, "batch 3 height width"]) -> None:
        """Compute what the first exit needs.

        Raises:
            ModelError: a side of the images is no multiple of 32.
        """
        check_input_size(images.shape[-1], images.shape[-2])
        self._net = net
        self._stage = 1
        self._branches = [net.stem(images)]
        self._inputs: tuple[list[Tensor], ...] = ()
        """Held until the stage is over, as by modules that are called whole: the peak of memory is theirs."""
        self._finest = self._row(0)

    def read(self, exit_number: int) -> Float[Tensor, "batch keypoint height width"]:
        """Return the heatmaps of an exit, behind the one read before; images that were not kept are gone.

        Raises:
            ModelError: the network has no such exit, or it lies behind these images.
        """
        if exit_number not in self._net.exits or exit_number < self._stage:
            have = f"this network has {named(self._net.exits)}, and the images are at stage {self._stage}"
            raise ModelError([f"exit {exit_number!r} cannot be read: {have}"])
        while self._stage < exit_number:
            self._go_on()
        return cast("Tensor", self._net.heads[str(exit_number)](self._finest))

    def keep(self, chosen: Int[Tensor, " some"]) -> None:
        """Let some of the images go on, by their numbers among those that are here."""
        self._branches = [x.index_select(0, chosen) for x in self._branches]
        self._finest = self._finest.index_select(0, chosen)

    def _go_on(self) -> None:
        """Compute what is left of this stage, and of the next one what its exit needs."""
        features = [self._finest, *(self._row(row) for row in range(1, self._num_rows))]
        self._branches, self._inputs = [], ()  # their memory is free for the next stage
        del self._finest
        self._stage += 1
        if self._stage > 2:
            features = advance(self._transition(self._stage - 1), features)
        *modules, last = self._modules
        before = functools.reduce(lambda x, module: module(x), modules, features)
        self._inputs = (features, before)
        self._branches = last.refine(before)
        self._finest = self._row(0)

    def _row(self, row: int) -> Tensor:
        """Return one resolution that this stage puts out."""
        if self._stage == 1:
            return lead(self._transition(1), self._branches, row)
        return self._modules[-1].fuse(row, self._branches)

    @property
    def _num_rows(self) -> int:
        return len(self._transition(1) if self._stage == 1 else self._modules[-1].fuse_layers)

    @property
    def _modules(self) -> list[FusionModule]:
        return cast("list[FusionModule]", list(self._net.get_submodule(f"stage{self._stage}").children()))

    def _transition(self, stage: int) -> nn.ModuleList:
        return cast("nn.ModuleList", self._net.get_submodule(f"transition{stage}"))
