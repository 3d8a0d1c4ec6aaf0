"""How accuracy came with cost: what training had used when each epoch was validated."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenpose.metering import Window
from greenpose.record import Validation
from greenpose.run.phases import phase_of, training_windows
from greenpose.units import joules_to_kwh


def course(windows: Sequence[Window], epochs: Iterable[Mapping[str, Any]]) -> list[Validation]:
    """Return each validated epoch with its AP and all that training had used by then, of all attempts.

    Args:
        windows: Windows of all attempts, in the order in which they ended.
        epochs: Lines of `epochs.jsonl`; an epoch that was trained twice is taken as it came out the last time.
    """
    used = _used_by_epoch(training_windows(windows))
    aps = {int(line["epoch"]): line["ap"] for line in epochs if line.get("ap")}
    return [
        used[number].model_copy(update={"ap": {int(exit_): ap for exit_, ap in aps[number].items()}})
        for number in sorted(aps.keys() & used.keys())
    ]


def _used_by_epoch(training: Sequence[Window]) -> dict[int, Validation]:
    """Return what training had used at the end of each validation; of one done twice, the last."""
    joules = cpu_seconds = seconds = 0.0
    used: dict[int, Validation] = {}
    for window in training:
        joules += window.energy.mid
        cpu_seconds += window.cpu_seconds
        seconds += window.seconds
        if phase_of(window) == "validate" and window.ok:
            number = int(window.name.rpartition(" ")[2])
            used[number] = Validation(
                epoch=number,
                energy_kwh=joules_to_kwh(joules),
                cpu_seconds=cpu_seconds,
                seconds=seconds,
                ap={},
            )
    return used
