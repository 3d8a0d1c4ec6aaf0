"""Who is at work in a folder: claims and locks that a dead process cannot hold."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def claim(path: Path) -> bool:
    """Write a claim for this process; False where a living process of this machine holds it already."""
    if is_held(path):
        return False
    path.unlink(missing_ok=True)
    me = psutil.Process()
    mine = path.with_name(f".{path.name}.{me.pid}")
    mine.write_text(json.dumps({"pid": me.pid, "process_started": me.create_time()}), encoding="utf-8")
    try:
        os.link(mine, path)  # whole or not at all, and only one of two rivals gets it
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def is_held(path: Path) -> bool:
    """Return whether a process that is alive now wrote the claim; its start time tells it from a later namesake."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        process = psutil.Process(int(note["pid"]))
        return abs(process.create_time() - float(note["process_started"])) < 1.0
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, after waiting for who holds it; without a trace in it.

    Where the system has no such locks (Windows), nothing is held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
