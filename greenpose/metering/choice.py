"""Which source covers which component on this machine: the first usable one of each list, best first.

A probe answers with a source or with the reason why it cannot be one and what would mend that; `doctor` prints both.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from greenpose.metering.cpu_model import CpuTimeSource, RamSource
from greenpose.metering.machine import ROOT, Machine, this_machine
from greenpose.metering.source import Component, Provenance, Source

RAPL = "sys/class/powercap"
RAPL_COUNTER = "energy_uj"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A source that could cover a component, and why it does not here."""

    name: str
    """The source."""
    why: str
    """What stands in the way."""
    remedy: str | None
    """What would mend it; None if nothing can, here or in this version."""
    kind: str = "measured"
    """What its readings would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What probes look at and what sources are made with."""

    machine: Machine
    """The machine."""
    share: float
    """Part of the machine that this process answers for."""
    clock: Callable[[], float] = time.monotonic
    """Wall clock, in seconds."""
    cpu_clock: Callable[[], float] | None = None
    """CPU time of this process and its children, in seconds; None for the real one."""
    root: Path = ROOT
    """Folder that holds the `proc` and `sys` trees."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Environment of the process."""
    read: Callable[[Path], str] = Path.read_text
    """Reads a counter's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What covers one component."""

    component: Component
    """Part of the machine."""
    source: Source | None
    """The source; None where nothing covers the component or there is no such part."""
    rejected: tuple[Unusable, ...]
    """Better sources that were tried before, best first."""
    present: bool = True
    """Whether the machine has this part at all, for this process."""

    @property
    def provenance(self) -> Provenance | None:
        """Return the source's provenance, `not_covered` for a part that nothing reads, None for an absent part."""
        if self.source is not None:
            return self.source.provenance
        if not self.present:
            return None
        return Provenance(
            component=self.component,
            kind="not_covered",
            method="nothing reads it",
            device=self.component,
            scope="none",
            coverage="; ".join(f"{unusable.name}: {unusable.why}" for unusable in self.rejected),
            source="greenpose",
            version="1",
        )


Probe = Callable[[Host], Source | Unusable]


def host_of(
    machine: Machine | None = None,
    *,
    share: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    cpu_clock: Callable[[], float] | None = None,
) -> Host:
    """Return the host of a machine, by default this one with the share that the process's CPUs make of it."""
    machine = this_machine() if machine is None else machine
    share = machine.share if share is None else share
    return Host(machine=machine, share=share, clock=clock, cpu_clock=cpu_clock)


def choose(host: Host) -> tuple[Choice, ...]:
    """Return what covers the CPU, the GPUs and the memory."""
    gpus = bool(host.machine.gpus) and host.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() not in ("", "-1")
    return (
        _first("cpu", (rapl, cpu_time), host),
        _first("gpu", (nvml,), host, present=gpus),
        _first("ram", (rapl_dram, ram_size), host),
    )


def rapl(host: Host) -> Source | Unusable:
    """Return why the CPU package's energy counter is not used."""
    name = "RAPL package counter"
    counters = sorted((host.root / RAPL).glob(f"intel-rapl:*/{RAPL_COUNTER}"))
    if not counters:
        return _no_rapl(host, name)
    try:
        host.read(counters[0])
    except PermissionError:
        folder = f"/{counters[0].parent.relative_to(host.root)}"
        return Unusable(
            name=name,
            why=f"{folder}/{RAPL_COUNTER} is readable by root only; this version would not use it yet either",
            remedy=f"sudo chmod a+r /{RAPL}/intel-rapl:*/{RAPL_COUNTER}  (until the next boot; lasting: a udev rule "
            f'SUBSYSTEM=="powercap", RUN+="/bin/chmod a+r /sys%p/{RAPL_COUNTER}")',
        )
    except OSError as error:
        return Unusable(name=name, why=f"{counters[0].name} cannot be read: {error.strerror}", remedy=None)
    return Unusable(name=name, why="the counter is there and readable, but this version does not read it", remedy=None)


def rapl_dram(host: Host) -> Source | Unusable:
    """Return why the memory's energy counter is not used."""
    name = "RAPL dram counter"
    names = (host.root / RAPL).glob("intel-rapl:*:*/name")
    if any(host.read(path).strip() == "dram" for path in names):
        return Unusable(name=name, why="the counter is there, but this version does not read it", remedy=None)
    return Unusable(name=name, why="no dram domain is exposed", remedy=None)


def nvml(host: Host) -> Source | Unusable:
    """Return why the GPUs' energy counters are not used."""
    name = "NVML energy counter"
    if not host.machine.gpus:
        return Unusable(name=name, why="the kernel driver lists no NVIDIA GPU", remedy=None)
    if find_spec("pynvml") is None:
        return Unusable(
            name=name,
            why="the package nvidia-ml-py is missing; this version would not use it yet either",
            remedy="pip install nvidia-ml-py",
        )
    return Unusable(name=name, why="GPU and library are there, but this version does not read them", remedy=None)


def cpu_time(host: Host) -> Source | Unusable:
    """Return the model of CPU energy, which is always usable."""
    return CpuTimeSource(host.machine, share=host.share, clock=host.clock, cpu_clock=host.cpu_clock)


def ram_size(host: Host) -> Source | Unusable:
    """Return the model of memory energy, which is always usable."""
    return RamSource(host.machine, share=host.share, clock=host.clock)


def _no_rapl(host: Host, name: str) -> Unusable:
    if host.machine.virtualised:
        return Unusable(
            name=name,
            why="this is a virtual machine, and its host does not pass the counter on",
            remedy="none inside the machine: measure on bare metal, or read a wall meter",
        )
    return Unusable(
        name=name,
        why=f"/{RAPL}/intel-rapl:* does not exist",
        remedy="sudo modprobe intel_rapl_common intel_rapl_msr  (Linux on Intel since 2011, AMD since 2017; "
        "in a container also mount /sys/class/powercap)",
    )


def _first(component: Component, probes: tuple[Probe, ...], host: Host, *, present: bool = True) -> Choice:
    rejected: list[Unusable] = []
    for probe in probes:
        answer = probe(host)
        if not isinstance(answer, Unusable):
            return Choice(component=component, source=answer, rejected=tuple(rejected), present=present)
        rejected.append(answer)
    return Choice(component=component, source=None, rejected=tuple(rejected), present=present)
