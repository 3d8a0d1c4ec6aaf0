"""What is metered of a run, as its record has it: time, energy, emissions, sources, the machine, and the grade."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from greenpose.config import CarbonConfig
from greenpose.formatting import joules_to_kwh
from greenpose.intervals import Bounds
from greenpose.ledger.phases import Used, spent
from greenpose.metering import (
    CarbonAccounting,
    EmbodiedShare,
    Provenance,
    Window,
    carbon_of,
    gaps,
    grade,
    short_of,
    this_machine,
)
from greenpose.metering.carbon import UNIT
from greenpose.metering.embodied import HOW
from greenpose.metering.window import Grade
from greenpose.quantity import KINDS, Kind, Quantity, missing
from greenpose.record import (
    Carbon,
    Component,
    CrossCheck,
    Embodied,
    Hardware,
    interval_of,
)
from greenpose.store.records import Attempt


def training_spent(
    used: Used,
    windows: Sequence[Window],
    attempts: Sequence[Attempt],
    kind: Kind,
    *,
    what: str = "every epoch of every attempt, validation included",
) -> dict[str, Quantity]:
    """Return the run's own time and energy; `what` says which windows they are the sums of."""
    methods = "; in another attempt: ".join(dict.fromkeys(map(_method, attempts)))
    numbers = spent(
        used,
        kind,
        clock=f"monotonic clock; {what}",
        energy="; ".join([methods, *_at_least(windows)]),
    )
    return {f"train_{name}": number for name, number in numbers.items()}


def marked(numbers: dict[str, Quantity], lost: Sequence[str]) -> dict[str, Quantity]:
    """Return totals, which say what they lack where windows are lost."""
    lacks = f"; too small: {'; '.join(lost)}" if lost else ""
    return {name: replace(number, method=number.method + lacks) for name, number in numbers.items()}


def _method(attempt: Attempt) -> str:
    """Return how the energy of each component was obtained, and which component is not in it."""
    methods = "; ".join(p.method for p in attempt.provenances if p.kind != "not_covered")
    absent = [provenance.component for provenance in gaps(attempt.joules, attempt.provenances)]
    return (
        f"{methods}; without {' and '.join(absent)}" if absent else methods
    ) or "not known: its log has no header any more"


def _at_least(training: Sequence[Window]) -> list[str]:
    """Return in how many windows each component could not be read, or not believed."""
    lacking = {name: sum(name in window.missing for window in training) for name in sorted(short_of(training))}
    return [f"at least: {name} is missing in {count} of {len(training)} windows" for name, count in lacking.items()]


def embodied_entry(embodied: EmbodiedShare) -> Embodied:
    """Return the hardware as the record has it."""
    parts = [Hardware(**asdict(part) | {"kg_interval": interval_of(part.kg_interval)}) for part in embodied.parts]
    return Embodied(kind=embodied.kind, parts=parts, lifetime_years=embodied.lifetime_years, note=embodied.note)


def training_emissions(
    windows: Sequence[Window], carbon: CarbonAccounting, embodied: EmbodiedShare | None, *, kind: Kind
) -> dict[str, Quantity]:
    """Return the emissions of training's windows, whose energy is of a `kind`: operational, embodied, and both."""
    grams = carbon.grams_of(windows)
    operational = replace(grams, kind=kind, method=f"{grams.method}; interval ends multiplied with ends")
    seconds = sum(window.seconds for window in windows)
    making = embodied_emissions(embodied, seconds, time="wall time of training")
    sci = carbon_intensity(operational, making, per="training")
    return {"train_co2eq_g": operational, "train_embodied_co2eq_g": making, "train_sci_g": sci}


def embodied_emissions(
    embodied: EmbodiedShare | None, seconds: float, *, time: str, repeated: Bounds | None = None
) -> Quantity:
    """Return what making the held hardware costs for a time, which `time` says in words; Type A is the time's own."""
    if embodied is None:
        return missing("not recorded: the hardware is not known", unit=UNIT, method=f"{HOW} x {time} / its life")
    return embodied.grams(seconds, time=time, repeated=repeated)


def carbon_intensity(operational: Quantity, embodied: Quantity, *, per: str) -> Quantity:
    """Return the Software Carbon Intensity: both kinds of emissions for a functional unit; none where one is missing.

    Both parts follow the same clock, so that their errors do not cancel.

    Source: Software Carbon Intensity specification 1.1 (ISO/IEC 21031:2024), SCI = (O + M) per R.
    """
    method = f"Software Carbon Intensity per {per}: operational + embodied emissions, interval ends added to ends"
    return replace(operational + embodied, method=method)


def grade_of(attempts: Sequence[Attempt]) -> Grade:
    """Return the grade that all attempts have; B where they differ: part of the energy was read from hardware."""
    grades = {grade(one.joules, one.provenances, short=one.short) if one.provenances else "C" for one in attempts}
    return grades.pop() if len(grades) == 1 else "B"


def host_of_all(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the machine that the run ended on; where others had a part in it, no single one's fingerprint."""
    known = list(dict.fromkeys(one.host for one in attempts if one.host is not None))
    return this_machine().as_dict() | {"fingerprint": "+".join(known)}


def carbon_entry(
    settings: CarbonConfig, *, windows: Sequence[Window] = (), embodied: EmbodiedShare | None = None
) -> Carbon:
    """Return what turns energy, and the making of the machine, into emissions; hourly data as of the windows."""
    return carbon_record(carbon_of(**settings.model_dump()), windows=windows, embodied=embodied)


def carbon_record(
    carbon: CarbonAccounting, *, windows: Sequence[Window] = (), embodied: EmbodiedShare | None = None
) -> Carbon:
    """Return the same of an account that a meter has."""
    grid, mean = carbon.grid_of(windows), carbon.intensity if carbon.hours else None
    return Carbon(
        country=grid.country,
        intensity_g_per_kwh=grid.g_per_kwh,
        intensity_interval=interval_of(grid.interval),
        source=grid.source,
        vintage=grid.vintage,
        pue=carbon.pue,
        mean_g_per_kwh=mean.g_per_kwh if mean else None,
        mean_interval=interval_of(mean.interval) if mean else None,
        embodied=embodied_entry(embodied) if embodied else None,
    )


def component_entries(*attempts: Sequence[Provenance]) -> list[Component]:
    """Return where each component's energy comes from; where attempts differ, by the worst of their ways."""
    sources: dict[str, list[Provenance]] = {}
    for provenance in (each for provenances in attempts for each in provenances):
        sources.setdefault(provenance.component, []).append(provenance)
    return [_component(some) for some in sources.values()]


def _component(sources: Sequence[Provenance]) -> Component:
    worst = max(reversed(sources), key=lambda each: KINDS.index(each.kind))
    own_fields = {"component", "kind", "method"}
    methods = dict.fromkeys(each.method for each in (worst, *sources))
    return Component(
        component=worst.component,
        kind=worst.kind,
        method="; in another attempt: ".join(methods),
        details={key: value for key, value in worst.as_dict().items() if key not in own_fields},
    )


def crosscheck(windows: Sequence[Window]) -> list[CrossCheck]:
    """Return codecarbon's figure for the windows that it covered, beside ours for the same ones."""
    checked = [(window, window.crosscheck) for window in windows if window.crosscheck is not None]
    if not checked:
        return []
    covered = [(window, check, joules) for window, check in checked if (joules := check.joules) is not None]
    tool = checked[-1][1].tool
    if not covered:
        reason = checked[-1][1].missing or "no figures"
        return [CrossCheck(tool=tool, energy_kwh=None, covered_seconds=0.0, ratio=None, note=reason)]
    theirs = sum(joules for _, _, joules in covered)
    ours = sum(window.energy.mid for window, _, _ in covered)
    last = covered[-1][1]
    watts = f", {last.tdp_w:g} W assumed for the CPU" if last.tdp_w is not None else ""
    ram = statistics.fmean((check.ram_joules or 0.0) / check.seconds for _, check, _ in covered if check.seconds > 0)
    return [
        CrossCheck(
            tool=tool,
            energy_kwh=joules_to_kwh(theirs),
            covered_seconds=sum(check.seconds for _, check, _ in covered),
            ratio=theirs / ours if ours > 0 else None,
            note=f"process mode, CPU by {last.mode}{watts}, memory {ram:.3g} W; {len(covered)} training windows",
        )
    ]
