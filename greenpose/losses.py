"""Losses: supervised, distillation, and the objective that adds them up along the wiring of teachers and students."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from greenpose.config.wiring import Edge, LossConfig, Normalise, Wiring


def heatmap_mse(
    prediction: Float[Tensor, "batch keypoint height width"],
    target: Float[Tensor, "batch keypoint height width"],
    weight: Float[Tensor, "batch keypoint 1"] | None = None,
) -> Float[Tensor, ""]:
    """Return half the mean squared difference over all keypoints and pixels.

    `weight` multiplies both heatmaps before they are compared, and the mean still counts every keypoint.

    Source: Sun et al. (2019), official code, JointsMSELoss; Cacciatore et al. (2025), https://doi.org/10.1145/3757067
    """
    if weight is not None:
        prediction, target = prediction * weight[..., None], target * weight[..., None]
    return 0.5 * functional.mse_loss(prediction, target)


def heatmap_kl(
    student: Float[Tensor, "batch keypoint height width"],
    teacher: Float[Tensor, "batch keypoint height width"],
    *,
    temperature: float,
    weight: Float[Tensor, "batch keypoint 1"] | None = None,
    temperature_squared: bool = False,
    normalise: Normalise = "pixels",
    detach_teacher: bool = False,
) -> Float[Tensor, ""]:
    """Return KL(teacher || student): each heatmap is read as a distribution over its pixels, softened by `temperature`.

    Divergences are summed over keypoints, then divided by images and pixels. That is the paper's convention: its
    effective weight falls as heatmaps grow. `normalise="keypoints"` divides by images and keypoints instead, and is
    independent of size. `weight` multiplies the heatmaps, so a weight of 0 makes both distributions uniform.

    As in the paper, gradients reach the teacher unless `detach_teacher`, and shrink with the temperature's square
    unless `temperature_squared` makes up for it (Hinton et al. 2015, section 2, https://arxiv.org/abs/1503.02531).

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, official code
    """
    if detach_teacher:
        teacher = teacher.detach()
    if weight is not None:
        student, teacher = student * weight[..., None], teacher * weight[..., None]
    divergence = functional.kl_div(
        _log_distribution(student, temperature),
        _log_distribution(teacher, temperature),
        reduction="sum",
        log_target=True,
    )
    batch, keypoints, height, width = student.shape
    count = batch * (height * width if normalise == "pixels" else keypoints)
    return divergence * ((temperature**2 if temperature_squared else 1) / count)


def _log_distribution(heatmaps: Tensor, temperature: float) -> Tensor:
    return functional.log_softmax(heatmaps.flatten(2) / temperature, dim=-1)


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


PAPER = LossConfig(kd_weight=2000)


@dataclass(frozen=True, slots=True)
class Objective:
    """Supervision of the labelled exits plus distillation along the wiring's edges.

    Defaults are what the paper trained with.

    Source: Cacciatore et al. (2025), https://doi.org/10.1145/3757067, and its official code where the two differ
    """

    wiring: Wiring
    """Who learns from whom."""
    loss: LossConfig = PAPER
    """Weights and conventions. The paper's weight of divergences belongs to heatmaps of 3072 pixels (64 x 48)."""

    def __call__(
        self,
        outputs: Mapping[int, Float[Tensor, "batch keypoint height width"]],
        target: Float[Tensor, "batch keypoint height width"],
        weight: Float[Tensor, "batch keypoint 1"],
    ) -> LossTerms:
        """Return the objective for the heatmaps of every exit.

        `weight` is 1 for labelled keypoints and 0 for the others.
        """
        hard = self._hard(outputs, target, weight if self.loss.use_target_weight else None)
        soft = {edge: self.divergence(edge, outputs, weight) for edge in self.wiring.edges}
        parts = [self._hard_weight(number) * loss for number, loss in hard.items()]
        parts += [float(self.loss.kd_weight) * loss for loss in soft.values()]
        return LossTerms(total=torch.stack(parts).sum(), hard=hard, soft=soft)

    def up_to(self, exit_number: int) -> "Objective":
        """Return the objective of the network that ends with an exit."""
        return replace(self, wiring=self.wiring.up_to(exit_number))

    def _hard(self, outputs: Mapping[int, Tensor], target: Tensor, weight: Tensor | None) -> dict[int, Tensor]:
        return {number: heatmap_mse(outputs[number], target, weight) for number in self.wiring.labelled}

    def _hard_weight(self, number: int) -> float:
        return self.loss.teacher_weight if number == self.wiring.final else self.loss.ds_weight

    def divergence(self, edge: Edge, outputs: Mapping[int, Tensor], weight: Tensor) -> Scalar:
        """Return how far an edge's student is from its teacher, not yet weighted."""
        return heatmap_kl(
            outputs[edge.student],
            outputs[edge.teacher],
            temperature=self.loss.temperature,
            weight=weight,
            temperature_squared=self.loss.temperature_squared,
            normalise=self.loss.normalise,
            detach_teacher=self.loss.detach_teacher,
        )


__all__ = ["Edge", "LossTerms", "Objective", "Wiring", "heatmap_kl", "heatmap_mse"]
