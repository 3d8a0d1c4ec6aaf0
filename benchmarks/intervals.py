"""How often a stated 95 % interval holds the truth: `python -m benchmarks.intervals`, about three minutes.

The truth is the median of the noise's law; where the level of the whole machine moves, times the median level of the
blocks that were measured. Promised: 93-97 % for normal and heavy-tailed noise, 90 % or more for spikes and for drift.

1. `interval` alone, for the numbers of blocks that occur.
2. The whole procedure: `measure_exits` on a machine with a scripted clock and counter, which looks again and again
   whether 5 % is reached and stops by what it sees; energy of each exit, and their ratio within blocks.
3. What is not promised: that another run, while the level wanders, finds the same level. The interval counts the
   likeness of neighbouring blocks in, but a short run cannot know how slowly the machine changes.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks import conclude
from benchmarks.noise import HEAVY_TAILED, LAWS, NORMAL, Law, measure, wander
from greenpose.intervals import Bounds, interval

COUNTS = (3, 4, 5, 6, 8, 10, 12, 18, 24, 30)
"""Numbers of blocks."""
SPREADS = (0.03, 0.06, 0.1)
"""Noise of single blocks for which 5 % take about six blocks, about twenty, and more than the thirty there are."""
MOST_BLOCKS = 30
RATIO = 0.4
"""Cost of the shallow exit over the deep one's."""
EXACT = (0.93, 0.97)
AT_LEAST = (0.90, 1.0)


@dataclass(slots=True)
class Tally:
    """How often intervals held the truth."""

    hits: int = 0
    """Those that did."""
    trials: int = 0
    """All."""
    blocks: list[int] = field(default_factory=list)
    """Blocks that each took."""

    def add(self, bounds: Bounds | None, truth: float, blocks: int) -> None:
        """Count one."""
        assert bounds is not None
        self.hits += bounds.low <= truth <= bounds.high
        self.trials += 1
        self.blocks.append(blocks)

    @property
    def share(self) -> float:
        """Return the part that held it."""
        return self.hits / self.trials

    @property
    def chance(self) -> float:
        """Return how far chance alone moves that part: two standard deviations of a count of 95 in a hundred."""
        return 2 * math.sqrt(0.95 * 0.05 / self.trials)


def fixed(law: Law, blocks: int, *, trials: int, spread: float, random: np.random.Generator) -> Tally:
    """Return how often `interval` of a fixed number of blocks holds the truth."""
    tally = Tally()
    for _ in range(trials):
        levels = law.levels(random, blocks)
        values = law.noise(random, (blocks, 1), spread)[:, 0] * levels
        tally.add(interval(values.tolist()), float(np.median(levels)), blocks)
    return tally


def whole(law: Law, exits: int, *, trials: int, spread: float, random: np.random.Generator) -> dict[str, Tally]:
    """Return how often what `measure_exits` reports holds the truth: energy an item, and the ratio within blocks."""
    tallies: dict[str, Tally] = {}
    costs = (RATIO, 1.0) if exits == 2 else (1.0,)
    for _ in range(trials):
        levels = law.levels(random, MOST_BLOCKS + 1)
        found = measure(law.noise(random, (MOST_BLOCKS + 1, exits), spread) * levels[:, None] * np.array(costs))
        blocks = found[exits].blocks
        level = float(np.median(levels[1 : blocks + 1]))
        for number, cost in enumerate(costs, start=1):
            energy = found[number].energy_j_per_item
            assert energy is not None
            tallies.setdefault(f"exit {number}", Tally()).add(energy.type_a, cost * level, blocks)
        if exits == 2:
            ratio = found[1].ratios["energy_j_per_item"]
            tallies.setdefault("ratio", Tally()).add(ratio.type_a, RATIO, blocks)
    return tallies


def another_run(likeness: float, blocks: int, *, trials: int, random: np.random.Generator) -> Tally:
    """Return how often the interval of one run holds the level around which a machine wanders in the long run."""
    tally = Tally()
    for _ in range(trials):
        tally.add(interval(wander(random, blocks, likeness=likeness, spread=0.05).tolist()), 1.0, blocks)
    return tally


def promised(name: str) -> tuple[float, float]:
    """Return the band in which a law's coverage has to lie."""
    return EXACT if name in NORMAL | HEAVY_TAILED else AT_LEAST


def main() -> int:
    """Count, print, and return 0 if the promise is kept."""
    parser = argparse.ArgumentParser(description="How often a stated 95 % interval holds the truth.")
    parser.add_argument("--trials", type=int, default=1000, help="of each law, spread and number of blocks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    faults = [*_show_fixed(arguments.trials, random), *_show_whole(arguments.trials, random)]
    _show_another_run(arguments.trials, random)
    return conclude(faults)


def _show_fixed(trials: int, random: np.random.Generator) -> Iterator[str]:
    print(f"1. interval of n values, spread 10 %, {trials} trials each: % that hold the truth")
    print(f"{'':31}" + "".join(f"{count:>7}" for count in COUNTS) + f"{'all':>9}")
    for name, law in LAWS.items():
        tallies = [fixed(law, count, trials=trials, spread=0.1, random=random) for count in COUNTS]
        yield from _row(name, {f"{count} blocks": tally for count, tally in zip(COUNTS, tallies, strict=True)})


def _show_whole(trials: int, random: np.random.Generator) -> Iterator[str]:
    print(f"\n2. the whole procedure, stopping at 5 %, {trials} trials each: % that hold the truth")
    columns = [f"{what} {spread:.0%}" for what in ("alone", "exit 1", "exit 2", "ratio") for spread in SPREADS]
    print(f"{'':31}" + "".join(f"{column:>11}" for column in columns) + f"{'all':>9}")
    for name, law in LAWS.items():
        found = {
            (exits, spread): whole(law, exits, trials=trials, spread=spread, random=random)
            for exits in (1, 2)
            for spread in SPREADS
        }
        cells = {f"alone, {spread:.0%}": found[1, spread]["exit 1"] for spread in SPREADS}
        cells |= {
            f"{what}, {spread:.0%}": found[2, spread][what] for what in found[2, SPREADS[0]] for spread in SPREADS
        }
        yield from _row(name, cells, width=11)
        mean = [float(np.mean(tally.blocks)) for tally in cells.values()]
        print(f"{'  blocks':31}" + "".join(f"{blocks:>11.1f}" for blocks in mean))


def _show_another_run(trials: int, random: np.random.Generator) -> None:
    print(f"\n3. not promised: the long-run level of a machine that wanders, {trials} trials each")
    print(f"{'':31}" + "".join(f"{count:>7}" for count in COUNTS))
    for likeness in (0.3, 0.6, 0.8):
        shares = [another_run(likeness, count, trials=trials, random=random).share for count in COUNTS]
        print(f"{f'  blocks alike by {likeness}':31}" + "".join(f"{100 * share:>7.1f}" for share in shares))
    print()


def _row(name: str, cells: dict[str, Tally], *, width: int = 7) -> Iterator[str]:
    """Print a law's coverages, and yield what breaks the promise: their mean, or one by more than chance does."""
    low, high = promised(name)
    mean = sum(tally.hits for tally in cells.values()) / sum(tally.trials for tally in cells.values())
    print(f"{name:31}" + "".join(f"{100 * cell.share:>{width}.1f}" for cell in cells.values()) + f"{100 * mean:>9.1f}")
    if not low <= mean <= high:
        yield f"{name}: {mean:.1%} in all, promised {low:.0%}-{high:.0%}"
    for what, tally in cells.items():
        if not low - tally.chance <= tally.share <= high + tally.chance:
            yield f"{name}, {what}: {tally.share:.1%}, promised {low:.0%}-{high:.0%}"


if __name__ == "__main__":
    sys.exit(main())
