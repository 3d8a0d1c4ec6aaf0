"""The sum that training minimises."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from greenpose.losses.heatmaps import Normalise, heatmap_kl, heatmap_mse
from greenpose.losses.wiring import Edge, Wiring

Scalar = Float[Tensor, ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """The objective and its parts; the parts are not yet weighted."""

    total: Scalar
    """What is minimised: the weighted sum of the parts."""
    hard: dict[int, Scalar]
    """Squared error against the labels, by exit."""
    soft: dict[Edge, Scalar]
    """Divergence between two exits, by edge."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Supervision of the labelled exits plus distillation along the wiring's edges.

    Defaults are what the paper trained with.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, and its official code where the two differ
    """

    wiring: Wiring
    """Who learns from whom."""
    _: KW_ONLY
    kd_weight: float = 2000.0
    """Factor of every divergence. The paper's 2000 belongs to heatmaps of 3072 pixels (64 x 48)."""
    teacher_weight: float = 1.0
    """Factor of the final exit's squared error."""
    ds_weight: float = 1.0
    """Factor of every other supervised exit's squared error."""
    temperature: float = 1.0
    """Softening of the distributions that are compared."""
    use_target_weight: bool = False
    """Whether unlabelled keypoints are left out of the squared error; the divergence always leaves them out.

    Without, unlabelled keypoints are trained towards an empty heatmap, as in all of the paper's runs.
    """
    temperature_squared: bool = False
    """Whether the divergence is multiplied by the temperature's square."""
    normalise: Normalise = "pixels"
    """What a divergence is divided by, beside the number of images."""
    detach_teacher: bool = False
    """Whether gradients of the divergence stop at the teacher."""

    def __call__(
        self,
        outputs: Mapping[int, Float[Tensor, "batch keypoint height width"]],
        target: Float[Tensor, "batch keypoint height width"],
        weight: Float[Tensor, "batch keypoint 1"],
    ) -> LossTerms:
        """Return the objective for the heatmaps of every exit.

        `weight` is 1 for labelled keypoints and 0 for the others.
        """
        hard = self._hard(outputs, target, weight if self.use_target_weight else None)
        soft = {edge: self.divergence(edge, outputs, weight) for edge in self.wiring.edges}
        parts = [self._hard_weight(number) * loss for number, loss in hard.items()]
        parts += [self.kd_weight * loss for loss in soft.values()]
        return LossTerms(total=torch.stack(parts).sum(), hard=hard, soft=soft)

    def up_to(self, exit_number: int) -> "Objective":
        """Return the objective of the network that ends with an exit."""
        return replace(self, wiring=self.wiring.up_to(exit_number))

    def _hard(self, outputs: Mapping[int, Tensor], target: Tensor, weight: Tensor | None) -> dict[int, Tensor]:
        return {number: heatmap_mse(outputs[number], target, weight) for number in self.wiring.labelled}

    def _hard_weight(self, number: int) -> float:
        return self.teacher_weight if number == self.wiring.final else self.ds_weight

    def divergence(self, edge: Edge, outputs: Mapping[int, Tensor], weight: Tensor) -> Scalar:
        """Return how far an edge's student is from its teacher, not yet weighted."""
        return heatmap_kl(
            outputs[edge.student],
            outputs[edge.teacher],
            temperature=self.temperature,
            weight=weight,
            temperature_squared=self.temperature_squared,
            normalise=self.normalise,
            detach_teacher=self.detach_teacher,
        )
