"""The CPU model: energy from CPU-seconds, wall time and memory size; the clock of this process and its children.

    E_cpu = p_dynamic * CPU-seconds + p_idle * vCPUs * share * wall
    E_ram = p_ram * GB * share * wall

Affine in both clocks with constants fixed at the start, hence additive and exact under nesting. A vCPU that is busy
all the time draws p_dynamic + p_idle = the family's `watts_busy`. `share` is the part of the machine that the process
answers for: the CPUs it may use over those there are, divided by the number of workers that run beside each other. RAM
is charged by the same share of the *machine's* memory, not by resident pages: memory draws power whether used or not.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from greenpose.metering.clock import CpuClock
from greenpose.metering.machine import Machine
from greenpose.metering.source import Component, Joules, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A power coefficient: low, middle, high, and where it comes from."""

    value: tuple[float, float, float]
    """Low, middle and high end, in the unit that its user names."""
    basis: str
    """`measured elsewhere`, `sourced` or `default`."""
    source: str
    """Where the figure comes from, or that it is a default with a wide interval."""
    year: int
    """Year of the figure, or of the choice."""


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

    def idle_watts(self) -> tuple[float, float, float]:
        """Return the watts of one idle vCPU: low, middle, high."""
        low, mid, high = (watts * share for watts, share in zip(self.busy.value, self.idle_share.value, strict=True))
        return low, mid, high


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
        self._idle = Joules(*power.idle_watts()) * (machine.vcpus * share)
        self._dynamic = Joules(*power.busy.value) - Joules(*power.idle_watts())
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
        self._watts = Joules(*power.ram.value) * (machine.ram_gb * share)
        self._origin = clock()
        self.provenance = Provenance(
            component="ram",
            kind="modelled",
            method="watts per GB x the machine's memory x share of the machine x wall time",
            device=f"{machine.ram_gb:.1f} GB",
            scope="the process's share of the machine's memory",
            coverage="a constant: reads and writes do not show",
            model_params={"watts_per_gb": _described(power.ram), "ram_gb": machine.ram_gb, "share": share},
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
            "watts_busy_per_vcpu": _described(power.busy),
            "idle_share_of_busy": _described(power.idle_share),
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
    return Coefficient(value=(low, mid, high), basis=entry["basis"], source=entry["source"], year=entry["year"])


def _described(coefficient: Coefficient) -> dict[str, Any]:
    low, mid, high = coefficient.value
    return {
        "low": low,
        "mid": mid,
        "high": high,
        "basis": coefficient.basis,
        "source": coefficient.source,
        "year": coefficient.year,
    }


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = files("greenpose.metering").joinpath("data/power.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
