"""NVIDIA GPUs: which of them a process sees, and their joules by NVML."""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from greenpose.errors import MeteringError
from greenpose.metering.machine import Absent, Host, Unusable
from greenpose.metering.sources.counters import Periodic
from greenpose.metering.sources.source import Attribution, Component, Joules, Provenance, Source

VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDINAL = re.compile(r"[+-]?[0-9]+")
UUID = "GPU-"
SLICE = "MIG-"


def visible_gpus(setting: str | None, uuids: Sequence[str]) -> tuple[int, ...]:
    """Return the places of the GPUs that are seen, in the order in which CUDA numbers them.

    The list ends at the first entry that names no GPU, -1 among them; a GPU named twice leaves none at all; UUIDs may
    be shortened as long as they are unambiguous. Ordinals and UUIDs do not mix.

    Source: CUDA programming guide, environment variables (2025); for doubles and trailing letters, torch.cuda.

    Args:
        setting: Value of the variable; None where it is not set, and all are seen.
        uuids: UUIDs of all GPUs, in the driver's order.
    """
    if setting is None:
        return tuple(range(len(uuids)))
    by_uuid = setting.startswith(UUID)
    seen: list[int] = []
    for entry in setting.split(","):
        place = _by_uuid(entry, uuids) if by_uuid else _by_ordinal(entry, len(uuids))
        if place is None:
            break
        if place in seen:
            return ()
        seen.append(place)
    return tuple(seen)


def _by_ordinal(entry: str, count: int) -> int | None:
    """Return the number that an entry begins with; letters after it do not matter."""
    found = ORDINAL.match(entry.strip())
    ordinal = int(found[0]) if found else -1
    return ordinal if 0 <= ordinal < count else None


def _by_uuid(entry: str, uuids: Sequence[str]) -> int | None:
    fitting = [place for place, uuid in enumerate(uuids) if uuid.startswith(entry)]
    return fitting[0] if entry.startswith(UUID) and len(fitting) == 1 else None


NAME = "the GPU's energy counter (NVML)"
TRACES = ("proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""One of these is there wherever the driver is: on the machine itself, in a container, under Windows' Linux."""
ORDER = "CUDA_DEVICE_ORDER"
BY_SLOT = "PCI_BUS_ID"

TROUBLES = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": (
        "the driver's library, libnvidia-ml.so.1, is not found",
        "install NVIDIA's driver; start a container with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ),
    "NVML_ERROR_DRIVER_NOT_LOADED": (
        "NVIDIA's driver is not loaded",
        "sudo modprobe nvidia; if that fails, install the driver for the running kernel",
    ),
    "NVML_ERROR_NO_PERMISSION": (
        "this user may not open the GPU's device files",
        "sudo usermod -aG video $USER and log in again (ls -l /dev/nvidiactl shows the group)",
    ),
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "the driver's library is of another version than the loaded driver, as after an update",
        "reboot",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as the driver knows it."""

    place: int
    """The driver's number for it."""
    name: str
    """Its model."""
    uuid: str
    """Its UUID, GPU-..."""
    handle: Any
    """What the library calls it by."""

    def __str__(self) -> str:
        """Return what an error calls it."""
        return f"GPU {self.place} ({self.name})"

    def ask(self, library: Any, question: Callable[[Any], Any]) -> Any:
        """Return what the library answers about it."""
        try:
            return question(self.handle)
        except library.NVMLError as error:
            raise MeteringError(f"{self}: {error}") from None


def used_gpus(host: Host) -> tuple[Any, list[Gpu]] | Unusable | Absent:
    """Return the driver's library and the GPUs that the process uses."""
    absent = _absence(host)
    if absent is not None:
        return absent
    try:
        library = host.nvml()
    except ImportError:
        return Unusable(name=NAME, why="the package nvidia-ml-py is missing", remedy="pip install nvidia-ml-py")
    try:
        library.nvmlInit()
        known = [_gpu(library, place) for place in range(library.nvmlDeviceGetCount())]
    except library.NVMLError as error:
        return _trouble(library, error)
    used = _choose(host, known)
    if not isinstance(used, list):
        return used
    return _whole(library, used)


def _absence(host: Host) -> Absent | None:
    """Return why it is certain, without asking the driver, that the process uses no GPU; None if it may use one."""
    if host.gpus == ():
        return Absent(why="this process computes without one")
    if host.environ.get(VARIABLE, "all").strip() in ("", "-1"):
        return Absent(why=f"{VARIABLE} hides them from this process")
    traced = any((host.root / trace).exists() for trace in TRACES)
    if host.gpus is None and not host.machine.gpus and not traced:
        return Absent(why="no driver of NVIDIA's is there")
    return None


def _gpu(library: Any, place: int) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(place)
    return Gpu(
        place=place, name=library.nvmlDeviceGetName(handle), uuid=library.nvmlDeviceGetUUID(handle), handle=handle
    )


def _choose(host: Host, known: Sequence[Gpu]) -> list[Gpu] | Unusable | Absent:
    """Return those of the known GPUs that the process uses."""
    setting = host.environ.get(VARIABLE)
    if setting is not None and setting.strip().startswith(SLICE):
        return _slice(f"{VARIABLE} names a slice of a GPU")
    visible = visible_gpus(setting, [gpu.uuid for gpu in known])
    wanted = range(len(visible)) if host.gpus is None else host.gpus
    if not wanted:
        return Absent(why=f"{VARIABLE} hides them from this process" if known else "the driver lists none")
    if max(wanted) >= len(visible):
        return Unusable(
            name=NAME,
            why=f"this process uses cuda:{max(wanted)}, but the driver shows it {len(visible)} GPUs",
            remedy=f"check {VARIABLE} and nvidia-smi",
        )
    used = [known[visible[number]] for number in wanted]
    named = setting is not None and setting.startswith(UUID)
    if len(used) < len(known) and not named and host.environ.get(ORDER) != BY_SLOT and _mixed(known):
        return Unusable(
            name=NAME,
            why="the GPUs differ, CUDA numbers them by speed and the driver by slot: which one is used cannot be told",
            remedy=f"export {ORDER}={BY_SLOT}",
        )
    return used


def _mixed(gpus: Sequence[Gpu]) -> bool:
    return len({gpu.name for gpu in gpus}) > 1


def _whole(library: Any, gpus: list[Gpu]) -> tuple[Any, list[Gpu]] | Unusable:
    """Return the GPUs if none of them is split."""
    for gpu in gpus:
        try:
            split = library.nvmlDeviceGetMigMode(gpu.handle)[0]
        except library.NVMLError:
            continue
        if split:
            return _slice(f"{gpu} is split into slices")
    return library, gpus


def _slice(what: str) -> Unusable:
    why = f"{what} (MIG); the counter is the whole board's, and what one slice draws of it cannot be told"
    return Unusable(name=NAME, why=why, remedy="use a whole GPU, or have MIG switched off")


def _trouble(library: Any, error: Exception) -> Unusable:
    code = getattr(error, "value", None)
    for name, (why, remedy) in TROUBLES.items():
        if getattr(library, name) == code:
            return Unusable(name=NAME, why=why, remedy=remedy)
    return Unusable(name=NAME, why=f"the driver answers: {error}", remedy="see what nvidia-smi says")


COUNTER_ERROR = 0.05
"""Relative systematic error of the counter, k about 2.

Source: NVIDIA's NVML reference says ±5 % of the power reading, on Fermi and Kepler; taken for the counter too.
"""
SAMPLED_ERROR = 0.20
"""The same for power samples times the time between them: a judgement, as short loads fall between samples."""
COUNTER_STEP_J = 1e-3
"""The counter shows whole millijoules."""
UPDATE_PERIOD_S = 0.1
"""How often the counter moves: an assumption; `doctor` shows what it finds."""
SAMPLE_PERIOD_S = 0.1
HEADROOM = 2.0
"""A board may draw this many times its power limit for a second: a generous assumption, limits hold on average."""
LONGEST_GAP_S = 5.0
"""Power is not interpolated over a longer silence than this."""


@final
class NvmlCounterSource:
    """Joules of some GPUs since their driver was loaded, by their own counters."""

    component: Component = "gpu"

    def __init__(self, library: Any, gpus: Sequence[Gpu], *, attribution: Attribution, provenance: Provenance) -> None:
        """Keep the GPUs."""
        self.provenance = provenance
        self._library = library
        self._gpus = tuple(gpus)
        self._attribution = attribution
        self._latest_mj = dict.fromkeys((gpu.place for gpu in gpus), 0)
        self._reset: str | None = None

    def read(self) -> Joules:
        """Return the energy so far."""
        return self._attribution.of(sum(self._millijoules(gpu) for gpu in self._gpus) / 1e3)

    def first(self) -> "NvmlCounterSource":
        """Return a source of the first GPU alone: the steps of several would blur into one another."""
        return NvmlCounterSource(
            self._library, self._gpus[:1], attribution=self._attribution, provenance=self.provenance
        )

    def close(self) -> None:
        """Do nothing: a driver that nobody uses any more may unload, and forget its counters."""

    def _millijoules(self, gpu: Gpu) -> int:
        now = int(gpu.ask(self._library, self._library.nvmlDeviceGetTotalEnergyConsumption))
        if now < self._latest_mj[gpu.place]:
            self._reset = f"{gpu}: its counter began anew, as when the driver is loaded again"
        if self._reset is not None:
            raise MeteringError(self._reset)
        self._latest_mj[gpu.place] = now
        return now


@final
class NvmlPowerSource:
    """Joules of some GPUs since the first reading: power by a sampling thread, integrated by trapezoids."""

    component: Component = "gpu"

    def __init__(
        self,
        library: Any,
        gpus: Sequence[Gpu],
        *,
        attribution: Attribution,
        provenance: Provenance,
        clock: Callable[[], float],
    ) -> None:
        """Keep the GPUs."""
        self.provenance = provenance
        self._library = library
        self._gpus = tuple(gpus)
        self._attribution = attribution
        self._clock = clock
        self._lock = threading.Lock()
        self._joules = 0.0
        self._latest: tuple[float, float] | None = None
        self._silent: str | None = None
        self._periodic = Periodic(self._keep_up, period_s=SAMPLE_PERIOD_S)

    def read(self) -> Joules:
        """Return the energy so far."""
        joules = self._sample()
        self._periodic.start()
        return self._attribution.of(joules)

    def first(self) -> "NvmlPowerSource":
        """Return a source of the first GPU alone."""
        return NvmlPowerSource(
            self._library,
            self._gpus[:1],
            attribution=self._attribution,
            provenance=self.provenance,
            clock=self._clock,
        )

    def close(self) -> None:
        """Stop the thread."""
        self._periodic.stop()

    def _sample(self) -> float:
        """Add the energy since the last sample, and return all of it."""
        with self._lock:
            question = self._library.nvmlDeviceGetPowerUsage
            watts, now = sum(gpu.ask(self._library, question) for gpu in self._gpus) / 1e3, self._clock()
            before, then = self._latest or (watts, now)
            if now - then > LONGEST_GAP_S:
                self._silent = f"GPU: no power reading for {now - then:.0f} s; it takes one every {LONGEST_GAP_S:.0f} s"
            if self._silent is not None:
                raise MeteringError(self._silent)
            self._joules += (watts + before) / 2 * (now - then)
            self._latest = (watts, now)
            return self._joules

    def _keep_up(self) -> None:
        # Whoever reads next is told.
        with suppress(MeteringError):
            self._sample()


def nvml(host: Host) -> Source | Unusable | Absent:
    """Return the energy of the GPUs that this process uses, or why it is not read, or that there are none."""
    found = used_gpus(host)
    if not isinstance(found, tuple):
        return found
    library, gpus = found
    if _deaf(library, gpus, library.nvmlDeviceGetTotalEnergyConsumption) is None:
        attribution = Attribution(counter_kind="measured", error=COUNTER_ERROR, workers=host.workers)
        method = "NVML energy counter"
        provenance = _provenance(library, gpus, attribution, method=method, resolution_j=COUNTER_STEP_J)
        return NvmlCounterSource(library, gpus, attribution=attribution, provenance=provenance)
    reason = _deaf(library, gpus, library.nvmlDeviceGetPowerUsage)
    if reason is not None:
        return Unusable(name=NAME, why=f"neither it nor the power sensor answers: {reason}", remedy=None)
    attribution = Attribution(counter_kind="estimated", error=SAMPLED_ERROR, workers=host.workers)
    method = f"NVML power, sampled every {SAMPLE_PERIOD_S:g} s, times the time in between"
    provenance = _provenance(library, gpus, attribution, method=method, resolution_j=None)
    return NvmlPowerSource(library, gpus, attribution=attribution, provenance=provenance, clock=host.clock)


def _deaf(library: Any, gpus: Sequence[Gpu], question: Callable[[Any], Any]) -> str | None:
    """Return which GPU does not answer a question, and why; None if all do."""
    for gpu in gpus:
        try:
            gpu.ask(library, question)
        except MeteringError as error:
            return str(error)
    return None


def _provenance(
    library: Any, gpus: Sequence[Gpu], attribution: Attribution, *, method: str, resolution_j: float | None
) -> Provenance:
    several = f" of {len(gpus)} GPUs" if len(gpus) > 1 else ""
    return Provenance(
        component="gpu",
        kind=attribution.kind,
        method=attribution.explain(f"{method}{several}"),
        device=", ".join(gpu.name for gpu in gpus),
        scope=attribution.explain_scope("the whole board"),
        resolution_j=resolution_j,
        update_period_s=SAMPLE_PERIOD_S if resolution_j is None else UPDATE_PERIOD_S,
        coverage="no host, no power supply; the sensor of an A100 or H100 looks a quarter of the time, so that loads "
        "in step with it are misjudged (Yang et al. 2024, arXiv 2312.02741)",
        model_params={"relative_error": attribution.error, "workers": attribution.workers}
        | {"gpus": [gpu.place for gpu in gpus], "update_period": "assumed"}
        | _most_watts(library, gpus, attribution.workers),
        source="NVML; error: NVIDIA's NVML reference",
        version=_version(library),
    )


def _most_watts(library: Any, gpus: Sequence[Gpu], workers: int) -> dict[str, float]:
    """Return the watts that no reading exceeds, by the boards' highest power limits; nothing where one is silent."""
    question = library.nvmlDeviceGetPowerManagementLimitConstraints
    try:
        limits = [float(gpu.ask(library, question)[1]) for gpu in gpus]
    except MeteringError:
        return {}
    return {"most_watts": HEADROOM * sum(limits) / 1e3 / workers} if all(limit > 0 for limit in limits) else {}


def _version(library: Any) -> str:
    try:
        return f"driver {library.nvmlSystemGetDriverVersion()}"
    except library.NVMLError:
        return "driver of unknown version"
