"""Summaries of a meter: windows and total with intervals and provenance, as text, in a notebook, and as a frame."""

from datetime import datetime
from typing import NamedTuple

from greenpose.formatting import ends, significant, with_prefix
from greenpose.metering.active_window import RunningTotal
from greenpose.metering.carbon.grid_intensity import CarbonAccounting
from greenpose.metering.doubts import remarks
from greenpose.metering.sources.source import Joules, Provenance
from greenpose.metering.window import BOUNDS, MEANING, Window, window_cells, window_table, worst_kind
from greenpose.notebook import html
from greenpose.quantity import Quantity


class MeterState(NamedTuple):
    """What a meter knows of itself, up to now or to its end."""

    windows: list[Window]
    """All windows that were recorded."""
    total: RunningTotal
    """What was used since the start."""
    provenances: tuple[Provenance, ...]
    """Where each component's energy comes from."""
    carbon: CarbonAccounting | None
    """What turns it into emissions; None where nobody asks."""
    began_at: datetime | None
    """UTC time of the start."""


def summarise(meter: MeterState) -> str:
    """Return the windows, the total with its interval, and how far to trust it."""
    total = meter.total
    lines = [_window(window) for window in meter.windows if window.parent is None]
    lines.append(_line("total", total.seconds, total.cpu_seconds, total.energy))
    for provenance in meter.provenances:
        share = total.joules.get(provenance.component)
        shown = "not covered" if share is None else f"{energy_text(share)}, {provenance.kind}"
        lines.append(f"  {provenance.component}: {shown}: {provenance.method}")
    lines += _emissions(meter, total)
    lines += [f"  doubtful: {remark}" for remark in remarks(meter.windows)]
    lines.append(f"grade {total.grade}: {MEANING[total.grade]}")
    return "\n".join(lines)


def energy_text(energy: Joules) -> str:
    """Return an energy with its interval, with no more digits than the interval bears."""
    return _text(energy.mid, energy.low, energy.high, "J")


def _emissions(meter: MeterState, total: RunningTotal) -> list[str]:
    """Return what was emitted by using electricity and by making the hardware; nothing where no grid is known."""
    if meter.carbon is None or total.co2eq_g is None:
        return []
    grid = meter.carbon.grid(meter.began_at, total.seconds)
    lines = [
        f"  emissions: {_grams(total.co2eq_g)} CO2eq"
        f" at {significant(grid.g_per_kwh)} g/kWh, {grid.country_name} {grid.vintage}"
    ]
    if total.embodied_co2eq_g is not None and total.sci_g is not None:
        lines.append(
            f"  with {_grams(total.embodied_co2eq_g)} for making the hardware:"
            f" SCI {_grams(total.sci_g)} per metered block"
        )
    return lines


def _grams(grams: Quantity) -> str:
    low, high = grams.type_b or (grams.known, grams.known)
    return _text(grams.known, low, high, "g")


def _text(value: float, low: float, high: float, unit: str) -> str:
    return f"{with_prefix(value, unit, 2)} (truly {ends(with_prefix(low, unit, 2), with_prefix(high, unit, 2))})"


def _window(window: Window) -> str:
    line = _line(window.name, window.seconds, window.cpu_seconds, window.energy)
    if window.items:
        line += f", {with_prefix(window.energy.mid / window.items, 'J', 2)} an item"
    return line if window.ok else f"{line} (ended with an exception)"


def _line(name: str, seconds: float, cpu_seconds: float, energy: Joules) -> str:
    return f"{name}: {with_prefix(seconds, 's')} wall, {with_prefix(cpu_seconds, 's')} CPU, {energy_text(energy)}"


def to_html(meter: MeterState) -> str:
    """Return windows and total as a table of a notebook, with how far to trust it."""
    total = meter.total
    kind = worst_kind(total.joules, meter.provenances, short=total.missing)
    roots = [window for window in meter.windows if window.parent is None]
    last = window_cells(total.seconds, total.cpu_seconds, total.energy, 0, kind)
    rows = [window_cells(each.seconds, each.cpu_seconds, each.energy, each.items, kind) for each in roots]
    table = window_table([*(window.name for window in roots), "total"], [*rows, last])
    told = [line.strip() for line in _emissions(meter, total)]
    told += [f"doubtful: {remark}" for remark in remarks(meter.windows)]
    return html(table, [*told, f"grade {total.grade}: {MEANING[total.grade]}; {BOUNDS}"])
