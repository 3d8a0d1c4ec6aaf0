"""Joules of NVIDIA GPUs from the driver's own library: a counter where there is one, else power that is sampled."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, final

from greenpose.errors import MeteringError
from greenpose.metering.attribution import Attribution
from greenpose.metering.beat import Beat
from greenpose.metering.gpus import NAME, Gpu, used_gpus
from greenpose.metering.host import Absent, Host, Unusable
from greenpose.metering.source import Component, Joules, Provenance, Source

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
        """Return the energy so far.

        Raises:
            MeteringError: naming the GPU that cannot be read, or whose counter began anew.
        """
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
        self._beat = Beat(self._keep_up, period_s=SAMPLE_PERIOD_S)

    def read(self) -> Joules:
        """Return the energy so far.

        Raises:
            MeteringError: naming the GPU that cannot be read, or saying for how long none was.
        """
        joules = self._sample()
        self._beat.start()
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
        self._beat.stop()

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
