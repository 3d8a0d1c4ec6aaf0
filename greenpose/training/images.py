"""Crops as the network wants them: float, three channels, normalised, on its device, channels last."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from greenpose.data import MEAN, STD


def to_images(
    crops: UInt8[np.ndarray, "batch height width *channel"], device: torch.device
) -> Float[Tensor, "b 3 h w"]:
    """Return crops as normalised images, grey repeated in all three channels.

    Source: the official HRNet pose code normalises with ImageNet's channel means and deviations.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    scale = torch.tensor([1 / (255 * s) for s in STD], device=device)
    shift = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)], device=device)
    return (pixels * scale + shift).permute(0, 3, 1, 2)
