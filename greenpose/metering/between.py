"""How far two runs of the same work differ, beyond what the blocks of either can show.

A run's blocks are minutes of one process. Another run meets another clock frequency, other guests of the same host and
other places in memory, which move all its blocks together; the run itself sees nothing of it.
"""

import math
from dataclasses import replace
from statistics import NormalDist

from greenpose.metering.machine import Machine
from greenpose.metering.statistics import CONFIDENCE, Bounds, Estimate

VIRTUAL = 0.12
"""Relative standard deviation between runs on a shared virtual machine, of seconds, CPU-seconds and joules per item.

Source: `python -m benchmarks.repeatability`, a virtual machine with 2 vCPUs and nothing else running on it, 2026: 11 %
between a run and the next, 12 % and 21 % among 40 runs of two times ten minutes. Elsewhere the same binary's times
differed by 26 % between CI jobs and by 0.3 % within one (github.com/namecheap/fast_mail_parser/issues/128), which is
two of these.
"""
BARE = 0.02
"""The same on a machine of one's own: a default, not yet measured."""


def between_runs(machine: Machine) -> float:
    """Return the relative standard deviation between runs on such a machine; unknown counts as shared."""
    return BARE if machine.virtualised is False else VIRTUAL


def across_runs(found: Estimate, deviation: float) -> Estimate:
    """Return an estimate whose Type A interval holds for the next run too, not only for further blocks of this one.

    The two half-widths are independent and join in quadrature, as factors where the interval is above zero.
    """
    if found.type_a is None or not deviation:
        return found
    value, (low, high) = found.value, found.type_a
    apart = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2) * deviation
    if low > 0:
        down, up = (math.exp(math.hypot(math.log(end / value), apart)) for end in (low, high))
        return replace(found, type_a=Bounds(value / down, value * up))
    down, up = (math.hypot(end - value, apart * value) for end in (low, high))
    return replace(found, type_a=Bounds(value - down, value + up))
