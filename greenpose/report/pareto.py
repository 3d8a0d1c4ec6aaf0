"""Which points no other point beats: cheaper at no less accuracy, or more accurate at no more cost."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
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


def staircase(points: Sequence[tuple[float, float]], *, right: float) -> tuple[list[float], list[float]]:
    """Return the corners of the front as xs and ys, from its cheapest point on to `right` of its most accurate one.

    The line says what a given cost buys at best: above it no run was found.
    """
    xs: list[float] = []
    ys: list[float] = []
    for cost, accuracy in (points[index] for index in front(points)):
        xs += [cost, cost] if xs else [cost]
        ys += [ys[-1], accuracy] if ys else [accuracy]
    return [*xs, right], [*ys, ys[-1]]
