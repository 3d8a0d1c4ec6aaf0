"""Crops: from a box in an image to the network's input and back, by one similarity transform; flips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from greenpose.config.experiment import DataConfig, Decode
from greenpose.data.heatmaps import SCALE_UNIT_PX, decode_heatmaps, encode_heatmaps, extent
from greenpose.data.instances import Profile
from greenpose.errors import DataError

PADDING = 1.25
"""How much larger than its box a crop is, as in the paper's code."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a crop and its targets are made from a box and its joints."""

    input_size: tuple[int, int]
    """Width and height of the network's input in pixels."""
    heatmap_size: tuple[int, int]
    """Width and height of a heatmap; a quarter of the input's for HRNet."""
    sigma: float = 2.0
    """Spread of a target in heatmap pixels."""
    padding: float = PADDING
    """A crop is its box times this."""
    as_given: bool = False
    """True: boxes are taken as they are, which the reference code does with detected ones; False: as `clean_box`."""
    decode: Decode = "quarter"
    """How joints become heatmaps and back; `udp` cuts other crops too."""

    @classmethod
    def of(
        cls,
        input_size: tuple[int, int],
        *,
        sigma: float = 2.0,
        padding: float = PADDING,
        stride: int = 4,
        decode: Decode = "quarter",
    ) -> "Framing":
        """Return the framing of a network whose heatmaps have a pixel for `stride` of the input; 4 is HRNet's."""
        heatmap_size = (input_size[0] // stride, input_size[1] // stride)
        return cls(input_size=input_size, heatmap_size=heatmap_size, sigma=sigma, padding=padding, decode=decode)

    @classmethod
    def of_data(cls, config: DataConfig) -> "Framing":
        """Return the framing that an experiment's settings ask for."""
        about = {name: getattr(config, name) for name in ("sigma", "padding", "stride", "decode")}
        return cls.of(config.input_size, **about)

    def matrix(
        self,
        center: Sequence[SupportsFloat] | Float[np.ndarray, "2"],
        scale: Sequence[SupportsFloat] | Float[np.ndarray, "2"],
    ) -> Float[np.ndarray, "2 3"]:
        """Return the matrix that takes image px to px of a crop around `center`, of `scale` = (width, height) / 200."""
        return crop_matrix(center, scale, self.input_size, decode=self.decode)

    def encode(
        self,
        joints: Float32[np.ndarray, "*batch keypoint 2"],
        visibility: Int[np.ndarray, "*batch keypoint"],
    ) -> tuple[Float32[np.ndarray, "*batch keypoint height width"], Float32[np.ndarray, "*batch keypoint"]]:
        """Return target heatmaps of joints in pixels of crops, and how much each keypoint counts."""
        return encode_heatmaps(
            joints,
            visibility,
            input_size=self.input_size,
            heatmap_size=self.heatmap_size,
            sigma=self.sigma,
            decode=self.decode,
        )

    def places(
        self, heatmaps: Any, centers: Any, scales: Any
    ) -> tuple[Float[np.ndarray, "batch keypoint 2"], Float[np.ndarray, "batch keypoint"]]:
        """Return each keypoint's place in image pixels and the value of its peak, as `decode_heatmaps` does."""
        return decode_heatmaps(heatmaps, centers, scales, decode=self.decode, sigma=self.sigma)


def clean_box(box: Sequence[SupportsFloat], image_size: tuple[int, int]) -> Box | None:
    """Return the box as the paper's loader uses it: its corner moved into the image, 1 px narrower and lower.

    None where nothing of it is left. Kept from the reference code: a box that begins left of or above the image is
    moved, not cut, and the far corner counts as the last pixel inside (hence the 1 px).
    """
    x, y, width, height = (float(side) for side in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(image_size[0] - 1.0, left + max(0.0, width - 1))
    bottom = min(image_size[1] - 1.0, top + max(0.0, height - 1))
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top


def used_box(box: Box, image_size: tuple[int, int], *, as_given: bool) -> Box | None:
    """Return the box that a crop is made from, cleaned or as given; None where it shows nothing of the image."""
    if not as_given:
        return clean_box(box, image_size)
    x, y, width, height = box
    empty = width <= 0 or height <= 0 or x >= image_size[0] or y >= image_size[1] or x + width <= 0 or y + height <= 0
    return None if empty else box


def box_to_center_scale(
    box: Sequence[SupportsFloat], input_size: tuple[int, int], *, padding: float = PADDING
) -> tuple[Float32[np.ndarray, "2"], Float32[np.ndarray, "2"]]:
    """Return the crop's center in image px and its scale (width, height) / 200 px.

    The box grows to the input's aspect, then by `padding`; float32 as in the reference code.
    """
    x, y, width, height = (float(side) for side in box)
    aspect = input_size[0] / input_size[1]
    sides = (max(width, height * aspect), max(height, width / aspect))
    scale = np.array(sides, dtype=np.float64) / SCALE_UNIT_PX
    center = np.array([x + width / 2, y + height / 2], dtype=np.float32)
    return center, scale.astype(np.float32) * np.float32(padding)


def frame_box(
    box: Box, image_size: tuple[int, int], framing: Framing
) -> tuple[Float32[np.ndarray, "2"], Float32[np.ndarray, "2"]]:
    """Return center and scale of the crop around a box.

    Raises:
        DataError: nothing of the box lies in the image.
    """
    used = used_box(box, image_size, as_given=framing.as_given)
    if used is None:
        raise DataError([f"box {list(box)}: nothing of it lies in an image of {image_size[0]} x {image_size[1]}"])
    return box_to_center_scale(used, framing.input_size, padding=framing.padding)


def crop_matrix(
    center: Sequence[SupportsFloat] | Float[np.ndarray, "2"],
    scale: Sequence[SupportsFloat] | Float[np.ndarray, "2"],
    size: tuple[int, int],
    *,
    decode: Decode = "quarter",
) -> Float[np.ndarray, "2 3"]:
    """Return the matrix that takes image px to px of a crop of `size`.

    Only the scale's width counts; for `udp` its height does too: the middles of the first and last pixels lie on the
    edges of the box, and sides that are a pixel less have another aspect.

    Source: Sun et al. (2019), `get_affine_transform`; Huang et al. (2020), `get_warp_matrix`.
    """
    reckoned = extent(size, decode=decode)
    zoom = reckoned / (np.asarray(scale, dtype=np.float64) * SCALE_UNIT_PX)
    zoom = np.diag(zoom if decode == "udp" else zoom[[0, 0]])
    shift = reckoned / 2 - zoom @ np.asarray(center, dtype=np.float64)
    return np.hstack([zoom, shift[:, None]])


def transform_points(
    points: Float[np.ndarray, "*any 2"], matrix: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "*any 2"]:
    """Return the points on the matrix's other side."""
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def crop(
    image: UInt8[np.ndarray, "height width *channel"], matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "crop_height crop_width *channel"]:
    """Return the image's part of `size` (width, height) that `matrix` cuts out: bilinear, 0 beyond the image."""
    cut: np.ndarray = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
    return cut


def flip_partners(profile: Profile) -> list[int]:
    """Return for each keypoint the one whose name it takes in a mirror: its partner, or itself.

    Raises:
        DataError: if the profile names no partners.
    """
    if not profile.flip_pairs:
        raise DataError(
            [f"profile {profile.name}: has no flip_pairs, without which train.mirror must be 0 and test.flip false"]
        )
    sides = list(range(profile.num_keypoints))
    for left, right in profile.flip_pairs:
        sides[left], sides[right] = right, left
    return sides


def flip_images(
    images: UInt8[np.ndarray, "batch height width *channel"], which: Bool[np.ndarray, " batch"]
) -> UInt8[np.ndarray, "batch height width *channel"]:
    """Return images of which some are turned left to right."""
    turned = images.copy()
    turned[which] = images[which, :, ::-1]
    return turned


def flip_joints(
    joints: Float32[np.ndarray, "batch keypoint 2"], which: Bool[np.ndarray, " batch"], *, width: int, sides: list[int]
) -> Float32[np.ndarray, "batch keypoint 2"]:
    """Return joints, in pixels of crops `width` wide, of which some are turned and take their partner's name."""
    turned = joints[:, sides]
    turned[..., 0] = width - 1 - turned[..., 0]
    return np.where(which[:, None, None], turned, joints)


def flip_visibility(
    visibility: Int[np.ndarray, "batch keypoint"], which: Bool[np.ndarray, " batch"], *, sides: list[int]
) -> Int[np.ndarray, "batch keypoint"]:
    """Return which joints are labelled, likewise."""
    return np.where(which[:, None], visibility[:, sides], visibility)


MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue, of 1; ImageNet's, which the paper's code uses for depth images too."""
STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue, likewise."""


def normalised(
    crops: UInt8[np.ndarray, "batch height width *channel"],
) -> Float32[np.ndarray, "batch 3 height width"]:
    """Return crops as a network takes them, grey repeated in all three channels, for runtimes other than torch.

    By a table of the 256 values of a channel, which takes half the time of arithmetic on every pixel.

    Source: the official HRNet pose code normalises with ImageNet's channel means and deviations.
    """
    batch, height, width = crops.shape[:3]
    images = np.empty((batch, 3, height, width), dtype=np.float32)
    for channel, values in enumerate(_NORMALISED):
        np.take(values, crops if crops.ndim == 3 else crops[..., channel], out=images[:, channel], mode="clip")
    return images


_NORMALISED = np.stack(
    [(np.arange(256) / 255 - mean) / std for mean, std in zip(MEAN, STD, strict=True)], dtype=np.float32
)
"""What each value of a pixel becomes, by channel."""
