"""A meter's result as text that a person reads."""

from greenpose.metering.grading import MEANING
from greenpose.metering.instrument import Meter
from greenpose.metering.source import Joules
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
    if total.co2eq_g is not None and meter.carbon is not None:
        grams, grid = total.co2eq_g, meter.carbon.intensity
        spread = f"{with_prefix(grams.low, 'g', 2)} to {with_prefix(grams.high, 'g', 2)}"
        lines.append(
            f"  {with_prefix(grams.mid, 'g', 2)} CO2eq ({spread})"
            f" at {significant(grid.g_per_kwh)} g/kWh, {grid.country_name} {grid.vintage}"
        )
    lines.append(f"grade {total.grade}: {MEANING[total.grade]}")
    return "\n".join(lines)


def energy_text(energy: Joules) -> str:
    """Return an energy with its interval, with no more digits than the interval bears."""
    return (
        f"{with_prefix(energy.mid, 'J', 2)} ({with_prefix(energy.low, 'J', 2)} to {with_prefix(energy.high, 'J', 2)})"
    )


def _window(window: Window) -> str:
    line = _line(window.name, window.seconds, window.cpu_seconds, window.energy)
    if window.items:
        line += f", {with_prefix(window.energy.mid / window.items, 'J', 2)} an item"
    return line if window.ok else f"{line} (ended with an exception)"


def _line(name: str, seconds: float, cpu_seconds: float, energy: Joules) -> str:
    return f"{name}: {with_prefix(seconds, 's')} wall, {with_prefix(cpu_seconds, 's')} CPU, {energy_text(energy)}"
