"""One training run's cost split over the exits that share it: an allocation by a rule, never a measurement."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from greenpose.errors import MeteringError

Shares = dict[int, float]


def allocate(
    total: float,
    trunk: Mapping[int, float],
    *,
    rule: str = "airport",
    private: Mapping[int, float] | None = None,
) -> Shares:
    """Return each exit's part of `total`; the parts sum to it.

    Args:
        total: What was spent, in any unit.
        trunk: For each exit, the cost of the shared segments that it needs, from the input on; it cannot fall with
            depth. Only proportions matter, so MACs or measured seconds do as well as joules.
        rule: One of `RULES`.
        private: For each exit, cost that it shares with no other, in the unit of `trunk`: its head, its losses.

    Raises:
        MeteringError: if the rule is unknown or the costs contradict one another.
    """
    private = private or {}
    _check(trunk, private, rule)
    shares = RULES[rule](dict(sorted(trunk.items())), private)
    whole = math.fsum(shares.values())
    return {number: total * share / whole for number, share in shares.items()}


def _airport(trunk: Shares, private: Mapping[int, float]) -> Shares:
    """Share each segment equally among the exits that need it.

    This is the Shapley value of the airport game: e1 = c1/K, e2 = e1 + (c2-c1)/(K-1), ...

    Source: Littlechild & Owen (1973), Management Science 20(3), 370-372.
    """
    shares: Shares = {}
    before = share = 0.0
    for users, (number, reach) in zip(range(len(trunk), 0, -1), trunk.items(), strict=True):
        share += (reach - before) / users
        before = reach
        shares[number] = share + private.get(number, 0.0)
    return shares


def _proportional(trunk: Shares, private: Mapping[int, float]) -> Shares:
    """Share by what each exit would cost alone."""
    return {number: reach + private.get(number, 0.0) for number, reach in trunk.items()}


def _incremental(trunk: Shares, private: Mapping[int, float]) -> Shares:
    """Charge each exit what it adds to the next shallower one."""
    befores = [0.0, *trunk.values()]
    return {
        number: reach - before + private.get(number, 0.0)
        for before, (number, reach) in zip(befores, trunk.items(), strict=False)
    }


def _deepest(trunk: Shares, _: Mapping[int, float]) -> Shares:
    """Charge the deepest exit everything: the others are its by-products."""
    last = max(trunk)
    return {number: float(number == last) for number in trunk}


RULES: Mapping[str, Callable[[Shares, Mapping[int, float]], Shares]] = {
    "airport": _airport,
    "proportional": _proportional,
    "incremental": _incremental,
    "deepest": _deepest,
}


def _check(trunk: Mapping[int, float], private: Mapping[int, float], rule: str) -> None:
    if rule not in RULES:
        raise MeteringError(f"allocation rule {rule!r} does not exist; known: {', '.join(RULES)}")
    if not set(private) <= set(trunk):
        raise MeteringError(
            f"allocation: private costs of exits {sorted(set(private) - set(trunk))}, which are not there"
        )
    reaches = [trunk[number] for number in sorted(trunk)]
    if any(not math.isfinite(cost) or cost < 0 for cost in (*reaches, *private.values())):
        raise MeteringError("allocation: every cost must be a finite number, zero or more")
    if any(deeper < shallower for shallower, deeper in pairwise(reaches)):
        raise MeteringError(f"allocation: a deeper exit needs the shallower ones' segments, yet costs fall: {reaches}")
    if math.fsum((*reaches, *private.values())) <= 0:
        raise MeteringError("allocation: no exit costs anything, so there is nothing to share by")
