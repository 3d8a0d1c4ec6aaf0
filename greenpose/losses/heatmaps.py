"""How far one set of heatmaps is from another."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

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
