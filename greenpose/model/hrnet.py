"""HRNet for heatmaps: blocks, fusion, stages, a head after any of them, and the walk from exit to exit."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenpose.errors import ModelError
from greenpose.model.architecture import Architecture, check_input_size
from greenpose.model.blocks import EXPANSION, Bottleneck, conv_bn
from greenpose.model.fusion import FusionModule, advance, transition
from greenpose.model.initialise import initialise_heads

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
        initialise_heads(self.heads)

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
        check_input_size(images.shape[-1], images.shape[-2])
        features = advance(self.transition1, [self.stem(images)])
        outputs = self._read_exit(1, features[0])
        for stage in range(2, self.depth + 1):
            if stage > 2:
                features = advance(cast("nn.ModuleList", self.get_submodule(f"transition{stage - 1}")), features)
            features = self.get_submodule(f"stage{stage}")(features)
            outputs |= self._read_exit(stage, features[0])
        return outputs

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

    def _read_exit(self, stage: int, finest: Tensor) -> dict[int, Tensor]:
        return {stage: self.heads[str(stage)](finest)} if stage in self.exits else {}


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
            Architecture(
                width=width,
                num_joints=num_joints,
                exits=tuple(sorted(exits, key=str)),  # by text, so that what is no number gets as far as its refusal
                stem_width=stem_width,
                modules=tuple(modules),  # type: ignore[arg-type]  # its length is checked there
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
