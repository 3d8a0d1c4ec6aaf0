"""Random fields larger than a frame, drawn once per set, of which every frame takes windows of its own.

Drawing fresh noise for each frame would cost more than rendering the infant.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from greenpose.data.synthetic.spec import Purpose, Spec, stream

_COARSE_PX, _FINE_PX = 70.0, 11.0
"""Grid spacing of the smooth fields, in native px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Random fields of twice a frame's width and height, each of unit variance unless said otherwise."""

    size: tuple[int, int]
    """Width and height of the windows that are taken, in px."""
    coarse: Float[np.ndarray, "h w"]
    """Varies over about 70 native px."""
    fine: Float[np.ndarray, "h w"]
    """Varies over about 11 native px."""
    grain: Float[np.ndarray, "h w"]
    """Disparity noise of the sensor at gain 1, in px: mostly per pixel, partly shared with neighbours."""
    dice: UInt8[np.ndarray, "h w"]
    """Uniform over 0 to 255."""

    def window(self, field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a random frame-sized part of one of the fields, as a view."""
        width, height = self.size
        left = int(rng.integers(0, field.shape[1] - width + 1))
        top = int(rng.integers(0, field.shape[0] - height + 1))
        return field[top : top + height, left : left + width]


def bank(spec: Spec) -> Bank:
    """Return the random fields that all patients of a set share."""
    return _bank(spec.seed, spec.size)


@lru_cache(maxsize=2)
def _bank(seed: int, size: tuple[int, int]) -> Bank:
    spec = Spec(seed=seed, size=size)
    rng = stream(spec, Purpose.BANK)
    shape = (2 * size[1], 2 * size[0])
    coarse = _smooth(rng, shape, spacing_px=max(2.0, _COARSE_PX * spec.px_scale))
    fine = _smooth(rng, shape, spacing_px=max(1.5, _FINE_PX * spec.px_scale))
    white = rng.standard_normal(shape, dtype=np.float32)
    patches = white + np.roll(white, 1, axis=0)
    patches += np.roll(patches, 1, axis=1)
    grain = np.float32(0.05) * white + np.float32(0.025) * patches + np.float32(0.05) * np.roll(coarse, 99, axis=1)
    dice = rng.integers(0, 256, shape, dtype=np.uint8)
    return Bank(size=size, coarse=coarse, fine=fine, grain=grain, dice=dice)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], *, spacing_px: float) -> Float[np.ndarray, "h w"]:
    rows, columns = (_spread(length, spacing_px) for length in shape)
    knots = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    field = rows @ knots @ columns.T
    return np.asarray((field - field.mean()) / field.std())


def _spread(length: int, spacing_px: float) -> Float[np.ndarray, "length knots"]:
    """Return the weights that spread values on knots over `length` pixels with a bell of .6 spacings."""
    knots = np.arange(-2, int(length / spacing_px) + 4, dtype=np.float32)
    away = np.arange(length, dtype=np.float32)[:, None] / np.float32(spacing_px) - knots
    weights = np.exp(-np.square(away) / np.float32(2 * 0.6**2))
    return np.asarray(weights / np.sqrt(np.square(weights).sum(axis=1, keepdims=True)))
