"""Clocks, sources, kernels and a second tool that do as they are told."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

from greenpose.errors import MeteringError
from greenpose.metering.interference import LoadMonitor
from greenpose.metering.machine import Machine
from greenpose.metering.meter import Meter, MeterSurroundings
from greenpose.metering.sources.source import Component, Joules, Provenance, Source
from greenpose.quantity import Kind


class TickingClock:
    """A clock that goes on by `step` seconds at every reading, and by more when told so."""

    def __init__(self, step: float = 0.0, now: float = 100.0) -> None:
        self.now = now
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class TickingSource:
    """A component that draws constant watts by a clock; low and high are half and twice of it."""

    def __init__(
        self, clock: Callable[[], float], *, watts: float = 10.0, component: Component = "cpu", **details: Any
    ) -> None:
        self.component: Component = component
        self.provenance = provenance(component, **details)
        self.watts = watts
        self._clock = clock

    def read(self) -> Joules:
        joules = self.watts * self._clock()
        return Joules(joules / 2, joules, joules * 2)


class BrokenSource(TickingSource):
    """A counter that cannot be read from its `good`-th reading on."""

    def __init__(self, clock: Callable[[], float], *, good: int, component: Component = "cpu") -> None:
        super().__init__(clock, component=component)
        self._left = good

    def read(self) -> Joules:
        self._left -= 1
        if self._left < 0:
            raise MeteringError("the counter is gone")
        return super().read()


class ScriptedSource:
    """A source that returns given readings one after another, then repeats the last."""

    def __init__(self, component: Component, readings: list[Joules], *, kind: Kind = "measured") -> None:
        self.component: Component = component
        self.provenance = provenance(component, kind)
        self._readings = iter(readings)
        self._last = readings[0]

    def read(self) -> Joules:
        self._last = next(self._readings, self._last)
        return self._last


def unwatched(**known: Any) -> MeterSurroundings:
    """A machine of which nobody sees who else is at work."""
    return MeterSurroundings(load=LoadMonitor(Path("/nowhere")), **known)


def metering(clock: TickingClock, *sources: Source, cpu_share: float = 0.5, **options: Any) -> Meter:
    """A meter by a clock, of 10 W unless there are other sources, for a process that uses half a CPU."""
    options.setdefault("surroundings", unwatched())
    return Meter(sources or [TickingSource(clock)], clock=clock, cpu_clock=lambda: clock.now * cpu_share, **options)


def provenance(component: Component = "cpu", kind: Kind = "measured", **details: Any) -> Provenance:
    return Provenance(
        component=component,
        kind=kind,
        method="fake",
        device="fake",
        scope="fake",
        source="fake",
        version="1",
        **details,
    )


def machine(**changes: Any) -> Machine:
    """A two-core virtual Milan, unless told otherwise."""
    facts = {
        "cpu": "AMD EPYC",
        "cpu_vendor": "AuthenticAMD",
        "cpu_family": 25,
        "cpu_model": 1,
        "vcpus": 2,
        "usable_cpus": 2.0,
        "ram_gb": 16.0,
        "os": "Debian",
        "kernel": "6",
        "architecture": "x86_64",
        "virtualised": True,
        "gpus": (),
        "host": "0" * 12,
    }
    return Machine(**(facts | changes))


CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu vme hypervisor lahf_lm

processor\t: 1
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7763 64-Core Processor
flags\t\t: fpu vme hypervisor lahf_lm
"""


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder that stands for `/`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def kernel(root: Path, **files: str) -> Path:
    """A small Linux below `root`; keyword arguments replace files of /proc."""
    proc = {"cpuinfo": CPUINFO, "meminfo": "MemTotal:       15625000 kB\n", "stat": stat()} | files
    return write(root, {f"proc/{name}": text for name, text in proc.items()})


def stat(user: int = 0, idle: int = 0, steal: int = 0) -> str:
    """/proc/stat with ticks of 10 ms."""
    return f"cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 {steal} 0 0\nintr 12345\n"


class FakeTracker:
    """codecarbon's tracker as far as we use it: 1 Wh of CPU and half of RAM a task."""

    def __init__(self, *, fails: str = "", **settings: Any) -> None:
        self.settings = settings
        self.fails = fails
        self.stopped = 0
        self._tasks: dict[str, object] = {}
        self._hardware = [SimpleNamespace(), SimpleNamespace(_mode="cpu_load", _tdp=8)]

    def get_detected_hardware(self) -> dict[str, Any]:
        return {}

    def start_task(self, name: str) -> None:
        if self.fails == "start" and self.stopped:
            raise KeyError("no such thing")
        self._tasks[name] = object()

    def stop_task(self, name: str) -> SimpleNamespace | None:
        assert name in self._tasks
        self.stopped += 1
        if self.fails == "first" or (self.fails == "stop" and self.stopped > 1):
            return None
        return SimpleNamespace(cpu_energy=1e-3, gpu_energy=0.0, ram_energy=0.5e-3, emissions=1.5e-3 * 0.4)


RANGE_UJ = 262_143_328_850
"""What Intel's packages say: 2^32 counts of 61 µJ."""


def zone(name: str | None, energy_uj: int = 1_000_000, *, range_uj: int = RANGE_UJ, **more: int) -> dict[str, str]:
    """The files of one power zone; keyword arguments are further files, e.g. constraint_0_max_power_uw."""
    files = {"energy_uj": str(energy_uj), "max_energy_range_uj": str(range_uj)} | {
        key: str(value) for key, value in more.items()
    }
    return files if name is None else files | {"name": f"{name}\n"}


def powercap(root: Path, **zones: dict[str, str]) -> Path:
    """A power-capping tree below `root`; `rapl_0_1` is the folder intel-rapl:0:1, `mmio_0` is intel-rapl-mmio:0."""
    for key, files in zones.items():
        interface, _, numbers = key.partition("_")
        folder = {"rapl": "intel-rapl", "mmio": "intel-rapl-mmio"}[interface] + ":" + numbers.replace("_", ":")
        write(root, {f"sys/class/powercap/{folder}/{name}": text for name, text in files.items()})
    return root


class Board:
    """A GPU that draws constant power by a clock; `fails` names the questions it answers with an error."""

    def __init__(self, clock: Callable[[], float], *, watts: float = 100.0, name: str = "A100", uuid: str = "") -> None:
        self.clock = clock
        self.watts = watts
        self.name = name
        self.uuid = uuid or f"GPU-{id(self):x}"
        self.fails: dict[str, int] = {}
        self.split = False
        self.limit = 400.0
        self.began = 0.0


class FakeNvml:
    """The module pynvml as far as we use it, over some boards; errors and their codes are the real module's."""

    def __init__(self, *boards: Board, init_error: int | None = None) -> None:
        self.boards = boards
        self.asked: list[str] = []
        self._init_error = init_error
        self._answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": self._init,
            "nvmlSystemGetDriverVersion": lambda: "550.54",
            "nvmlDeviceGetCount": lambda: len(boards),
            "nvmlDeviceGetHandleByIndex": lambda place: boards[place],
            "nvmlDeviceGetName": lambda board: board.name,
            "nvmlDeviceGetUUID": lambda board: board.uuid,
            "nvmlDeviceGetMigMode": self._mig_mode,
            "nvmlDeviceGetTotalEnergyConsumption": self._energy_mj,
            "nvmlDeviceGetPowerUsage": self._power_mw,
            "nvmlDeviceGetPowerManagementLimitConstraints": self._limits_mw,
        }

    def __getattr__(self, name: str) -> Any:
        return self._answers[name] if name in self._answers else getattr(pynvml, name)

    def _init(self) -> None:
        if self._init_error is not None:
            raise pynvml.NVMLError(self._init_error)

    def _mig_mode(self, board: Board) -> list[int]:
        self._hear(board, "mig")
        return [int(board.split), 0]

    def _energy_mj(self, board: Board) -> int:
        self._hear(board, "energy")
        return round(1e3 * board.watts * (board.clock() - board.began))

    def _power_mw(self, board: Board) -> int:
        self._hear(board, "power")
        return round(1e3 * board.watts)

    def _limits_mw(self, board: Board) -> list[int]:
        self._hear(board, "limits")
        return [100_000, round(1e3 * board.limit)]

    def _hear(self, board: Board, question: str) -> None:
        self.asked.append(question)
        if question in board.fails:
            raise pynvml.NVMLError(board.fails[question])
