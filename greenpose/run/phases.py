"""The phases of a run: sums of its metered windows, and each exit's share of training."""

from collections.abc import Sequence
from dataclasses import dataclass

from greenpose.metering import NO_ENERGY, Carbon, Joules, Meter, Window
from greenpose.record import Basis, Interval, Kind, Phase
from greenpose.store.records import outermost, phase_of
from greenpose.units import co2eq_g, joules_to_kwh

PHASES = ("data", "count", "train", "validate", "checkpoint", "test", "inference", "segments")
TRAINING = ("train", "validate", "checkpoint")
"""Phases that make up training; what they cost is the training's footprint."""
PARTS = ("data", "forward", "backward", "step")
"""Parts of the phase `train`, as training calls them."""


def training_windows(windows: Sequence[Window]) -> list[Window]:
    """Return the windows that make up training, each second of it once."""
    return [window for window in outermost(list(windows)) if phase_of(window) in TRAINING]


def energy_of(windows: Sequence[Window]) -> Joules:
    """Return the energy of windows that do not overlap."""
    return sum((window.energy for window in windows), NO_ENERGY)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochCost:
    """What one epoch cost, validation and checkpoint included."""

    number: int
    """Number of the epoch, from 1."""
    energy: Joules
    """Energy of its windows."""
    seconds: float
    """Wall time of its windows."""


def epoch_of(window: Window) -> int | None:
    """Return the epoch that a window of training belongs to; None where its name, damaged, tells none."""
    number = window.name.rpartition(" ")[2]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else None


def whole_epochs(windows: Sequence[Window]) -> dict[int, dict[str, Window]]:
    """Return the windows, by phase, of each epoch that was trained to its end; of one trained twice, the last ones."""
    whole = [window for window in windows if window.parent is None and phase_of(window) in TRAINING and window.ok]
    groups: dict[int, dict[str, Window]] = {}
    for window in whole:
        if (number := epoch_of(window)) is not None:
            groups.setdefault(number, {})[phase_of(window)] = window
    return {number: parts for number, parts in sorted(groups.items()) if "train" in parts}


def epoch_costs(windows: Sequence[Window]) -> list[EpochCost]:
    """Return what each epoch cost that was trained to its end, in order; of one trained twice, the last time."""
    return [
        EpochCost(
            number=number,
            energy=energy_of([*parts.values()]),
            seconds=sum(window.seconds for window in parts.values()),
        )
        for number, parts in whole_epochs(windows).items()
    ]


def phases(windows: Sequence[Window], meter: Meter, kind: Kind, carbon: Carbon) -> list[Phase]:
    """Return every phase of all attempts, and as `other` what this attempt spent outside its windows.

    Each is charged by its own hours, `other` by those of the windows it lies between.
    """
    roots = outermost(list(windows))
    parts = {name: [window for window in roots if phase_of(window) == name] for name in PHASES}
    found = [
        _phase(name, mine, kind).model_copy(update={"co2eq_g": carbon.grams_of(mine).mid})
        for name, mine in parts.items()
    ]
    rest, grid = _rest(meter, roots, kind), carbon.grid_of(roots).g_per_kwh
    grams = co2eq_g(rest.energy_kwh, intensity_g_per_kwh=grid, pue=carbon.pue)
    return [*found, rest.model_copy(update={"co2eq_g": grams})]


def training_parts(windows: Sequence[Window], kind: Kind) -> list[Phase]:
    """Return what the phase `train` is made of; `other` is what lies in none of its parts."""
    roots = [window for window in outermost(list(windows)) if phase_of(window) == "train"]
    parts = {name: [window for window in windows if _part_of(window) == name] for name in PARTS}
    inside = [window for some in parts.values() for window in some]
    found = [_phase(name, some, kind) for name, some in parts.items()]
    whole, known = _phase("other", roots, kind), _phase("other", inside, kind)
    return [*found, _remainder(whole, known)] if inside else []


def by_component(windows: Sequence[Window]) -> dict[str, float]:
    """Return the energy of each component in kWh."""
    components = {component for window in windows for component in window.joules}
    return {
        component: joules_to_kwh(sum(window.joules[component].mid for window in windows if component in window.joules))
        for component in sorted(components)
    }


def clock_basis(unit: str, method: str) -> Basis:
    """Return the basis of a number that a clock showed."""
    return Basis(unit=unit, kind="measured", method=method)


def kwh_interval(energy: Joules) -> Interval:
    """Return the systematic interval of an energy, in kWh."""
    return Interval(low=joules_to_kwh(energy.low), high=joules_to_kwh(energy.high))


def _part_of(window: Window) -> str:
    phase, _, rest = window.name.partition("/")
    return rest.rpartition("/")[2] if phase == "train" and "/" in rest else ""


def _phase(name: str, mine: Sequence[Window], kind: Kind) -> Phase:
    energy = energy_of(mine)
    return Phase(
        name=name,
        seconds=sum(window.seconds for window in mine),
        cpu_seconds=sum(window.cpu_seconds for window in mine),
        energy_kwh=joules_to_kwh(energy.mid),
        energy_kwh_by_component=by_component(mine),
        windows=len(mine),
        basis=_basis(energy, kind),
    )


def _rest(meter: Meter, roots: Sequence[Window], kind: Kind) -> Phase:
    """Return what this attempt spent outside its windows: building the network, cross-checks, waiting."""
    total = meter.total
    mine = [window for window in roots if window.attempt == meter.attempt]
    energy, inside = total.energy - energy_of(mine), by_component(mine)
    return Phase(
        name="other",
        seconds=total.seconds - sum(window.seconds for window in mine),
        cpu_seconds=total.cpu_seconds - sum(window.cpu_seconds for window in mine),
        energy_kwh=joules_to_kwh(energy.mid),
        energy_kwh_by_component={
            component: joules_to_kwh(joules.mid) - inside.get(component, 0.0)
            for component, joules in total.joules.items()
        },
        windows=0,
        basis=_basis(energy, kind),
    )


def _remainder(whole: Phase, known: Phase) -> Phase:
    """Return what of a phase lies outside its parts; a few readings and loops, so that noise may take it below zero."""
    interval, less = whole.basis["energy_kwh"].type_b, known.basis["energy_kwh"].type_b
    assert interval is not None
    assert less is not None
    basis = whole.basis["energy_kwh"].model_copy(
        update={"type_b": Interval(low=interval.low - less.low, high=interval.high - less.high)}
    )
    return whole.model_copy(
        update={
            "seconds": whole.seconds - known.seconds,
            "cpu_seconds": whole.cpu_seconds - known.cpu_seconds,
            "energy_kwh": whole.energy_kwh - known.energy_kwh,
            "energy_kwh_by_component": {
                name: value - known.energy_kwh_by_component.get(name, 0.0)
                for name, value in whole.energy_kwh_by_component.items()
            },
            "basis": whole.basis | {"energy_kwh": basis},
        }
    )


def _basis(energy: Joules, kind: Kind) -> dict[str, Basis]:
    return {
        "seconds": clock_basis("s", "monotonic clock"),
        "cpu_seconds": clock_basis("s", "CPU time of the process and its children, by the kernel"),
        "energy_kwh": Basis(unit="kWh", kind=kind, method="sum of its windows", type_b=kwh_interval(energy)),
    }
