"""Files: written whole or not at all, locked, cached, under git; and the time that documents carry.

A lock belongs to an open file, not to a process number written into one: it holds across containers and network file
systems, whatever the clock does, and the kernel lets it go with a killed holder, also with one that nobody waited for.
"""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from greenpose.errors import GreenPoseError, writing

if TYPE_CHECKING:
    import filelock


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def now() -> str:
    """Return the UTC time, ISO 8601, to the second."""
    return utc_now().isoformat(timespec="seconds")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the path's place once it is on disk: readers see the old content or the new.

    That holds after a crash too, also of the machine; whom the umask lets read may read it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file in one step, part by part.

    Raises:
        GreenPoseError: if it cannot be written.
    """
    with writing(path), whole_file(path) as file:
        file.writelines(parts)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step.

    Raises:
        GreenPoseError: if it cannot be written.
    """
    write_parts(path, [text.encode()])


POLL_SECONDS = 0.01


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file for the block, and yield whether it is held: always so where it may `wait` for its holder.

    The file goes with the lock; what is in it means nothing.

    Raises:
        GreenPoseError: if the file system has no locks, or the file cannot be made.
    """
    lock = _lock(path)
    try:
        mine = _acquire(lock, path, wait=wait)
        held = path.stat() if mine else None
    except (OSError, NotImplementedError) as error:
        lock.release(force=True)
        raise GreenPoseError(
            f"{path}: cannot be locked ({getattr(error, 'strerror', None) or error}); without a lock two processes "
            f"would do the same work: use a folder that may be written, on a file system with locks"
        ) from None
    try:
        yield mine
    finally:
        if held is not None:
            with suppress(OSError):
                # Under the lock: whoever waits finds the file gone, and makes a new one. Its folder may have been
                # removed and made again by another process meanwhile, whose lock file it is then.
                if os.path.samestat(held, path.stat()):
                    path.unlink()
            lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a process that is alive now holds a lock file; nothing is changed or disturbed by asking."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _refuses(path)
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who else asks is not in the way
    except BlockingIOError:
        return True
    except OSError:  # this file system has no locks: nobody could take one
        return False
    finally:
        os.close(file)
    return False


def _acquire(lock: "filelock.FileLock", path: Path, *, wait: bool) -> bool:
    """Return whether the lock was got; who only asks whether it is held may be in the way for a moment."""
    from filelock import Timeout

    while True:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait and is_locked(path):
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _refuses(path: Path) -> bool:
    """Return whether a lock file cannot be had just now, by trying."""
    from filelock import Timeout

    if not path.exists():
        return False
    try:
        with _lock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True


def _lock(path: Path) -> "filelock.FileLock":
    from filelock import FileLock

    # Not the soft lock that it would take where there is no flock: that one believes in process numbers.
    return FileLock(path, thread_local=False, fallback_to_soft=False)


def cache_folder() -> Path:
    """Return the folder: $GREENPOSE_CACHE, else greenpose/ in the user's cache folder.

    Raises:
        GreenPoseError: if neither is set and the user has no home folder, as an arbitrary uid in a container.
    """
    own = os.environ.get("GREENPOSE_CACHE")
    try:
        if own:
            return Path(own).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "greenpose"
    except RuntimeError:
        raise GreenPoseError(
            f"GREENPOSE_CACHE is {own or 'not set'}, and this user has no home folder: set it to a folder for what "
            "can be made again, e.g. GREENPOSE_CACHE=/tmp/greenpose"
        ) from None


KEPT = "GIT_CONFIG_"
"""A user's own settings, such as which owners' repositories are trusted."""
OF_HOOKS = "GIT_CONFIG_PARAMETERS"


def git_environment() -> dict[str, str]:
    """Return the variables that git is started with.

    A hook's (GIT_DIR, GIT_INDEX_FILE and others) name the repository that the hook runs for, wherever its children
    look: they are left out.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or (name.startswith(KEPT) and name != OF_HOOKS)
    }


def ask_git(folder: Path, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str] | None:
    """Return what git answers in a folder; None if it is not installed or takes longer than `timeout_s`."""
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
            env=git_environment(),
            timeout=timeout_s,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def head_commit(folder: Path) -> str | None:
    """Return the hash of what is checked out in the repository around a folder; None outside one."""
    done = ask_git(folder, "rev-parse", "HEAD", timeout_s=10)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def commit_of(folder: Path) -> dict[str, Any]:
    """Return the commit that is checked out around a folder and whether tracked files are `dirty`; nothing outside."""
    commit = head_commit(folder)
    if commit is None:
        return {}
    done = ask_git(folder, "status", "--porcelain", "--untracked-files=no", timeout_s=10)
    return {"commit": commit, "dirty": bool(done and done.stdout.strip())}
