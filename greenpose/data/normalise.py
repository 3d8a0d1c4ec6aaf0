"""The paper's normalisation of crops."""

import numpy as np
from jaxtyping import Float32, UInt8

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue, of 1; ImageNet's, which the paper's code uses for depth images too."""
STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue, likewise."""


def normalise(crops: UInt8[np.ndarray, "batch height width *channel"]) -> Float32[np.ndarray, "batch 3 height width"]:
    """Return crops as the network takes them: (value / 255 - mean) / std per channel; grey counts as all three."""
    grey = crops.ndim == 3  # batch, height, width
    planes = crops[:, None] if grey else np.moveaxis(crops, -1, 1)
    mean, std = (np.array(figures, dtype=np.float32).reshape(3, 1, 1) for figures in (MEAN, STD))
    normalised: np.ndarray = (planes.astype(np.float32) / np.float32(255) - mean) / std
    return normalised
