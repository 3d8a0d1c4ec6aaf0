"""Windows over energy, CPU time and wall time, with provenance and interval on every number."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from greenpose.metering.active_window import OpenWindow
from greenpose.metering.carbon.embodied import EmbodiedShare, embodied_of_process
from greenpose.metering.carbon.grid_intensity import CarbonAccounting, carbon_of, intensity
from greenpose.metering.cost_prediction import allocate
from greenpose.metering.doctor import Diagnosis, examine
from greenpose.metering.doubts import remarks
from greenpose.metering.inference import (
    MicroCosts,
    MicroPlan,
    Plan,
    exit_place,
    measure_exits,
    measure_in_turns,
    measure_pieces,
)
from greenpose.metering.inference_samples import ExitMeasurement, between_runs
from greenpose.metering.interference import Interference, LoadMonitor
from greenpose.metering.machine import (
    SHARED_NODE,
    host_of,
    is_pinned,
    pinned_environment,
    process_settings,
    software_versions,
    this_machine,
)
from greenpose.metering.meter import Meter, MeterSurroundings
from greenpose.metering.sources.codecarbon import CodeCarbon
from greenpose.metering.sources.select_sources import Choice, choose
from greenpose.metering.sources.source import NO_ENERGY, Joules, Provenance, Source
from greenpose.metering.window import MEANING, Log, Window, gaps, grade, read_log, read_windows, short_of, worst_kind

__all__ = [
    "MEANING",
    "NO_ENERGY",
    "SHARED_NODE",
    "CarbonAccounting",
    "Choice",
    "CodeCarbon",
    "Diagnosis",
    "EmbodiedShare",
    "ExitMeasurement",
    "Interference",
    "Joules",
    "LoadMonitor",
    "Log",
    "Meter",
    "MeterSurroundings",
    "MicroCosts",
    "MicroPlan",
    "OpenWindow",
    "Plan",
    "Provenance",
    "Source",
    "Window",
    "allocate",
    "carbon_of",
    "choose",
    "examine",
    "exit_place",
    "gaps",
    "grade",
    "host_of",
    "intensity",
    "is_pinned",
    "measure_exits",
    "measure_in_turns",
    "measure_pieces",
    "meter",
    "pinned_environment",
    "process_settings",
    "read_log",
    "read_windows",
    "remarks",
    "short_of",
    "software_versions",
    "this_machine",
    "worst_kind",
]


def meter(
    *,
    country: str | None = None,
    carbon: CarbonAccounting | None = None,
    log: Path | str | None = None,
    share: float | None = None,
    workers: int = 1,
    gpus: tuple[int, ...] | None = None,
    synchronize: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Meter:
    """Return a meter over the best sources of this machine, for any code.

    ```python
    with greenpose.meter(country="ITA") as m:
        with m.window("epoch 3", items=1200):
            ...
    print(m)
    ```

    Args:
        country: Three-letter ISO code of the grid; without one there are joules but no grams and no cross-check.
        carbon: Grid intensity, PUE and making of the machine instead of the country's plain ones.
        log: File that every window is appended to, e.g. `windows.jsonl`.
        share: Part of the machine that this process answers for, where energy is modelled; by default the CPUs it may
            use over those there are, divided by `workers`.
        workers: How many processes like this one share the machine; counters, which see all of it, are divided equally.
        gpus: GPUs that are used, as CUDA numbers those that the process sees; by default all of them, () for none.
        synchronize: Waits until a device has finished, e.g. `torch.cuda.synchronize`; called before every reading.
        clock: Wall clock in seconds.

    Raises:
        GreenPoseError: if the country is unknown.
    """
    if carbon is None and country is not None:
        carbon = CarbonAccounting(intensity=intensity(country))
    host = host_of(share=share, workers=workers, gpus=gpus, clock=clock)
    choices = choose(host)
    provenances = [choice.provenance for choice in choices if choice.source is None]
    return Meter(
        [choice.source for choice in choices if choice.source is not None],
        clock=clock,
        log=None if log is None else Path(log),
        synchronize=synchronize,
        crosscheck=None if country is None else CodeCarbon(country.strip().upper(), clock=clock),
        carbon=carbon,
        surroundings=MeterSurroundings(
            not_covered=tuple(provenance for provenance in provenances if provenance),
            embodied=None if carbon is None else embodied_of_process(host, carbon, gpus=_gpus(choices)),
            between_runs=between_runs(host.machine),
        ),
    )


def _gpus(choices: Sequence[Choice]) -> tuple[str, ...] | None:
    """Return the models of the GPUs that a process uses, none where it sees none; None where the driver is mute."""
    choice = next(choice for choice in choices if choice.component == "gpu")
    if choice.absent is not None:
        return ()
    return None if choice.source is None else tuple(choice.source.provenance.device.split(", "))
