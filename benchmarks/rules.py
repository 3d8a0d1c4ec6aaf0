"""How other tools decide that something became slower, from the times of base and head; each written down anew.

Sources: pytest-benchmark's documentation of --benchmark-compare-fail; asv's documentation of `asv compare` and
`asv continuous` (factor 1.1, Mann-Whitney at 0.002 where there are samples enough); github-action-benchmark's README
(alert-threshold 200 %); Welch (1947), Biometrika 34, 28-35; Mann & Whitney (1947), Ann. Math. Stat. 18, 50-60.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import stdtr

Times = Sequence[float]
SlowerRule = Callable[[Times, Times], bool]
"""Whether head became slower than base."""


def min_above(limit: float) -> SlowerRule:
    """The smallest time rose by more than a limit: `min:5%`, min-of-N."""
    return lambda base, head: min(head) > min(base) * (1 + limit)


def mean_above(limit: float) -> SlowerRule:
    """The mean time rose by more than a limit: `mean:5%`."""
    return lambda base, head: float(np.mean(head)) > float(np.mean(base)) * (1 + limit)


def asv(base: Times, head: Times) -> bool:
    """The median rose by more than a tenth, and the samples surely differ."""
    return float(np.median(head)) > 1.1 * float(np.median(base)) and mann_whitney(base, head) < 0.002


def welch(base: Times, head: Times) -> bool:
    """The means differ at the 5 % level, two-sided, and the head's is larger."""
    variances = [float(np.var(times, ddof=1)) / len(times) for times in (base, head)]
    total = sum(variances)
    if total == 0:
        return float(np.mean(head)) > float(np.mean(base))
    degrees = total**2 / sum(v**2 / (len(t) - 1) for v, t in zip(variances, (base, head), strict=True))
    statistic = (float(np.mean(head)) - float(np.mean(base))) / math.sqrt(total)
    return statistic > 0 and 2 * (1 - stdtr(max(1, round(degrees)), statistic)) < 0.05


RULES: Mapping[str, SlowerRule] = {
    "pytest-benchmark `min:5%`": min_above(0.05),
    "pytest-benchmark `mean:5%`": mean_above(0.05),
    "min-of-N above 10 %": min_above(0.10),
    "asv (p < 0.002 and factor 1.1)": asv,
    "Welch's t, p < 0.05": welch,
    "github-action-benchmark (200 %)": mean_above(1.0),
}


def mann_whitney(one: Times, other: Times) -> float:
    """Return the two-sided probability of a rank sum as uneven as this, by its exact distribution; ties count half."""
    wins = float(np.sum(np.asarray(one)[:, None] < np.asarray(other)[None, :]))
    ties = float(np.sum(np.asarray(one)[:, None] == np.asarray(other)[None, :]))
    wins += ties / 2
    least = min(wins, len(one) * len(other) - wins)
    return min(1.0, 2 * float(np.sum(_orders(len(one), len(other))[: math.floor(least) + 1])))


@lru_cache(maxsize=64)
def _orders(first: int, second: int) -> np.ndarray:
    """Return the probability of 0, 1, 2, ... wins of one sample over another from the same law.

    With the largest of all values in the second sample it beats the whole first one, else none: both shares known.
    """
    if not first or not second:
        return np.ones(1)
    share = second / (first + second)
    beaten = np.pad(_orders(first, second - 1) * share, (first, 0))
    return beaten + np.pad(_orders(first - 1, second) * (1 - share), (0, len(beaten) - (first - 1) * second - 1))
