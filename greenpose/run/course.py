"""How accuracy came with cost: what training had used when each epoch was validated."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenpose.metering import Window
from greenpose.record import Validation
from greenpose.run.phases import epoch_of, training_windows
from greenpose.store.records import phase_of
from greenpose.units import joules_to_kwh


def course(windows: Sequence[Window], epochs: Iterable[Mapping[str, Any]]) -> list[Validation]:
    """Return each validated epoch with its AP and all that training had used by then, of all attempts.

    Args:
        windows: Windows of all attempts, in the order in which they ended.
        epochs: Lines of `epochs.jsonl`; an epoch that was trained twice is taken as it came out the last time.
    """
    used = _used_by_epoch(training_windows(windows))
    aps = {number: ap for line in epochs for number, ap in _scored(line)}
    return [used[number].model_copy(update={"ap": aps[number]}) for number in sorted(aps.keys() & used.keys())]


def _scored(line: Mapping[str, Any]) -> list[tuple[int, dict[int, float]]]:
    """Return a line's epoch with every exit's AP; nothing where it was not validated, or the line is damaged."""
    try:
        ap = {int(exit_): float(value) for exit_, value in line["ap"].items()}
        return [(int(line["epoch"]), ap)] if ap and all(0 <= value <= 1 for value in ap.values()) else []
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []


def _used_by_epoch(training: Sequence[Window]) -> dict[int, Validation]:
    """Return what training had used at the end of each validation; of one done twice, the last."""
    joules = cpu_seconds = seconds = 0.0
    used: dict[int, Validation] = {}
    for window in training:
        joules += window.energy.mid
        cpu_seconds += window.cpu_seconds
        seconds += window.seconds
        number = epoch_of(window)
        if phase_of(window) == "validate" and window.ok and number is not None:
            used[number] = Validation(
                epoch=number,
                energy_kwh=joules_to_kwh(joules),
                cpu_seconds=cpu_seconds,
                seconds=seconds,
                ap={},
            )
    return used
