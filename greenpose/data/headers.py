"""What an image file says of itself before it is decoded: size, depth, orientation, frames, and whether it is whole."""

import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

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
