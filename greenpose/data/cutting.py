"""Where the crops of samples come from: memory, a part of other crops, or image files at every use."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from greenpose.data.crops import Framing, crop, crop_matrix, frame_box
from greenpose.data.images import Reader
from greenpose.data.instance import Instance
from greenpose.errors import DataError

Cut: TypeAlias = Callable[[Sequence[int]], np.ndarray]
"""Gives the crops of some samples by their numbers."""
_SHOWN_FAULTS = 20
_COLOUR_DIMENSIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FromMemory:
    """Crops that are there already."""

    crops: np.ndarray
    """All of them."""

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the crops of some samples."""
        some: np.ndarray = self.crops[list(indices)]
        return some


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Crops of a part, by the part's own numbers."""

    cut: Cut
    """Gives the crops of the whole."""
    chosen: tuple[int, ...]
    """Numbers of the part's samples in the whole."""

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the crops of some samples."""
        return self.cut([self.chosen[index] for index in indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class FromImages:
    """Crops that are cut out of their images at every use."""

    instances: tuple[Instance, ...]
    """The samples."""
    reader: Reader
    """Gives an instance's whole image."""
    framing: Framing
    """How crops are made."""

    def __call__(self, indices: Sequence[int]) -> np.ndarray:
        """Return the crops of some samples."""
        return _stacked(list(self._each(indices)))

    def all_of(self, most_bytes: int) -> np.ndarray | None:
        """Return all crops, None where they take more; a first one in colour, or a later one, makes all of them so."""
        width, height = self.framing.input_size
        count = len(self.instances)
        if count * width * height > most_bytes:
            return None
        crops = np.empty((count, height, width), dtype=np.uint8)
        for index, one in enumerate(self._each(range(count))):
            if one.ndim == crops.ndim:  # colour, and the first
                if 3 * crops.nbytes > most_bytes:
                    return None
                crops = np.repeat(crops[..., None], 3, -1)
            crops[index] = one if one.ndim == crops[index].ndim else one[..., None]
        return crops

    def _each(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the crop of each sample; an image that neighbours share is read once, faults are told at the end."""
        faults: dict[str, None] = {}
        name, image = "", None
        for index in indices:
            instance = self.instances[index]
            try:
                image = self.reader(instance) if image is None or instance.image != name else image
            except DataError as error:
                faults |= dict.fromkeys(error.faults)
                image = None
                continue
            name = instance.image
            yield crop(image, matrix_of(instance, self.framing), self.framing.input_size)
        if faults:
            raise DataError(shortened(list(faults)))


def matrix_of(instance: Instance, framing: Framing) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from the instance's image to its crop."""
    center, scale = frame_box(instance.box, instance.image_size, framing)
    return crop_matrix(center.astype(np.float64), scale.astype(np.float64), framing.input_size)


def _stacked(crops: list[np.ndarray]) -> np.ndarray:
    if len({cut.ndim for cut in crops}) == 1:
        return np.stack(crops)
    return np.stack([cut if cut.ndim == _COLOUR_DIMENSIONS else np.repeat(cut[..., None], 3, -1) for cut in crops])


def shortened(faults: list[str]) -> list[str]:
    """Return the first faults, and how many more there are."""
    more = len(faults) - _SHOWN_FAULTS
    return faults[:_SHOWN_FAULTS] + ([f"... and {more} more"] if more > 0 else [])
