"""All counters at one moment, and what lies between two moments."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from greenpose.metering.source import Joules

NO_COUNTERS: Mapping[str, Joules] = MappingProxyType({})
NOTHING_MISSING: Mapping[str, str] = MappingProxyType({})


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

    def since(self, start: "Reading") -> "Reading":
        """Return what was used from `start` to this reading; a component that one of them lacks is missing."""
        return Reading(
            seconds=self.seconds - start.seconds,
            cpu_seconds=self.cpu_seconds - start.cpu_seconds,
            joules={name: self.joules[name] - start.joules[name] for name in self.joules if name in start.joules},
            missing={**start.missing, **self.missing},
        )

    def plus(self, other: "Reading") -> "Reading":
        """Return what two stretches used together; a component that one of them lacks is missing."""
        return Reading(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            joules={name: self.joules[name] + other.joules[name] for name in self.joules if name in other.joules},
            missing={**self.missing, **other.missing},
        )
