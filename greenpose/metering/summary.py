"""A meter's result as text that a person reads."""

from greenpose.metering.carbon import Grams
from greenpose.metering.doubt import remarks
from greenpose.metering.grading import MEANING
from greenpose.metering.instrument import Meter
from greenpose.metering.source import Joules
from greenpose.metering.total import Total
from greenpose.metering.window import Window
from greenpose.units import significant, with_prefix


def summarise(meter: Meter) -> str:
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


def _emissions(meter: Meter, total: Total) -> list[str]:
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


def _grams(grams: Grams) -> str:
    return _text(grams.mid, grams.low, grams.high, "g")


def _text(value: float, low: float, high: float, unit: str) -> str:
    return f"{with_prefix(value, unit, 2)} ({with_prefix(low, unit, 2)} to {with_prefix(high, unit, 2)})"


def _window(window: Window) -> str:
    line = _line(window.name, window.seconds, window.cpu_seconds, window.energy)
    if window.items:
        line += f", {with_prefix(window.energy.mid / window.items, 'J', 2)} an item"
    return line if window.ok else f"{line} (ended with an exception)"


def _line(name: str, seconds: float, cpu_seconds: float, energy: Joules) -> str:
    return f"{name}: {with_prefix(seconds, 's')} wall, {with_prefix(cpu_seconds, 's')} CPU, {energy_text(energy)}"
