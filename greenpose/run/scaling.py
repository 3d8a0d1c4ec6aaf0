"""What setups cost that were not measured: between those that were, by their multiply-accumulates."""

import math
from collections.abc import Mapping, Sequence

from greenpose.run.calibrate import Measured
from greenpose.run.cost import Cost
from greenpose.run.setups import Setup, compute_ratio

SCALED_ERROR = 0.2
"""Relative standard error of a cost that was scaled by multiply-accumulates, unless those measured show a larger one: a
default; on CPUs the cost of a multiply-accumulate changes by about so much from a layer of one shape to another."""
LIKE, LIKE_ERROR = 1.02, 0.05
"""Setups whose compute differs by less than this factor are the same network under other losses, which cost little
beside it: relative standard error, a default."""
FEWER_IMAGES_ERROR = 0.1
"""Relative standard error of a step that was measured on fewer images than the recipe's batch: a default."""


def scaled(setup: Setup, setups: Mapping[str, Setup], measured: Mapping[str, Measured]) -> Measured:
    """Return what a setup would cost, interpolated in logarithms between its neighbours among those measured.

    Beyond the last of them costs grow with multiply-accumulates.
    """
    names = sorted(measured, key=lambda name: setups[name].step_macs)
    below = [name for name in names if setups[name].step_macs <= setup.step_macs]
    above = [name for name in names if setups[name].step_macs > setup.step_macs]
    if not (below and above):
        nearest = (below or above)[-1 if below else 0]
        return _grown(measured[nearest], setup.step_macs / setups[nearest].step_macs)
    low, high = setups[below[-1]].step_macs, setups[above[0]].step_macs
    return _between(measured[below[-1]], measured[above[0]], math.log(setup.step_macs / low) / math.log(high / low))


def scaling_error(setup: Setup, setups: Mapping[str, Setup], measured: Mapping[str, Measured]) -> float:
    """Return the relative error of `scaled`: the worst with which those measured foretell one another, or a default."""
    if any(compute_ratio(setup, setups[name]) < LIKE for name in measured):
        return LIKE_ERROR
    names = sorted(measured, key=lambda name: setups[name].step_macs)
    errors = []
    for name in names[1:-1]:
        others = {other: measured[other] for other in names if other != name}
        foretold = scaled(setups[name], setups, others).train
        pairs = zip(foretold, measured[name].train, strict=True)
        errors.append(abs(sum(math.log(a.seconds / b.seconds) for a, b in pairs)) / len(foretold))
    return max([SCALED_ERROR, *errors])


def _grown(measured: Measured, factor: float) -> Measured:
    return Measured(
        train=[cost * factor for cost in measured.train],
        validate=[cost * factor for cost in measured.validate],
        checkpoint=measured.checkpoint,
        test=measured.test * factor,
        whole_batches=measured.whole_batches,
    )


def _between(low: Measured, high: Measured, part: float) -> Measured:
    def each(one: Sequence[Cost], other: Sequence[Cost]) -> list[Cost]:
        return [_mixed(a, b, part) for a, b in zip(one, other, strict=True)]

    return Measured(
        train=each(low.train, high.train),
        validate=each(low.validate, high.validate),
        checkpoint=each(low.checkpoint, high.checkpoint),
        test=_mixed(low.test, high.test, part),
        whole_batches=low.whole_batches and high.whole_batches,
    )


def _mixed(low: Cost, high: Cost, part: float) -> Cost:
    """Return the cost that lies at a part of the way from one to another, in logarithms."""

    def way(a: float, b: float) -> float:
        return math.exp((1 - part) * math.log(a) + part * math.log(b)) if a > 0 and b > 0 else 0.0

    return Cost(seconds=way(low.seconds, high.seconds), joules=way(low.joules, high.joules))
