"""Predictions of what a training will cost in all: before it begins, and from the epochs that are done.

A mean is soon known; what the rest will cost depends on how much costs move from one epoch to the next, and on how long
they stay up once they are. Two epochs show neither, so that an expectation of both is carried in: how far costs scatter
on a machine as busy as this one, and any degree of correlation. What has been seen outweighs it as epochs go by. No
epoch shows the neighbours that have not come or left yet: an interval counts with both.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from greenpose.errors import MeteringError
from greenpose.intervals import CONFIDENCE, Bounds, t_quantile
from greenpose.metering.window import Window
from greenpose.quantity import Quantity

QUIET_SCATTER = 0.04
"""Relative standard deviation of epochs on a machine that nobody else uses, for as long as few have been seen."""
NEIGHBOUR_SCATTER = 0.10
"""What busy neighbours add to it, times their part of the machine: they share caches, memory and clock frequency.

Both chosen so that 95 % intervals held in 82 of 85 trainings of 2 to 90 s after two epochs, and in 84 at half time, on
a virtual machine with two CPUs, three quarters of them beside two to ten busy neighbours (GreenPose's own runs, 2026).
In 24 further ones on the machine left alone all held, being 14 and 6 % wide either way. `benchmarks/prediction.py` puts
them to the test on any machine.
"""
SCATTER_DEGREES = 3
"""As many epochs' worth of evidence as the expected scatter counts for."""
CORRELATIONS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
"""Correlations between the costs of neighbouring epochs that are thought of, all as likely before any is seen."""
RUN_SCATTER = 1.5
"""A run differs from a calibration on another day by this much more than an epoch from its neighbour: a default."""
GUESS_FACTOR = 2.0
"""Factor either way of work that was guessed at, since none of it is done: a default."""
MOST_WAITING = 0.9
"""Work that waits longer than this is taken to wait this long: it hardly moves."""
MOST_DEGREES = 100
"""Student's t hardly changes beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Work of one kind that a training does over and over, such as its epochs or its validations."""

    costs: Sequence[float]
    """What each one cost that is done, in order; warm-ups left out."""
    remaining: int
    """How many are to come."""
    guess: float = 0.0
    """What one may cost, for as long as none is done."""


def predict_total(work: Sequence[Repeated], *, spent: float, neighbours: "Neighbours | None" = None) -> Quantity:
    """Return what all will have cost when what remains of each kind of work has been added to what is `spent`.

    Type A is the 95 % prediction interval; the unit is that of the costs, and `method` says what it was made from.

    What is spent is a fact and adds nothing to the interval. What remains is as uncertain as the costs so far and the
    scatter to expect of the machine make it; ends of different kinds are added, since the same neighbours move them
    all. The interval reaches down to where all neighbours leave now, and up to where they are twice as many from now.
    """
    if not any(kind.remaining for kind in work):
        return _predicted(spent, spent, spent, "all of it is done")
    others = neighbours or Neighbours()
    ahead = [_remaining(kind, others.scatter) for kind in work if kind.remaining]
    low, rest, high = (sum(ends) for ends in zip(*ahead, strict=True))
    below = math.hypot(rest - low, rest * (1 - 1 / others.slowdown))
    above = math.hypot(high - rest, rest * (others.doubled - 1))
    number = max(len(kind.costs) for kind in work)
    return _predicted(
        spent + max(0.0, rest - below),
        spent + rest,
        spent + rest + above,
        f"{number} settled epoch{'s' * (number != 1)}, others at work on {others.busy:.0%} of the CPUs",
    )


def predict_run(
    totals: Sequence[float], *, neighbours: "Neighbours | None" = None, model_error: float = 0.0
) -> Quantity:
    """Return what a run will cost for which each block of a calibration says one of `totals`.

    The interval, in logarithms, holds what as many blocks again would differ by, what another run differs from this
    calibration by, and the relative standard error of a model where the run itself was not calibrated. It reaches down
    to where all neighbours have left, and up to where they are twice as many.
    """
    if not all(0 < total < math.inf for total in totals):
        return _predicted(0.0, 0.0, 0.0, "nothing reads what it costs")
    others = neighbours or Neighbours()
    low, value, high = _remaining(Repeated(costs=totals, remaining=len(totals)), others.scatter)
    own = math.log1p((high - low) / 2 / value)
    run = _half(math.hypot(RUN_SCATTER * others.scatter, model_error), SCATTER_DEGREES)
    expected, count = value / len(totals), len(totals)
    return _predicted(
        expected * math.exp(-math.hypot(run, own, math.log(others.slowdown))),
        expected,
        expected * math.exp(math.hypot(run, own, math.log(others.doubled))),
        f"{count} calibration block{'s' * (count != 1)} and what runs differ by",
    )


def _predicted(low: float, value: float, high: float, method: str) -> Quantity:
    return Quantity(value=value, kind="estimated", method=method, type_a=Bounds(low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Who else was at work on a machine, seen from work that keeps a part of its CPUs busy."""

    busy: float = 0.0
    """Part of all CPUs that others kept busy, 0 to 1."""
    cpus: float = 1.0
    """Part of all CPUs that the work itself would keep busy, were it alone."""

    @classmethod
    def during(cls, windows: Sequence[Window], *, cpus: float) -> "Neighbours":
        """Return who was there during windows of the work; nobody where nobody looked."""
        seen = [(window.seconds, window.contamination) for window in windows if window.contamination is not None]
        seconds = sum(length for length, _ in seen)
        busy = sum(length * (known.foreign_cpu_share + known.steal_share) for length, known in seen)
        return cls(busy=min(1.0, busy / seconds) if seconds > 0 else 0.0, cpus=cpus)

    @property
    def waiting(self) -> float:
        """Return the part of its time that the work waited for a CPU."""
        return min(MOST_WAITING, max(0.0, self.busy - (1 - self.cpus)) / self.cpus)

    @property
    def scatter(self) -> float:
        """Return the relative standard deviation to expect from one epoch to another while they stay as they are."""
        return QUIET_SCATTER + NEIGHBOUR_SCATTER * self.busy

    @property
    def slowdown(self) -> float:
        """Return how many times as long the work takes as without anybody else."""
        return 1 / (1 - self.waiting)

    @property
    def doubled(self) -> float:
        """Return how many times as long it would take beside twice as many others, all of them sharing fairly."""
        places = 1 / self.cpus
        others = places * self.slowdown - 1 if self.waiting else places * self.busy
        return max(1.0, (2 * others + 1) / places) / self.slowdown


def _remaining(work: Repeated, scatter: float) -> tuple[float, float, float]:
    """Return low end, expectation and high end of what remains of one kind."""
    # Nothing is done, nothing reads what it costs, or what reads it lies.
    if not all(0 <= cost < math.inf for cost in work.costs) or not any(work.costs):
        rest = work.remaining * work.guess
        return rest / GUESS_FACTOR, rest, rest * GUESS_FACTOR
    guesses = [_given(correlation, work.costs, work.remaining, scatter) for correlation in CORRELATIONS]
    likeliest = max(guess.log_likelihood for guess in guesses)
    weights = [math.exp(guess.log_likelihood - likeliest) for guess in guesses]
    mixed = list(zip(weights, guesses, strict=True))
    value = sum(weight * guess.value for weight, guess in mixed) / sum(weights)
    variance = sum(weight * (guess.variance + (guess.value - value) ** 2) for weight, guess in mixed) / sum(weights)
    degrees = min(SCATTER_DEGREES + len(work.costs) - 1, MOST_DEGREES)
    half = _half(math.sqrt(variance), degrees)
    return value - half, value, value + half


def _half(deviation: float, degrees: int) -> float:
    """Return half the interval of a value whose standard deviation is known as well as so many degrees of freedom."""
    return t_quantile(1 - (1 - CONFIDENCE) / 2, degrees) * deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """What the sum of the values to come is under one correlation."""

    log_likelihood: float
    value: float
    variance: float


def _given(correlation: float, costs: Sequence[float], remaining: int, scatter: float) -> _Guess:
    """Return the sum of `remaining` values that go on where `costs` end, as a first-order autoregression.

    Mean unknown, variance under a scaled inverse chi-squared prior; with correlation 0 and no prior it is Student's
    prediction interval t x s x sqrt(m + m^2 / n). The expected scatter is that of the values where they are
    independent, that of their steps where they hardly move, and in between otherwise: (1 - r^2)^(1/4).

    Source: Zellner (1971), An Introduction to Bayesian Inference in Econometrics, chapter 7.
    """
    r, m, innovation = correlation, remaining, 1 - correlation**2
    expected = scatter * statistics.fmean(costs) / innovation**0.25
    new = (1 - r) / math.sqrt(innovation)  # what of the mean is news in a value that follows another
    white = [costs[0], *((cost - r * before) / math.sqrt(innovation) for before, cost in pairwise(costs))]
    information = 1 + (len(costs) - 1) * new**2
    mean = (white[0] + new * sum(white[1:])) / information
    degrees = SCATTER_DEGREES + len(costs) - 1
    misfit = (white[0] - mean) ** 2 + sum((value - new * mean) ** 2 for value in white[1:])
    squares = SCATTER_DEGREES * expected**2 + misfit
    memory = r * (1 - r**m) / (1 - r)  # how much of the last value's deviation is in the sum
    apart = m - 2 * memory + r**2 * (1 - r ** (2 * m)) / innovation
    return _Guess(
        log_likelihood=SCATTER_DEGREES * math.log(expected)
        - (len(costs) - 1) / 2 * math.log(innovation)
        - math.log(information) / 2
        - degrees / 2 * math.log(squares),
        value=m * mean + memory * (costs[-1] - mean),
        variance=squares / degrees * ((1 + r) / (1 - r) * apart + (m - memory) ** 2 / information),
    )


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
