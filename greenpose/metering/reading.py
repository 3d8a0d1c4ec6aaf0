"""All counters at one moment, and what lies between two moments."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from greenpose.metering.source import Joules

NO_COUNTERS: Mapping[str, Joules] = MappingProxyType({})
NOTHING_MISSING: Mapping[str, str] = MappingProxyType({})
Fault = tuple[int, str, bool]
"""How often a counter did what no counter does, what it did last, and whether it stands still."""
NO_FAULTS: Mapping[str, Fault] = MappingProxyType({})


class Reading(NamedTuple):
    """All counters at one moment, or what they rose by between two; a tuple, since it is made at every boundary."""

    seconds: float
    """The wall clock, from an arbitrary origin."""
    cpu_seconds: float
    """CPU time of this process and its children, from an arbitrary origin."""
    joules: Mapping[str, Joules]
    """Energy per component that could be read, from an arbitrary origin."""
    missing: Mapping[str, str]
    """Components that could not be read, and why."""
    stopped_s: float = 0.0
    """Seconds of the wall clock in which the process was stopped."""
    faults: Mapping[str, Fault] = NO_FAULTS
    """Faults so far of each component's counter that had any."""
    date_s: float = math.nan
    """The date, in seconds; NaN where nobody looked."""
    slept_s: float = 0.0
    """Seconds in which the machine slept, which the wall clock does not count."""
    blind: str | None = None
    """Why the CPU time of running children is not in it; None where it is."""

    def since(self, start: "Reading") -> "Reading":
        """Return what was used from `start` to this reading.

        A component that one of them lacks, or whose counter is not believed in between, is missing.
        """
        joules = {name: self.joules[name] - start.joules[name] for name in self.joules if name in start.joules}
        missing = {**start.missing, **self.missing}
        if self.faults is not start.faults:
            for name, (count, why, stands) in self.faults.items():
                if stands or count != start.faults.get(name, (0,))[0]:
                    missing[name] = why
                    joules.pop(name, None)
        return Reading(
            seconds=self.seconds - start.seconds,
            cpu_seconds=self.cpu_seconds - start.cpu_seconds,
            joules=joules,
            missing=missing,
            stopped_s=self.stopped_s - start.stopped_s,
            date_s=self.date_s - start.date_s,
            slept_s=self.slept_s - start.slept_s,
            blind=self.blind or start.blind,
        )

    def plus(self, other: "Reading") -> "Reading":
        """Return what two stretches used together; a component that one of them lacks is missing."""
        return Reading(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            joules={name: self.joules[name] + other.joules[name] for name in self.joules if name in other.joules},
            missing={**self.missing, **other.missing},
            stopped_s=self.stopped_s + other.stopped_s,
        )
