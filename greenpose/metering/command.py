"""A command run unchanged: its start, the signals that are passed on, its end, and the processes that it leaves.

It runs in the same process group, folder and environment, with the same open files: a terminal, a scheduler and a shell
deal with it as they would without us. What its processes orphan, daemons among them, becomes a child of ours (a
"subreaper", prctl(2)), so that the CPU clock loses sight of none and the kernel hands us what they used.
"""

import ctypes
import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, final

from greenpose.errors import GreenPoseError, MeteringError
from greenpose.metering.meter import Meter

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that somebody sends to the process that runs the command, and means the command."""
HELD = frozenset((*PASSED_ON, signal.SIGCHLD))
RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and the command is not to: ignored ones stay so in a new program."""
BY_SIGNAL = 128
"""A shell's exit code of a process that a signal ended is this plus the signal's number."""
PHASE = "command"
"""What the windows of a command are named by."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""A shell's exit codes for a command that is not there, and for one that cannot be executed."""
SET_CHILD_SUBREAPER = 36
"""Source: linux/prctl.h."""
SHELL = "/bin/sh"
"""What executes a script without a first line that says so, as execvp(3) does."""
LOST_SHARE, SHORTEST_S, LONGEST_S = 0.1, 1.0, 60.0
"""Part of the time so far that a kill may cost, and the seconds that it costs at least and at most."""
LOOK_SHARE, TRACE_SHARE = 0.005, 0.05
"""Part of a CPU that looking at the processes may take: thousands are looked at less often than was asked for."""

LOOKS = 10
"""Times that one looks anew for what a command leaves, which may be starting and ending processes all the while."""


class CommandError(GreenPoseError):
    """A command that cannot be started; `code` is what a shell's exit code would be."""

    def __init__(self, says: str, *, code: int) -> None:
        """Keep the code."""
        super().__init__(says)
        self.code = code


@contextmanager
def signals_held() -> Iterator[frozenset[int]]:
    """Hold signals back for the block, for `Command.wait` to take; yield those that were held before, by a parent.

    Before any thread is started: threads inherit it, and whichever does not hold a signal would get it.

    Raises:
        MeteringError: on a system that does not tell who sent a signal, or keeps no track of orphans.
    """
    if not sys.platform.startswith("linux"):
        raise MeteringError(
            f"a command is metered with its orphans and signals on Linux only, and this is {sys.platform}: "
            "meter inside the program, with greenpose.meter()"
        )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield frozenset(int(each) for each in before)
    finally:
        while signal.sigtimedwait(HELD, 0):  # what came too late for the command is nobody's any more
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def found(words: Sequence[str]) -> str:
    """Return the file that a command's first word names.

    Raises:
        CommandError: with code 127 if there is none, 126 if it cannot be executed.
    """
    name = words[0]
    file = shutil.which(name)
    if file is not None:
        return file
    there = Path(name) if os.sep in name else None
    if there is not None and there.exists():
        what = "is a folder" if there.is_dir() else "may not be executed: chmod +x, or name what executes it"
        raise CommandError(f"{name}: {what}", code=NOT_EXECUTABLE)
    where = "no such file" if there is not None else "no command of this name in any folder of PATH"
    raise CommandError(f"{name}: {where}; nothing was run", code=NOT_FOUND)


class LeftoverProcess(NamedTuple):
    """A process that goes on after the command that started it."""

    pid: int
    """Its number."""
    command: str
    """What it was started as."""


@final
class Command:
    """A command, from before its start to its end."""

    def __init__(self, words: Sequence[str], *, held_before: frozenset[int] = frozenset()) -> None:
        """Keep its words, and what `signals_held` yields: all of it happens inside that.

        Raises:
            CommandError: if there is no such command.
        """
        self.words = tuple(words)
        self.sent: int | None = None
        """Last signal that was passed on, or that its terminal sent to both; None for none."""
        self._file = found(words)
        self._held_before = held_before
        self._pid: int | None = None
        self._status: int | None = None

    def start(self) -> None:
        """Start it.

        Raises:
            CommandError: if that cannot be.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else, ignored by a parent, the kernel would forget our children
        ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._pid = _started(self._file, self.words, self._held_before)

    @property
    def code(self) -> int | None:
        """Return the exit code, 128 + n where signal n ended it; None until it has ended."""
        if self._status is None:
            return None
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else BY_SIGNAL - code

    @property
    def ended_by(self) -> int | None:
        """Return the signal that ended it; None for none, or until it has ended."""
        ended = self._status is not None and os.WIFSIGNALED(self._status)
        return os.WTERMSIG(self._status) if ended and self._status is not None else None

    def wait(self, seconds: float, *, for_all: bool = False) -> bool:
        """Return whether it has ended, after so many seconds at most; signals are passed on meanwhile.

        With `for_all` what it left behind is waited for too, and a signal ends that. What the terminal sends is not
        passed on: the command, in the same process group, has it already.
        """
        until = time.monotonic() + seconds
        while not self._all_ended(for_all=for_all):
            told = signal.sigtimedwait(HELD, max(0.0, until - time.monotonic()))
            if told is None:
                return False
            if told.si_signo == signal.SIGCHLD:
                continue
            self.sent = told.si_signo
            if self._status is not None:
                return True
            if told.si_code <= 0 and self._pid is not None:  # by a process; the kernel's own are above
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(self._pid, told.si_signo)
        return True

    def left(self) -> list[LeftoverProcess]:
        """Return the processes that go on without it, if any.

        One that starts another and ends while one looks hides it: looks are repeated until two find the same.
        """
        found = _descendants()
        for _ in range(LOOKS):
            before, found = found, _descendants()
            if found == before:
                break
        return found

    def _all_ended(self, *, for_all: bool) -> bool:
        """Take leave of all that have ended; return whether there is nobody left to wait for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return self._status is not None and not for_all
            if pid == self._pid:
                self._status = status


def _descendants() -> list[LeftoverProcess]:
    """Look once at the processes that are at work below this one."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(LeftoverProcess(process.pid, " ".join(process.cmdline()) or process.name()))
    return found


def _started(file: str, words: Sequence[str], held_before: frozenset[int]) -> int:
    """Return the number of a new process.

    Raises:
        CommandError: if it cannot be started.
    """

    def spawn(program: str, arguments: list[str]) -> int:
        return os.posix_spawn(program, arguments, os.environ, setsigmask=held_before, setsigdef=RESET)

    try:
        try:
            return spawn(file, [*words])
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return spawn(SHELL, [SHELL, file, *words[1:]])
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise CommandError(
                f"{file}: what its first line (#!) names to execute it does not exist", code=NOT_FOUND
            ) from None
        raise CommandError(f"{file}: cannot be executed: {error.strerror}", code=NOT_EXECUTABLE) from None


def meter_command(
    command: Command, meter: Meter, *, interval_s: float | None = None, for_all: bool = False
) -> list[str]:
    """Start a command, meter it to its end in windows `command 1` and so on, and return what could not be kept.

    A window ends after `interval_s`, else when a tenth of the time so far has passed, within 1 and 60 s: what a kill of
    this process costs. A disk that takes no more of them does not end the command, nor the metering.

    Args:
        command: What is to be run.
        meter: An open meter.
        interval_s: Seconds of each window, for a course of power over time.
        for_all: Whether what the command leaves behind is metered to its end too.

    Raises:
        CommandError: if it cannot be started.
    """
    faults: dict[str, None] = {}
    began, ended, number = time.monotonic(), False, 0
    share, look_s = (LOOK_SHARE if interval_s is None else TRACE_SHARE), 0.0
    while not ended:
        number, before_s = number + 1, time.process_time()
        so_far = LOST_SHARE * (time.monotonic() - began)
        pause_s = min(max(so_far, SHORTEST_S), LONGEST_S) if interval_s is None else interval_s
        try:
            with meter.window(f"{PHASE} {number}"):
                if number == 1:
                    command.start()
                ended = command.wait(max(pause_s, look_s / share), for_all=for_all)
        except MeteringError as error:
            faults[str(error)] = None
        look_s = time.process_time() - before_s
    return [*faults]
