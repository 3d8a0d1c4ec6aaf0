"""Codecarbon beside the meter, as a second opinion: another tool's joules and grams for the same training.

Built so that nothing ambient leaks in: `CODECARBON_*` variables are hidden while it is made, every setting that its
configuration files could fill is passed, it is the offline tracker with a country, and only tasks are used.
"""

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from greenpose.errors import MeteringError
from greenpose.formatting import kwh_to_joules

PREFIX = "codecarbon_"
TASK = "greenpose"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossReading:
    """Another tool's figures for one window."""

    tool: str
    """Name and version."""
    seconds: float = 0.0
    """Wall time that it covered, by our clock."""
    cpu_joules: float | None = None
    """CPU energy; None where it failed."""
    gpu_joules: float | None = None
    """GPU energy; None where it failed."""
    ram_joules: float | None = None
    """Memory energy; None where it failed."""
    co2eq_g: float | None = None
    """Emissions by its own country factor; None where it failed."""
    intensity_g_per_kwh: float | None = None
    """That factor; None where it failed or saw no energy."""
    mode: str = ""
    """How it obtained the CPU's energy, e.g. `intel_rapl` or `cpu_load`."""
    tdp_w: float | None = None
    """CPU watts that it assumed; None where it read a counter or failed."""
    missing: str | None = None
    """Why there are no figures; None where there are."""

    @property
    def joules(self) -> float | None:
        """Return its total; None where it failed."""
        parts = (self.cpu_joules, self.gpu_joules, self.ram_joules)
        return None if self.missing else sum(part for part in parts if part is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


class CodeCarbon:
    """codecarbon as a second opinion, made on first use, outside any window: two seconds a process."""

    def __init__(
        self,
        country: str,
        *,
        build: Callable[..., Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the settings; `build` makes a tracker from keyword arguments, by default codecarbon's offline one."""
        self._settings = _settings(country)
        self._build = _offline_tracker if build is None else build
        self._clock = clock
        self._tracker: Any = None
        self.tool, self._fault = _installed()
        self._started: float | None = None

    def prepare(self) -> None:
        """Make the tracker, let it probe the hardware, and throw its first task away: that one is always wrong."""
        if self._tracker is None and self._fault is None:
            self._fault = self._guarded(self._make)

    def start(self) -> None:
        """Begin a task."""
        self.prepare()
        if self._fault is None and self._started is None:
            fault = self._guarded(lambda: self._tracker.start_task(TASK))
            self._started = None if fault else self._clock()

    def stop(self) -> CrossReading:
        """End the task and return its figures, or why there are none."""
        if self._started is None:
            return CrossReading(tool=self.tool, missing=self._fault or "no task was running")
        seconds, self._started = self._clock() - self._started, None
        figures: list[Any] = []
        fault = self._guarded(lambda: figures.append(self._stopped_task()))
        if fault is not None:
            return CrossReading(tool=self.tool, seconds=seconds, missing=fault)
        return self._reading(figures[0], seconds)

    def describe(self) -> dict[str, Any]:
        """Return how codecarbon sees this machine: mode and watts of the CPU; `missing` says why not."""
        self.prepare()
        mode, tdp = self._cpu()
        return {"tool": self.tool, "mode": mode, "tdp_w": tdp, "missing": self._fault}

    def _make(self) -> None:
        with _ambient_settings_hidden():
            tracker = self._build(**self._settings)
            tracker.get_detected_hardware()
            tracker.start_task("warm-up")
            if tracker.stop_task("warm-up") is None:
                raise MeteringError("codecarbon returned nothing for its first task")
        _forget(tracker, "warm-up")
        self._tracker = tracker

    def _stopped_task(self) -> Any:
        data = self._tracker.stop_task(TASK)
        _forget(self._tracker, TASK)
        if data is None:
            raise MeteringError("codecarbon returned nothing for this window")
        return data

    def _reading(self, data: Any, seconds: float) -> CrossReading:
        mode, tdp = self._cpu()
        kwh = data.cpu_energy + data.gpu_energy + data.ram_energy
        return CrossReading(
            tool=self.tool,
            seconds=seconds,
            cpu_joules=kwh_to_joules(data.cpu_energy),
            gpu_joules=kwh_to_joules(data.gpu_energy),
            ram_joules=kwh_to_joules(data.ram_energy),
            co2eq_g=data.emissions * 1e3,
            intensity_g_per_kwh=data.emissions * 1e3 / kwh if kwh > 0 else None,
            mode=mode,
            tdp_w=tdp,
        )

    def _cpu(self) -> tuple[str, float | None]:
        """Return the mode and assumed watts of the CPU, which codecarbon says nowhere in public."""
        for hardware in getattr(self._tracker, "_hardware", ()):
            mode = getattr(hardware, "_mode", None)
            if mode is not None:
                assumed = getattr(hardware, "_tdp", None) if mode in ("cpu_load", "constant") else None
                return str(mode), None if assumed is None else float(assumed)
        return "", None

    def _guarded(self, action: Callable[[], object]) -> str | None:
        """Return why an action of codecarbon's failed, None if it did not: its bugs must not end a training run."""
        try:
            action()
        except _faults() as error:
            return f"{type(error).__name__}: {error}"
        return None


def _installed() -> tuple[str, str | None]:
    """Return its name and version, and why it cannot be asked; None where it can."""
    try:
        return f"codecarbon {version('codecarbon')}", None
    except PackageNotFoundError:
        return "codecarbon", "it is not installed: pip install 'greenpose[train]'"


def _settings(country: str) -> dict[str, Any]:
    """Return every setting that a stray `.codecarbon.config` could otherwise fill and that moves a figure or a file."""
    return {
        "country_iso_code": country,
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
        "country_2letter_iso_code": None,
        "tracking_mode": "process",
        "measure_power_secs": 3600,
        "api_call_interval": -1,
        "output_methods": [],
        "output_handlers": [],
        "output_dir": ".",
        "emissions_endpoint": None,
        "allow_multiple_runs": True,
        "log_level": "critical",
        "pue": 1.0,
        "wue": 0.0,
        "force_cpu_power": None,
        "force_ram_power": None,
        "force_mode_cpu_load": False,
        "gpu_ids": None,
        "force_carbon_intensity_g_co2e_kwh": None,
        "rapl_include_dram": False,
        "rapl_prefer_psys": False,
        "project_name": "greenpose",
        "logger_preamble": "",
        "electricitymaps_api_token": None,
    }


def _forget(tracker: Any, task: str) -> None:
    """Drop a finished task, which codecarbon would keep for ever and rename the next one for."""
    getattr(tracker, "_tasks", {}).pop(task, None)


def _offline_tracker(**settings: Any) -> Any:
    import codecarbon

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    return codecarbon.OfflineEmissionsTracker(**settings)


@contextlib.contextmanager
def _ambient_settings_hidden() -> Iterator[None]:
    """Hide CODECARBON_* variables, which override what is not passed; silence what is logged before a level is set."""
    hidden = {name: value for name, value in os.environ.items() if name.casefold().startswith(PREFIX)}
    for name in hidden:
        del os.environ[name]
    os.environ["CODECARBON_LOG_LEVEL"] = "critical"
    try:
        yield
    finally:
        del os.environ["CODECARBON_LOG_LEVEL"]
        os.environ.update(hidden)


def _faults() -> tuple[type[Exception], ...]:
    """Return what a bug of codecarbon's or of the tools below it can raise; not interrupts and exits."""
    import psutil

    faults: tuple[type[Exception], ...] = (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        MeteringError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        psutil.Error,
        subprocess.SubprocessError,
    )
    with contextlib.suppress(ImportError):
        import pynvml

        faults += (pynvml.NVMLError,)
    return faults
