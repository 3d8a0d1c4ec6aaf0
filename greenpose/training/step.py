"""One step of training: a batch fetched ahead, forward, loss, backward, the weights moved and averaged."""

from typing import cast

import torch
from torch import Tensor, nn

from greenpose.data import Batch
from greenpose.losses import LossTerms, Objective
from greenpose.model import HRNet
from greenpose.model.hrnet import Passage
from greenpose.training.average import Average
from greenpose.training.distributed import Team
from greenpose.training.images import to_images
from greenpose.training.precision import Precision, autocast
from greenpose.training.window import WHOLE, Parted


class Step:
    """Takes steps with one network, one objective and one optimiser."""

    def __init__(
        self,
        net: HRNet,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        *,
        average: Average | None = None,
        precision: Precision = "float32",
        team: Team | None = None,
    ) -> None:
        """Keep what a step needs; in a team, `net` is made to average its gradients over all processes."""
        self.team = team or Team()
        self.device = next(net.parameters()).device
        self._final, self._reached = net.depth, net.depth
        self._partly = _Partly(net)
        self._net: nn.Module = self.team.wrapped(self._partly)
        self._whole, self._optimizer, self._precision = objective, optimizer, precision
        self.reach(net.depth)
        self._average = average

    def reach(self, exit_number: int) -> None:
        """Train only as far as an exit from now on."""
        is_whole = exit_number == self._final
        self._objective = self._whole if is_whole else self._whole.up_to(exit_number)
        self._exits = None if is_whole else self._objective.wiring.exits
        if is_whole != (self._reached == self._final):
            self._net = self._partly  # the wrapping that was must be gone before the next: it listens to gradients
            self._net = self.team.wrapped(self._partly, whole=is_whole)
        self._reached = exit_number

    def train(self) -> None:
        """Put the network into training mode."""
        self._net.train()

    def __call__(self, batch: Batch, parts: Parted = WHOLE, *, weight: float = 1.0) -> dict[str, float]:
        """Return the loss (`total`) and its unweighted terms (`label 4`, `4->3`), after the step.

        `weight` is a factor of the loss that is minimised, not of what is returned.
        """
        target = torch.from_numpy(batch.heatmaps).to(self.device)
        counts = torch.from_numpy(batch.weights).to(self.device)[..., None]
        images = to_images(batch.images, self.device)
        parts.part("forward")
        terms = self._objective(self._forward(images), target, counts)
        parts.part("backward")
        self._optimizer.zero_grad(set_to_none=True)
        (terms.total if weight == 1 else terms.total * weight).backward()  # type: ignore[no-untyped-call]
        parts.part("step")
        self._optimizer.step()
        if self._average is not None:
            self._average.follow()
        return _named(terms)

    def _forward(self, images: Tensor) -> dict[int, Tensor]:
        with autocast(self.device, self._precision):
            outputs: dict[int, Tensor] = self._net(images, self._exits)
        return outputs if self._precision == "float32" else {exit_: maps.float() for exit_, maps in outputs.items()}


class _Partly(nn.Module):
    """A network of which no more is computed than the exits asked for need."""

    def __init__(self, net: HRNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, exits: tuple[int, ...] | None) -> dict[int, Tensor]:
        """Return the heatmaps of some exits, all where none are named."""
        if exits is None:
            return cast("dict[int, Tensor]", self.net(images))
        passage = Passage(self.net, images)
        return {number: passage.read(number) for number in exits}


def _named(terms: LossTerms) -> dict[str, float]:
    """Return the loss and its terms as plain numbers, fetched from the device at once."""
    named = {"total": terms.total}
    named |= {f"label {exit_}": value for exit_, value in terms.hard.items()}
    named |= {str(edge): value for edge, value in terms.soft.items()}
    return dict(zip(named, torch.stack([value.detach() for value in named.values()]).tolist(), strict=True))
