"""Interference: what others took of the CPU while a window was open, by the kernel's own ledger."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
SHORTEST_SECONDS = 0.1
"""Windows shorter than ten kernel ticks of 10 ms have no contamination figures."""
FRESH_SECONDS = 0.01
"""A reading younger than one kernel tick is as good as a new one."""
HEAD_BYTES = 256
"""The first line of /proc/stat, the sum over all CPUs, is shorter than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interference:
    """What disturbed a window."""

    foreign_cpu_share: float
    """CPU time of processes that are not ours, over all CPU time there was, 0 to 1."""
    steal_share: float
    """CPU time that the hypervisor gave to other guests, over all there was, 0 to 1."""
    involuntary_switches: int
    """How often this process was taken off a CPU against its will."""
    minor_faults: int
    """Pages that this process had to fetch from the kernel; thousands per step mean an unpinned allocator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """The kernel's CPU ledger for the whole machine and this process's disturbances, since boot."""

    busy: float
    """CPU-seconds in user, nice, system and interrupts."""
    steal: float
    """CPU-seconds taken by the hypervisor."""
    total: float
    """CPU-seconds that passed, idle ones included."""
    switches: int
    """Involuntary context switches of this process."""
    faults: int
    """Minor page faults of this process."""


class LoadMonitor:
    """Reads the kernel's ledger and compares two readings."""

    def __init__(self, path: Path = STAT, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the ledger's place; a machine without one (macOS) is watched by nobody."""
        self._path = path
        self._file: int | None = None
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._clock = clock
        self._latest: Ticks | None = None
        self._read_at = -float("inf")

    def open(self) -> None:
        """Open the ledger, once for all readings."""
        if self._file is None and self._path.exists():
            self._file = os.open(self._path, os.O_RDONLY)

    def read(self) -> Ticks | None:
        """Return the ledger now, at most one kernel tick old; None where there is none or it is not open."""
        now = self._clock()
        if self._file is not None and now - self._read_at >= FRESH_SECONDS:
            self._latest = self._fresh(self._file)
            self._read_at = now
        return self._latest

    def between(self, start: Ticks | None, *, seconds: float, cpu_seconds: float) -> Interference | None:
        """Return what disturbed a window of ours since `start`, None for a short window or without a ledger."""
        end = self.read() if start is not None and seconds >= SHORTEST_SECONDS else None
        if start is None or end is None or end.total <= start.total:
            return None
        total = end.total - start.total
        foreign = max(0.0, end.busy - start.busy - cpu_seconds)
        return Interference(
            foreign_cpu_share=min(1.0, foreign / total),
            steal_share=max(0.0, end.steal - start.steal) / total,
            involuntary_switches=end.switches - start.switches,
            minor_faults=end.faults - start.faults,
        )

    def close(self) -> None:
        """Let go of the ledger."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._latest = None

    def _fresh(self, file: int) -> Ticks | None:
        """Read one line; guest time is left out since the kernel counts it under user already.

        Source: proc(5), /proc/stat: user nice system idle iowait irq softirq steal.
        """
        head = os.pread(file, HEAD_BYTES, 0).partition(b"\n")[0].split()
        if len(head) < 9 or head[0] != b"cpu":
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = (int(field) * self._tick for field in head[1:9])
        busy = user + nice + system + irq + softirq
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Ticks(
            busy=busy,
            steal=steal,
            total=busy + idle + iowait + steal,
            switches=usage.ru_nivcsw,
            faults=usage.ru_minflt,
        )
