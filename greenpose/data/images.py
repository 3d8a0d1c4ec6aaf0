"""Image files as arrays, and their headers: 8-bit as they are, 16-bit depth through a window that has to be named."""

import io
import mmap
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import SupportsFloat, TypeAlias

import cv2
import numpy as np
from jaxtyping import Real, UInt8

from greenpose.data.headers import Header, header_of, is_jpeg, is_progressive, scans_end
from greenpose.data.instance import Instance
from greenpose.errors import DataError

Window: TypeAlias = tuple[SupportsFloat, SupportsFloat]
"""The nearest and the farthest depth that is told apart, in mm."""
Reader: TypeAlias = Callable[[Instance], np.ndarray]
"""Gives an instance's whole image: uint8, grey [height, width] or RGB [height, width, 3]."""

_BGR, _BGRA = 3, 4
_MID_GREY = 128
"""What libjpeg fills pixels with that a baseline JPEG does not hold."""


def window_depth(depth: Real[np.ndarray, "height width"], window: Window) -> UInt8[np.ndarray, "height width"]:
    """Return depth in mm as grey: `near` and nearer 1 (dark), `far` and farther 255, 0 = no return kept apart as 0.

    Near is dark, as in the 8-bit images of the babyPose set.

    Raises:
        DataError: the window is empty.
    """
    near, far = window
    whole = depth if depth.dtype == np.uint16 else np.clip(np.rint(depth), 0, 65535).astype(np.uint16)
    grey: np.ndarray = _grey_table(float(near), float(far))[whole]
    return grey


@lru_cache(maxsize=8)
def _grey_table(near_mm: float, far_mm: float) -> np.ndarray:
    if not 0 <= near_mm < far_mm:
        raise DataError([f"depth window {near_mm:g}..{far_mm:g} mm is empty; give near < far, such as 400 and 900"])
    share = (np.arange(65536) - near_mm) / (far_mm - near_mm)
    table: np.ndarray = np.rint(1 + 254 * np.clip(share, 0, 1)).astype(np.uint8)
    table[0] = 0
    return table


def read_image(path: str | Path, *, window: Window | None = None) -> UInt8[np.ndarray, "height width *channel"]:
    """Return the image as grey [height, width] or RGB [height, width, 3].

    A 16-bit image is depth in mm and needs the `window` that becomes grey 1..255 (see `window_depth`); read any other
    way it would come out nearly black. A note in the file that turns its pixels is not followed; annotated images that
    have one are refused.

    Raises:
        DataError: the file is missing, broken or of another kind; or the window is missing or superfluous.
    """
    decoded = decode_stored(read_bytes(path), path)
    if decoded.dtype == np.uint16:
        if window is None:
            raise DataError([_no_window(path, decoded)])
        return window_depth(decoded, window)
    if window is not None:
        raise DataError([f"{path}: is an 8-bit image, but a depth window is given; leave it out for this folder"])
    return _as_rgb(decoded)


def decode_stored(
    data: bytes, name: str | Path, *, thorough: bool = False
) -> Real[np.ndarray, "height width *channel"]:
    """Return an image, or its first frame, as its file holds it: uint8, grey or colour (blue first), or uint16 depth.

    A JPEG that was cut short and closed again is refused. A baseline one ends in mid-grey; a progressive one is only
    blurred, which takes two more readings to see, as those of any JPEG if `thorough`.

    Raises:
        DataError: the file is empty, truncated, broken, no image, or an image of another kind.
    """
    header_of(data, name)  # refuses what must not be decoded
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise DataError([f"{name}: cannot be decoded; it is broken or no image"])
    suspicious = thorough or bool((decoded[-1, -1] == _MID_GREY).all()) or is_progressive(data)
    if is_jpeg(data) and suspicious and not holds_all_pixels(data):
        raise DataError([f"{name}: is truncated: it is closed like a whole JPEG, but its last pixels are missing"])
    if decoded.dtype != np.uint8 and not (decoded.dtype == np.uint16 and decoded.ndim == 2):
        raise DataError([f"{name}: holds {decoded.dtype} {decoded.shape}; known are 8-bit images and 16-bit depth"])
    stored: np.ndarray = decoded
    return stored


def holds_all_pixels(data: bytes) -> bool:
    """Return whether a JPEG's coded pixels are all there: then nothing that is put in behind them changes the image."""
    from PIL import Image  # slow to load, and rarely needed

    end = scans_end(data)
    if end is None:
        return False
    noise = bytes(np.random.default_rng(0).integers(0, 255, 512, dtype=np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own limit of size, which is lower than ours
        try:
            one, other = (np.asarray(Image.open(io.BytesIO(d))) for d in (data, data[:end] + noise + data[end:]))
        except (OSError, ValueError, Image.DecompressionBombError):
            return False
    return np.array_equal(one, other)


def _no_window(path: str | Path, depth: np.ndarray) -> str:
    seen = depth[depth > 0]
    span = f"{seen.min()} to {seen.max()} mm" if seen.size else "no depth at all"
    return f"{path}: is 16-bit depth ({span}); name the window to see, near and far in mm, such as 400 and 900"


def _as_rgb(decoded: np.ndarray) -> np.ndarray:
    if decoded.ndim == 2 or decoded.shape[2] == 1:
        return decoded.reshape(decoded.shape[:2])
    code = {_BGR: cv2.COLOR_BGR2RGB, _BGRA: cv2.COLOR_BGRA2RGB}[decoded.shape[2]]
    rgb: np.ndarray = cv2.cvtColor(decoded, code)
    return rgb


def image_reader(*, window: Window | None = None) -> Reader:
    """Return a reader of instances whose `image` is the path of a file."""
    return partial(_read_instance, window=window)


def _read_instance(instance: Instance, *, window: Window | None) -> np.ndarray:
    return read_image(instance.image, window=window)


def read_bytes(path: str | Path) -> bytes:
    """Return what a file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError([f"{path}: cannot be read: {error.strerror}"]) from error


def read_header(path: str | Path) -> Header:
    """Return size and depth of an image file; PNG, JPEG and WebP are not decoded for it.

    Raises:
        DataError: the file is missing, empty, truncated, too large or no image.
    """
    try:
        with Path(path).open("rb") as file:
            if not file.seek(0, 2):
                raise DataError([f"{path}: is empty"])
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:  # only what is looked at is read
                header = header_of(data, path)
                if header is not None and header.bits is not None:
                    return header
                decoded = decode_stored(data[:], path)
    except OSError as error:
        raise DataError([f"{path}: cannot be read: {error.strerror}"]) from error
    known = header or Header(size=(decoded.shape[1], decoded.shape[0]), bits=None)
    return replace(known, bits=decoded.dtype.itemsize * 8, animated=known.animated or cv2.imcount(str(path)) > 1)
