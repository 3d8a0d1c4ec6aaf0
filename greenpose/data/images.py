"""Image files as arrays, and their headers: 8-bit as they are, 16-bit depth through a window that has to be named."""

import io
import mmap
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import SupportsFloat, TypeAlias

import cv2
import numpy as np
from jaxtyping import Real, UInt8

from greenpose.data.instances import Instance
from greenpose.errors import DataError

MOST_MEGAPIXELS = 200.0
"""Larger images are refused: each takes some GB while it is read. Assumed; `GREENPOSE_MAX_MEGAPIXELS` sets another."""
_LIMIT = "GREENPOSE_MAX_MEGAPIXELS"

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_TIFF = {b"II*\x00": "<", b"MM\x00*": ">"}
_EXIF = b"Exif\x00\x00"
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
"""Markers of a progressive JPEG's frame."""
_TAIL_BYTES = 4096
_EIGHT_BITS = 8
_WIDTH, _LENGTH, _ORIENTATION = 256, 257, 274
"""Tags of TIFF, which EXIF is written in."""
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker that ends a JPEG's coded pixels: no stuffed zero, no fill byte, no restart."""

Bytes: TypeAlias = bytes | mmap.mmap


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an image file says of itself without being decoded."""

    size: tuple[int, int]
    """Width and height in pixels, as stored."""
    bits: int | None
    """Bits per channel: 8, or 16 for raw depth; None where only decoding tells."""
    orientation: int = 1
    """EXIF's note on how to turn the stored pixels before they are shown, 1 to 8; 1: not at all."""
    animated: bool = False
    """Whether more than one frame is in the file, of which the first one is taken."""


def header_of(data: Bytes, name: str | Path) -> Header | None:
    """Return what a file of these bytes says of itself; None for a format of which only decoding tells.

    Raises:
        DataError: it is empty, cut short, broken, or has more pixels than are taken.
    """
    if not data:
        raise DataError([f"{name}: is empty"])
    try:
        header = _parsed(data)
    except _CutShortError as error:
        raise DataError([f"{name}: is truncated: {error}"]) from None
    except (struct.error, IndexError):
        raise DataError([f"{name}: is broken: its header ends early"]) from None
    if header is not None:
        check_size(header.size, name)
    return header


def check_size(size: tuple[int, int], name: str | Path) -> None:
    """Refuse an image that has no pixels, or more than are taken.

    Raises:
        DataError: naming the limit and how to set another; also if that is no number.
    """
    text = os.environ.get(_LIMIT, "") or str(MOST_MEGAPIXELS)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise DataError([f"{_LIMIT}={text}: must be a number above 0"])
    width, height = size
    if width < 1 or height < 1:
        raise DataError([f"{name}: has no pixels: {width} x {height}"])
    if width * height > limit * 1e6:
        found = f"{width} x {height} are {width * height / 1e6:,.4g} megapixels"
        raise DataError([f"{name}: {found}, more than the {limit:g} that are taken; to take it, set {_LIMIT}"])


class _CutShortError(Exception):
    """The file ends before its image does."""


def _parsed(data: Bytes) -> Header | None:
    head = bytes(data[:12])
    parse = next((parse for start, parse in _FORMATS.items() if head.startswith(start)), None)
    return parse(data) if parse else None


def _png(data: Bytes) -> Header:
    """Walk the chunks: the size comes first, notes on frames and orientation may stand anywhere before the end."""
    width, height, bits = struct.unpack(">IIB", data[16:25])
    frames, orientation, at = 1, 1, len(_PNG)
    while True:
        kind = bytes(data[at + 4 : at + 8])
        if len(kind) < 4:
            raise _CutShortError("a PNG ends with IEND")
        (length,) = struct.unpack(">I", data[at : at + 4])
        if kind == b"IEND":
            break
        if kind == b"acTL":
            (frames,) = struct.unpack(">I", data[at + 8 : at + 12])
        if kind == b"eXIf":
            orientation = _turn(_tags(bytes(data[at + 8 : at + 8 + length])))
        at += length + 12
    deep = 16 if bits > _EIGHT_BITS else _EIGHT_BITS
    return Header(size=(width, height), bits=deep, orientation=orientation, animated=frames > 1)


def _jpeg(data: Bytes) -> Header:
    """Walk the segments: the frame's has the size, EXIF's the orientation, the scan's is followed by the pixels."""
    size, bits, orientation = (0, 0), _EIGHT_BITS, 1
    for marker, start, end in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:  # these three in that range are no frames
            bits, height, width = struct.unpack(">BHH", data[start : start + 5])
            size = (width, height)
        if marker == 0xE1 and data[start : start + len(_EXIF)] == _EXIF and orientation == 1:
            orientation = _turn(_tags(bytes(data[start + len(_EXIF) : end])))
        if marker == 0xDA:
            if data.rfind(_JPEG_END, max(end, len(data) - _TAIL_BYTES)) < 0 and scans_end(data) is None:
                raise _CutShortError("a JPEG ends with FF D9")
            return Header(size=size, bits=bits, orientation=orientation)
    raise _CutShortError("no pixels follow its header, and a JPEG ends with FF D9")


def _segments(data: Bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield each marker from a place on, with where its content begins and ends; fill bytes are passed over."""
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker == 0xD9:
            return
        if marker in {0x00, 0x01} or 0xD0 <= marker <= 0xD8:
            continue
        (length,) = struct.unpack(">H", data[at : at + 2])
        yield marker, at + 2, at + length
        at += length


def is_jpeg(data: Bytes) -> bool:
    """Return whether bytes begin as a JPEG does."""
    return bytes(data[: len(_JPEG)]) == _JPEG


def is_progressive(data: Bytes) -> bool:
    """Return whether bytes are a JPEG that shows the whole image from its first scan on, and then sharpens it."""
    markers = (marker for marker, _, _ in _segments(data)) if is_jpeg(data) else iter(())
    return any(marker in _PROGRESSIVE for marker in takewhile(lambda marker: marker != 0xDA, markers))


def scans_end(data: Bytes) -> int | None:
    """Return where a JPEG's last scan ends, before its end marker and fill bytes; None where the file ends before."""
    at = 2
    while True:
        scan = next((end for marker, _, end in _segments(data, at) if marker == 0xDA), None)
        found = None if scan is None else _AFTER_SCAN.search(data, scan)
        if found is None:
            return None
        at = found.start()
        if data[at + 1] == 0xD9:
            while data[at - 1] == 0xFF:
                at -= 1
            return at


def _tiff(data: Bytes) -> Header | None:
    tags = _tags(data[:])
    if _WIDTH not in tags or _LENGTH not in tags:
        return None
    return Header(size=(tags[_WIDTH], tags[_LENGTH]), bits=None, orientation=_turn(tags))


def _gif(data: Bytes) -> Header:
    width, height = struct.unpack("<HH", data[6:10])
    return Header(size=(width, height), bits=None)


def _bmp(data: Bytes) -> Header:
    width, height = struct.unpack("<ii", data[18:26])
    return Header(size=(width, abs(height)), bits=None)


def _webp(data: Bytes) -> Header | None:
    kind, body = bytes(data[12:16]) if data[8:12] == b"WEBP" else b"", data[20:30]
    if kind == b"VP8X":
        flags = body[0]
        size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        at = data.find(b"EXIF", 30) if flags & 0x08 else -1
        orientation = _turn(_tags(bytes(data[at + 8 :]).removeprefix(_EXIF))) if at >= 0 else 1
        return Header(size=size, bits=_EIGHT_BITS, orientation=orientation, animated=bool(flags & 0x02))
    if kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return Header(size=((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1), bits=_EIGHT_BITS)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return Header(size=(width & 0x3FFF, height & 0x3FFF), bits=_EIGHT_BITS)
    return None


def _turn(tags: dict[int, int]) -> int:
    value = tags.get(_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _tags(tiff: bytes) -> dict[int, int]:
    """Return the whole-numbered entries of a TIFF's first directory; what is broken in it is left out."""
    order = _TIFF.get(tiff[:4])
    found: dict[int, int] = {}
    if order is None:
        return found
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", tiff, entry)
            if kind in {3, 4}:  # 16 and 32 bits
                (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), tiff, entry + 8)
    except struct.error:
        pass
    return found


_FORMATS: dict[bytes, Callable[[Bytes], Header | None]] = {
    _PNG: _png,
    _JPEG: _jpeg,
    **dict.fromkeys(_TIFF, _tiff),
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"BM": _bmp,
}
"""How files that begin so are read."""


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
    return as_rgb(decoded, path)


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


def as_rgb(decoded: np.ndarray, name: str | Path) -> UInt8[np.ndarray, "height width *channel"]:
    """Return an 8-bit image with blue first as grey or RGB; an alpha channel is left out.

    Raises:
        DataError: its channels are neither grey, nor RGB, nor RGB and alpha.
    """
    if decoded.ndim == 2 or decoded.shape[2] == 1:
        return decoded.reshape(decoded.shape[:2])
    code = {_BGR: cv2.COLOR_BGR2RGB, _BGRA: cv2.COLOR_BGRA2RGB}.get(decoded.shape[2])
    if code is None:
        raise DataError([f"{name}: has {decoded.shape[2]} channels; known are grey, RGB, and RGB with alpha"])
    rgb: np.ndarray = cv2.cvtColor(decoded, code)
    return rgb


def image_reader(*, window: Window | None = None) -> Reader:
    """Return a reader of instances whose `image` is the path of a file."""
    return lambda instance: read_image(instance.image, window=window)


def encode_png(image: np.ndarray) -> bytes:
    """Return an 8-bit image, blue first where it is in colour, or 16-bit depth as a PNG."""
    done, encoded = cv2.imencode(".png", image)
    assert done, "8-bit images and 16-bit depth always fit into a PNG"
    return bytes(encoded.tobytes())


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
