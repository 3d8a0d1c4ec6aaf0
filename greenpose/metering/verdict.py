"""What a machine's sources mean for its numbers, in words for someone who has never measured energy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from greenpose.metering.choice import Choice
from greenpose.metering.finding import Finding, Level
from greenpose.metering.grading import Grade
from greenpose.metering.pace import Pace
from greenpose.metering.source import NO_ENERGY, Component, Joules, Provenance
from greenpose.units import with_prefix

NAMES = {"cpu": "CPU", "gpu": "GPU", "ram": "memory"}
MODELS = {"cpu": "worked out from CPU time", "ram": "worked out from its size"}
SLOWER = 1.5
"""A counter that takes this many times the assumed period between two rises is called slower than assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a component's source showed while it was watched."""

    watts: Joules | None
    """Power with its interval; None where the source could not be read or nothing moved."""
    pace: Pace | None
    """How its counter moved; None for a model, and for a counter that hardly did."""
    trouble: str | None
    """Why it could not be read; None if it could."""


def component_findings(choice: Choice, look: Look | None) -> list[Finding]:
    """Return what covers a component and how well, then why each better source does not."""
    provenance = choice.provenance
    if provenance is None:
        return [Finding(topic=choice.component, level="good", says=f"none: {choice.absent}")]
    if choice.source is None or look is None:
        first = [_finding(choice, "warning", "present, but nothing reads it: totals lack its energy")]
    elif look.trouble is not None:
        first = [_finding(choice, "warning", f"{_how(provenance)}, but it cannot be read now: {look.trouble}")]
    else:
        level: Level = "good" if provenance.kind == "measured" else "note"
        first = [_finding(choice, level, f"{_how(provenance)}{_power(look.watts)}"), *_pace(choice, provenance, look)]
    return [*first, *(_finding(choice, "note", f"{bad.name}: {bad.why}", bad.remedy) for bad in choice.rejected)]


def verdict(choices: Sequence[Choice], grade: Grade, looks: Mapping[Component, Look]) -> str:
    """Return in one sentence what can be trusted here."""
    begin = {
        "A": "Energy is measured on this machine: joules may be quoted, with their interval",
        "B": "Part of the energy is measured on this machine, part is worked out",
        "C": f"No energy is measured on this machine: joules are worked out{_range(looks.values())}",
    }[grade]
    missing = _missing(choices)
    if missing:
        begin = {"C": "No energy is measured on this machine"}.get(
            grade, "Part of the energy is measured on this machine"
        )
        begin += f", and that of the {missing} is missing"
    return f"{begin} (grade {grade})."


def meaning(choices: Sequence[Choice], grade: Grade) -> list[Finding]:
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
        Finding(
            topic="numbers", level="good", says=f"sound: parameters, MACs, accuracy, seconds, CPU-seconds; {sound}"
        ),
        Finding(topic="numbers", level="note" if grade == "A" else "warning", says=f"not sound: {risky}"),
    ]
    missing = _missing(choices)
    if missing:
        says = f"not sound: any total of work that uses the {missing}, which may be most of it"
        found.append(Finding(topic="numbers", level="warning", says=says))
    return found


def _finding(choice: Choice, level: Level, says: str, remedy: str | None = None) -> Finding:
    return Finding(topic=choice.component, level=level, says=says, remedy=remedy)


def _how(provenance: Provenance) -> str:
    if provenance.kind == "modelled":
        return f"{MODELS[provenance.component]}, not measured"
    return f"{'measured by' if provenance.kind == 'measured' else 'estimated from'} the {provenance.method}"


def _power(watts: Joules | None) -> str:
    if watts is None:
        return ""
    low, mid, high = (with_prefix(value, "W", 2) for value in (watts.low, watts.mid, watts.high))
    return f": {mid} now ({low} to {high})"


def _range(looks: Iterable[Look]) -> str:
    """Return between which powers all components together may lie now; nothing where none was seen to draw any."""
    seen = sum((look.watts for look in looks if look.watts is not None), NO_ENERGY)
    if not seen.mid:
        return ""
    low, mid, high = (with_prefix(value, "W", 2) for value in (seen.low, seen.mid, seen.high))
    return f", {mid} now, which may be {low} to {high}"


def _pace(choice: Choice, provenance: Provenance, look: Look) -> list[Finding]:
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
