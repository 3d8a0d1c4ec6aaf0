"""A folder that is there whole or not at all, however the process that makes it ends."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from greenpose.errors import DataError
from greenpose.lock import locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A folder in the making."""

    path: Path
    """Where it lies until it is finished."""
    swept: bool
    """Whether the remains of a process that was killed had to be removed from there."""


@contextmanager
def whole_folder(root: Path) -> Iterator[Unfinished]:
    """Yield a folder that takes the name `root` when the block ends well and is removed when it doesn't.

    It lies beside `root` and is locked while it is filled: what a killed process left there is swept away, what another
    one is writing is not touched.

    Raises:
        DataError: `root` is in use, or another process is making it.
    """
    path = unfinished_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f"{path.name}.lock"), wait=False) as mine, ExitStack() as undo:
        if not mine:
            raise DataError([f"{path}: another process is making {root} just now; wait for it, or name another"])
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise DataError([f"{root}: is in use already; name a new folder, or delete this one first"])
        remains = path.exists()
        undo.callback(shutil.rmtree, path, ignore_errors=True)
        if remains:
            shutil.rmtree(path)
        path.mkdir()
        yield Unfinished(path=path, swept=remains)
        if root.is_dir():
            root.rmdir()
        path.rename(root)
        undo.pop_all()


def unfinished_path(root: Path) -> Path:
    """Return where a folder lies while it is made."""
    return root.absolute().with_name(f".{root.absolute().name}.unfinished")
