"""The phases of a run: sums of its metered windows, and each exit's share of training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from greenpose.formatting import co2eq_g, joules_to_kwh, kwh_to_joules
from greenpose.intervals import Bounds
from greenpose.metering import NO_ENERGY, CarbonAccounting, ExitMeasurement, Joules, Meter, Window, allocate
from greenpose.metering.inference import Currency
from greenpose.quantity import Kind, Quantity, missing
from greenpose.record import Allocation, Basis, Interval, Phase, StepExit, TrainingStep, basis_of
from greenpose.run.segments import StepCosts
from greenpose.store.records import outermost, phase_of

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


def phases(windows: Sequence[Window], meter: Meter, kind: Kind, carbon: CarbonAccounting) -> list[Phase]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Wall time and energy of some work."""

    seconds: float = 0.0
    """Wall time."""
    joules: float = 0.0
    """Energy of all metered components, by the middle of their intervals."""

    def __add__(self, other: "Cost") -> "Cost":
        """Return both together."""
        return Cost(seconds=self.seconds + other.seconds, joules=self.joules + other.joules)

    def __sub__(self, other: "Cost") -> "Cost":
        """Return what is left of it without another."""
        return self + other * -1

    def __mul__(self, times: float) -> "Cost":
        """Return the cost of doing it several times."""
        return Cost(seconds=self.seconds * times, joules=self.joules * times)

    @property
    def watts(self) -> float:
        """Return the mean power; zero where no time passed."""
        return self.joules / self.seconds if self.seconds > 0 else 0.0


NOTHING = Cost()


def cost_of(windows: Sequence[Window]) -> Cost:
    """Return what windows cost that do not overlap."""
    return Cost(seconds=sum(window.seconds for window in windows), joules=energy_of(windows).mid)


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum."""
    return sum(costs, NOTHING)


BY_MACS = "macs"
UNITS: Mapping[Currency, str] = {"joules": "J", "cpu_seconds": "CPU s", "seconds": "s"}
WORDS: Mapping[Currency, str] = {"joules": "joules", "cpu_seconds": "CPU-seconds", "seconds": "wall seconds"}
TAUGHT = ("forward", "backward", "step")
"""Parts of training whose cost depends on who teaches whom."""


def allocation(
    rule: str,
    kwh: float,
    grams: float,
    *,
    macs: Mapping[int, float],
    step: StepCosts | None,
    trained: Mapping[int, float],
) -> Allocation:
    """Return the training's footprint split over the exits by a rule, and the shares under every rule.

    `trained` is the part of all epochs that trained as far as each exit: a segment is paid for in those alone.
    """
    reached = _during(trained, macs)
    shares = {name: allocate(1.0, reached, rule=RULE_BY_NAME[name]) for name in RULE_BY_NAME}
    if step is not None:
        trunk = _during(trained, step.trunk)
        private = {exit_: cost.known * trained[exit_] for exit_, cost in step.private.items()}
        measured = {name: allocate(1.0, trunk, rule=of, private=private) for name, of in RULE_BY_NAME.items()}
        shares = measured | {BY_MACS: shares[BY_MACS]}
    chosen = shares[rule]
    return Allocation(
        rule=rule,
        cost=_cost(rule, step) + (", in the epochs that trained it" if min(trained.values()) < 1 else ""),
        energy_kwh={exit_: kwh * share for exit_, share in chosen.items()},
        co2eq_g={exit_: grams * share for exit_, share in chosen.items()},
        shares_by_rule=shares,
    )


def _during(trained: Mapping[int, float], reach: Mapping[int, float]) -> dict[int, float]:
    """Return what is needed as far as each exit, every segment weighted by the part of training that it was in."""
    exits = sorted(reach)
    befores = [0.0, *(reach[exit_] for exit_ in exits)]
    parts = ((reach[exit_] - before) * trained[exit_] for before, exit_ in zip(befores, exits, strict=False))
    return dict(zip(exits, accumulate(parts), strict=True))


RULE_BY_NAME: Mapping[str, str] = {
    "airport": "airport",
    BY_MACS: "proportional",
    "incremental": "incremental",
    "deepest": "deepest",
}
"""How the configuration's names of rules are called where shares are computed."""


def _cost(rule: str, step: StepCosts | None) -> str:
    if rule == BY_MACS or step is None:
        return "multiply-accumulates that each exit needs, from the input on (backward passes are proportional)"
    return f"{WORDS[step.currency]} of each segment of the training step, measured in {step.blocks} interleaved blocks"


def training_step(step: StepCosts | None) -> TrainingStep | None:
    """Return the parts of a training step as the record has them; None for a network with a single exit."""
    if step is None:
        return None
    ratios = {
        "explained": (step.explained, "deepest trunk and private parts over the whole step"),
        "overhead": (step.overhead, "the run's step over the final exit's alone with labels only"),
        "ds_overhead": (step.ds_overhead, "labels at every supervised exit over labels at the final one"),
        "kd_overhead": (step.kd_overhead, "with distillation over the same supervision without"),
        "joint_saving": (step.joint_saving, "the exits' stand-alone steps together over the run's step"),
    }
    unit = UNITS[step.currency]
    how = f"median over {step.blocks} interleaved blocks of steps on {step.images} images"
    return TrainingStep(
        unit=unit,
        images=step.images,
        blocks=step.blocks,
        cost_per_image=step.joint.known,
        exits=[
            StepExit(
                exit=exit_,
                alone=step.alone[exit_].known,
                trunk=step.trunk[exit_],
                private=step.private[exit_].known,
            )
            for exit_ in step.alone
        ],
        **{name: None if found is None else found.value for name, (found, _) in ratios.items()},
        basis={"cost_per_image": basis_of(replace(step.joint, unit=unit, kind="estimated", method=how))}
        | {
            name: basis_of(
                replace(found, unit="ratio", method=f"{method}; {how}")
                if found
                else missing("the run has none", unit="ratio", method=f"{method}; {how}")
            )
            for name, (found, method) in ratios.items()
        },
    )


def break_even(
    exit_: ExitMeasurement, final: ExitMeasurement, *, step: StepCosts | None, parts: list[Phase], grew: bool = False
) -> Quantity:
    """Return N = extra training energy / (energy of an image at the final exit - at this one).

    The extra is the part of forward, backward and update that the overhead over a plain step makes up. Both energies
    come from one machine and model, whose systematic error cancels; the interval takes the ends of both intervals.
    """
    method = "extra training energy by the measured overhead / energy saved per image by the within-block ratio"
    if step is None or exit_.exit == final.exit:
        return _none(method, "nothing was added for another exit, or it is the final one")
    if grew:
        return _none(method, "the network grew while it trained: a plain training of the final exit cannot be compared")
    ratio, energy = exit_.ratios.get("energy_j_per_item"), final.energy_j_per_item
    taught = kwh_to_joules(sum(part.energy_kwh for part in parts if part.name in TAUGHT))
    if ratio is None or energy is None or not taught:
        return _none(method, "the energy of training or inference could not be read")
    if ratio.known >= 1:
        return _none(method, "an image costs no less at this exit")

    def images(overhead: float, share: float) -> float:
        return max(0.0, taught * (1 - 1 / overhead)) / (energy.known * (1 - share))

    return Quantity(
        value=images(step.overhead.known, ratio.known),
        unit="images",
        kind="estimated",
        method=method,
        type_a=_ends(step.overhead, ratio, images),
    )


def _ends(overhead: Quantity, ratio: Quantity, images: Callable[[float, float], float]) -> Bounds | None:
    """Return the fewest and the most images that both intervals allow; None where an end of them saves nothing."""
    if overhead.type_a is None or ratio.type_a is None or ratio.type_a.high >= 1:
        return None
    return Bounds(images(overhead.type_a.low, ratio.type_a.low), images(overhead.type_a.high, ratio.type_a.high))


def _none(method: str, why: str) -> Quantity:
    return missing(why, unit="images", method=method)
