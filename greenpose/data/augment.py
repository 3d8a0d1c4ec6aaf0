"""Augmentation: the crops of an epoch's training images, turned, scaled, shifted and otherwise changed.

What happens to an image is drawn from the training's seed, the epoch and the image's annotation alone: a resumed
training, other batches, another order, several processes or threads see the same image. It is turned by the very warp
that cuts its crop, so that no pixel is interpolated twice.

Grey levels are changed by a few calls of OpenCV and numpy, not by a library for it: AlbumentationsX is under the AGPL,
and its free predecessor, albumentations, has had no release since May 2025. Neither knows depth, and what they draw
depends on what was drawn before, unless they are seeded anew for every image.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from greenpose.config.training import AugmentConfig
from greenpose.data.crops import Framing, box_to_center_scale, crop, frame_box, transform_points
from greenpose.data.heatmaps import SCALE_UNIT_PX
from greenpose.data.images import Window
from greenpose.data.instances import Instance, Profile
from greenpose.errors import DataError

TURNED, SHIFTED = 0.6, 0.3
"""Part of the images that are turned, and shifted. Source: mmpose 1.3 (2024), `RandomBBoxTransform`."""
HALF_PADDING = 1.5
"""How much larger a crop of half a body is than its joints. Source: HRNet's code (2019), `half_body_transform`."""
HALF_JOINTS = 3
"""Labelled joints that a half of the body has at least; likewise."""
PATCH_PX = 4
"""Side of what a depth image loses at once, in pixels of the crop."""
AUGMENT = 2
"""Draws how images are changed apart from their order and from which are mirrored."""
_END = NormalDist().cdf(1)
_NORMAL = np.array([NormalDist().inv_cdf((step + 0.5) / 256) for step in range(256)])
"""What each value of a random byte stands for in a normal distribution: a tenth of the time of drawing from that."""


def within(low: float, high: float, chance: float) -> float:
    """Return what a chance from 0 to 1 stands for in a range: normal around its middle, ending one deviation away."""
    deviations = NormalDist().inv_cdf(1 - _END + chance * (2 * _END - 1))
    return (low + high) / 2 + deviations * (high - low) / 2


def check_half_body(augment: AugmentConfig, profile: Profile) -> None:
    """Refuse to crop halves of bodies that have none.

    Raises:
        DataError: if the profile names no upper half.
    """
    if augment.half_body and not profile.upper_body:
        raise DataError([f"profile {profile.name}: has no upper_body, without which train.augment.half_body must be 0"])


def check_sensor(augment: AugmentConfig, window: Window | None) -> None:
    """Refuse to change images as another sensor's: depth is seen through a window, others are not.

    Raises:
        DataError: naming each setting that is for other images.
    """
    if window is None:
        wrong, these = (
            augment.of_depth,
            "depth in mm, and these are 8-bit images; theirs are contrast, brightness, blur",
        )
    else:
        seen = f"depth, seen from {window[0]:g} to {window[1]:g} mm"
        wrong = augment.of_light
        these = f"8-bit images, and these are {seen}; theirs are depth_noise_mm, depth_dropout, depth_shift_mm"
    if wrong:
        raise DataError([f"{name}: is for {these}" for name in wrong])


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How the training images of one epoch are seen."""

    config: AugmentConfig
    """How far they may differ from what was annotated."""
    seeds: tuple[int, int]
    """The training's seed, and the epoch from 1."""

    def views(
        self,
        instances: Sequence[Instance],
        images: Iterable[UInt8[np.ndarray, "height width *channel"]],
        *,
        profile: Profile,
        framing: Framing,
        window: Window | None,
    ) -> Iterator[tuple[Float[np.ndarray, "keypoint 2"], UInt8[np.ndarray, "crop_height crop_width *channel"]]]:
        """Yield the joints of each instance in pixels of its crop, and the crop, out of its whole image."""
        for instance, image in zip(instances, images, strict=True):
            rng = np.random.default_rng([*self.seeds, AUGMENT, instance.id])
            matrix = self._matrix(instance, rng.random(8), profile, framing)
            seen = crop(image, matrix, framing.input_size)
            crops = self._lit(seen, rng) if window is None else self._sensed(seen, window, rng)
            yield transform_points(instance.joints, matrix), crops

    def _matrix(
        self, instance: Instance, chances: Float[np.ndarray, "8"], profile: Profile, framing: Framing
    ) -> Float[np.ndarray, "2 3"]:
        """Return the matrix from the image to a crop that is turned about its middle, scaled and shifted."""
        turn, shift = self.config.rotation, self.config.shift
        center, scale = self._frame(instance, chances[:2], profile, framing)
        scale = scale * within(*self.config.scale, chances[2])
        if chances[3] < SHIFTED:
            right, down = (within(-shift, shift, chance) for chance in chances[4:6])
            center = center + scale * SCALE_UNIT_PX * (right, down)
        angle = within(-turn, turn, chances[7]) if chances[6] < TURNED else 0.0
        return turned(framing.matrix(center, scale), center, angle)

    def _frame(
        self, instance: Instance, chances: Float[np.ndarray, "2"], profile: Profile, framing: Framing
    ) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
        """Return center and scale of the crop around the box, or around half of the body.

        Source: HRNet's code (2019), `half_body_transform`; there the upper half is taken more often.
        """
        if chances[0] < self.config.half_body:
            halves = _halves(instance, profile)
            if halves:
                joints = halves[int(chances[1] * len(halves))]
                corner, sides = joints.min(0), np.maximum(np.ptp(joints, 0), 1)
                _, scale = box_to_center_scale((*corner, *sides), framing.input_size, padding=HALF_PADDING)
                return joints.mean(0), scale.astype(np.float64)
        center, scale = frame_box(instance.box, instance.image_size, framing)
        return center.astype(np.float64), scale.astype(np.float64)

    def _lit(
        self, seen: UInt8[np.ndarray, "h w *channel"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w *channel"]:
        """Return an 8-bit image in another light, and blurred."""
        if not self.config.of_light:
            return seen
        chances = rng.random(3)
        contrast, light, blur = (
            within(*ends, chance)
            for ends, chance in zip(
                (self.config.contrast, self.config.brightness, self.config.blur), chances, strict=True
            )
        )
        table = np.rint((np.arange(256) - 127.5) * contrast + 127.5 + 255 * light).clip(0, 255).astype(np.uint8)
        lit = cv2.LUT(seen, table)
        return cv2.GaussianBlur(lit, (0, 0), blur) if blur > 0 else lit

    def _sensed(
        self, seen: UInt8[np.ndarray, "h w"], window: Window, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w"]:
        """Return depth as another sensor, from another distance, would have said it.

        Done in grey levels, of which a window has 254: how far beyond either of its ends something lies is not known,
        so that it stays there, as does what has no return.
        """
        if not self.config.of_depth:
            return seen
        grey_per_mm = 254 / (float(window[1]) - float(window[0]))
        chances = rng.random(3)
        spread = within(0, self.config.depth_noise_mm, chances[0]) * grey_per_mm
        moved = within(*self.config.depth_shift_mm, chances[1]) * grey_per_mm
        lost = within(0, self.config.depth_dropout, chances[2])
        steps = np.frombuffer(rng.bytes(seen.size), np.uint8).reshape(seen.shape)
        away = cv2.LUT(steps, np.rint(_NORMAL * spread + moved).astype(np.int16))
        sensed = np.maximum(cv2.add(seen, away, dtype=cv2.CV_8U), 1)
        np.copyto(sensed, seen, where=(seen <= 1) | (seen == 255))
        stays = rng.random([-(-side // PATCH_PX) for side in seen.shape]) >= lost
        whole = np.repeat(np.repeat(stays, PATCH_PX, 0), PATCH_PX, 1)[: seen.shape[0], : seen.shape[1]]
        return sensed * whole


def turned(
    matrix: Float[np.ndarray, "2 3"], center: Float[np.ndarray, "2"], degrees: float
) -> Float[np.ndarray, "2 3"]:
    """Return the matrix from an image to its crop with the image turned clockwise about a place in it before."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    before = np.vstack([np.column_stack([turn, center - turn @ center]), [0, 0, 1]])
    composed: np.ndarray = matrix @ before
    return composed


def _halves(instance: Instance, profile: Profile) -> list[Float[np.ndarray, "some 2"]]:
    """Return the labelled joints of each half of the body that has enough; none where few are labelled."""
    labelled = instance.visibility > 0
    if labelled.sum() <= profile.num_keypoints // 2:
        return []
    upper = np.isin(np.arange(profile.num_keypoints), profile.upper_body)
    halves = (instance.joints[labelled & half] for half in (upper, ~upper))
    return [joints for joints in halves if len(joints) >= HALF_JOINTS]
