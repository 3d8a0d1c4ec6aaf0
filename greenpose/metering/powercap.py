"""Linux's tree of power zones, /sys/class/powercap, and which of its counters are different ones in hardware.

- A package that shows up under two interfaces (`intel-rapl:0` and `intel-rapl-mmio:0`) is one package.
- Dies (`package-0-die-1`) have a counter each on Intel. AMD and Hygon have one a package, which some kernels list once
  for every die: it is counted once.
  Source: Linux, drivers/powercap/intel_rapl_common.c, rapl_msrs_are_pkg_scope (2024). codecarbon issue 1274 (2026)
  shows a Threadripper whose two dies both read 68 W.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenpose.metering.counter import WrappingCounter
from greenpose.metering.host import Host

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
    """Return the zone's counter after its first reading.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if a file holds no number.
    """
    read = host.hold(zone.folder / COUNTER)
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
