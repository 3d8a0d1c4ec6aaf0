"""Samples seen in a mirror: images turned left to right, joints with them, the names of left and right exchanged."""

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from greenpose.data.profile import Profile
from greenpose.errors import DataError


def other_sides(profile: Profile) -> list[int]:
    """Return for each keypoint the one whose name it takes in a mirror: its partner, or itself.

    Raises:
        DataError: if the profile names no partners.
    """
    if not profile.flip_pairs:
        raise DataError([f"profile {profile.name}: has no flip_pairs, without which train.mirror must be 0"])
    sides = list(range(profile.num_keypoints))
    for left, right in profile.flip_pairs:
        sides[left], sides[right] = right, left
    return sides


def turned_images(
    images: UInt8[np.ndarray, "batch height width *channel"], which: Bool[np.ndarray, " batch"]
) -> UInt8[np.ndarray, "batch height width *channel"]:
    """Return images of which some are turned left to right."""
    turned = images.copy()
    turned[which] = images[which, :, ::-1]
    return turned


def turned_joints(
    joints: Float32[np.ndarray, "batch keypoint 2"], which: Bool[np.ndarray, " batch"], *, width: int, sides: list[int]
) -> Float32[np.ndarray, "batch keypoint 2"]:
    """Return joints, in pixels of crops `width` wide, of which some are turned and take their partner's name."""
    turned = joints[:, sides]
    turned[..., 0] = width - 1 - turned[..., 0]
    return np.where(which[:, None, None], turned, joints)


def turned_visibility(
    visibility: Int[np.ndarray, "batch keypoint"], which: Bool[np.ndarray, " batch"], *, sides: list[int]
) -> Int[np.ndarray, "batch keypoint"]:
    """Return which joints are labelled, likewise."""
    return np.where(which[:, None], visibility[:, sides], visibility)
