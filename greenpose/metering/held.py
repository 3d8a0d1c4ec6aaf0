"""A small file that is read again and again."""

import os
import weakref
from pathlib import Path
from typing import final

LONGEST = 64
"""Bytes read: a counter of 64 bits has 20 digits."""


@final
class HeldFile:
    """Reads a file that is held open: one system call, a few microseconds for a file of the kernel."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is closed when nobody holds it any more.

        Raises:
            OSError: if it cannot be opened.
        """
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self) -> str:
        """Return what the file says now.

        Raises:
            OSError: if it cannot be read any more.
        """
        return os.pread(self._file, LONGEST, 0).decode("ascii")
