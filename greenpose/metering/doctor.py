"""The doctor: what this machine can measure, with which source, why not better, and how to mend that."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from greenpose.metering.choice import Choice, choose
from greenpose.metering.contamination import Contamination, Witness
from greenpose.metering.crosscheck import CodeCarbon
from greenpose.metering.doubt import STOOD_STILL
from greenpose.metering.finding import Finding
from greenpose.metering.grading import Grade, grade
from greenpose.metering.host import Host, host_of
from greenpose.metering.instrument import Meter, Surroundings
from greenpose.metering.machine import Machine, allocator_of_process, is_pinned, pinned_environment
from greenpose.metering.pace import Pace, probe
from greenpose.metering.source import Component, CounterSource, Joules, Source
from greenpose.metering.verdict import Look, component_findings, meaning, verdict
from greenpose.metering.window import Window

BUSY_SHARE = 0.10
STEAL_SHARE = 0.02
WATCH_SECONDS = 0.5
PROBE_PERIODS = 20
"""A counter is watched for this many of its assumed update periods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings about one machine and process."""

    machine: Machine
    """The machine."""
    choices: tuple[Choice, ...]
    """What covers each component, and what was rejected."""
    grade: Grade = "C"
    """Grade of a total taken here: A measured, B mixed, C modelled."""
    looks: Mapping[Component, Look] = field(default_factory=dict)
    """What each component's source showed; none for a component without one."""
    findings: tuple[Finding, ...]
    """What follows from that, components first."""

    @property
    def measured(self) -> bool:
        """Return whether any component is read from a hardware counter: what `--strict` asks for."""
        return any(choice.source is not None and choice.source.provenance.kind == "measured" for choice in self.choices)

    @property
    def verdict(self) -> str:
        """Return in one sentence what can be trusted here."""
        return verdict(self.choices, self.grade, self.looks)


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
    window, paces = _watch(host, choices, Witness() if witness is None else witness, sleep)
    looks = {
        choice.component: _look(window, choice.component, paces.get(choice.component))
        for choice in choices
        if choice.source is not None
    }
    letter = _grade(choices, window)
    findings = [finding for choice in choices for finding in component_findings(choice, looks.get(choice.component))]
    findings += [_allocator(host.environ), _threads(host.environ, host.machine)]
    findings += _load(window.contamination)
    if codecarbon is not None:
        findings.append(_codecarbon(codecarbon))
    findings += meaning(choices, letter)
    return Diagnosis(machine=host.machine, choices=choices, grade=letter, looks=looks, findings=tuple(findings))


def _watch(
    host: Host, choices: tuple[Choice, ...], witness: Witness, sleep: Callable[[float], object]
) -> tuple[Window, dict[Component, Pace | None]]:
    """Return a window over an idle half second, and how each counter moves."""
    sources = [choice.source for choice in choices if choice.source is not None]
    meter = Meter(sources, clock=host.clock, cpu_clock=host.cpu_clock, surroundings=Surroundings(witness=witness))
    with meter:
        with meter.window("doctor") as opened:
            sleep(WATCH_SECONDS)
        read = [source for source in sources if _trouble(opened.result, source.component) is None]
        paces = {source.component: _pace(source, host.clock, sleep) for source in read}
    return opened.result, paces


def _pace(source: Source, clock: Callable[[], float], sleep: Callable[[float], object]) -> Pace | None:
    period_s = source.provenance.update_period_s
    if period_s is None or source.provenance.resolution_j is None or not isinstance(source, CounterSource):
        return None
    return probe(source.first(), max(PROBE_PERIODS * period_s, WATCH_SECONDS), clock=clock, sleep=sleep)


def _look(window: Window, component: str, pace: Pace | None) -> Look:
    joules = window.joules.get(component)
    moved = joules is not None and joules.mid > 0 and window.seconds > 0
    return Look(
        watts=joules * (1 / window.seconds) if joules is not None and moved else None,
        pace=pace,
        trouble=_trouble(window, component),
    )


def _trouble(window: Window, component: str) -> str | None:
    """Return why a component could not be read; None if it could, and for a counter that stands still: it is probed."""
    why = window.missing.get(component)
    return None if why is None or why.startswith(STOOD_STILL) else why


def _grade(choices: tuple[Choice, ...], window: Window) -> Grade:
    """Return the grade of the window; of its components alike where nothing moved."""
    provenances = [choice.provenance for choice in choices]
    joules = window.joules if window.energy.mid > 0 else dict.fromkeys(window.joules, Joules(1.0, 1.0, 1.0))
    return grade(joules, [provenance for provenance in provenances if provenance is not None])


def _allocator(environ: Mapping[str, str]) -> Finding:
    if is_pinned(environ):
        return Finding(
            topic="allocator", level="good", says="memory is kept between steps, as for every measured process"
        )
    if not is_pinned(pinned_environment()):
        says = f"memory is served by {allocator_of_process()}, to which the settings of glibc's allocator mean nothing"
        return Finding(topic="allocator", level="note", says=f"not pinned: {says}", remedy="start without it")
    names = " ".join(f"{name}={value}" for name, value in pinned_environment().items())
    return Finding(
        topic="allocator",
        level="note",
        says="not pinned: CPU time of the same code may differ by tens of percent between two processes; "
        "`greenpose run` pins its own, pin yours by starting them with",
        remedy=f"env {names} python your_script.py",
    )


def _threads(environ: Mapping[str, str], machine: Machine) -> Finding:
    threads = environ.get("OMP_NUM_THREADS", "")
    if threads == "1" or environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        return Finding(topic="threads", level="good", says=f"{threads or 'all'} OpenMP threads, none of which spins")
    return Finding(
        topic="threads",
        level="note",
        says=f"OpenMP may start {threads or f'{machine.usable_cpus:g}'} threads that spin while they wait, "
        "and waiting then counts as CPU time",
        remedy="export OMP_NUM_THREADS=1  (or OMP_WAIT_POLICY=PASSIVE)",
    )


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
