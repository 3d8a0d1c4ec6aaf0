"""Conversions between units and the one way in which GreenPose prints a number."""

import math

KINDS = ("counted", "computed", "measured", "sourced", "estimated", "modelled", "not_covered")
"""How a number can be obtained, most trustworthy first: what is made of several is as good as the last of them.

A published figure stands before an estimate and a model, whose marks a sum with it must not lose.
"""
JOULES_PER_KWH = 3.6e6
FLOPS_PER_MAC = 2
"""One multiply-accumulate counts as two floating-point operations."""

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def joules_to_kwh(joules: float) -> float:
    """Return kilowatt-hours; 1 kWh = 3.6 MJ exactly."""
    return joules / JOULES_PER_KWH


def kwh_to_joules(kwh: float) -> float:
    """Return joules; 1 kWh = 3.6 MJ exactly."""
    return kwh * JOULES_PER_KWH


def co2eq_g(energy_kwh: float, *, intensity_g_per_kwh: float, pue: float = 1.0) -> float:
    """Return grams of CO2 equivalent for energy drawn by the machine.

    `pue` (power usage effectiveness) scales the machine's energy to the building's; 1 means no overhead.
    """
    return energy_kwh * pue * intensity_g_per_kwh


def significant(value: float, digits: int = 3) -> str:
    """Return `value` in plain decimals with `digits` significant digits; a non-zero value never prints as zero.

    Trailing zeros that carry meaning are kept: 2.0 with three digits is "2.00".
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def lasting(seconds: float) -> str:
    """Return how long something lasts, for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def prefix(value: float, digits: int = 3) -> tuple[float, str]:
    """Return the factor and name of the SI prefix that keeps `value` between 1 and 1000 when printed with `digits`."""
    if value == 0 or not math.isfinite(value):
        return 1.0, ""
    fitting = (pair for pair in _PREFIXES if abs(value) >= pair[0] * (1 - 0.5 * 10**-digits))
    return next(fitting, _PREFIXES[-1])


def with_prefix(value: float, unit: str, digits: int = 3) -> str:
    """Return `value unit` with an SI prefix that keeps the number between 1 and 1000, e.g. `4.69 GMACs`."""
    factor, name = prefix(value, digits)
    return f"{significant(value / factor, digits)} {name}{unit}"
