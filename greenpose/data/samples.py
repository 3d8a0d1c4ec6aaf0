"""Samples: one split at one input size, cut from its images, ready to train on and to be scored."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from greenpose.data.archive import Cut, read_archive, write_archive
from greenpose.data.augment import Augmentation
from greenpose.data.crops import (
    Framing,
    crop,
    flip_images,
    flip_joints,
    flip_partners,
    flip_visibility,
    frame_box,
    transform_points,
    used_box,
)
from greenpose.data.heatmaps import SCALE_UNIT_PX, find_peaks
from greenpose.data.images import Reader, Window
from greenpose.data.instances import Instance, Profile, coco_document
from greenpose.errors import DataError

_SHOWN_FAULTS = 20
_COLOUR_DIMENSIONS = 3


Images: TypeAlias = Callable[[Sequence[int]], Iterable[np.ndarray]]
"""Gives the whole images of some samples by their numbers, one after the other."""


def _each_image(instances: Sequence[Instance], reader: Reader, indices: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield the image of each sample; one that neighbours share is read once, faulty ones are told at the end."""
    faults: dict[str, None] = {}
    name, image = "", None
    for index in indices:
        instance = instances[index]
        try:
            image = reader(instance) if image is None or instance.image != name else image
        except DataError as error:
            faults |= dict.fromkeys(error.faults)
            image = None
            continue
        name = instance.image
        yield image
    if faults:
        raise DataError(shortened(list(faults)))


def _each_crop(
    instances: Sequence[Instance], images: Images, framing: Framing, indices: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yield the crop of each sample."""
    for index, image in zip(indices, images(indices), strict=True):
        yield crop(image, matrix_of(instances[index], framing), framing.input_size)


def _kept(each: Iterable[np.ndarray], count: int, size: tuple[int, int], most_bytes: int) -> np.ndarray | None:
    """Return all crops, None where they take more; a first one in colour, or a later one, makes all of them so."""
    if count * math.prod(size) > most_bytes:
        return None
    crops = np.empty((count, *reversed(size)), dtype=np.uint8)
    for index, one in enumerate(each):
        if one.ndim == crops.ndim:  # colour, and the first
            if 3 * crops.nbytes > most_bytes:
                return None
            crops = np.repeat(crops[..., None], 3, -1)
        crops[index] = one if one.ndim == crops[index].ndim else one[..., None]
    return crops


def matrix_of(instance: Instance, framing: Framing) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from the instance's image to its crop."""
    center, scale = frame_box(instance.box, instance.image_size, framing)
    return framing.matrix(center, scale)


def stacked(crops: Sequence[np.ndarray]) -> UInt8[np.ndarray, "some height width *channel"]:
    """Return crops as one array: grey, or RGB as soon as one of them is in colour."""
    if len({cut.ndim for cut in crops}) == 1:
        return np.stack(crops)
    return np.stack([cut if cut.ndim == _COLOUR_DIMENSIONS else np.repeat(cut[..., None], 3, -1) for cut in crops])


def shortened(faults: list[str]) -> list[str]:
    """Return the first faults, and how many more there are."""
    more = len(faults) - _SHOWN_FAULTS
    return faults[:_SHOWN_FAULTS] + ([f"... and {more} more"] if more > 0 else [])


CACHE_BYTES = 2 * 1024**3
"""Crops that are cut out of image files are kept in memory up to this size a split, and cut at every use beyond it."""
_DRAWN_AT_ONCE = 64


def keeping(reader: Reader, instances: Sequence[Instance], *, most_bytes: int = CACHE_BYTES) -> Reader:
    """Return a reader that has read as many whole images of instances, from the first one on, as fit in so many bytes.

    Raises:
        DataError: naming all of them that cannot be read.
    """
    kept: dict[str, np.ndarray] = {}
    for instance, image in zip(instances, _each_image(instances, reader, range(len(instances))), strict=True):
        if instance.image not in kept:
            most_bytes -= image.nbytes
            if most_bytes < 0:
                break
            kept[instance.image] = image
    return lambda instance: kept[instance.image] if instance.image in kept else reader(instance)


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: what is derived once is kept in __dict__
class Samples:
    """One split at one input size; a sample is one instance, its crop and its joints in the crop.

    Crops are the same in every epoch (the paper augments nothing, and mirrors come last), so they are kept: those of
    generated images in a file, those of image files in memory where they fit. Where they are to differ, whole images
    are kept so instead, and crops are cut at every use.
    """

    profile: Profile
    """Keypoints and how they are judged."""
    framing: Framing
    """How crops and targets are made."""
    instances: tuple[Instance, ...]
    """The annotations, or what a detector saw, in the order of all arrays here."""
    cut: Cut
    """Gives the crops of some samples, out of memory or out of their images."""
    truth: tuple[Instance, ...] | None = None
    """What is there to be found, with crowds and unlabelled subjects, which need not be; None: the samples are it."""
    box_scores: tuple[float, ...] | None = None
    """How sure a detector is of each sample's box; None: the boxes are annotated."""
    window: Window | None = None
    """The depth window in mm that images were seen through; None for 8-bit ones."""
    images: Images | None = None
    """Gives whole images, to be cut otherwise each time; None where there are but crops."""

    @classmethod
    def build(
        cls,
        instances: Sequence[Instance],
        reader: Reader,
        *,
        profile: Profile,
        framing: Framing,
        window: Window | None = None,
        truth: Sequence[Instance] | None = None,
        box_scores: Sequence[float] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> "Samples":
        """Return the samples of a split; `reader` gives the whole image of an instance, seen through `window`.

        Where all crops fit in `cache_bytes`, as many channels as they have, every image is read now.

        Raises:
            DataError: there is nothing to build from, or images cannot be read (all of them are named).
        """
        _check(instances, profile, framing)
        images = partial(_each_image, tuple(instances), reader)
        each = partial(_each_crop, tuple(instances), images, framing)
        kept = _kept(each(range(len(instances))), len(instances), framing.input_size, cache_bytes)

        def cut(indices: Sequence[int]) -> np.ndarray:
            return stacked(list(each(indices))) if kept is None else kept[indices]

        return cls(
            profile=profile,
            framing=framing,
            instances=tuple(instances),
            cut=cut,
            truth=None if truth is None else tuple(truth),
            box_scores=None if box_scores is None else tuple(box_scores),
            window=window,
            images=images,
        )

    @classmethod
    def draw(
        cls,
        path: Path,
        source: Iterable[tuple[Instance, np.ndarray]],
        *,
        profile: Profile,
        framing: Framing,
        whole: bool = False,
    ) -> "Samples":
        """Return the samples of instances that come with their whole images, one at a time, by way of a file.

        The file is there whole or not at all; crops, or images if they are to stay `whole`, stay in it, so that memory
        does not grow with their number.

        Raises:
            DataError: there is nothing to draw from.
        """

        def crops() -> Iterator[tuple[Instance, np.ndarray]]:
            for instance, image in source:
                _check([instance], profile, framing)
                yield instance, image if whole else crop(image, matrix_of(instance, framing), framing.input_size)

        write_archive(path, crops(), profile=profile, framing=framing)
        return cls.load(path, whole=framing if whole else None)

    def __len__(self) -> int:
        return len(self.instances)

    def crops(
        self, indices: Sequence[int] | Int[np.ndarray, " some"]
    ) -> UInt8[np.ndarray, "some height width *channel"]:
        """Return the crops of some samples: grey, or RGB as soon as one of them is in colour.

        Raises:
            DataError: an image, or the file of crops, cannot be read; cannot happen where they are kept in memory.
        """
        return self.cut([int(index) for index in indices])

    def views(
        self, indices: Int[np.ndarray, " some"], augmentation: Augmentation
    ) -> tuple[Float32[np.ndarray, "some keypoint 2"], UInt8[np.ndarray, "some height width *channel"]]:
        """Return the joints and the crops of some samples, whose images are kept whole, as an augmentation sees them.

        Raises:
            DataError: an image, or the file of images, cannot be read.
        """
        assert self.images is not None, "images that are augmented are loaded whole"
        some = [int(index) for index in indices]
        views = augmentation.views(
            [self.instances[index] for index in some],
            self.images(some),
            profile=self.profile,
            framing=self.framing,
            window=self.window,
        )
        joints, crops = zip(*views, strict=True)
        return np.stack(joints).astype(np.float32), stacked(crops)

    def targets(
        self, indices: Sequence[int] | Int[np.ndarray, " some"] | None = None
    ) -> Float32[np.ndarray, "some keypoint height width"]:
        """Return the target heatmaps of some samples, by default of all."""
        which = slice(None) if indices is None else np.asarray(indices)
        return self.framing.encode(self.joints[which], self.visibility[which])[0]

    def take(self, indices: Sequence[int] | Int[np.ndarray, " some"]) -> "Samples":
        """Return some of the samples as a split of their own, with nothing else to be found; crops are not copied."""
        chosen, images = tuple(int(index) for index in indices), self.images
        return type(self)(
            profile=self.profile,
            framing=self.framing,
            instances=tuple(self.instances[index] for index in chosen),
            cut=lambda some: self.cut([chosen[index] for index in some]),
            window=self.window,
            images=None if images is None else lambda some: images([chosen[index] for index in some]),
        )

    @cached_property
    def _frames(self) -> tuple[np.ndarray, np.ndarray]:
        frames = [frame_box(instance.box, instance.image_size, self.framing) for instance in self.instances]
        return np.stack([center for center, _ in frames]), np.stack([scale for _, scale in frames])

    @property
    def centers(self) -> Float32[np.ndarray, "sample 2"]:
        """Return where each crop has its middle, in image pixels."""
        return self._frames[0]

    @property
    def scales(self) -> Float32[np.ndarray, "sample 2"]:
        """Return width and height of each crop in image pixels, over 200."""
        return self._frames[1]

    @cached_property
    def joints(self) -> Float32[np.ndarray, "sample keypoint 2"]:
        """Return each joint in pixels of its crop; without meaning where it is not labelled."""
        moved = [transform_points(instance.joints, matrix_of(instance, self.framing)) for instance in self.instances]
        return np.stack(moved).astype(np.float32)

    @cached_property
    def target_places(self) -> Float[np.ndarray, "sample keypoint 2"]:
        """Return where each target heatmap has its peak, in heatmap pixels: (0, 0) where nothing is drawn."""
        some = in_turn(len(self), _DRAWN_AT_ONCE)
        return np.concatenate([find_peaks(self.targets(indices))[0] for indices in some])

    @cached_property
    def visibility(self) -> Int[np.ndarray, "sample keypoint"]:
        """Return 1 for a labelled joint, occluded or not, and 0 for an unlabelled one, as the paper trains."""
        return np.stack([np.minimum(instance.visibility, 1) for instance in self.instances])

    @property
    def image_ids(self) -> np.ndarray:
        """Return the image id of each sample, as plain whole numbers of any size."""
        return np.array([instance.image_id for instance in self.instances], dtype=object)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Return the patient of each sample, "" where unknown."""
        return tuple(instance.subject for instance in self.instances)

    @property
    def boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """Return the box of each sample: x, y, width, height in image pixels."""
        return tuple(instance.box for instance in self.instances)

    @property
    def crop_areas(self) -> Float[np.ndarray, " sample"]:
        """Return the size of each crop in square image pixels."""
        areas: np.ndarray = np.prod(self.scales.astype(np.float64) * SCALE_UNIT_PX, axis=1)
        return areas

    @cached_property
    def ground_truth(self) -> dict[str, Any]:
        """Return what is there to be found as a COCO document, in order, numbered from 1."""
        return coco_document(self._truth, self.profile, seen=self.instances)

    @property
    def subject_of_image(self) -> dict[int, str]:
        """Return the patient of each image of the ground truth, "" where unknown."""
        named: dict[int, str] = {}
        for one in (*self._truth, *self.instances):
            named[one.image_id] = named.get(one.image_id) or one.subject
        return named

    @property
    def _truth(self) -> tuple[Instance, ...]:
        return self.instances if self.truth is None else self.truth

    @classmethod
    def load(cls, path: Path, *, whole: Framing | None = None) -> "Samples":
        """Return samples from a file that `draw` wrote; crops are read from it when they are asked for.

        Of a file of `whole` images, they are cut out of these, by the framing that is given.

        Raises:
            DataError: the file is missing, broken or of another layout.
        """
        profile, framing, instances, stored = read_archive(path)
        if whole is None:
            return cls(profile=profile, framing=framing, instances=instances, cut=stored)

        def images(indices: Sequence[int]) -> Iterator[np.ndarray]:
            return (stored([index])[0] for index in indices)

        def cut(indices: Sequence[int]) -> np.ndarray:
            return stacked(list(_each_crop(instances, images, whole, indices)))

        return cls(profile=profile, framing=whole, instances=instances, cut=cut, images=images)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Some samples, as the network's step needs them before they are normalised."""

    indices: Int[np.ndarray, " batch"]
    """Which samples these are."""
    images: UInt8[np.ndarray, "batch height width *channel"]
    """Their crops."""
    heatmaps: Float32[np.ndarray, "batch keypoint heatmap_height heatmap_width"]
    """Their targets."""
    weights: Float32[np.ndarray, "batch keypoint"]
    """How much each keypoint counts: 0 where unlabelled or outside the crop."""


def batches(samples: Samples, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """Yield every sample once, in order or as `rng` shuffles them; the last batch may be smaller."""
    for indices in in_turn(len(samples), batch_size, rng):
        yield batch_of(samples, indices)


def in_turn(count: int, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Int[np.ndarray, " batch"]]:
    """Yield which samples each batch has."""
    order = np.arange(count) if rng is None else rng.permutation(count)
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


def batch_of(
    samples: Samples,
    indices: Int[np.ndarray, " batch"],
    *,
    flipped: Bool[np.ndarray, " batch"] | None = None,
    augmentation: Augmentation | None = None,
) -> Batch:
    """Return some samples with their targets, as an augmentation sees them; those that are `flipped` left to right.

    Raises:
        DataError: an image cannot be read; or some are flipped, and the profile does not say which joints that swaps.
    """
    visibility = samples.visibility[indices]
    if augmentation is None:
        joints, images = samples.joints[indices], samples.crops(indices)
    else:
        joints, images = samples.views(indices, augmentation)
    if flipped is not None:
        sides = flip_partners(samples.profile)
        joints = flip_joints(joints, flipped, width=samples.framing.input_size[0], sides=sides)
        visibility, images = flip_visibility(visibility, flipped, sides=sides), flip_images(images, flipped)
    heatmaps, weights = samples.framing.encode(joints, visibility)
    return Batch(indices=indices, images=images, heatmaps=heatmaps, weights=weights)


def _check(instances: Sequence[Instance], profile: Profile, framing: Framing) -> None:
    """Refuse what no source should give: an empty split, poses of another skeleton, boxes beside their image."""
    if not instances:
        raise DataError(["no instances: a split needs at least one annotated subject"])
    faults = [
        f"{i.image}: annotation {i.id} has {len(i.joints)} keypoints, {profile.name} has {profile.num_keypoints}"
        for i in instances
        if len(i.joints) != profile.num_keypoints
    ]
    faults += [
        f"{i.image}: annotation {i.id} has box {list(i.box)}, of which nothing lies in the image of {i.image_size}"
        for i in instances
        if used_box(i.box, i.image_size, as_given=framing.as_given) is None
    ]
    if faults:
        raise DataError(shortened(faults))
