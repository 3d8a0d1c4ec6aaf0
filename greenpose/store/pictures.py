"""The picture of predictions beside a record: what it says of itself, and whether it is that record's."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from greenpose.errors import RecordError
from greenpose.record import Record
from greenpose.store.folder import RunFolder
from greenpose.store.records import files_of, read_record

MOST_BYTES = 44_900
"""Size of a picture: base64, in which a page holds it, makes less than 60 kB of that."""
_PNG, _END = b"\x89PNG\r\n\x1a\n", b"IEND"
_TEXT = b"tEXt"
_ABOUT, _OF = "Description", "Source"
"""Keywords of a PNG's texts, of those that the format defines."""


class Predictions(NamedTuple):
    """Some test images of a run with what each exit says about them."""

    run: str
    """Name of the run."""
    source: str
    """What tells its record from others, as `source_of`."""
    words: str
    """What the picture shows, for readers who do not see it."""
    png: bytes
    """The file."""

    @property
    def size(self) -> tuple[int, int]:
        """Return its width and height in pixels."""
        width, height = struct.unpack_from(">II", self.png, len(_PNG) + 8)
        return width, height


def with_texts(png: bytes, words: str, record: Record) -> bytes:
    """Return a PNG that says what it shows, and of which record."""
    texts = {_ABOUT: words, _OF: source_of(record)}
    chunks = [_chunk(_TEXT, f"{keyword}\0{text}".encode("latin-1", "replace")) for keyword, text in texts.items()]
    body, end = png[: -len(_chunk(_END, b""))], png[-len(_chunk(_END, b"")) :]
    return b"".join((body, *chunks, end))


def source_of(record: Record) -> str:
    """Return what tells a record from others: what was run, and when it finished."""
    return f"{record.config_hash} {record.finished_at}"


def pictures(paths: Iterable[Path]) -> list[Predictions]:
    """Return the pictures beside records; none that is missing, damaged, larger than ours, or of another record."""
    found = []
    for file in dict.fromkeys(file for path in paths for file in files_of(path) if file.name == "record.json"):
        try:
            record, png = read_record(file), _bytes(RunFolder(file.parent).predictions)
        except (RecordError, OSError):
            continue  # whoever reads the records says what is wrong with them
        texts = _texts(png)
        if texts.get(_OF) == (source := source_of(record)):
            found.append(Predictions(run=record.name, source=source, words=texts.get(_ABOUT, ""), png=png))
    return found


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _texts(png: bytes) -> Mapping[str, str]:
    """Return the texts of a whole PNG that is not too large; none of anything else."""
    if len(png) > MOST_BYTES or not png.startswith(_PNG):
        return {}
    chunks = list(_chunks(png))
    kinds = [kind for kind, _ in chunks]
    if kinds[:1] != [b"IHDR"] or kinds[-1] != _END:
        return {}
    pairs = (body.decode("latin-1").partition("\0") for kind, body in chunks if kind == _TEXT)
    return {keyword: text for keyword, _, text in pairs}


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each chunk, up to the first that is not whole."""
    at = len(_PNG)
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if png[at : at + 12 + length] != _chunk(kind, body):
            return
        yield kind, body
        at += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
