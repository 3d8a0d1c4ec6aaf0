"""How a finding's numbers are worded: with their unit, and with digits enough to tell the two sides apart."""

import math

from greenpose.check.verdict import Span
from greenpose.formatting import MINUS, NBSP, number, percent, plain
from greenpose.units import prefix, significant

MOST_DIGITS = 12
WORDS = frozenset({"parameters", "images", "calls"})
"""Units that are words: an SI prefix stands apart from them."""
SHARE = "of final"
"""Unit of an exit's number over the final exit's."""
TIMES = "of base"
"""Unit of a candidate's number over the base's, measured in pairs."""
SPELLED = {"bytes": ("B", 1.0), "kWh": ("Wh", 1000.0)}
"""Units of records that take no SI prefix as they are: the unit that does, and how many of it they are."""


def amount(value: float | None, unit: str, digits: int = 3) -> str:
    """Return a number with its unit, `4.69 GMACs`; a dash where there is none."""
    if value is None:
        return "–"
    if unit == "fraction":
        return percent(value, digits)
    if unit in ("", SHARE, TIMES):
        return f"{plain(value, digits)}{NBSP if unit else ''}{unit}"
    unit, scale = SPELLED.get(unit, (unit, 1.0))
    value *= scale
    if unit in WORDS and abs(value) < 10_000:
        return f"{value:.0f}{NBSP}{unit}"
    factor, name = prefix(value, digits)
    scaled = significant(value / factor, digits)
    return f"{scaled}{NBSP}{name}{NBSP if name and unit in WORDS else ''}{unit}".replace("-", MINUS)


def both(base: float | None, head: float | None, unit: str) -> tuple[str, str]:
    """Return two numbers with as many digits as it takes to see that they differ."""
    for digits in range(3, MOST_DIGITS + 1):
        texts = amount(base, unit, digits), amount(head, unit, digits)
        if texts[0] != texts[1] or base == head:
            break
    return texts


def change(base: float | None, head: float | None, *, unit: str = "", ratio: Span | None = None) -> str:
    """Return by how much the second differs from the first: `+10.2 %`, with its interval where it has one."""
    if ratio is not None:
        return _percent_within(*(100 * (end - 1) for end in ratio))
    if base is None or head is None or base == head:
        return ""
    if unit == "fraction":
        return f"{_signed(100 * (head - base), 2)}{NBSP}points"
    if unit == "calls" or base == 0:
        return amount_signed(head - base, unit)
    return signed_percent(head / base - 1)


def signed_percent(fraction: float) -> str:
    """Return `+10.2 %`."""
    return f"{_signed(100 * fraction, 3 if abs(fraction) > 0.0995 else 2)}{NBSP}%"


def amount_signed(value: float, unit: str) -> str:
    """Return a difference with sign and unit."""
    return f"{'+' if value > 0 else ''}{amount(value, unit)}"


def _percent_within(low: float, value: float, high: float) -> str:
    """Return `+1.2 ±1.1 %`, or `+1.2 [0.4–3.1] %` where the interval is lopsided."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{_signed(value, 2)}{NBSP}% (unbounded)"
    text = str(number(value, low, high, most_decimals=2))
    return f"{'+' if value > 0 else ''}{text}{NBSP}%"


def _signed(value: float, digits: int) -> str:
    return f"{'+' if value > 0 else ''}{plain(value, digits)}"
