"""Sees each change that this process makes below a folder, and can end or refuse a chosen one.

It wraps Python's own calls, and the two writers of weights that go past them; the package knows nothing of it.
"""

import builtins
import errno
import io
import json
import os
import signal
import sys
from pathlib import Path

CALLS = {"mkdir": 0, "rename": 1, "replace": 1, "link": 1, "unlink": 0, "remove": 0, "fsync": 0, "write": 0}
"""The functions of `os` that are watched, and which argument names what they change."""


class Shim:
    """What is to happen to the changes below a folder.

    A plan holds `log` (a file that gets a line for each change), and `kill` (number of the change before which the
    process dies) or `fail` (error, operation, file and place of the first change to fail, and whether later ones do).
    """

    def __init__(self, folder, plan):
        self.folder, self.plan, self.process = os.path.realpath(folder), plan, os.getpid()
        self.count, self.struck = 0, False
        self.log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.put = os.write

    def strike(self, operation, path):
        """Note a change that is about to be made, or let it not happen."""
        name = self.watched(path)
        if name is None:
            return
        self.count += 1
        place = here()
        change = {"operation": operation, "file": name, "place": place}
        failing = self.is_due(change)
        self.put(self.log, (json.dumps(change | {"struck": bool(failing)}) + "\n").encode())
        if self.plan.get("kill") == self.count:
            os.kill(os.getpid(), signal.SIGKILL)
        if failing:
            named = [] if operation in ("write", "fsync") else [str(path)]  # the system knows a number alone
            raise OSError(failing, os.strerror(failing), *named)

    def is_due(self, change):
        """Return the error that a change is to end with, 0 for none."""
        fail = self.plan.get("fail")
        if not fail:
            return 0
        if all(fail[key] == change[key] for key in change):
            self.struck = True
        elif not (self.struck and fail["lasting"]) or change["operation"] not in ("open", "write", "mkdir", "fsync"):
            return 0
        return getattr(errno, fail["error"])

    def watched(self, path):
        """Return a file's name without the numbers of processes, None where it lies elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
            if not path.startswith(os.sep):  # a pipe
                return None
        path = os.path.realpath(path)
        if os.getpid() != self.process or not path.startswith(self.folder + os.sep):
            return None
        return ".".join(part for part in os.path.basename(path).split(".") if part and not part.isdigit())


def here():
    """Return the nearest function of the package that is at work."""
    frame = sys._getframe(2)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if "greenpose" in file.parts and "tests" not in file.parts:
            return f"{file.parent.name}/{file.stem}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "?"


def install(folder, plan):
    """Watch this process from now on."""
    shim = Shim(folder, plan)
    for name, which in CALLS.items():
        setattr(os, name, _call(shim, name, getattr(os, name), which))
    os.open = _os_open(shim, os.open)
    opened = _open(shim, io.open)
    io.open = builtins.open = opened
    import safetensors
    import safetensors.torch
    import torch

    from greenpose.metering.window import WindowLog

    WindowLog.__init__.__kwdefaults__["fsync"] = os.fsync  # it took the one that was there when it was loaded
    torch.save = _writer(shim, torch.save, RuntimeError)
    safetensors.torch.save_file = _writer(shim, safetensors.torch.save_file, safetensors.SafetensorError)


def _call(shim, name, real, which):
    def call(*arguments, **options):
        target = arguments[which] if which < len(arguments) else options.get("dst", options.get("path"))
        if options.get("dir_fd") is None:
            shim.strike("rename" if name == "replace" else "unlink" if name == "remove" else name, target)
        return real(*arguments, **options)

    return call


def _os_open(shim, real):
    def opened(path, flags, *arguments, **options):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and options.get("dir_fd") is None:
            shim.strike("open", path)
        return real(path, flags, *arguments, **options)

    return opened


def _writer(shim, real, refusal):
    """Return a function that writes a whole file by itself; that the disk refuses it, it says in its own way."""

    def write(content, file, *arguments, **options):
        if isinstance(file, str | os.PathLike):
            try:
                shim.strike("write", file)
            except OSError as error:
                raise refusal(f"writing failed: {error.strerror}") from None
        return real(content, file, *arguments, **options)

    return write


def _open(shim, real):
    class Raw(io.FileIO):
        def write(self, data):
            shim.strike("write", self.fileno())
            return super().write(data)

    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if not set(mode) & set("wax+") or shim.watched(file) is None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        shim.strike("open", file)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)

    return opened
