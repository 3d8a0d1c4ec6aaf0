"""The choice of sources: the first usable one for each component on this machine, best first.

A probe answers with a source, with the reason why it cannot be one and what would mend that, or with the reason why
there is no such component; `doctor` prints them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from greenpose.metering.machine import Absent, Host, Unusable
from greenpose.metering.sources.cpu_model import CpuTimeSource, RamSource
from greenpose.metering.sources.nvidia import nvml
from greenpose.metering.sources.rapl import rapl, rapl_dram
from greenpose.metering.sources.source import Component, Provenance, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What covers one component."""

    component: Component
    """Part of the machine."""
    source: Source | None
    """The source; None where nothing covers the component or there is no such part."""
    rejected: tuple[Unusable, ...]
    """Better sources that were tried before, best first."""
    absent: str | None = None
    """Why there is no such part, for this process; None where there is one."""

    @property
    def provenance(self) -> Provenance | None:
        """Return the source's provenance, `not_covered` for a part that nothing reads, None for an absent part."""
        if self.source is not None:
            return self.source.provenance
        if self.absent is not None:
            return None
        return Provenance(
            component=self.component,
            kind="not_covered",
            method="nothing reads it",
            device=self.component,
            scope="none",
            coverage="; ".join(f"{unusable.name}: {unusable.why}" for unusable in self.rejected),
            source="greenpose",
            version="1",
        )


Probe = Callable[[Host], Source | Unusable | Absent]


def choose(host: Host) -> tuple[Choice, ...]:
    """Return what covers the CPU, the GPUs and the memory."""
    return (
        _first("cpu", (rapl, cpu_time), host),
        _first("gpu", (nvml,), host),
        _first("ram", (rapl_dram, ram_size), host),
    )


def cpu_time(host: Host) -> Source:
    """Return the model of CPU energy, which is always usable."""
    return CpuTimeSource(host.machine, share=host.share, clock=host.clock, cpu_clock=host.cpu_clock)


def ram_size(host: Host) -> Source:
    """Return the model of memory energy, which is always usable."""
    return RamSource(host.machine, share=host.share, clock=host.clock)


def _first(component: Component, probes: tuple[Probe, ...], host: Host) -> Choice:
    rejected: list[Unusable] = []
    for probe in probes:
        answer = probe(host)
        if isinstance(answer, Absent):
            return Choice(component=component, source=None, rejected=tuple(rejected), absent=answer.why)
        if not isinstance(answer, Unusable):
            return Choice(component=component, source=answer, rejected=tuple(rejected))
        rejected.append(answer)
    return Choice(component=component, source=None, rejected=tuple(rejected))
