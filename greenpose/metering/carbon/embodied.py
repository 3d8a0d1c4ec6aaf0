"""Embodied emissions: what making the machine took, spread over its life: the M of the Software Carbon Intensity.

    M = TE x (TiR / EL) x (RR / ToR)        SCI = (E x I + M) per R

TE is what it took to make the hardware, TiR the time it is held, EL the time it lasts, RR / ToR the part of it that is
held; E x I is energy (with the building's PUE, which M does not have) times the grid's intensity.

Source: Software Carbon Intensity specification 1.1, the text of ISO/IEC 21031:2024, "Methodology summary".
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from greenpose.errors import MeteringError
from greenpose.intervals import Bounds
from greenpose.metering.carbon.grid_intensity import UNIT, CarbonAccounting
from greenpose.metering.machine import Host, Machine
from greenpose.metering.sources.cpu_model import power_of
from greenpose.quantity import Quantity, missing, scaled

HOW = "what it took to make the part of the hardware that is held"
SECONDS_PER_YEAR = 365 * 24 * 3600
"""As in the specification's example: 4 x 365 x 24 hours."""
AT_HOME = ("desktop or laptop x86", "Apple silicon")
"""Families of data/power.json that sit in a desktop or laptop instead of a rack."""
UNKNOWN_GPU = "GPU of unknown model"
EXACT = (1.0, 1.0)
"""Factors of an interval's ends for a part whose number is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedHardware:
    """One part of what is made, and how much of it the work holds."""

    name: str
    """What it is."""
    kg: float
    """What it took to make it (TE), in kgCO2eq."""
    kg_interval: Bounds
    """Its systematic interval."""
    share: float
    """Part of it that the work holds (RR / ToR), 0 to 1."""
    basis: Literal["given", "sourced", "derived", "default"]
    """Whether the figure is the user's, published, made of published ones, or ours."""
    source: str
    """Where the figure comes from, with its year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedShare:
    """The hardware that the work holds, and how long it lasts."""

    kind: Literal["modelled", "given", "excluded"]
    """Modelled from the machine's parts, the user's own figure, or left out by the user."""
    parts: tuple[EmbodiedHardware, ...]
    """Hardware; empty where it is left out."""
    lifetime_years: float
    """Years that it lasts (EL)."""
    note: str
    """How the held part was found, in words."""

    def grams(self, seconds: float, *, time: str = "wall time", repeated: Bounds | None = None) -> Quantity:
        """Return M: what the making costs for a time (TiR), which `time` says in words; none where it is left out.

        Type A is that of the time, where it was `repeated`; Type B that of the hardware.
        """
        method = f"{HOW} x {time} / its life"
        if self.kind == "excluded":
            return missing("left out by the user (carbon.embodied_kg is 0)", unit=UNIT, method=method)
        life_s = self.lifetime_years * SECONDS_PER_YEAR
        grams = [[kg * (1000 * part.share) for kg in (*part.kg_interval, part.kg)] for part in self.parts]
        low, high, mid = map(sum, zip(*grams, strict=True))
        return Quantity(
            value=mid * (seconds / life_s),
            unit=UNIT,
            kind="modelled",
            method=f"{method}, {self.lifetime_years:g} years; {self.note}",
            type_a=scaled(repeated, mid / life_s),
            type_b=Bounds(low * (seconds / life_s), high * (seconds / life_s)),
        )


def embodied_of(
    machine: Machine, carbon: CarbonAccounting, *, share: float | None = None, gpu_share: float | None = None
) -> EmbodiedShare:
    """Return what it takes to make the part of a machine that a process holds.

    Args:
        machine: The machine, as the process sees it.
        carbon: Brings the user's own kilograms, if any, and the lifetime.
        share: Part of the machine that the process answers for; by default the CPUs it may use over those there are.
        gpu_share: Part of the machine's GPUs that it holds; by default the same part as of the machine.

    Source: greenpose/metering/data/embodied.json, where each entry names its own.
    """
    share = machine.share if share is None else share
    gpu_share = share if gpu_share is None else gpu_share
    if not (0 <= share <= 1 and 0 <= gpu_share <= 1):
        raise MeteringError(f"share {share}, GPU share {gpu_share}: a part of a machine is between 0 and 1")
    if carbon.embodied_kg == 0:
        return EmbodiedShare(
            kind="excluded", parts=(), lifetime_years=carbon.lifetime_years, note="left out by the user"
        )
    held = f"; {share:.3g} of it is held" if share < 1 else ""
    if carbon.embodied_kg is not None:
        return EmbodiedShare(
            kind="given",
            parts=(_given(carbon.embodied_kg, share),),
            lifetime_years=carbon.lifetime_years,
            note=f"the machine as the user gave it{held}",
        )
    return EmbodiedShare(
        kind="modelled",
        parts=(*_chassis(machine, share), *_gpus(machine, gpu_share)),
        lifetime_years=carbon.lifetime_years,
        note=_described(machine) + held,
    )


def embodied_of_process(host: Host, carbon: CarbonAccounting, *, gpus: tuple[str, ...] | None = None) -> EmbodiedShare:
    """Return what it takes to make the hardware that a process on a host holds: its part of the machine, and its GPUs.

    `gpus` are the models of those that it uses; None where nobody could say: then those that the kernel lists.
    """
    if gpus is None:
        known = host.machine.gpus
        used = len(known) if host.gpus is None else len(host.gpus)
        gpus = known[:used] + (UNKNOWN_GPU,) * max(0, used - len(known))
    machine = replace(host.machine, gpus=gpus)
    return embodied_of(machine, carbon, share=host.share, gpu_share=1 / host.workers)


def _given(kg: float, share: float) -> EmbodiedHardware:
    return _part("machine", {"kg": [kg] * 3, "basis": "given", "source": "given by the user"}, share=share)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """The server that a machine is, or that a virtual machine is a part of."""

    family: str
    sockets: int
    threads_of_a_cpu: int
    assumed: bool
    """Whether it is a virtual machine's host, of which nothing is known but the family of its CPUs."""


def _server_of(machine: Machine) -> _Server | None:
    """Return the server; None for a desktop or laptop.

    Where nobody says whether the machine is virtual (ARM), it is taken to be: a small one would otherwise be charged a
    whole server, and a large one fills its assumed host anyway.
    """
    power, host = power_of(machine), _table()["host"]
    if power.family in AT_HOME:
        return None
    threads, assumed = power.threads or host["threads_of_a_cpu"], machine.virtualised is not False
    sockets = max(host["sockets"], math.ceil(machine.vcpus / threads)) if assumed else round(machine.vcpus / threads)
    return _Server(family=power.family, sockets=max(1, sockets), threads_of_a_cpu=threads, assumed=assumed)


def _chassis(machine: Machine, share: float) -> tuple[EmbodiedHardware, ...]:
    """Return everything but the GPUs. A virtual machine has its part of the host's threads, and memory of its own."""
    table, server = _table(), _server_of(machine)
    if server is None:
        return (_part("desktop or laptop with its CPU and memory", table["desktop"], share=share),)
    part = machine.vcpus / (server.sockets * server.threads_of_a_cpu) if server.assumed else 1.0
    spread = tuple(table["host"]["spread"]) if server.assumed else EXACT
    return (
        _part("server: case, board, power supplies", table["server"], share=share * part, spread=spread),
        _part(f"CPUs: {server.sockets}", table["cpu"], count=server.sockets, share=share * part, spread=spread),
        _part(f"memory: {machine.ram_gb:.1f} GB", table["ram_gb"], count=machine.ram_gb, share=share),
    )


def _gpus(machine: Machine, share: float) -> tuple[EmbodiedHardware, ...]:
    return tuple(
        _part(f"GPUs: {count} x {name}", _gpu(name), count=count, share=share)
        for name, count in Counter(machine.gpus).items()
    )


def _gpu(name: str) -> Mapping[str, Any]:
    """Return the entry of a GPU by its name; the last one fits all."""
    entries: list[Mapping[str, Any]] = _table()["gpus"]
    return next(entry for entry in entries if re.search(entry["pattern"], name))


def _part(
    name: str, entry: Mapping[str, Any], *, share: float, count: float = 1.0, spread: tuple[float, float] = EXACT
) -> EmbodiedHardware:
    """Return `count` of a part; `spread` widens the ends of its interval."""
    low, mid, high = entry["kg"]
    return EmbodiedHardware(
        name=name,
        kg=mid * count,
        kg_interval=Bounds(low * count * spread[0], high * count * spread[1]),
        share=share,
        basis=entry["basis"],
        source=entry["source"],
    )


def _described(machine: Machine) -> str:
    server = _server_of(machine)
    if server is None:
        return "a desktop or laptop"
    if not server.assumed:
        return f"a server ({server.family})"
    threads = server.sockets * server.threads_of_a_cpu
    return f"{machine.vcpus} of {threads} threads of an assumed host with {server.sockets} CPUs ({server.family})"


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = files("greenpose.metering").joinpath("data/embodied.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
