"""What a run and an image cost, as a record has it: size, time, energy, emissions, sources, the machine, the grade."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from greenpose.config import CarbonConfig
from greenpose.formatting import joules_to_kwh
from greenpose.intervals import FEWEST_CALLS, Bounds
from greenpose.ledger.phases import Used, spent
from greenpose.metering import (
    CarbonAccounting,
    EmbodiedShare,
    ExitMeasurement,
    Joules,
    Provenance,
    Window,
    carbon_of,
    gaps,
    grade,
    short_of,
    this_machine,
)
from greenpose.metering.carbon.embodied import HOW
from greenpose.metering.carbon.grid_intensity import UNIT
from greenpose.metrics import COUNTED
from greenpose.quantity import KINDS, Grade, Kind, Quantity, missing, scaled
from greenpose.record import (
    Carbon,
    Component,
    CrossCheck,
    Embodied,
    Hardware,
    basis_of,
    interval_of,
    with_bases,
)
from greenpose.record.exits import CONDITIONS
from greenpose.store.records import Attempt

SHARE = "relative_to_final."
"""What the names of numbers over the final exit's begin with."""


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


def measured_fields(measured: ExitMeasurement, quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    """Return the fields of what was measured with these quantities: numbers, shares, bases, and how it was done."""
    shares = {name: each for name, each in quantities.items() if name.startswith(SHARE)}
    fields = with_bases({name: each for name, each in quantities.items() if name not in shares})
    return {
        "relative_to_final": {
            name.removeprefix(SHARE): each.value for name, each in shares.items() if each.value is not None
        },
        "measurement": _how(measured),
        **fields,
        "basis": fields["basis"] | {name: basis_of(each) for name, each in shares.items()},
    }


def size_quantities(sizes: Mapping[str, int]) -> dict[str, Quantity]:
    """Return what is counted of an exit, as the record has it."""
    return {
        metric.name: Quantity(value=sizes[metric.name], unit=metric.recorded, kind="counted", method=metric.method)
        for metric in COUNTED
    }


def cost_quantities(
    measured: ExitMeasurement,
    *,
    kind: Kind,
    carbon: CarbonAccounting,
    embodied: EmbodiedShare | None = None,
    what: str = "truncated network",
) -> dict[str, Quantity]:
    """Return what an image costs in something, which `what` names, and its shares of the reference's cost."""
    return _costs(measured, kind=kind, carbon=carbon, embodied=embodied, what=what) | _shares(measured)


def _costs(
    measured: ExitMeasurement, *, kind: Kind, carbon: CarbonAccounting, embodied: EmbodiedShare | None, what: str
) -> dict[str, Quantity]:
    """Return latency, CPU time, energy and emissions of one image."""
    how = f"median over {measured.blocks} interleaved blocks, batch {measured.items_per_call}, {what}"
    gross = _energy(measured, "energy_j_per_item", kind, f"gross; {how}")
    operational = _grams(gross, carbon)
    latency = replace(measured.latency_s, unit="s", method=f"wall time per image; {how}")
    thousand = latency * 1000
    making = embodied_emissions(embodied, thousand.known, time="wall time of 1000 images", repeated=thousand.type_a)
    return {
        "latency_s": latency,
        "latency_p95_s": replace(measured.latency_p95_s, unit="s", method=_percentile(measured)),
        "cpu_s_per_image": replace(measured.cpu_s_per_item, unit="s", method=f"CPU time per image; {how}"),
        "energy_j_per_image": gross,
        "net_energy_j_per_image": _energy(
            measured, "net_energy_j_per_item", kind, f"gross minus idle power x wall time; {how}"
        ),
        "co2eq_g_per_1000_images": operational,
        "embodied_co2eq_g_per_1000_images": making,
        "sci_g_per_1000_images": carbon_intensity(operational, making, per="1000 images"),
    }


def _energy(measured: ExitMeasurement, name: str, kind: Kind, method: str) -> Quantity:
    found: Quantity | None = getattr(measured, name)
    if found is None:
        reason = measured.missing.get(name, "no component's energy could be read")
        return missing(reason, unit="J", method=method)
    return replace(found, unit="J", kind=kind, method=method)


def _percentile(measured: ExitMeasurement) -> str:
    """Return how the 95th percentile was obtained, and why it has no interval if it has none."""
    how = f"wall time per image; 95th percentile over {measured.calls} calls"
    few = measured.latency_p95_s.type_a is None
    return f"{how}; no interval for fewer than {FEWEST_CALLS} calls, or a single block" if few else how


def _grams(energy: Quantity, carbon: CarbonAccounting) -> Quantity:
    """Return the emissions of 1000 images: Type A scales with the energy's, Type B is widened by the intensity's."""
    method = f"gross energy of 1000 images x PUE x {carbon.describe_grid(timed=False)}"
    if energy.value is None:
        return replace(energy, unit=UNIT, method=method)
    low, high = energy.type_b or (energy.value, energy.value)
    grams = carbon.grams(Joules(low * 1000, energy.value * 1000, high * 1000))
    factor = grams.known / energy.value if energy.value else 0.0
    return replace(grams, kind=energy.kind, method=method, type_a=scaled(energy.type_a, factor), repeats=energy.repeats)


def _shares(measured: ExitMeasurement) -> dict[str, Quantity]:
    """Return the within-block ratios under the record's names: an item is an image here."""
    return {
        f"{SHARE}{name.replace('_per_item', '_per_image')}": replace(
            ratio,
            unit="fraction",
            method=f"median of ratios within {ratio.repeats} blocks; systematic errors cancel",
            type_b=None,
        )
        for name, ratio in measured.ratios.items()
    }


def _how(measured: ExitMeasurement) -> dict[str, Any]:
    """Return how inference was measured: all that is no estimate."""
    return {name: getattr(measured, name) for name in CONDITIONS} | {"warnings": list(measured.warnings)}
