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


Process = tuple[int, str]
"""A process's number and when it was started, in the kernel's ticks: numbers are given again."""


class CpuClock:
    """CPU-seconds of this process, its ended children and its running ones; never decreases.

    Own and ended children's time has microsecond resolution, running children's the kernel's tick (10 ms), rounded
    down; they are found on Linux only. A process whose parent ended before it is followed on if it was seen before. In
    a process that was forked since the last reading the clock goes on with that process's own time.
    """

    def __init__(self, proc: Path = PROC) -> None:
        """Keep the folder that stands for /proc."""
        self.blind: str | None = None
        """Why running children were not seen at the last thorough reading; None where all were."""
        self._proc = proc
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._latest = 0.0
        self._begin()

    def __call__(self) -> float:
        """Return the CPU-seconds so far."""
        if os.getpid() != self._pid:
            self._begin()
        self.blind = None
        if self._seen or _has_children():
            self._childless_at = -math.inf
            self._children_s = self._all_children()
        else:
            self._childless_at = time.monotonic()
            self._children_s = _ended_children() + self._orphans_s
        self._latest = max(self._latest, self._before_s + time.process_time() + self._children_s)
        return self._latest

    def quick(self) -> float:
        """Return the CPU-seconds so far, where what a child younger than `LOOK_SECONDS` used may still be missing."""
        if time.monotonic() - self._childless_at >= LOOK_SECONDS or os.getpid() != self._pid:
            return self()
        self._latest = max(self._latest, self._before_s + time.process_time() + self._children_s)
        return self._latest

    def _begin(self) -> None:
        """Begin anew in this process, whose kernel's clocks began at zero, where its parent's reading was."""
        self._pid = os.getpid()
        self._before_s = self._latest
        self._children_s = 0.0
        self._orphans_s = 0.0  # what orphans had used that ended
        self._orphans: set[Process] = set()
        self._seen: dict[Process, float] = {}
        self._childless_at = -math.inf

    def _all_children(self) -> float:
        """Return what children used, ended and running ones; it does not fall when one is lost sight of.

        One look may miss a process that is waited for in the middle of it, two do not. What is gone after both was
        used by a process that nobody of ours waited for.
        """
        children = self._look()
        if children < self._children_s:
            children = self._look()
        lost = max(0.0, self._children_s - children)
        self._orphans_s += lost
        return children + lost

    def _look(self) -> float:
        """Look once; a child that ends in the middle is not counted twice."""
        for _ in range(ATTEMPTS):
            ended = _ended_children()
            running = self._running(self._pid)
            if _ended_children() == ended:
                break
        orphans: set[Process] = set()
        for process in self._seen.keys() - running.keys():
            alive = self._of(process[0])
            if process in alive:
                orphans.add(process)
                running |= alive | self._running(process[0])
            elif process in self._orphans:
                self._orphans_s += self._seen[process]
        self._orphans, self._seen = orphans, running
        return ended + sum(running.values()) + self._orphans_s

    def _running(self, pid: int) -> dict[Process, float]:
        """Return the CPU-seconds of all running descendants of a process."""
        found: dict[Process, float] = {}
        for child in self._children(pid):
            found |= self._of(child) | self._running(child)
        return found

    def _children(self, pid: int) -> list[int]:
        """Return the children of all threads of a process, waiting dead ones included."""
        listings = [self._read(listing) for listing in self._proc.glob(f"{pid}/task/*/children")]
        if pid == self._pid and not listings:
            self._miss(self._proc / f"{pid}/task/*/children")
        return [int(child) for listing in listings for child in listing.split()]

    def _of(self, pid: int) -> dict[Process, float]:
        """Return a process's own and its ended children's CPU-seconds; nothing of one that is gone.

        Source: proc(5), /proc/pid/stat fields 14-17 (utime, stime, cutime, cstime) and 22 (start), in clock ticks.
        """
        fields = self._read(self._proc / str(pid) / "stat").rpartition(")")[2].split()
        if len(fields) < 20:
            return {}
        return {(pid, fields[19]): sum(int(ticks) for ticks in fields[11:15]) * self._tick}

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        except OSError:
            self._miss(path)
            return ""

    def _miss(self, path: Path) -> None:
        self.blind = f"{path} cannot be read: what running children use counts when they end, not before"


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
