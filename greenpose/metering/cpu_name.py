"""The CPU's name as codecarbon finds it, kept for the next process: it takes more than a second to find.

codecarbon asks py-cpuinfo, which starts processes and times the clock, and remembers the answer for its own process. A
process that knows the name already from a file has codecarbon ask for it while py-cpuinfo answers from that file. All
else (which counter can be read, memory, GPUs, watts from its table) codecarbon still looks for anew in every process.
"""

import contextlib
import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from greenpose.cache import cache_folder
from greenpose.metering.machine import Machine, this_machine

PACKAGES = ("codecarbon", "py-cpuinfo", "greenpose")
"""Another version of one of these may find another name."""


def kept_at(machine: Machine | None = None) -> Path:
    """Return the file for a machine, by default this one, and the versions of what is installed."""
    machine = this_machine() if machine is None else machine
    parts = (machine.fingerprint, *(version(package) for package in PACKAGES))
    return cache_folder() / f"cpu-name-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.txt"


def teach_codecarbon(path: Path) -> str:
    """Return the CPU's name after codecarbon was told it: from the file, else from its own search, which is then kept.

    A file that is missing or damaged is written anew; one that cannot be written is done without.
    """
    from codecarbon.core.util import detect_cpu_model

    name = _kept(path)
    if name is None:
        name = detect_cpu_model() or ""
        _keep(path, name)
        return name
    import cpuinfo

    search, cpuinfo.get_cpu_info = cpuinfo.get_cpu_info, lambda: {"brand_raw": name}
    try:
        return detect_cpu_model() or ""
    finally:
        cpuinfo.get_cpu_info = search


def _kept(path: Path) -> str | None:
    """Return the name in a file: a line, with its digest in front."""
    try:
        digest, _, name = path.read_text(encoding="utf-8").rstrip("\n").partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return name if name and digest == _digest(name) else None


def _keep(path: Path, name: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(f"{_digest(name)} {name}\n", encoding="utf-8")
        unfinished.replace(path)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
