"""Deterministic numbers for golden figures, the same on every machine and without a random library.

The golden figures under `tests/golden` were made from inputs that this recipe gives again exactly.
"""

import zlib
from collections.abc import Sequence

import numpy as np

_MASK = np.uint64(0xFFFFFFFF)


def u(name: str, n: int) -> np.ndarray:
    """Return `n` float64 numbers in [0, 1) that depend on `name` only: a hash of the index, 32-bit arithmetic."""
    x = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & _MASK
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(2246822507)) & _MASK
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(3266489909)) & _MASK
    x ^= x >> np.uint64(16)
    return x / 2.0**32


def S(name: str, shape: Sequence[int]) -> np.ndarray:  # noqa: N802 - the recipe's own name
    """Return float64 numbers in [-1, 1) of `shape`, filled in C order."""
    return (2 * u(name, int(np.prod(shape, dtype=np.int64))) - 1).reshape(tuple(shape))


def f32(array: np.ndarray) -> np.ndarray:
    """Return float32: the float64 value rounded once."""
    return np.asarray(array, dtype=np.float32)


def model_entry(name: str, shape: Sequence[int], salt: str = "") -> np.ndarray:
    """Return the float32 values of one state-dict entry (`num_batches_tracked`: int64 zero) of a filled model."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(tuple(shape), dtype=np.int64)
    s = S(salt + name, shape)
    if len(shape) == 4:
        return f32(s * np.sqrt(3 / np.prod(shape[1:])))
    if name.endswith("running_var"):
        return f32(1 + 0.5 * s)
    if name.endswith(("bias", "running_mean")):
        return f32(0.1 * s)
    return f32(0.75 + 0.25 * s)


def targets(
    tag: str, num_images: int, num_joints: int, heatmap_size: tuple[int, int], sigma: float = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return target heatmaps [B, J, H, W] and weights [B, J, 1] (1 = visible), float32; size is (width, height)."""
    width, height = heatmap_size
    mx, my, visible = peaks(tag, num_images, num_joints, heatmap_size)
    dx = np.arange(width) - mx[..., None, None]
    dy = np.arange(height)[:, None] - my[..., None, None]
    inside = (np.abs(dx) <= 3 * sigma) & (np.abs(dy) <= 3 * sigma) & visible[..., None, None]
    return f32(np.where(inside, np.exp(-(dx**2 + dy**2) / (2 * sigma**2)), 0)), f32(visible[..., None])


def peaks(
    tag: str, num_images: int, num_joints: int, heatmap_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mx, my (int64) and visible (bool), each [B, J]: where each target has its peak."""
    n, shape = num_images * num_joints, (num_images, num_joints)
    mx = np.floor(u(tag + ":mx", n) * heatmap_size[0]).astype(np.int64).reshape(shape)
    my = np.floor(u(tag + ":my", n) * heatmap_size[1]).astype(np.int64).reshape(shape)
    return mx, my, (u(tag + ":vis", n) >= 0.2).reshape(shape)


_MIX = {1: (0.2, 0.30), 2: (0.4, 0.25), 3: (0.6, 0.20), 4: (0.8, 0.15)}


def exit_output(tag: str, exit_number: int, target: np.ndarray) -> np.ndarray:
    """Return the made-up heatmaps of one exit: a share of the target plus noise, float32."""
    share, noise = _MIX[exit_number]
    return f32(share * target.astype(np.float64) + noise * S(f"{tag}:out{exit_number}", target.shape))
