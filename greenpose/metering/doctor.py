"""What this machine can measure, with which source, why not better, and how to mend that: findings as data."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from greenpose.metering.choice import Choice, Host, choose, host_of
from greenpose.metering.contamination import Contamination, Witness
from greenpose.metering.crosscheck import CodeCarbon
from greenpose.metering.machine import Machine, is_pinned, pinned_environment

Level = Literal["good", "note", "warning"]

BUSY_SHARE = 0.10
STEAL_SHARE = 0.02
WATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a user should know."""

    topic: str
    """`cpu`, `gpu`, `ram`, `allocator`, `threads`, `load`, `steal`, `codecarbon` or `numbers`."""
    level: Level
    """good: as it should be; note: worth knowing; warning: it makes numbers worse."""
    says: str
    """What is so, in plain words."""
    remedy: str | None = None
    """What to do about it; None if nothing can or need be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings about one machine and process."""

    machine: Machine
    """The machine."""
    choices: tuple[Choice, ...]
    """What covers each component, and what was rejected."""
    findings: tuple[Finding, ...]
    """What follows from that, components first."""

    @property
    def measured(self) -> bool:
        """Return whether any component is read from a hardware counter: what `--strict` asks for."""
        return any(choice.source is not None and choice.source.provenance.kind == "measured" for choice in self.choices)


def examine(
    host: Host | None = None,
    *,
    codecarbon: CodeCarbon | None = None,
    witness: Witness | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Diagnosis:
    """Return what this machine and process can measure.

    Args:
        host: Where to look; by default this machine.
        codecarbon: Asked for its view if given; that takes 2 s.
        witness: Watches the CPU for half a second.
        sleep: Waits for that long.
    """
    host = host_of() if host is None else host
    choices = choose(host)
    findings = [finding for choice in choices for finding in _component(choice)]
    findings += [_allocator(host.environ), _threads(host.environ, host.machine)]
    findings += _load(_watch(Witness() if witness is None else witness, sleep))
    if codecarbon is not None:
        findings.append(_codecarbon(codecarbon))
    findings.append(_meaning(choices))
    return Diagnosis(machine=host.machine, choices=choices, findings=tuple(findings))


def _component(choice: Choice) -> list[Finding]:
    """Return what covers a component, then why each better source does not."""
    provenance = choice.provenance
    if provenance is None:
        return [Finding(topic=choice.component, level="good", says="there is none here for this process to use")]
    if choice.source is None:
        first = Finding(
            topic=choice.component, level="warning", says="present, but nothing reads it: its energy is missing"
        )
    else:
        level: Level = "good" if provenance.kind == "measured" else "note"
        says = f"{provenance.kind}: {provenance.method} ({provenance.device})"
        first = Finding(topic=choice.component, level=level, says=says)
    rejected = [
        Finding(
            topic=choice.component, level="note", says=f"{tried.name} is not used: {tried.why}", remedy=tried.remedy
        )
        for tried in choice.rejected
    ]
    return [first, *rejected]


def _allocator(environ: Mapping[str, str]) -> Finding:
    if is_pinned(environ):
        return Finding(
            topic="allocator", level="good", says="memory is kept between steps, as for every measured process"
        )
    names = " ".join(f"{name}={value}" for name, value in pinned_environment().items())
    return Finding(
        topic="allocator",
        level="note",
        says="this process returns freed memory to the kernel; two such processes with the same code can differ by "
        "tens of percent in CPU time. GreenPose starts its measured processes with the variables below; start yours so "
        "too",
        remedy=f"env {names} python your_script.py",
    )


def _threads(environ: Mapping[str, str], machine: Machine) -> Finding:
    threads = environ.get("OMP_NUM_THREADS", "")
    if threads == "1" or environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        return Finding(topic="threads", level="good", says=f"{threads or 'all'} OpenMP threads, none of which spins")
    return Finding(
        topic="threads",
        level="note",
        says=f"OpenMP may start {threads or f'{machine.usable_cpus:g}'} threads that spin while they wait: CPU-seconds "
        "then count waiting as work",
        remedy="export OMP_NUM_THREADS=1  (or OMP_WAIT_POLICY=PASSIVE)",
    )


def _watch(witness: Witness, sleep: Callable[[float], object]) -> Contamination | None:
    witness.open()
    start, cpu_start = witness.read(), time.process_time()
    sleep(WATCH_SECONDS)
    used = time.process_time() - cpu_start
    seen = witness.between(start, seconds=WATCH_SECONDS, cpu_seconds=used)
    witness.close()
    return seen


def _load(seen: Contamination | None) -> list[Finding]:
    if seen is None:
        return [Finding(topic="load", level="note", says="this system does not say who uses the CPU")]
    busy, steal = seen.foreign_cpu_share, seen.steal_share
    load = Finding(topic="load", level="good", says=f"other processes use {busy:.0%} of the CPU")
    if busy > BUSY_SHARE:
        says = f"{load.says}: wall times will vary, CPU-seconds and ratios between exits less"
        load = Finding(topic="load", level="warning", says=says, remedy="stop them, or measure with one thread")
    stolen = Finding(topic="steal", level="good", says=f"the hypervisor takes {steal:.1%} of the CPU")
    if steal > STEAL_SHARE:
        stolen = Finding(topic="steal", level="warning", says=stolen.says, remedy="measure when the host is quieter")
    return [load, stolen]


def _codecarbon(tool: CodeCarbon) -> Finding:
    view = tool.describe()
    if view["missing"]:
        return Finding(topic="codecarbon", level="warning", says=f"no cross-check: {view['missing']}")
    watts = f", assuming {view['tdp_w']:g} W for the whole CPU" if view["tdp_w"] is not None else ""
    return Finding(topic="codecarbon", level="good", says=f"cross-check by {view['tool']}, mode {view['mode']}{watts}")


def _meaning(choices: tuple[Choice, ...]) -> Finding:
    """Say what the sources mean for the numbers."""
    provenances = [choice.provenance for choice in choices]
    kinds = {provenance.kind for provenance in provenances if provenance is not None}
    if kinds == {"measured"}:
        return Finding(topic="numbers", level="good", says="joules are read from counters: grade A")
    if "measured" in kinds:
        return Finding(topic="numbers", level="note", says="some joules are read from counters, some modelled: grade B")
    return Finding(
        topic="numbers",
        level="warning",
        says="every joule is a model's choice (grade C), right to about a factor of two. Ratios between exits and "
        "between runs on this machine are sound, and so are parameters, MACs, CPU-seconds and accuracy. Do not quote "
        "absolute joules or grams without their interval, and do not compare them with another machine's",
        remedy="measure on a machine with a counter, and see above what is missing here",
    )
