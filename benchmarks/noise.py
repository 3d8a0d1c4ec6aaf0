"""Noise whose truth is known, and a machine that suffers from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from greenpose.metering import ExitMeasurement, Joules, LoadMonitor, Meter, MeterSurroundings, Plan, measure_exits
from greenpose.metering.sources.source import Component, Provenance

Draw = Callable[[np.random.Generator, tuple[int, int], float], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How the costs of repeated blocks scatter and wander, in parts of a cost whose median is 1."""

    noise: Draw
    """Independent factors of a shape (blocks, exits) and a spread; their law's median is 1."""
    level: Callable[[np.random.Generator, int], np.ndarray] | None = None
    """Factors that all exits of a block share, one for each block; None for a steady machine."""

    def levels(self, random: np.random.Generator, blocks: int) -> np.ndarray:
        """Return what all exits of each block cost more or less than they should."""
        return np.ones(blocks) if self.level is None else self.level(random, blocks)


def wander(random: np.random.Generator, blocks: int, *, likeness: float, spread: float) -> np.ndarray:
    """Return a level around 1 that is like the one of the block before."""
    path = random.standard_normal(blocks)
    for block in range(1, blocks):
        path[block] = likeness * path[block - 1] + math.sqrt(1 - likeness**2) * path[block]
    return np.exp(spread * path)


def _spiky(random: np.random.Generator, shape: tuple[int, int], spread: float) -> np.ndarray:
    spikes = np.where(random.random(shape) < 0.05, random.uniform(3, 10, shape), 1.0)
    return np.exp(spread * random.standard_normal(shape)) * spikes


def _normal(random: np.random.Generator, shape: tuple[int, int], spread: float) -> np.ndarray:
    return 1 + spread * random.standard_normal(shape)


def _student(random: np.random.Generator, shape: tuple[int, int], spread: float, *, degrees: int) -> np.ndarray:
    """Return factors whose logarithms are Student's, but none beyond 20 either way: costs stay above zero."""
    return np.exp(np.clip(spread * random.standard_t(degrees, shape), -3, 3))


NORMAL = {"normal": Law(noise=_normal)}
HEAVY_TAILED = {
    "Student's t, 3 degrees": Law(noise=partial(_student, degrees=3)),
    "Student's t, 2 degrees": Law(noise=partial(_student, degrees=2)),
    "lognormal delays": Law(noise=lambda random, shape, spread: 1 + spread * (random.lognormal(size=shape) - 1)),
}
DRIFTING = {
    "drift of 30 % over 30 blocks": Law(noise=_normal, level=lambda _, blocks: 1 + 0.01 * np.arange(blocks)),
    "level that wanders by 10 %": Law(noise=_normal, level=partial(wander, likeness=0.9, spread=0.1)),
}
SPIKY = {"5 % spikes of x3 to x10": Law(noise=_spiky)}
LAWS = NORMAL | HEAVY_TAILED | DRIFTING | SPIKY


class Machine:
    """A machine that draws 1 W, on which the n-th block's call of an exit takes as long as a table says.

    It is clock, CPU clock and energy counter in one, so that a window costs its exit's entry, in seconds and in joules.
    """

    component: Component = "cpu"
    provenance = Provenance(
        component="cpu", kind="measured", method="a script", device="none", scope="a script", source="none", version="1"
    )

    def __init__(self, costs: np.ndarray) -> None:
        """Keep the table: a row for each block, the warm-up first, and a column for each exit."""
        self._now = 0.0
        self._costs = costs
        self._blocks = [0] * costs.shape[1]

    def __call__(self) -> float:
        """Return the time."""
        return self._now

    def read(self) -> Joules:
        """Return the energy."""
        return Joules(self._now, self._now, self._now)

    def run(self, column: int) -> None:
        """Do the next call of an exit."""
        self._now += float(self._costs[self._blocks[column], column])
        self._blocks[column] += 1

    def sleep(self, seconds: float) -> None:
        """Idle."""
        self._now += seconds


def measure(costs: np.ndarray, *, rel_ci: float = 0.05) -> dict[int, ExitMeasurement]:
    """Return what `measure_exits` finds on such a machine, in as many blocks as it wants and the table has."""
    machine = Machine(costs)
    plan = Plan(min_window_seconds=1e-6, rel_ci=rel_ci, max_blocks=len(costs) - 1, max_seconds=math.inf)
    surroundings = MeterSurroundings(load=LoadMonitor(Path("/nowhere")))
    runners = {number + 1: _call(machine, number) for number in range(costs.shape[1])}
    with Meter([machine], clock=machine, cpu_clock=machine, surroundings=surroundings) as meter:
        return measure_exits(runners, meter, items_per_call=1, plan=plan, sleep=machine.sleep)


def _call(machine: Machine, column: int) -> Callable[[], object]:
    return lambda: machine.run(column)
