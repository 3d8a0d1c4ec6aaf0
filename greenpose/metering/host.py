"""What sources are made from and looked for with: the machine, its files, its libraries, this process's part of it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from greenpose.metering.held import HeldFile
from greenpose.metering.machine import ROOT, Machine, this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A source that could cover a component, and why it does not here."""

    name: str
    """The source."""
    why: str
    """What stands in the way."""
    remedy: str | None
    """What would mend it; None if nothing can."""
    kind: str = "measured"
    """What its readings would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """There is no such component, for this process."""

    why: str
    """How that is known."""


def load_pynvml() -> Any:
    """Return the module `pynvml`, which takes 25 ms to import and is therefore asked for where there is a driver only.

    Raises:
        ImportError: if the package nvidia-ml-py is not installed.
    """
    import pynvml

    return pynvml


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What probes look at and what sources are made with."""

    machine: Machine
    """The machine."""
    share: float
    """Part of the machine that this process answers for."""
    workers: int = 1
    """How many processes like this one share the machine, itself included: counters are divided among them equally."""
    gpus: tuple[int, ...] | None = None
    """GPUs that this process uses, as CUDA numbers those that it sees; None for all that it sees, () for none."""
    clock: Callable[[], float] = time.monotonic
    """Wall clock, in seconds."""
    cpu_clock: Callable[[], float] | None = None
    """CPU time of this process and its children, in seconds; None for the real one."""
    root: Path = ROOT
    """Folder that holds the `proc`, `sys` and `dev` trees."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Environment of the process."""
    read: Callable[[Path], str] = Path.read_text
    """Reads a file once."""
    hold: Callable[[Path], Callable[[], str]] = HeldFile
    """Opens a counter's file; what comes back reads it, again and again."""
    nvml: Callable[[], Any] = load_pynvml
    """Returns the module `pynvml`."""


def host_of(
    machine: Machine | None = None,
    *,
    share: float | None = None,
    workers: int = 1,
    gpus: tuple[int, ...] | None = None,
    clock: Callable[[], float] = time.monotonic,
    cpu_clock: Callable[[], float] | None = None,
) -> Host:
    """Return the host of a machine, by default this one.

    Without a `share` it is what the process's CPUs make of the machine, divided by the workers beside each other.
    """
    machine = this_machine() if machine is None else machine
    share = machine.share / workers if share is None else share
    return Host(machine=machine, share=share, workers=workers, gpus=gpus, clock=clock, cpu_clock=cpu_clock)
