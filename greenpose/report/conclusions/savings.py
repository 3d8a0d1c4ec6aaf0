"""Savings: what another exit, fewer epochs or shorter measuring would save, each by a formula from the records."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from greenpose.formatting import kwh_to_joules
from greenpose.intervals import Bounds
from greenpose.metrics import ENERGY
from greenpose.quantity import Quantity, missing
from greenpose.record import Record
from greenpose.record.policy import PolicyCurve
from greenpose.report.deployment import Deployment
from greenpose.report.hosts import parts_of
from greenpose.report.ranking import energy_share
from greenpose.report.study import Group, Point, Study, energy_kind, gross_kwh, validation_curves

MEASURING = ("inference", "segments")
"""Phases that meter what has been trained."""


def of_exit(study: Study, part: Point, whole: Point) -> Quantity:
    """Return the joules an image that one exit saves beside another: E (1 - r).

    E is the other's energy, r the ratio of the two, within blocks where one run has both; the interval is theirs in
    quadrature.
    """
    return _of_share(whole.figure(ENERGY), energy_share(study, part, whole))


def of_file(study: Study, file: Deployment, whole: Point) -> Quantity:
    """Return the joules an image that an exported model saves beside an exit in torch float32, by the same formula."""
    return _of_share(whole.figure(ENERGY), file.share_of(study, whole))


def _of_share(each: Quantity, share: Quantity) -> Quantity:
    if each.value is None or share.value is None:
        return missing(share.missing or each.missing, unit="J")
    left = 1 - share.value
    half = math.hypot(each.half_width * left, each.value * share.half_width)
    return _between(each.value * left, half, like=each)


def of_policy(curve: PolicyCurve) -> Quantity:
    """Return the joules an image that leaving early saves beside all images at the deepest exit: their difference."""
    chosen, deepest = curve.points[curve.chosen], curve.exits[-1]
    part, whole = (each.quantity("energy_j_per_image") for each in (chosen, deepest))
    if part.value is None or whole.value is None:
        return missing(whole.missing or part.missing, unit="J")
    return _between(whole.value - part.value, math.hypot(whole.half_width, part.half_width), like=whole)


def _between(value: float, half: float, *, like: Quantity) -> Quantity:
    ends = Bounds(value - half, value + half) if half else None
    return Quantity(value=value, unit="J", kind=like.kind, type_a=ends, disturbed=like.disturbed)


def after_best(group: Group) -> tuple[int, list[Quantity]] | None:
    """Return epoch n, and the joules that training of each run drew after it; None where a run tells of none.

    n is the last epoch at which any exit of any run had its best validation AP: the first of several as good. What was
    drawn after it is the energy at the last validation less that at the last one up to n.
    """
    validated = group.together.each(lambda run: [(each.epoch, each.ap, each.energy_kwh) for each in run.validations])
    if any(len(told) <= 1 for told in validated):
        return None
    last = max(map(_best_epoch, validated))
    after = [told[-1][2] - max(kwh for epoch, _, kwh in told if epoch <= last) for told in validated]
    return last, joules(after, like=group)


def _best_epoch(told: Sequence[tuple[int, Mapping[int, float], float]]) -> int:
    best: dict[int, tuple[float, int]] = {}
    for reached, aps, _ in told:
        for exit_, ap in aps.items():
            best[exit_] = max(best.get(exit_, (ap, -reached)), (ap, -reached))
    return max(-epoch for _, epoch in best.values())


def rises(point: Point) -> list[Quantity]:
    """Return by how many points validation AP of each run ended above the best of the first three quarters."""
    found = []
    for told in validation_curves(point):
        early = [ap for epoch, ap in told if epoch <= 0.75 * told[-1][0]]
        found += [Quantity(value=told[-1][1] - max(early), kind="computed")] if early else []
    return found


def measured(run: Record, phases: Sequence[str] = MEASURING) -> float:
    """Return the kilowatt-hours that a run's measuring drew."""
    return sum(phase.energy_kwh for phase in run.phases if phase.name in phases)


def halved(run: Record) -> float:
    """Return the kilowatt-hours that windows of inference half as long save in a run: half of what they draw."""
    return measured(run, MEASURING[:1]) / 2


def again(groups: Sequence[Group], times: Sequence[int]) -> Bounds:
    """Return the joules of so many more runs of each experiment, at the mean of those that there are.

    Where these are of several hosts, as the host with the least and the one with the most of them takes.
    """
    found = [on_hosts(group, gross_kwh) for group in groups]
    return Bounds(*(sum(n * end for n, end in zip(times, ends, strict=True)) for ends in zip(*found, strict=True)))


def on_hosts(group: Group, kwh: Callable[[Record], float]) -> Bounds:
    """Return the joules of a run, mean over the runs of one host: on the host with the least, and with the most."""
    means = [kwh_to_joules(fmean(part.together.each(kwh))) for part in parts_of(group)]
    return Bounds(min(means), max(means))


def joules(kwh: Iterable[float], *, like: Group | Study) -> list[Quantity]:
    """Return energies in joules, of the kind of these runs' energy."""
    kind = energy_kind(like)
    return [Quantity(value=kwh_to_joules(each), unit="J", kind=kind) for each in kwh]
