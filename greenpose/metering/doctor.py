"""The doctor: what this machine can measure, with which source, why not better, and how to mend that."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from greenpose.formatting import ends, with_prefix
from greenpose.metering.doubts import STOOD_STILL
from greenpose.metering.inference import PERIODS_PER_WINDOW
from greenpose.metering.interference import Interference, LoadMonitor
from greenpose.metering.machine import (
    Host,
    Machine,
    allocator_of_process,
    host_of,
    is_pinned,
    pinned_environment,
)
from greenpose.metering.meter import Meter, MeterSurroundings
from greenpose.metering.sources.codecarbon import CodeCarbon
from greenpose.metering.sources.select_sources import Choice, choose
from greenpose.metering.sources.source import (
    NO_ENERGY,
    Component,
    CounterSource,
    Joules,
    Level,
    MachineFinding,
    Provenance,
    Source,
)
from greenpose.metering.window import Window, grade
from greenpose.quantity import Grade

LOOK_EVERY_S = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a counter was seen to move."""

    resolution_j: float
    """Smallest rise, in joules: its steps are this small or smaller."""
    update_period_s: float
    """Median time between two rises, in seconds; no shorter than a reading takes."""
    rises: int
    """How many rises were seen."""

    @property
    def shortest_window_s(self) -> float:
        """Return the length from which on a window's energy does not hang on when it began, in seconds."""
        return PERIODS_PER_WINDOW * self.update_period_s


def probe(
    source: Source,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Pace | None:
    """Return how a counter moves, watched for that long; None if it rose less than three times."""
    end = clock() + seconds
    values = [source.read().mid]
    moments: list[float] = []
    while (now := clock()) < end:
        joules = source.read().mid
        if joules != values[-1]:
            values.append(joules)
            moments.append(now)
        sleep(LOOK_EVERY_S)
    if len(moments) < 3:
        return None
    return Pace(
        resolution_j=min(after - before for before, after in pairwise(values)),
        update_period_s=statistics.median(after - before for before, after in pairwise(moments)),
        rises=len(moments),
    )


NAMES = {"cpu": "CPU", "gpu": "GPU", "ram": "memory"}
MODELS = {"cpu": "worked out from CPU time", "ram": "worked out from its size"}
SLOWER = 1.5
"""A counter that takes this many times the assumed period between two rises is called slower than assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterCheck:
    """What a component's source showed while it was watched."""

    watts: Joules | None
    """Power with its interval; None where the source could not be read or nothing moved."""
    pace: Pace | None
    """How its counter moved; None for a model, and for a counter that hardly did."""
    trouble: str | None
    """Why it could not be read; None if it could."""


def component_findings(choice: Choice, look: CounterCheck | None) -> list[MachineFinding]:
    """Return what covers a component and how well, then why each better source does not."""
    provenance = choice.provenance
    if provenance is None:
        return [MachineFinding(choice.component, "good", f"none: {choice.absent}")]
    if choice.source is None or look is None:
        first = [_finding(choice, "warning", "present, but nothing reads it: totals lack its energy")]
    elif look.trouble is not None:
        first = [_finding(choice, "warning", f"{_how(provenance)}, but it cannot be read now: {look.trouble}")]
    else:
        level: Level = "good" if provenance.kind == "measured" else "note"
        first = [_finding(choice, level, f"{_how(provenance)}{_power(look.watts)}"), *_speed(choice, provenance, look)]
    return [*first, *(_finding(choice, "note", f"{bad.name}: {bad.why}", bad.remedy) for bad in choice.rejected)]


def meaning(choices: Sequence[Choice], grade: Grade) -> list[MachineFinding]:
    """Return what may be done with numbers from here, and what may not."""
    sound = {
        "A": "joules and grams with their interval, and ratios of them",
        "B": "ratios of joules between exits and between runs on this machine; joules with their interval",
        "C": "ratios of joules between exits and between runs on this machine",
    }[grade]
    risky = {
        "A": "comparing them with a wall meter, which also sees what the counters leave out",
        "B": "joules or grams without their interval, or beside those of a machine that measures other parts",
        "C": "joules or grams without their interval, or beside those of another machine",
    }[grade]
    found = [
        MachineFinding("numbers", "good", f"sound: parameters, MACs, accuracy, seconds, CPU-seconds; {sound}"),
        MachineFinding(topic="numbers", level="note" if grade == "A" else "warning", says=f"not sound: {risky}"),
    ]
    missing = _missing(choices)
    if missing:
        says = f"not sound: any total of work that uses the {missing}, which may be most of it"
        found.append(MachineFinding("numbers", "warning", says))
    return found


def _finding(choice: Choice, level: Level, says: str, remedy: str | None = None) -> MachineFinding:
    return MachineFinding(choice.component, level, says, remedy)


def _how(provenance: Provenance) -> str:
    if provenance.kind == "modelled":
        return f"{MODELS[provenance.component]}, not measured"
    return f"{'measured by' if provenance.kind == 'measured' else 'estimated from'} the {provenance.method}"


def _power(watts: Joules | None) -> str:
    if watts is None:
        return ""
    low, mid, high = (with_prefix(value, "W", 2) for value in (watts.low, watts.mid, watts.high))
    return f": {mid} now (truly {ends(low, high)})"


def _range(looks: Iterable[CounterCheck]) -> str:
    """Return between which powers all components together may lie now; nothing where none was seen to draw any."""
    drawn = sum((look.watts for look in looks if look.watts is not None), NO_ENERGY)
    if not drawn.mid:
        return ""
    low, mid, high = (with_prefix(value, "W", 2) for value in (drawn.low, drawn.mid, drawn.high))
    return f", {mid} now, which may be {ends(low, high)}"


def _speed(choice: Choice, provenance: Provenance, look: CounterCheck) -> list[MachineFinding]:
    """Return how the counter was seen to move, beside what is assumed of it."""
    assumed, step = provenance.update_period_s, provenance.resolution_j
    if assumed is None or step is None:
        return []
    if look.pace is None:
        return [_finding(choice, "warning", "it hardly moved while it was watched: do not trust it")]
    slow = look.pace.update_period_s > SLOWER * assumed
    found_s, found_j = with_prefix(look.pace.update_period_s, "s", 2), with_prefix(look.pace.resolution_j, "J", 2)
    says = (
        f"it moves every {found_s} (assumed: {with_prefix(assumed, 's', 2)}), the smallest step seen is {found_j} "
        f"(assumed: {with_prefix(step, 'J', 2)}): let a window last {with_prefix(look.pace.shortest_window_s, 's', 2)} "
        "or longer"
    )
    return [_finding(choice, "note" if slow else "good", says)]


def _missing(choices: Sequence[Choice]) -> str:
    """Return the components that exist and that nothing reads, as words."""
    return " and ".join(
        NAMES[choice.component] for choice in choices if choice.source is None and choice.absent is None
    )


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
    looks: Mapping[Component, CounterCheck] = field(default_factory=dict)
    """What each component's source showed; none for a component without one."""
    findings: tuple[MachineFinding, ...]
    """What follows from that, components first."""

    @property
    def measured(self) -> bool:
        """Return whether any component is read from a hardware counter: what `--strict` asks for."""
        return any(choice.source is not None and choice.source.provenance.kind == "measured" for choice in self.choices)

    @property
    def verdict(self) -> str:
        """Return in one sentence what can be trusted here."""
        begin = {
            "A": "Energy is measured on this machine: joules may be quoted, with their interval",
            "B": "Part of the energy is measured on this machine, part is worked out",
            "C": f"No energy is measured on this machine: joules are worked out{_range(self.looks.values())}",
        }[self.grade]
        missing = _missing(self.choices)
        if missing:
            begin = {"C": "No energy is measured on this machine"}.get(
                self.grade, "Part of the energy is measured on this machine"
            )
            begin += f", and that of the {missing} is missing"
        return f"{begin} (grade {self.grade})."


def examine(
    host: Host | None = None,
    *,
    codecarbon: CodeCarbon | None = None,
    load: LoadMonitor | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Diagnosis:
    """Return what this machine and process can measure.

    Args:
        host: Where to look; by default this machine.
        codecarbon: Asked for its view if given; that takes 2 s.
        load: Watches the CPU for half a second.
        sleep: Waits for that long.
    """
    host = host_of() if host is None else host
    choices = choose(host)
    window, paces = _watch(host, choices, LoadMonitor() if load is None else load, sleep)
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
    host: Host, choices: tuple[Choice, ...], load: LoadMonitor, sleep: Callable[[float], object]
) -> tuple[Window, dict[Component, Pace | None]]:
    """Return a window over an idle half second, and how each counter moves."""
    sources = [choice.source for choice in choices if choice.source is not None]
    meter = Meter(sources, clock=host.clock, cpu_clock=host.cpu_clock, surroundings=MeterSurroundings(load=load))
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


def _look(window: Window, component: str, pace: Pace | None) -> CounterCheck:
    joules = window.joules.get(component)
    moved = joules is not None and joules.mid > 0 and window.seconds > 0
    return CounterCheck(
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


def _allocator(environ: Mapping[str, str]) -> MachineFinding:
    if is_pinned(environ):
        return MachineFinding("allocator", "good", "memory is kept between steps, as for every measured process")
    if not is_pinned(pinned_environment()):
        says = f"memory is served by {allocator_of_process()}, to which the settings of glibc's allocator mean nothing"
        return MachineFinding("allocator", "note", f"not pinned: {says}", remedy="start without it")
    names = " ".join(f"{name}={value}" for name, value in pinned_environment().items())
    return MachineFinding(
        "allocator",
        "note",
        "not pinned: CPU time of the same code may differ by tens of percent between two processes; "
        "`greenpose run` pins its own, pin yours by starting them with",
        remedy=f"env {names} python your_script.py",
    )


def _threads(environ: Mapping[str, str], machine: Machine) -> MachineFinding:
    threads = environ.get("OMP_NUM_THREADS", "")
    if threads == "1" or environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE":
        return MachineFinding("threads", "good", f"{threads or 'all'} OpenMP threads, none of which spins")
    return MachineFinding(
        "threads",
        "note",
        f"OpenMP may start {threads or f'{machine.usable_cpus:g}'} threads that spin while they wait, "
        "and waiting then counts as CPU time",
        remedy="export OMP_NUM_THREADS=1  (or OMP_WAIT_POLICY=PASSIVE)",
    )


def _load(interference: Interference | None) -> list[MachineFinding]:
    if interference is None:
        return [MachineFinding("load", "note", "this system does not say who uses the CPU")]
    busy, steal = interference.foreign_cpu_share, interference.steal_share
    load = MachineFinding("load", "good", f"other processes use {busy:.0%} of the CPU")
    if busy > BUSY_SHARE:
        says = f"{load.says}: wall times will vary, CPU-seconds and ratios between exits less"
        load = MachineFinding("load", "warning", says, remedy="stop them, or measure with one thread")
    stolen = MachineFinding("steal", "good", f"the hypervisor takes {steal:.1%} of the CPU")
    if steal > STEAL_SHARE:
        stolen = MachineFinding("steal", "warning", stolen.says, remedy="measure when the host is quieter")
    return [load, stolen]


def _codecarbon(tool: CodeCarbon) -> MachineFinding:
    view = tool.describe()
    if view["missing"]:
        return MachineFinding("codecarbon", "warning", f"no cross-check: {view['missing']}")
    watts = f", assuming {view['tdp_w']:g} W for the whole CPU" if view["tdp_w"] is not None else ""
    return MachineFinding("codecarbon", "good", f"cross-check by {view['tool']}, mode {view['mode']}{watts}")
