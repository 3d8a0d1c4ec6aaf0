"""CPU time of this process and of every process that it started."""

import math
import os
import resource
import time
from pathlib import Path

PROC = Path("/proc")
ATTEMPTS = 3
"""Readings tried when a child ends in the middle of one."""
LOOK_SECONDS = 0.5
"""A quick reading looks for children this long after none was found: looking takes as long as all else in it."""


class CpuClock:
    """CPU-seconds of this process, its ended children and its running ones; never decreases.

    Own and ended children's time has microsecond resolution, running children's the kernel's tick (10 ms), rounded
    down; they are found on Linux only. A process that lets go of its parent (a daemon) is lost from then on.
    """

    def __init__(self, proc: Path = PROC) -> None:
        """Keep the folder that stands for /proc."""
        self._proc = proc
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._latest = 0.0
        self._ended = 0.0
        self._childless_at = -math.inf

    def __call__(self) -> float:
        """Return the CPU-seconds so far."""
        if _has_children():
            self._childless_at = -math.inf
            children = self._all_children()
        else:
            self._childless_at = time.monotonic()
            children = self._ended = _ended_children()
        self._latest = max(self._latest, time.process_time() + children)
        return self._latest

    def quick(self) -> float:
        """Return the CPU-seconds so far, where what a child younger than `LOOK_SECONDS` used may still be missing."""
        if time.monotonic() - self._childless_at >= LOOK_SECONDS:
            return self()
        self._latest = max(self._latest, time.process_time() + self._ended)
        return self._latest

    def _all_children(self) -> float:
        """Return ended and running children's seconds; a child that ends in between is not counted twice."""
        for _ in range(ATTEMPTS):
            ended = _ended_children()
            running = self._running(os.getpid())
            if _ended_children() == ended:
                break
        return ended + running

    def _running(self, pid: int) -> float:
        return sum(self._of(child) + self._running(child) for child in self._children(pid))

    def _children(self, pid: int) -> list[int]:
        """Return the children of all threads of a process, waiting dead ones included."""
        children = []
        for listing in self._proc.glob(f"{pid}/task/*/children"):
            children += [int(child) for child in _read(listing).split()]
        return children

    def _of(self, pid: int) -> float:
        """Return a process's own and its ended children's CPU-seconds.

        Source: proc(5), /proc/pid/stat fields 14-17 (utime, stime, cutime, cstime), in clock ticks.
        """
        fields = _read(self._proc / str(pid) / "stat").rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) * self._tick


def _ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _has_children() -> bool:
    """Return whether this process has any child, without waiting for one: 3 µs, where a scan of /proc takes 50."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
