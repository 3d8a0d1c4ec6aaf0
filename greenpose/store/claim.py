"""A run's claim: which process on which host is at work in its folder, and whether it is still alive.

Who works in a folder holds two things there. `running.json` says who it is, and is locked as long as the process
lives: on one host, and on shared disks that carry locks, the kernel tells the dead from the living at once. `.claim` is
a lease, taken by making a file that must not be there yet, which is one step on NFS too; its heart beats by touching
it. So on a shared disk without locks, or beside a host that went down, a claim holds as well: dead is whose process is
gone on this host, or whose heart has not beaten for DEAD_SECONDS by the disk's own clock, not by that of a host, while
Slurm, where it belongs to one of its jobs, does not have that job any more. Hosts need names of their own.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from greenpose.errors import GreenPoseError
from greenpose.files import is_locked, locked, now
from greenpose.scheduler import SKEW_SECONDS, own_job, queue_of
from greenpose.schema import from_json

if TYPE_CHECKING:
    import filelock

NOTE, LEASE = "running.json", ".claim"
"""The two files of a claim, in the run's folder."""
HEARTBEAT_SECONDS = 30.0
"""Between two touches of the lease."""
DEAD_SECONDS = 600.0
"""Whose heart has not beaten for so long on another host is dead; who only looks has no clock of the disk, and waits
SKEW_SECONDS longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a claim, as `running.json` says it."""

    host: str
    """Name of the host."""
    pid: int
    """Number of the process there."""
    since: str
    """UTC time when it took the claim, ISO 8601."""
    boot: str = ""
    """What the host calls itself since it was last started; empty where it does not say."""
    namespace: int = 0
    """In which numbering of processes `pid` counts, as a container has its own."""
    started: float = 0.0
    """When the process began, in seconds since 1970 by the host's clock."""
    job: str = ""
    """Job of Slurm to which the process belongs; empty outside one."""
    token: str = ""
    """Which lease is meant: another one's holder has not said yet who it is."""

    @classmethod
    def of_this_process(cls, token: str) -> "Holder":
        """Return what is to be said of this process."""
        import psutil

        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            since=now(),
            boot=_boot(),
            namespace=_namespace(),
            started=psutil.Process().create_time(),
            job=own_job(),
            token=token,
        )

    def is_here(self) -> bool:
        """Return whether this host can tell whether the process lives."""
        return self.host == socket.gethostname() and self.namespace == _namespace()

    def is_gone(self) -> bool:
        """Return whether the process has ended, killed and not yet waited for included; asked on its own host."""
        import psutil

        if self.boot != _boot():
            return True
        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        """Return who it is, for people."""
        since = datetime.fromisoformat(self.since).astimezone(UTC)
        job = f", job {self.job}" if self.job else ""
        return f"{self.host}, process {self.pid}{job}, since {since:%Y-%m-%d %H:%M} UTC"


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> int:
    with suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino
    return 0


def holder_of(folder: Path) -> Holder | None:
    """Return who says to be at work in a folder; None where nobody does, or it cannot be read just now."""
    try:
        said = from_json((folder / NOTE).read_text(encoding="utf-8"))
        holder = Holder(**{name: said[name] for name in Holder.__slots__ if name in said})
        return holder if str(holder) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def said_of(folder: Path) -> str:
    """Return who says to be at work in a folder, and for how long nothing was heard of it; empty where nobody does."""
    holder = holder_of(folder)
    silent = 0.0
    with suppress(OSError):
        silent = time() - (folder / LEASE).stat().st_mtime
    quiet = f", not heard of for {silent / 60:.0f} min by this host's clock" if silent > 4 * HEARTBEAT_SECONDS else ""
    return f"{holder}{quiet}" if holder else ""


def is_claimed(folder: Path) -> bool:
    """Return whether a process that is alive now is at work in a folder; nothing is changed or disturbed by asking."""
    if is_locked(folder / NOTE):
        return True
    try:
        silent = time() - (folder / LEASE).stat().st_mtime
    except OSError:
        return False
    return not _is_dead(folder, silent, patience=DEAD_SECONDS + SKEW_SECONDS)


def _is_dead(folder: Path, silent: float, *, patience: float) -> bool:
    """Return whether the holder of a lease whose heart has been silent for so many seconds is dead."""
    holder, owner = holder_of(folder), _lease(folder).owner
    told = holder is not None and owner is not None and holder.token == owner.token
    if holder is not None and told and holder.is_here():
        return holder.is_gone()
    if silent < patience:
        return False
    job = holder.job if holder is not None and told else ""
    return not queue_of(folder.parent).keeps(job)


@contextmanager
def claimed(folder: Path, *, lost: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Yield whether this process alone may work in a folder until the block ends.

    `lost` is called, from another thread, where another host has taken the folder over, since this process could not
    touch it for very long: it is to leave the folder alone then.

    Raises:
        GreenPoseError: if nothing can be claimed here.
    """
    with ExitStack() as held:
        no_lock: GreenPoseError | None = None
        mine = True
        try:
            mine = held.enter_context(locked(folder / NOTE, wait=False))
        except GreenPoseError as error:  # the lease does without
            no_lock = error
        try:
            lease = _taken(folder, lost) if mine else None
        except OSError:
            raise no_lock or GreenPoseError(f"{folder / LEASE}: cannot be written") from None
        if lease is not None:
            held.callback(lease.release)
            with suppress(OSError):
                note = json.dumps(asdict(Holder.of_this_process(lease.token or "")))
                (folder / NOTE).write_text(note + "\n", encoding="utf-8")
            if no_lock is not None:  # else it goes with its lock
                held.callback((folder / NOTE).unlink, missing_ok=True)
        yield lease is not None


def _taken(folder: Path, lost: Callable[[], None]) -> "filelock.SoftFileLease | None":
    """Return the lease of a folder; None where somebody alive holds it."""
    from filelock import Timeout

    lease = _lease(folder, lost)
    with suppress(Timeout):
        lease.acquire(blocking=False)
        return lease
    if not _is_dead(folder, _silent(folder), patience=DEAD_SECONDS):
        return None
    with suppress(Timeout), _lease(folder, name=f"{LEASE}.break").acquire(blocking=False):
        if _is_dead(folder, _silent(folder), patience=DEAD_SECONDS):  # still the same one: nobody else breaks it now
            lease.force_break()
        lease.acquire(blocking=False)
        return lease
    return None


def _lease(folder: Path, lost: Callable[[], None] = lambda: None, *, name: str = LEASE) -> "filelock.SoftFileLease":
    from filelock import SoftFileLease

    return SoftFileLease(
        folder / name,
        lease_duration=DEAD_SECONDS,
        heartbeat_interval=HEARTBEAT_SECONDS,
        on_compromise=lambda _: lost(),
        thread_local=False,
    )


def _silent(folder: Path) -> float:
    """Return for how many seconds a lease has not been touched, by the clock of the disk on which it lies."""
    probe = folder / f"{LEASE}.{socket.gethostname()}.{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime - (folder / LEASE).stat().st_mtime
    except FileNotFoundError:  # it has just been given back
        return 0.0
    finally:
        probe.unlink(missing_ok=True)
