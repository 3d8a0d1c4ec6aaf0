"""The append-only file of windows: one line a window, never held back in this process."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greenpose.errors import MeteringError
from greenpose.metering.window import SCHEMA, Window

SYNC_SECONDS = 1.0
SYNC_SHARE = 0.001
"""Part of the time that may be spent waiting for a disk: one that takes longer than 1 ms is waited for less often."""


class WindowLog:
    """Appends windows to `windows.jsonl`; every line reaches the kernel at once, the disk at most once a second.

    A process that is killed loses no closed window. A power cut costs what was written since the last fsync: a second's
    worth while windows follow one another, 1000 times as much as the disk takes if that is more, and nothing after
    `sync()`.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        fsync: Callable[[int], None] = os.fsync,
    ) -> None:
        """Open the file for appending; a line that an earlier attempt left torn is ended.

        Raises:
            MeteringError: if the file cannot be written.
        """
        self._path, self._clock, self._fsync = path, clock, fsync
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise MeteringError(f"{path}: cannot be written: {error.strerror}") from None
        self.attempt = 1 + _attempts(path)
        self._sync_at = clock() + SYNC_SECONDS
        self._dirty = False
        self.waited_s = 0.0
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n")

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the line that opens an attempt: layout version, attempt number and what the meter says of itself."""
        self._append({"schema": SCHEMA, "attempt": self.attempt} | dict(header))
        self.sync()

    def append(self, window: Window) -> None:
        """Write one window; to disk if it is time for that."""
        self._append(window.as_dict())
        if self._clock() >= self._sync_at:
            self.sync()

    def sync(self) -> None:
        """Put everything on disk.

        Raises:
            MeteringError: if the disk refuses, with the file.
        """
        began, took = self._clock(), 0.0
        if self._dirty:
            try:
                self._fsync(self._file)
            except OSError as error:
                raise MeteringError(f"{self._path}: cannot be written: {error.strerror}") from error
            self._dirty = False
            took = self._clock() - began
        self.waited_s += took
        self._sync_at = began + took + max(SYNC_SECONDS, took / SYNC_SHARE)

    def close(self) -> None:
        """Put everything on disk and close the file."""
        try:
            self.sync()
        finally:
            os.close(self._file)

    def _append(self, data: dict[str, Any]) -> None:
        self._write(_ENCODE(data).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise MeteringError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._dirty = True


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _attempts(path: Path) -> int:
    """Return the highest number of an attempt that left a header or a window, whichever lines are gone or doubled."""
    return max((int(number) for number in re.findall(rb'"attempt":([0-9]{1,9})[,}]', path.read_bytes())), default=0)
