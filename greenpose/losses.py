"""Losses: supervised, distillation, the wiring of teachers and students, and the objective that adds them up."""

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from greenpose.errors import ConfigError

Normalise = Literal["pixels", "keypoints"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One exit learns another exit's heatmaps."""

    teacher: int
    """The exit to be imitated."""
    student: int
    """The exit that imitates."""

    def __str__(self) -> str:
        """Return the edge as `teacher->student`."""
        return f"{self.teacher}->{self.student}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Which exits learn from the labels, and which from each other."""

    exits: tuple[int, ...]
    """The network's exits."""
    edges: tuple[Edge, ...] = ()
    """The soft losses: online distillation."""
    supervised: tuple[int, ...] | None = None
    """Exits that learn from the labels; None means the final one only. More than that is deep supervision."""

    def __post_init__(self) -> None:
        """Refuse a wiring that does not fit the exits.

        Raises:
            ConfigError: every fault by its place; `wiring.teach[i]` is edge i, as experiment files call it.
        """
        if not self.exits:
            raise ConfigError(["wiring: there are no exits to wire"])
        faults = [*self._supervision_faults(), *self._edge_faults()] or self._idle_faults()
        if faults:
            raise ConfigError(faults)

    @property
    def final(self) -> int:
        """The last exit."""
        return max(self.exits)

    @property
    def labelled(self) -> tuple[int, ...]:
        """The exits that learn from the labels."""
        return (self.final,) if self.supervised is None else self.supervised

    def up_to(self, exit_number: int) -> "Wiring":
        """Return who learns from whom in the network that ends with an exit: that one sees the labels now.

        Exits that only deeper ones would teach are left out.
        """
        edges = tuple(edge for edge in self.edges if max(edge.teacher, edge.student) <= exit_number)
        learning = {exit_number, *self.labelled, *(edge.student for edge in edges)}
        exits = tuple(number for number in self.exits if number <= exit_number and number in learning)
        return Wiring(
            exits=exits,
            edges=tuple(edge for edge in edges if edge.teacher in exits),
            supervised=tuple(number for number in exits if number in {exit_number, *self.labelled}),
        )

    def _supervision_faults(self) -> list[str]:
        faults = []
        for i, number in enumerate(self.labelled):
            place = f"wiring.supervise[{i}]"
            if number not in self.exits:
                faults.append(f"{place}: {_no_such_exit(number, self.exits)}")
            elif number in self.labelled[:i]:
                faults.append(f"{place}: exit {number} is named twice")
        return faults

    def _edge_faults(self) -> list[str]:
        faults = []
        for i, edge in enumerate(self.edges):
            place = f"wiring.teach[{i}]"
            unknown = [number for number in (edge.teacher, edge.student) if number not in self.exits]
            faults += [f"{place}: {_no_such_exit(number, self.exits)}" for number in dict.fromkeys(unknown)]
            if edge.teacher == edge.student:
                faults.append(f"{place}: exit {edge.student} cannot teach itself")
            elif edge in self.edges[:i]:
                faults.append(f"{place}: {edge} is named twice")
        return faults

    def _idle_faults(self) -> list[str]:
        learning = {*self.labelled, *(edge.student for edge in self.edges)}
        return [
            f"wiring: exit {number} learns from nobody; supervise it, teach it, or leave it out of the network's exits"
            for number in self.exits
            if number not in learning
        ]


def _no_such_exit(number: int, exits: Collection[int]) -> str:
    names = ", ".join(str(known) for known in exits)
    return f"exit {number} does not exist; this network has {'exit' if len(exits) == 1 else 'exits'} {names}"


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


__all__ = ["Edge", "LossTerms", "Normalise", "Objective", "Wiring", "heatmap_kl", "heatmap_mse"]
