"""Round values for logarithmic axes."""

import math


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return round values between the ends of a logarithmic axis: the finest usual steps that give at most `most`.

    Beyond that many decades, every second or third of them.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]
