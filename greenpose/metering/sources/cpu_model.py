"""The CPU model: energy from CPU-seconds, wall time and memory size; the clock of this process and its children.

    E_cpu = p_dynamic * CPU-seconds + p_idle * vCPUs * share * wall
    E_ram = p_ram * GB * share * wall

Affine in both clocks with constants fixed at the start, hence additive and exact under nesting. A vCPU that is busy
all the time draws p_dynamic + p_idle = the family's `watts_busy`. `share` is the part of the machine that the process
answers for: the CPUs it may use over those there are, divided by the number of workers that run beside each other. RAM
is charged by the same share of the *machine's* memory, not by resident pages: memory draws power whether used or not.
"""

import json
import math
import os
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from greenpose.metering.machine import Machine
from greenpose.metering.sources.source import Component, Joules, Provenance

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


class Coefficient(NamedTuple):
    """A power coefficient, in the unit that its user names."""

    low: float
    """Lower end."""
    mid: float
    """Best estimate."""
    high: float
    """Upper end."""
    basis: str
    """`measured elsewhere`, `sourced` or `default`."""
    source: str
    """Where the figure comes from, or that it is a default with a wide interval."""
    year: int
    """Year of the figure, or of the choice."""

    @property
    def ledgers(self) -> Joules:
        """Return it as joules of one unit of what it is multiplied with."""
        return Joules(self.low, self.mid, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The power coefficients of one machine."""

    family: str
    """CPU family that the machine was recognised as."""
    threads: int | None
    """Hardware threads of the family's largest CPU; None where the family is not known well enough."""
    busy: Coefficient
    """Watts of one vCPU at full load."""
    idle_share: Coefficient
    """Part of those watts that an idle vCPU draws."""
    ram: Coefficient
    """Watts per GB of memory."""

    def idle_watts(self) -> Joules:
        """Return the watts of one idle vCPU."""
        busy, share = self.busy, self.idle_share
        return Joules(busy.low * share.low, busy.mid * share.mid, busy.high * share.high)


def power_of(machine: Machine) -> Power:
    """Return the coefficients for a machine: by CPUID family and model, else by name, else the wide default.

    Source: greenpose/metering/data/power.json, where each entry names its own.
    """
    table = _table()
    family = next(entry for entry in table["families"] if _matches(entry, machine))
    return Power(
        family=family["name"],
        threads=family.get("anchor", family).get("threads"),
        busy=_coefficient(family, "watts_busy"),
        idle_share=_coefficient(table["idle_share_of_busy"]),
        ram=_coefficient(table["ram_watts_per_gb"]),
    )


class CpuTimeSource:
    """CPU energy from CPU-seconds and wall time."""

    component: Component = "cpu"

    def __init__(
        self,
        machine: Machine,
        *,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] | None = None,
    ) -> None:
        """Fix the constants."""
        power = power_of(machine)
        self._clock = clock
        self._cpu_clock = CpuClock() if cpu_clock is None else cpu_clock
        self._idle = power.idle_watts() * (machine.vcpus * share)
        self._dynamic = power.busy.ledgers - power.idle_watts()
        self._origin = (clock(), self._cpu_clock())
        self.provenance = _cpu_provenance(machine, power, share)

    def read(self) -> Joules:
        """Return the modelled joules since the source was made."""
        return self.over(seconds=self._clock() - self._origin[0], cpu_seconds=self._cpu_clock() - self._origin[1])

    def over(self, *, seconds: float, cpu_seconds: float) -> Joules:
        """Return the modelled joules of a stretch of time."""
        return self._dynamic * cpu_seconds + self._idle * seconds


class RamSource:
    """Memory energy from its size and wall time."""

    component: Component = "ram"

    def __init__(self, machine: Machine, *, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Fix the constants."""
        power = power_of(machine)
        self._clock = clock
        self._watts = power.ram.ledgers * (machine.ram_gb * share)
        self._origin = clock()
        self.provenance = Provenance(
            component="ram",
            kind="modelled",
            method="watts per GB x the machine's memory x share of the machine x wall time",
            device=f"{machine.ram_gb:.1f} GB",
            scope="the process's share of the machine's memory",
            coverage="a constant: reads and writes do not show",
            model_params={"watts_per_gb": power.ram._asdict(), "ram_gb": machine.ram_gb, "share": share},
            source=power.ram.source,
            version=f"power.json {_table()['version']}",
        )

    def read(self) -> Joules:
        """Return the modelled joules since the source was made."""
        return self.over(seconds=self._clock() - self._origin, cpu_seconds=0.0)

    def over(self, *, seconds: float, cpu_seconds: float) -> Joules:
        """Return the modelled joules of a stretch of time; CPU time does not matter."""
        del cpu_seconds
        return self._watts * seconds


def _cpu_provenance(machine: Machine, power: Power, share: float) -> Provenance:
    return Provenance(
        component="cpu",
        kind="modelled",
        method="CPU-seconds x dynamic watts per vCPU + share of the machine's idle watts x wall time",
        device=machine.cpu,
        scope="this process, its ended and its running children, and its share of the idle machine",
        coverage="clock frequency, instruction mix and memory traffic do not show",
        model_params={
            "family": power.family,
            "watts_busy_per_vcpu": power.busy._asdict(),
            "idle_share_of_busy": power.idle_share._asdict(),
            "vcpus": machine.vcpus,
            "share": share,
        },
        source=power.busy.source,
        version=f"power.json {_table()['version']}",
    )


def _matches(entry: dict[str, Any], machine: Machine) -> bool:
    if "vendor" in entry and (machine.cpu_vendor, machine.cpu_family) == (entry["vendor"], entry["family"]):
        low, high = entry["models"]
        if machine.cpu_model is not None and low <= machine.cpu_model <= high:
            return True
    pattern = entry.get("pattern")
    return pattern is not None and re.search(pattern, f"{machine.cpu} {machine.architecture}") is not None


def _coefficient(entry: dict[str, Any], key: str = "value") -> Coefficient:
    low, mid, high = entry[key]
    return Coefficient(low, mid, high, entry["basis"], entry["source"], entry["year"])


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = files("greenpose.metering").joinpath("data/power.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
