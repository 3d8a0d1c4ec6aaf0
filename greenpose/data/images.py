"""Image files as arrays: 8-bit as they are, 16-bit depth through a window that has to be named."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, SupportsFloat, TypeAlias

import cv2
import numpy as np
from jaxtyping import Real, UInt8

from greenpose.data.instance import Instance
from greenpose.errors import DataError

Window: TypeAlias = tuple[SupportsFloat, SupportsFloat]
"""The nearest and the farthest depth that is told apart, in mm."""
Reader: TypeAlias = Callable[[Instance], np.ndarray]
"""Gives an instance's whole image: uint8, grey [height, width] or RGB [height, width, 3]."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_TAIL_BYTES = 4096
_EIGHT_BITS = 8
_BGR, _BGRA = 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an image file says of itself without being decoded."""

    size: tuple[int, int]
    """Width and height in pixels."""
    bits: int
    """Bits per channel: 8, or 16 for raw depth."""


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
    way it would come out nearly black. Rotation notes in a file are ignored: annotations refer to the stored pixels.

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


def decode_stored(data: bytes, name: str | Path) -> Real[np.ndarray, "height width *channel"]:
    """Return an image as its file holds it: uint8, grey or colour (blue first), or uint16 depth.

    Raises:
        DataError: the file is empty, truncated, broken, no image, or an image of another kind.
    """
    fault = _fault(data[: len(_PNG)], data[-_TAIL_BYTES:])
    if fault:
        raise DataError([f"{name}: {fault}"])
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DataError([f"{name}: cannot be decoded; it is broken or no image"])
    if decoded.dtype != np.uint8 and not (decoded.dtype == np.uint16 and decoded.ndim == 2):
        raise DataError([f"{name}: holds {decoded.dtype} {decoded.shape}; known are 8-bit images and 16-bit depth"])
    stored: np.ndarray = decoded
    return stored


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


def _fault(head: bytes, tail: bytes) -> str:
    """Return what is wrong with a file that begins and ends like this, "" for nothing.

    OpenCV decodes a truncated file in part and says so on the terminal only.
    """
    if not head:
        return "is empty"
    if head.startswith(_PNG):
        return "" if b"IEND" in tail else "is truncated: a PNG ends with IEND"
    if head.startswith(_JPEG):
        return "" if _JPEG_END in tail else "is truncated: a JPEG ends with FF D9"
    return ""


def read_header(path: str | Path) -> Header:
    """Return size and depth of an image file; PNG and JPEG are not decoded for it.

    Raises:
        DataError: the file is missing, empty, truncated or no image.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(32)
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            fault = _fault(head, file.read())
            header = None if fault else _parse_header(head, file)
    except OSError as error:
        raise DataError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (struct.error, IndexError):
        fault, header = "is broken: its header ends early", None
    if fault:
        raise DataError([f"{path}: {fault}"])
    return header or _decoded_header(path)


def _parse_header(head: bytes, file: BinaryIO) -> Header | None:
    if head.startswith(_PNG):
        width, height, bits = struct.unpack(">IIB", head[16:25])
        return Header(size=(width, height), bits=16 if bits > _EIGHT_BITS else _EIGHT_BITS)
    if head.startswith(_JPEG):
        return _jpeg_header(file)
    return None


def _jpeg_header(file: BinaryIO) -> Header:
    """Walk the segments to the frame header (SOF0-15, less the three codes in that range that are none)."""
    file.seek(2)
    while True:
        marker = file.read(2)[1]
        (length,) = struct.unpack(">H", file.read(2))
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            bits, height, width = struct.unpack(">BHH", file.read(5))
            return Header(size=(width, height), bits=bits)
        file.seek(length - 2, 1)


def _decoded_header(path: str | Path) -> Header:
    decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DataError([f"{path}: cannot be decoded; it is broken or no image"])
    return Header(size=(decoded.shape[1], decoded.shape[0]), bits=decoded.dtype.itemsize * 8)
