"""The phases of a run: sums of its metered windows, and each exit's share of training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from greenpose.formatting import co2eq_g, joules_to_kwh, kwh_to_joules
from greenpose.intervals import Bounds
from greenpose.metering import NO_ENERGY, CarbonAccounting, ExitMeasurement, Joules, Meter, Window, allocate
from greenpose.quantity import Kind, Quantity, missing
from greenpose.record import Allocation, Phase, TrainingStep, with_bases
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


class Used(NamedTuple):
    """What some windows, or what lies between them, used."""

    seconds: float = 0.0
    """Wall time."""
    cpu_seconds: float = 0.0
    """CPU time."""
    energy: Joules = NO_ENERGY
    """Energy of all components."""
    joules: Mapping[str, Joules] = {}
    """The same of each."""

    def less(self, other: "Used") -> "Used":
        """Return what is left without another's."""
        joules = {name: energy - other.joules.get(name, NO_ENERGY) for name, energy in self.joules.items()}
        return Used(
            self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds, self.energy - other.energy, joules
        )


def used_in(windows: Sequence[Window]) -> Used:
    """Return what windows used that do not overlap."""
    joules: dict[str, Joules] = {}
    for window in windows:
        for name, energy in window.joules.items():
            joules[name] = joules.get(name, NO_ENERGY) + energy
    seconds, cpu_seconds = (sum(getattr(window, clock) for window in windows) for clock in ("seconds", "cpu_seconds"))
    return Used(seconds, cpu_seconds, energy_of(windows), dict(sorted(joules.items())))


def epoch_costs(windows: Sequence[Window]) -> dict[int, Used]:
    """Return what each epoch cost that was trained to its end, in order; of one trained twice, the last time."""
    return {number: used_in([*parts.values()]) for number, parts in whole_epochs(windows).items()}


def phases(
    windows: Sequence[Window],
    meter: Meter,
    kind: Kind,
    carbon: CarbonAccounting,
    *,
    names: Sequence[str] = PHASES,
) -> list[Phase]:
    """Return every named phase of all attempts, and as `other` what this attempt spent outside its windows.

    That is building the network, cross-checks, waiting. Each is charged by its own hours, `other` by those of the
    windows it lies between.
    """
    roots = outermost(list(windows))
    parts = {name: [window for window in roots if phase_of(window) == name] for name in names}
    found = [
        _phase(name, used_in(mine), kind, windows=len(mine), co2eq_g=carbon.grams_of(mine).value)
        for name, mine in parts.items()
    ]
    total = meter.total
    inside = used_in([window for window in roots if window.attempt == meter.attempt])
    rest = Used(total.seconds, total.cpu_seconds, total.energy, total.joules).less(inside)
    grid = carbon.grid_of(roots).g_per_kwh
    grams = co2eq_g(joules_to_kwh(rest.energy.mid), intensity_g_per_kwh=grid, pue=carbon.pue)
    return [*found, _phase("other", rest, kind, windows=0, co2eq_g=grams)]


def training_parts(windows: Sequence[Window], kind: Kind) -> list[Phase]:
    """Return what the phase `train` is made of; `other` is what lies in none of its parts.

    That is a few readings and loops, so that noise may take it below zero.
    """
    roots = [window for window in outermost(list(windows)) if phase_of(window) == "train"]
    parts = {name: [window for window in windows if _part_of(window) == name] for name in PARTS}
    inside = [window for some in parts.values() for window in some]
    found = [_phase(name, used_in(some), kind, windows=len(some)) for name, some in parts.items()]
    rest = used_in(roots).less(used_in(inside))
    return [*found, _phase("other", rest, kind, windows=len(roots))] if inside else []


def _part_of(window: Window) -> str:
    phase, _, rest = window.name.partition("/")
    return rest.rpartition("/")[2] if phase == "train" and "/" in rest else ""


def by_component(used: Used) -> dict[str, float]:
    """Return the energy of each component in kWh."""
    return {name: joules_to_kwh(energy.mid) for name, energy in used.joules.items()}


def spent(
    used: Used, kind: Kind, *, clock: str = "monotonic clock", energy: str = "sum of its windows"
) -> dict[str, Quantity]:
    """Return wall time, CPU time and energy, each with how it was obtained: `clock` and `energy` say so."""
    kernel = "CPU time of the process and its children, by the kernel"
    return {
        "seconds": Quantity(value=used.seconds, unit="s", kind="measured", method=clock),
        "cpu_seconds": Quantity(value=used.cpu_seconds, unit="s", kind="measured", method=kernel),
        "energy_kwh": used.energy.kwh(kind=kind, method=energy),
    }


def _phase(name: str, used: Used, kind: Kind, *, windows: int, co2eq_g: float | None = None) -> Phase:
    return Phase(
        name=name,
        energy_kwh_by_component=by_component(used),
        windows=windows,
        co2eq_g=co2eq_g,
        **with_bases(spent(used, kind)),
    )


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
WORDS = {"J": "joules", "CPU s": "CPU-seconds", "s": "wall seconds"}
"""Units of a training step's costs, in words."""
TAUGHT = ("forward", "backward", "step")
"""Parts of training whose cost depends on who teaches whom."""


def allocation(
    rule: str,
    kwh: float,
    grams: float,
    *,
    macs: Mapping[int, float],
    step: TrainingStep | None,
    trained: Mapping[int, float],
) -> Allocation:
    """Return the training's footprint split over the exits by a rule, and the shares under every rule.

    `trained` is the part of all epochs that trained as far as each exit: a segment is paid for in those alone.
    """
    reached = _during(trained, macs)
    shares = {name: allocate(1.0, reached, rule=RULE_BY_NAME[name]) for name in RULE_BY_NAME}
    if step is not None:
        trunk = _during(trained, {part.exit: part.trunk for part in step.exits})
        private = {part.exit: part.private * trained[part.exit] for part in step.exits}
        measured = {name: allocate(1.0, trunk, rule=of, private=private) for name, of in RULE_BY_NAME.items()}
        shares = measured | {BY_MACS: shares[BY_MACS]}
    chosen = shares[rule]
    return Allocation(
        rule=rule,
        cost=_cost(rule, step) + _grown(trained),
        energy_kwh={exit_: kwh * share for exit_, share in chosen.items()},
        co2eq_g={exit_: grams * share for exit_, share in chosen.items()},
        shares_by_rule=shares,
    )


def _grown(trained: Mapping[int, float]) -> str:
    """Return in words which part of the epochs trained which exit, where it was not all of them."""
    parts = [f"exit {exit_}: {100 * part:.0f} %" for exit_, part in sorted(trained.items()) if part < 1]
    return f", in the epochs that trained it ({', '.join(parts)})" if parts else ""


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


def _cost(rule: str, step: TrainingStep | None) -> str:
    if rule == BY_MACS or step is None:
        return "multiply-accumulates that each exit needs, from the input on (backward passes are proportional)"
    return f"{WORDS[step.unit]} of each segment of the training step, measured in {step.blocks} interleaved blocks"


def break_even(
    exit_: ExitMeasurement, final: ExitMeasurement, *, step: TrainingStep | None, parts: list[Phase], grew: bool = False
) -> Quantity:
    """Return N = extra training energy / (energy of an image at the final exit - at this one).

    The extra is the part of forward, backward and update that the overhead over a plain step makes up. Both energies
    come from one machine and model, whose systematic error cancels; the interval takes the ends of both intervals.
    """
    method = "extra training energy by the measured overhead / energy saved per image by the within-block ratio"
    if step is None or exit_ is final:
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
        value=images(step.overhead, ratio.known),
        unit="images",
        kind="estimated",
        method=method,
        type_a=_ends(step.quantity("overhead"), ratio, images),
    )


def _ends(overhead: Quantity, ratio: Quantity, images: Callable[[float, float], float]) -> Bounds | None:
    """Return the fewest and the most images that both intervals allow; None where an end of them saves nothing."""
    if overhead.type_a is None or ratio.type_a is None or ratio.type_a.high >= 1:
        return None
    return Bounds(images(overhead.type_a.low, ratio.type_a.low), images(overhead.type_a.high, ratio.type_a.high))


def _none(method: str, why: str) -> Quantity:
    return missing(why, unit="images", method=method)
