"""RAPL: joules of the processor packages and of their memory, through powercap.

- A package that shows up under two interfaces (`intel-rapl:0` and `intel-rapl-mmio:0`) is one package.
- Dies (`package-0-die-1`) have a counter each on Intel. AMD and Hygon have one a package, which some kernels list once
  for every die: it is counted once.
  Source: Linux, drivers/powercap/intel_rapl_common.c, rapl_msrs_are_pkg_scope (2024). codecarbon issue 1274 (2026)
  shows a Threadripper whose two dies both read 68 W.

Zones named `package-N` are the CPU, their parts named `dram` are the memory. `core` and `uncore` lie inside the package
already, and `psys` is the whole board with the package in it: neither is added.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from greenpose.errors import MeteringError
from greenpose.metering.machine import SHARED_NODE, Host, Unusable
from greenpose.metering.sources.counters import Periodic, WrappingCounter
from greenpose.metering.sources.source import Attribution, Component, Joules, Provenance, Source

POWERCAP = "sys/class/powercap"
COUNTER = "energy_uj"
PACKAGE = re.compile(r"(package-\d+)(-die-\d+)?")
ONE_COUNTER_A_PACKAGE = ("AuthenticAMD", "HygonGenuine")

LEAST_WATTS, LARGEST_WATTS = 100.0, 1000.0
"""Between these lies the bound on a package's power, whatever its constraints say.

Source: the upper one is twice the largest processors on sale, 500 W (AMD EPYC 9965, Intel Xeon 6980P, makers' lists,
2024).
"""
HEADROOM = 2.0
"""A package may draw this many times the largest power that its constraints name: boards lift limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A folder with a counter."""

    folder: Path
    """The folder."""
    name: str
    """What the kernel calls it; empty where it does not say."""
    parent: str
    """Name of the zone around it; empty for an outermost one."""

    @property
    def is_package(self) -> bool:
        """Return whether it is a processor package or a die of one."""
        return PACKAGE.fullmatch(self.name) is not None

    @property
    def is_memory(self) -> bool:
        """Return whether it is the memory of a package."""
        return self.name == "dram"


def entries(host: Host) -> list[Path]:
    """Return the folders of all zones, those read by instruction before their memory-mapped copies."""
    return sorted((host.root / POWERCAP).glob("intel-rapl*:*"), key=lambda folder: folder.name.split(":"))


def zones(host: Host) -> list[Zone]:
    """Return the zones that have a counter."""
    folders = entries(host)
    names = {folder.name: _text(host, folder / "name") for folder in folders}
    return [
        Zone(folder=folder, name=names[folder.name], parent=names.get(folder.name.rpartition(":")[0], ""))
        for folder in folders
        if (folder / COUNTER).exists()
    ]


def distinct(some: Sequence[Zone], host: Host) -> list[Zone]:
    """Return one zone for each counter that there is in hardware."""
    found: dict[tuple[str, str], Zone] = {}
    for zone in some:
        found.setdefault((_hardware(zone.parent, host), _hardware(zone.name, host)), zone)
    return list(found.values())


def open_counter(host: Host, zone: Zone) -> WrappingCounter:
    """Return the zone's counter after its first reading."""
    read = host.open_file(zone.folder / COUNTER)
    # The counter itself turns every failure into one kind of error; here it matters which.
    int(read())
    return WrappingCounter(
        " ".join(part for part in ("RAPL", zone.parent, zone.name) if part),
        read,
        range_uj=int(host.read(zone.folder / "max_energy_range_uj")),
        largest_watts=_largest_watts(host, zone.folder),
        clock=host.clock,
    )


def _hardware(name: str, host: Host) -> str:
    """Return the name that a zone shares with its mirrors."""
    found = PACKAGE.fullmatch(name)
    return found[1] if found and host.machine.cpu_vendor in ONE_COUNTER_A_PACKAGE else name


def _largest_watts(host: Host, folder: Path) -> float:
    """Return a power that the zone stays below.

    The kernel's `max_power` alone is none: one package says 55 W beside limits of 200 and 246 W (scaphandre issue 351,
    2024). AMD's have no constraints at all.
    """
    texts = (_text(host, path) for path in folder.glob("constraint_*_uw"))
    watts = max((int(text) / 1e6 for text in texts if text.isdigit()), default=0.0)
    return min(LARGEST_WATTS, max(LEAST_WATTS, HEADROOM * watts)) if watts else LARGEST_WATTS


def _text(host: Host, path: Path) -> str:
    try:
        return host.read(path).strip()
    except OSError:
        return ""


ERROR = 0.10
"""Relative systematic error of package and memory, k about 2: the upper end of 5 to 10 %, a judgement on these.

Source: Intel's servers measure rather than model since Haswell (Hackenberg et al. 2015, doi:10.1109/IPDPSW.2015.70; for
memory Desrochers et al. 2016, doi:10.1145/2989081.2989088), and readings follow plug power closely (Khan et al. 2018,
doi:10.1145/3177754).
"""
VIRTUAL_ERROR = 0.20
"""The same inside a virtual machine, where the host portions out what it reads: an assumption."""
UPDATE_PERIOD_S = 0.001
"""How often the counters move, about. Source: Khan et al. 2018, doi:10.1145/3177754."""
COUNTS = 2**32 - 1
"""A full counter: its range over this is the energy of one count. Source: Linux, ENERGY_STATUS_MASK."""
FILE_STEP_J = 1e-6
"""The files show whole microjoules."""
X86 = ("x86_64", "AMD64", "i686")
READS_PER_HORIZON = 4
"""In the time in which it might wrap unseen, a counter is read this often, whatever the program does."""


@final
class RaplSource:
    """Joules of the packages, or of their memory, since the source was made.

    The counters wrap, after a minute at the earliest. From the first reading on a thread reads them often enough, until
    `close`; should it be kept from that (a stopped process, a suspended machine), readings are refused, not guessed.
    """

    def __init__(
        self, counters: Sequence[WrappingCounter], *, attribution: Attribution, provenance: Provenance
    ) -> None:
        """Keep the counters."""
        self.component: Component = provenance.component
        self.provenance = provenance
        self._counters = tuple(counters)
        self._attribution = attribution
        horizon_s = min(counter.horizon_s for counter in counters)
        self._periodic = Periodic(self._keep_up, period_s=horizon_s / READS_PER_HORIZON)

    def read(self) -> Joules:
        """Return the energy so far."""
        microjoules = sum(counter.microjoules() for counter in self._counters)
        self._periodic.start()
        return self._attribution.of(microjoules / 1e6)

    def first(self) -> "RaplSource":
        """Return a source of the first counter alone: the steps of several would blur into one another."""
        return RaplSource(self._counters[:1], attribution=self._attribution, provenance=self.provenance)

    def close(self) -> None:
        """Stop the thread."""
        self._periodic.stop()

    def _keep_up(self) -> None:
        for counter in self._counters:
            # Whoever reads next is told.
            with suppress(MeteringError):
                counter.microjoules()


def rapl(host: Host) -> Source | Unusable:
    """Return the counters of the processor packages, or why they are not used."""
    name = "the processor's energy counter (RAPL)"
    found = zones(host)
    if not found:
        return _no_zone(host, name)
    packages = distinct([zone for zone in found if zone.is_package], host)
    if not packages:
        names = ", ".join(sorted({zone.name or "one without a name" for zone in found}))
        return Unusable(name=name, why=f"none of the counters is a package's: {names}", remedy=None)
    return _source(host, name, packages)


def rapl_dram(host: Host) -> Source | Unusable:
    """Return the counters of the memory, or why they are not used."""
    name = "the memory's energy counter (RAPL)"
    found = distinct([zone for zone in zones(host) if zone.is_memory], host)
    if not found:
        return Unusable(name=name, why="there is none; hardly any machine but Intel's servers has one", remedy=None)
    return _source(host, name, found)


def _source(host: Host, name: str, found: Sequence[Zone]) -> Source | Unusable:
    """Open every counter; one that does not open would leave the sum short."""
    if host.environ.get(SHARED_NODE):
        why = "other jobs may be at work on this node, and it counts them too"
        return Unusable(name=name, why=why, remedy="ask for the whole node: --exclusive")
    counters = []
    for zone in found:
        place = f"/{(zone.folder / COUNTER).relative_to(host.root)}"
        try:
            counters.append(open_counter(host, zone))
        except PermissionError:
            return Unusable(name=name, why=f"{place} is readable by root only", remedy=_opening())
        except (OSError, ValueError, MeteringError) as error:
            return Unusable(name=name, why=f"{place} cannot be read: {error}", remedy=None)
    if all(counter.stood_at_zero for counter in counters):
        why = "it stands at zero, as where a virtual machine's host does not fill it"
        return Unusable(name=name, why=why, remedy=None)
    virtual = bool(host.machine.virtualised)
    attribution = Attribution(
        counter_kind="estimated" if virtual else "measured",
        error=VIRTUAL_ERROR if virtual else ERROR,
        workers=host.workers,
    )
    provenance = _provenance(host, "ram" if found[0].is_memory else "cpu", counters, attribution)
    return RaplSource(counters, attribution=attribution, provenance=provenance)


def _provenance(
    host: Host, component: Component, counters: Sequence[WrappingCounter], attribution: Attribution
) -> Provenance:
    what = "memory counter" if component == "ram" else "package counter"
    several = f"s of {len(counters)} packages" if len(counters) > 1 else ""
    step = max(counter.range_uj for counter in counters) / COUNTS / 1e6
    return Provenance(
        component=component,
        kind=attribution.kind,
        method=attribution.explain(f"RAPL {what}{several}"),
        device=f"{host.machine.ram_gb:.1f} GB" if component == "ram" else host.machine.cpu,
        scope=attribution.explain_scope("all memory" if component == "ram" else "the whole package"),
        resolution_j=max(step, FILE_STEP_J),
        update_period_s=UPDATE_PERIOD_S,
        coverage=_coverage(host, component),
        model_params={"relative_error": attribution.error, "workers": attribution.workers}
        | {"counters": [counter.name for counter in counters]}
        | {"most_watts": sum(counter.largest_watts for counter in counters) / attribution.workers},
        source="Linux powercap; error: Hackenberg et al. 2015, Desrochers et al. 2016, Khan et al. 2018",
        version=host.machine.kernel,
    )


def _coverage(host: Host, component: Component) -> str:
    """Return what is left out, and what the counter is not."""
    if component == "ram":
        words = "memory modules only; outside servers the processor estimates them, worst when they are idle"
    else:
        words = "no memory modules, no GPU, no board, no fans, no power supply"
    if host.machine.cpu_vendor in ONE_COUNTER_A_PACKAGE:
        words += "; AMD's processors model their power rather than measure it (Schöne et al. 2021, arXiv 2108.00808)"
    if host.machine.virtualised:
        words += "; in a virtual machine it shows what its host makes of it"
    return words


def _opening() -> str:
    return (
        f"sudo chmod a+r /{POWERCAP}/intel-rapl:*/{COUNTER}  (until the next boot; lasting: a udev rule "
        f'SUBSYSTEM=="powercap", RUN+="/bin/chmod a+r /sys%p/{COUNTER}"). '
        "Closed since 2020, as other users could spy on computations (CVE-2020-8694): open it where you trust them all"
    )


def _no_zone(host: Host, name: str) -> Unusable:
    if entries(host):
        return Unusable(
            name=name,
            why=f"/{POWERCAP} lists counters but hides them, as Docker does",
            remedy="start the container with --privileged, or run outside it",
        )
    if host.machine.virtualised:
        return Unusable(
            name=name,
            why="this is a virtual machine, and its host does not pass it on",
            remedy="none inside the machine: measure on bare metal, or read a wall meter",
        )
    if host.machine.architecture not in X86:
        return Unusable(name=name, why="processors other than x86 have none", remedy="read a wall meter")
    return Unusable(
        name=name,
        why=f"/{POWERCAP}/intel-rapl:* does not exist",
        remedy="sudo modprobe intel_rapl_common intel_rapl_msr  (Linux on Intel since 2011, AMD since 2017; "
        "in a container also mount /sys/class/powercap)",
    )
