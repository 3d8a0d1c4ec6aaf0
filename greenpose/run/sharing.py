"""How the exits of one run share what training cost, what teaching them added, and when that is won back."""

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import NamedTuple

from greenpose.metering import Bounds, Estimate, ExitMeasurement, allocate
from greenpose.metering.inference import Currency
from greenpose.record import Allocation, Basis, Interval, Phase, StepExit, TrainingStep
from greenpose.run.segments import StepCosts
from greenpose.units import kwh_to_joules

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
        private = {exit_: cost.value * trained[exit_] for exit_, cost in step.private.items()}
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
        cost_per_image=step.joint.value,
        exits=[
            StepExit(
                exit=exit_,
                alone=step.alone[exit_].value,
                trunk=step.trunk[exit_],
                private=step.private[exit_].value,
            )
            for exit_ in step.alone
        ],
        **{name: None if found is None else found.value for name, (found, _) in ratios.items()},
        basis={"cost_per_image": Basis(unit=unit, kind="estimated", method=how, type_a=_interval(step.joint.type_a))}
        | {
            name: Basis(
                unit="ratio",
                kind="measured" if found else "not_covered",
                method=f"{method}; {how}",
                type_a=_interval(found.type_a) if found else None,
                missing=None if found else "the run has none",
            )
            for name, (found, method) in ratios.items()
        },
    )


class BreakEven(NamedTuple):
    """After how many images an exit has paid for what training it on the side added."""

    images: float | None
    """Their number; None where there is none."""
    basis: Basis
    """How it was obtained, or why there is none."""


def break_even(
    exit_: ExitMeasurement, final: ExitMeasurement, *, step: StepCosts | None, parts: list[Phase], grew: bool = False
) -> BreakEven:
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
    if ratio.value >= 1:
        return _none(method, "an image costs no less at this exit")

    def images(overhead: float, share: float) -> float:
        return max(0.0, taught * (1 - 1 / overhead)) / (energy.value * (1 - share))

    basis = Basis(unit="images", kind="estimated", method=method, type_a=_ends(step.overhead, ratio, images))
    return BreakEven(images(step.overhead.value, ratio.value), basis)


def _ends(overhead: Estimate, ratio: Estimate, images: Callable[[float, float], float]) -> Interval | None:
    """Return the fewest and the most images that both intervals allow; None where an end of them saves nothing."""
    if overhead.type_a is None or ratio.type_a is None or ratio.type_a.high >= 1:
        return None
    return Interval(
        low=images(overhead.type_a.low, ratio.type_a.low), high=images(overhead.type_a.high, ratio.type_a.high)
    )


def _none(method: str, why: str) -> BreakEven:
    return BreakEven(None, Basis(unit="images", kind="not_covered", method=method, missing=why))


def _interval(bounds: Bounds | None) -> Interval | None:
    return None if bounds is None else Interval(low=bounds.low, high=bounds.high)
