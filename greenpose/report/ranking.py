"""Ranking of exits: by which cost, which no other beats, and which to hold against the most accurate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from greenpose.intervals import Bounds
from greenpose.metrics import ENERGY, MACS, Metric
from greenpose.quantity import Quantity, missing
from greenpose.report.differences import (
    Difference,
    NonInferiority,
    contrast,
    interval_of,
    non_inferiority,
)
from greenpose.report.hosts import on_one_host, over_hosts, ratios_by_host
from greenpose.report.study import Point, Study


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the (cost, accuracy) points that none dominates, cheapest first.

    A point dominates another that costs at least as much and is at most as accurate, and differs. Equal points stay
    together.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    kept: list[int] = []
    for index in order:
        if not kept or points[index][1] > points[kept[-1]][1] or points[index] == points[kept[-1]]:
            kept.append(index)
    return kept


def staircase(
    points: Sequence[tuple[float, float]], *, right: float, lower: bool = False
) -> tuple[list[float], list[float]]:
    """Return the corners of the front as xs and ys, from its cheapest point on to `right` of its most accurate one.

    The line says what a given cost buys at best: above it no run was found, or below it where `lower` is better.
    """
    xs: list[float] = []
    ys: list[float] = []
    gains = [(cost, -accuracy if lower else accuracy) for cost, accuracy in points]
    for cost, accuracy in (points[index] for index in pareto_front(gains)):
        xs += [cost, cost] if xs else [cost]
        ys += [ys[-1], accuracy] if ys else [accuracy]
    return [*xs, right], [*ys, ys[-1]]


def cost_figure(study: Study) -> Metric:
    """Return what exits are ranked by: energy per image where all of it was metered in one setting, else MACs."""
    known = all(point.figure(ENERGY).value is not None for point in study.scored)
    return ENERGY if study.comparable and study.scored and known else MACS


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The exit that the page is about, and the one that it is held against."""

    best: Point
    """The most accurate exit."""
    other: Point | None
    """The cheaper one to hold against it; None where none is useful."""
    verdict: NonInferiority
    """What is known of whether the cheaper one is accurate enough."""

    @property
    def is_open(self) -> bool:
        """Return whether the records leave open if the cheaper one is accurate enough."""
        return self.other is not None and self.verdict == "open"

    @property
    def told(self) -> Point:
        """Return the exit whose numbers are told first: the cheaper one unless it is known to fall short."""
        return self.other if self.other and self.verdict != "beyond" else self.best

    @property
    def whole(self) -> Point | None:
        """Return what the told exit saves beside: the most accurate one, or where it is that one, all of its network.

        None where it is all of its network, or where the accuracy of that is not known.
        """
        if self.told != self.best:
            return self.best
        final = Point(group=self.best.group, exit=max(self.best.group.exits))
        dearer = (final.figure(MACS).value or 0.0) > known(self.best, MACS)
        return final if dearer and final.figure(final.accuracy).value is not None else None


def preference(study: Study) -> Preference | None:
    """Return the exits that the answer is about; None where it prefers none."""
    if not study.scored or all(reaches_zero(point) for point in study.scored) or not useful(study):
        return None
    best = most_accurate(study)
    other, verdict = alternative(study, best)
    return Preference(best=best, other=other, verdict=verdict)


def answered(study: Study) -> list[Point]:
    """Return the exits that the answer is about, the most accurate one last; none where it prefers none."""
    found = preference(study)
    return [] if found is None else [found.other, found.best] if found.other else [found.best]


def unlike_best(point: Point, best: Point) -> Difference:
    """Return accuracy of an exit less that of the most accurate one, as it is shown: percentage points of AP."""
    return contrast(best, point, point.accuracy, points=True)


def improvement(point: Point, best: Point) -> Quantity:
    """Return by how much an exit is better than another one: less of an error is more."""
    return gained(unlike_best(point, best).change, point.accuracy)


def gained(change: Quantity, metric: Metric) -> Quantity:
    """Return a difference as an improvement."""
    ends = change.type_a and Bounds(-change.type_a.high, -change.type_a.low)
    return replace(change, value=-change.value, type_a=ends) if metric.lower and change.value is not None else change


def score(point: Point) -> float:
    """Return the accuracy of an exit that has one, so that more is better."""
    return point.accuracy.gain(known(point, point.accuracy))


def energy_share(study: Study, part: Point, whole: Point) -> Quantity:
    """Return energy per image at one exit over that at another, within blocks of calls where one run has both.

    Where runs are of several hosts it is the mean of the ratios on those that ran both.
    """
    if part.group.parts or whole.group.parts:
        return over_hosts(ratios_by_host(part, whole))
    if not study.comparable and not (part.group == whole.group and whole.final):
        return missing("measured in different settings")
    return on_one_host(part, whole)


def most_accurate(study: Study) -> Point:
    """Return the exit with the best accuracy, the smallest of several."""
    return max(study.scored, key=lambda point: (score(point), -known(point, MACS)))


def useful(study: Study) -> list[Point]:
    """Return the exits whose accuracy is not below the floor of usefulness."""
    return [point for point in study.scored if score(point) >= study.accuracy.gain(study.floor)]


def alternative(study: Study, best: Point) -> tuple[Point | None, NonInferiority]:
    """Return the exit to hold against the most accurate one and what is known of it; None where no smaller is useful.

    The smallest of those that keep within the margin, the more accurate one where several are as small. Where none is
    known to, the one that is nearest to being settled, unless a better one of its size is known to fall short; where
    all fall short, the most accurate one. Smaller by MACs, which are exact: the same network metered in two runs would
    else seem cheaper than itself.
    """
    smaller = [point for point in useful(study) if known(point, MACS) < known(best, MACS)]
    verdicts = [(point, non_inferiority(best, point, study.accuracy, margin=study.margin)) for point in smaller]
    close = [point for point, verdict in verdicts if verdict == "within"]
    if close:
        return min(close, key=lambda point: (known(point, MACS), -score(point))), "within"
    short = [point for point, verdict in verdicts if verdict == "beyond"]
    unsettled = [point for point, verdict in verdicts if verdict == "open" and not _beaten(point, short)]
    if unsettled:
        return max(unsettled, key=lambda point: _nearness(point, best)), "open"
    return max(smaller, key=lambda point: (score(point), -known(point, MACS)), default=None), "beyond"


def _beaten(point: Point, others: Sequence[Point]) -> bool:
    """Return whether one of the others is more accurate without more MACs."""
    return any(score(each) > score(point) and known(each, MACS) <= known(point, MACS) for each in others)


def _nearness(point: Point, best: Point) -> tuple[float, float, float]:
    """Return what orders exits by how near they are to keeping within a margin; those without an interval are last."""
    low, _ = interval_of(best, point, point.accuracy) or (-math.inf, math.inf)
    return low, score(point), -known(point, MACS)


def reaches_zero(point: Point) -> bool:
    """Return whether a fraction such as AP is zero, or its interval holds zero: then nothing was learnt."""
    each, metric = point.figure(point.accuracy), point.accuracy
    if metric.lower or metric.signed:
        return False
    return each.value == 0 or (each.type_a is not None and each.type_a.low <= 0)


def known(point: Point, figure: Metric) -> float:
    """Return a number that every exit that has been scored has."""
    value = point.figure(figure).value
    assert value is not None
    return value


def leaders(study: Study) -> list[Point]:
    """Return the exits that no other beats in both accuracy and what exits are ranked by, most accurate first."""
    figure, points = cost_figure(study), list(study.scored)
    return [points[index] for index in pareto_front([(or_zero(p, figure), score(p)) for p in points])][::-1]


def or_zero(point: Point, figure: Metric) -> float:
    """Return a number, 0 where it was not obtained."""
    return point.figure(figure).value or 0.0
