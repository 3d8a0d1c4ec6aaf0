"""The machine: processor, memory and limits that a number belongs to, read from files or from a test's."""

import hashlib
import os
import platform
import re
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final


def quota_cpus(root: Path) -> float | None:
    """Return the CPU limit of this process's cgroup and its ancestors, in CPUs; None where there is none."""
    limits = [_version_2(folder) for folder in _folders(root, "")]
    limits += [_version_1(folder) for folder in _folders(root, "cpu")]
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(root: Path, controller: str) -> list[Path]:
    """Return this process's folder and its ancestors: of cgroup v1's controller, or of v2 where that is empty."""
    mount = root / "sys/fs/cgroup" / controller
    folder = mount / _own_group(root, controller).lstrip("/")
    inside = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(mount)]
    return [parent for parent in inside if parent.is_dir()]


def _own_group(root: Path, controller: str) -> str:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return ""


def _version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _version_1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
        period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None


PACKAGES = ("torch", "numpy", "opencv-python-headless", "codecarbon", "pycocotools", "psutil", "pydantic")
"""The packages whose version can move a number."""

ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this computer is, without naming it."""

    cpu: str
    """CPU model as it names itself."""
    cpu_vendor: str
    """CPUID vendor, empty where there is none."""
    cpu_family: int | None
    """CPUID family (x86); None elsewhere."""
    cpu_model: int | None
    """CPUID model (x86): tells generations apart where a virtual machine hides the name; None elsewhere."""
    vcpus: int
    """Hardware threads of the machine."""
    usable_cpus: float
    """Hardware threads that this process may use: affinity and cgroup quota."""
    ram_gb: float
    """Memory of the machine in GB (10^9 bytes)."""
    os: str
    """Operating system and its release."""
    kernel: str
    """Kernel release."""
    architecture: str
    """Instruction set."""
    virtualised: bool | None
    """Whether a hypervisor is announced to the CPU; None where that cannot be read."""
    gpus: tuple[str, ...]
    """NVIDIA GPUs that the kernel driver lists."""
    host: str
    """First 12 hex digits of SHA-256 of the host name: tells hosts apart without naming them."""
    instruction_sets: tuple[str, ...] = ()
    """What the CPU announces of `INSTRUCTION_SETS`: which of them a runtime can use decides what an image costs."""

    @property
    def share(self) -> float:
        """Return the part of the machine that this process may use, 0 to 1."""
        return min(1.0, self.usable_cpus / self.vcpus)

    @property
    def fingerprint(self) -> str:
        """Return 12 hex digits; runs are only compared on equal ones.

        The host name and kernel are left out, and so are instruction sets: older records do not know them.
        """
        parts = (self.cpu, self.cpu_family, self.cpu_model, self.vcpus, self.usable_cpus, round(self.ram_gb), self.gpus)
        return _digest(repr((*parts, self.architecture, self.virtualised)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data, fingerprint included."""
        lists = {"gpus": list(self.gpus), "instruction_sets": list(self.instruction_sets)}
        return asdict(self) | lists | {"fingerprint": self.fingerprint}


def read_machine(root: Path = ROOT) -> Machine:
    """Return this machine's description; `root` holds the `proc` and `sys` trees to read."""
    cpu = _cpuinfo(root / "proc/cpuinfo")
    vcpus = int(cpu["processors"]) or os.cpu_count() or 1
    return Machine(
        cpu=cpu["model name"] or platform.processor() or platform.machine(),
        cpu_vendor=cpu["vendor_id"],
        cpu_family=_number(cpu["cpu family"]),
        cpu_model=_number(cpu["model"]),
        vcpus=vcpus,
        usable_cpus=_usable_cpus(root, vcpus),
        ram_gb=_ram_gb(root),
        os=_distribution(root),
        kernel=platform.release(),
        architecture=platform.machine(),
        virtualised=None if not cpu["flags"] else "hypervisor" in cpu["flags"].split(),
        gpus=_gpus(root / "proc/driver/nvidia/gpus"),
        host=_digest(platform.node()),
        instruction_sets=instruction_sets(cpu["flags"] or cpu["Features"], platform.machine()),
    )


INSTRUCTION_SETS: Mapping[str, frozenset[str]] = {
    "AVX2": frozenset({"avx2"}),
    "AVX-512": frozenset({"avx512f"}),
    "VNNI": frozenset({"avx512_vnni", "avx_vnni", "asimddp"}),
    "BF16": frozenset({"avx512_bf16", "bf16"}),
    "AMX": frozenset({"amx_tile"}),
    "NEON": frozenset({"asimd", "neon"}),
}
"""Instruction sets for many numbers at once, and the flags of Linux that announce each: those of x86 and of ARM.

VNNI multiplies and adds bytes, BF16 halves of floats; ARM's dot product (asimddp) and bf16 are the same to a network.
Source: Linux, arch/x86/include/asm/cpufeatures.h and Documentation/arch/arm64/elf_hwcaps.rst, 2026.
"""


def instruction_sets(flags: str, architecture: str) -> tuple[str, ...]:
    """Return the instruction sets of `INSTRUCTION_SETS` that flags announce; every 64-bit ARM has NEON."""
    said = {*flags.split()} | ({"asimd"} if architecture in ("arm64", "aarch64") else set())
    return tuple(name for name, marks in INSTRUCTION_SETS.items() if marks & said)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return the description of the machine that we run on, read once."""
    return read_machine()


MEASURED_ENVIRONMENT: Mapping[str, str] = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""glibc keeps freed activations instead of returning them to the kernel; idle OpenMP threads sleep instead of spinning.

Without the first two, identical code in two processes differed by up to 41 % in CPU time on a CNN's forward pass.
"""


SHARED_NODE = "GREENPOSE_SHARED_NODE"
"""Set where other jobs of a cluster may be at work on the machine: its counters see them too, and are not read."""


def pinned_environment(threads: int = 1) -> dict[str, str]:
    """Return the variables that every measured process is started with; they only act from its very start."""
    return dict(MEASURED_ENVIRONMENT) | {"OMP_NUM_THREADS": str(threads)}


OTHER_ALLOCATORS = re.compile(r"jemalloc|tcmalloc|mimalloc|hoard|snmalloc|rpmalloc|scudo|tbbmalloc_proxy|lockless")
"""How the libraries are called that take glibc's place in serving memory; its variables say nothing to them."""


def is_pinned(environ: Mapping[str, str] | None = None, *, allocator: str | None = None) -> bool:
    """Return whether this process was started with the allocator and waiting policy of `pinned_environment`.

    The variables are glibc's: where another library serves memory, linked or preloaded, nothing is pinned. `allocator`
    is that library's path, by default the one that serves this process; empty where the system does not say.
    """
    environ = os.environ if environ is None else environ
    allocator = allocator_of_process() if allocator is None else allocator
    foreign = OTHER_ALLOCATORS.search(environ.get("LD_PRELOAD", "")) or (allocator and not _GLIBC.search(allocator))
    return not foreign and all(environ.get(name) == value for name, value in MEASURED_ENVIRONMENT.items())


_GLIBC = re.compile(r"/libc(\.so\.6|-2\.\d+\.so)$")


@lru_cache(maxsize=1)
def allocator_of_process() -> str:
    """Return the path of the library whose `malloc` this process calls; empty where the system does not say.

    Source: dladdr(3).
    """
    if sys.platform != "linux":
        return ""
    import ctypes

    class Found(ctypes.Structure):
        _fields_ = (
            ("file", ctypes.c_char_p),
            ("base", ctypes.c_void_p),
            ("symbol", ctypes.c_char_p),
            ("address", ctypes.c_void_p),
        )

    found = Found()
    try:
        process = ctypes.CDLL(None)
        known = process.dladdr(ctypes.cast(process.malloc, ctypes.c_void_p), ctypes.byref(found))
    except (AttributeError, OSError):
        return ""
    return os.fsdecode(found.file) if known and found.file else ""


def process_settings(
    *, torch_threads: int | None = None, workers: int = 1, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what about this process moves its numbers: allocator, threads, affinity, concurrent workers."""
    environ = os.environ if environ is None else environ
    prefixes = ("MALLOC_", "OMP_", "MKL_", "KMP_", "GOMP_", "GLIBC_TUNABLES", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES")
    return {
        "environment": {name: environ[name] for name in sorted(environ) if name.startswith(prefixes)},
        "pinned": is_pinned(environ),
        "torch_threads": torch_threads,
        "concurrent_workers": workers,
        **({"shared_node": True} if environ.get(SHARED_NODE) else {}),
        "affinity": _affinity(),
        "quota_cpus": quota_cpus(ROOT),
        "libc": " ".join(platform.libc_ver()).strip(),
    }


def software_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python, GreenPose and the installed ones of `packages`, without importing them."""
    versions = {"python": platform.python_version()}
    for package in ("greenpose", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _cpuinfo(path: Path) -> dict[str, str]:
    """Return the first processor's fields and the number of processors, empty strings where they are missing."""
    fields = ("model name", "vendor_id", "cpu family", "model", "flags", "Features")
    found = dict.fromkeys(fields, "") | {"processors": "0"}
    processors = 0
    for line in _text(path).splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        processors += key == "processor"
        if key in found and not found[key]:
            found[key] = value
    return found | {"processors": str(processors)}


def _usable_cpus(root: Path, vcpus: int) -> float:
    affinity = _affinity()
    limits = [float(vcpus), float(len(affinity)) if affinity else None, quota_cpus(root)]
    return min(limit for limit in limits if limit is not None)


def _affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _ram_gb(root: Path) -> float:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 / 1e9
    import psutil

    return float(psutil.virtual_memory().total) / 1e9


def _distribution(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return f"{platform.system()} {platform.mac_ver()[0] or platform.release()}" if sys.platform != "linux" else "Linux"


def _gpus(folder: Path) -> tuple[str, ...]:
    lines = [line for path in sorted(folder.glob("*/information")) for line in _text(path).splitlines()]
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


LONGEST = 64
"""Bytes read: a counter of 64 bits has 20 digits."""


@final
class OpenFile:
    """Reads a file that is held open: one system call, a few microseconds for a file of the kernel."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is closed when nobody holds it any more."""
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __call__(self) -> str:
        """Return what the file says now."""
        return os.pread(self._file, LONGEST, 0).decode("ascii")


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
    """Return the module `pynvml`, whose import takes 25 ms: asked for only where there is a driver."""
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
    open_file: Callable[[Path], Callable[[], str]] = OpenFile
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
