"""Images on their way through a network, exit by exit: deeper stages are computed only for those that go on."""

from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from greenpose.errors import ModelError
from greenpose.model.architecture import check_input_size, named
from greenpose.model.fusion import FusionModule, advance, lead
from greenpose.model.hrnet import PoseNetwork


class Passage:
    """Some images and what was computed of them so far.

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
        self._waiting = [net.stem(images)]
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
        self._waiting = [x.index_select(0, chosen) for x in self._waiting]
        self._finest = self._finest.index_select(0, chosen)

    def _go_on(self) -> None:
        """Compute what is left of this stage, and of the next one what its exit needs."""
        rows = [self._finest, *(self._row(row) for row in range(1, self._num_rows))]
        self._stage += 1
        features = rows if self._stage == 2 else advance(self._transition(self._stage - 1), rows)
        *modules, last = self._modules
        for module in modules:
            features = module(features)
        self._waiting = last.refine(features)
        self._finest = self._row(0)

    def _row(self, row: int) -> Tensor:
        """Return one resolution that this stage puts out."""
        if self._stage == 1:
            return lead(self._transition(1), self._waiting, row)
        return self._modules[-1].fuse(row, self._waiting)

    @property
    def _num_rows(self) -> int:
        return len(self._transition(1) if self._stage == 1 else self._modules[-1].fuse_layers)

    @property
    def _modules(self) -> list[FusionModule]:
        return cast("list[FusionModule]", list(self._net.get_submodule(f"stage{self._stage}").children()))

    def _transition(self, stage: int) -> nn.ModuleList:
        return cast("nn.ModuleList", self._net.get_submodule(f"transition{stage}"))
