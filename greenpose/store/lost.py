"""Writing down that an attempt ended without a record, with what it had cost by then."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from greenpose.errors import GreenPoseError, MeteringError
from greenpose.metering import NO_ENERGY, Window, carbon_of, read_windows
from greenpose.record import Basis, Failure, Interval, Quantity
from greenpose.store.folder import RunFolder
from greenpose.units import joules_to_kwh

INTERRUPTED = 130
"""Exit code of a process that was asked to stop."""


def write_failure(
    folder: RunFolder, *, reason: Literal["failed", "interrupted", "lost"], message: str, phase: str, at: str
) -> Failure:
    """Write `failure.json` and return it; seconds, energy and emissions are those of all windows closed so far."""
    cell = folder.read_cell()
    windows = outermost(windows_of(folder))
    energy = sum((window.energy for window in windows), NO_ENERGY)
    emissions = _emissions(cell["experiment"]["carbon"], windows)
    failure = Failure(
        name=cell["name"],
        experiment=cell["experiment"]["name"],
        grid=cell["grid"],
        axes=cell["axes"],
        reason=reason,
        message=message.splitlines()[0] if message else "",
        phase=phase,
        seconds=sum(window.seconds for window in windows),
        energy_kwh=joules_to_kwh(energy.mid),
        co2eq_g=emissions.value,
        at=at,
        basis={
            "energy_kwh": Basis(
                unit="kWh",
                kind="modelled",
                method="sum of the windows closed before it ended",
                type_b=Interval(low=joules_to_kwh(energy.low), high=joules_to_kwh(energy.high)),
            ),
            "co2eq_g": emissions.basis,
        },
    )
    folder.write_failure(failure)
    return failure


def _emissions(settings: Mapping[str, Any], windows: Sequence[Window]) -> Quantity:
    """Return the operational emissions of windows; none where an hourly file is not readable any more."""
    try:
        carbon = carbon_of(**settings)
    except GreenPoseError as error:
        basis = Basis(
            unit="gCO2eq",
            kind="not_covered",
            method="energy x PUE x grid intensity",
            missing=str(error).splitlines()[0],
        )
        return Quantity(name="co2eq_g", value=None, basis=basis)
    grams = carbon.grams_of(windows)
    basis = Basis(
        unit="gCO2eq",
        kind="modelled",
        method=f"energy x PUE x {carbon.describe_grid(timed=True)}",
        type_b=Interval(low=grams.low, high=grams.high),
    )
    return Quantity(name="co2eq_g", value=grams.mid, basis=basis)


def note_lost(folder: RunFolder, *, code: int) -> Failure:
    """Write down that a process died without a word, e.g. killed for memory; `code` is its exit code."""
    last = windows_of(folder)[-1:]
    reason: Literal["interrupted", "lost"] = "interrupted" if code == INTERRUPTED else "lost"
    died = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with code {code}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    phase = last[0].name.partition("/")[0] if last else ""
    return write_failure(folder, reason=reason, message=f"{died}; see log.txt", phase=phase, at=now)


def windows_of(folder: RunFolder) -> list[Window]:
    """Return the closed windows of all attempts, none where nothing was metered yet."""
    try:
        return read_windows(folder.windows)
    except MeteringError:
        return []


def outermost(windows: list[Window]) -> list[Window]:
    """Return the windows that lie in no other closed one: their sum counts everything once.

    The parts of a window that a kill left open are among them, so that what an epoch had cost by then is kept.
    """
    closed = {(window.attempt, window.id) for window in windows}
    return [window for window in windows if (window.attempt, window.parent) not in closed]
