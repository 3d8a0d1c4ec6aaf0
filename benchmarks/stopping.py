"""What ending training early would have saved: `python -m benchmarks.stopping [FOLDER]`, seconds.

Every run of `reports/recipes` was trained to its end and validated after each epoch, so that any rule of stopping can
be tried on it afterwards: what had it cost when the rule would have ended it, and how much lower was each exit's best
validation AP by then? Two rules: patience, the official code's (no exit tied or beat its best in so many validations),
and patience by the interval (no exit beat its best by more than the half-width of the validation split's 95 % interval,
taken from the test split's by their numbers of subjects). Networks that grow are left out, since exits join as planned;
so are data whose subjects are unknown. Nothing is promised.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean

from greenpose.record import Record, Validation
from greenpose.store import collect

FOLDER = Path(__file__).parent.parent / "reports" / "recipes"
WAITS = (2, 3, 5)
"""Validations that a rule waits for a better one."""

Rises = Callable[[int, float], bool]
"""Whether a rise of an exit's best AP counts."""


def stop(course: Sequence[Validation], waits: int, rises: Rises) -> int:
    """Return after how many validations a rule ends a training; all where it does not."""
    best: dict[int, float] = {}
    waiting = 0
    for number, seen in enumerate(course, start=1):
        higher = [exit_ for exit_, ap in seen.ap.items() if exit_ not in best or rises(exit_, ap - best[exit_])]
        best |= {exit_: max(ap, best.get(exit_, ap)) for exit_, ap in seen.ap.items()}
        waiting = 0 if higher else waiting + 1
        if waiting == waits:
            return number
    return len(course)


def best_until(course: Sequence[Validation], number: int) -> dict[int, float]:
    """Return each exit's best AP of the first validations; 0 for one that had not joined."""
    exits = {exit_ for seen in course for exit_ in seen.ap}
    return {exit_: max((seen.ap.get(exit_, 0.0) for seen in course[:number]), default=0.0) for exit_ in sorted(exits)}


def half_widths(run: Record) -> dict[int, float]:
    """Return by exit the half-width of the 95 % interval of AP on the validation split, as an estimate."""
    scale = sqrt(run.subjects["test"] / run.subjects["val"])
    spreads = {entry.exit: entry.quantity("ap").type_a for entry in run.exits}
    return {exit_: scale * (spread.high - spread.low) / 2 for exit_, spread in spreads.items() if spread}


def rules(run: Record) -> dict[str, tuple[int, Rises]]:
    """Return every rule by its name."""
    widths = half_widths(run)
    plain = {f"patience {waits}": (waits, _at_all) for waits in WAITS}
    return plain | {f"interval, patience {waits}": (waits, _beyond(widths)) for waits in WAITS}


def _at_all(_: int, rise: float) -> bool:
    return rise >= 0


def _beyond(widths: Mapping[int, float]) -> Rises:
    return lambda exit_, rise: rise > widths[exit_]


def row(runs: Sequence[Record], rule: str) -> str:
    """Return a line of the table: what a rule would have done to some runs, in the mean."""
    ends = [stop(run.validations, *rules(run)[rule]) for run in runs]
    last = [run.validations[end - 1] for run, end in zip(runs, ends, strict=True)]
    shares = [seen.energy_kwh / run.validations[-1].energy_kwh for run, seen in zip(runs, last, strict=True)]
    lost: dict[int, list[float]] = {}
    for run, end in zip(runs, ends, strict=True):
        whole = best_until(run.validations, len(run.validations))
        for exit_, ap in best_until(run.validations, end).items():
            lost.setdefault(exit_, []).append(100 * (ap - whole[exit_]))
    cells = [
        ", ".join(str(seen.epoch) for seen in last),
        f"{100 * mean(shares):.0f} %",
        *(f"{mean(each):+.1f}" for each in lost.values()),
    ]
    return f"| {runs[0].experiment} | {rule} | {' | '.join(cells)} |"


def main() -> int:
    """Print a table of every experiment and rule."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    found = [run for run in collect([folder]) if isinstance(run, Record)]
    runs = [run for run in found if not run.config["train"].get("grow") and all(run.subjects.values())]
    names = dict.fromkeys(run.experiment for run in runs)
    exits = [entry.exit for entry in runs[0].exits]
    print(f"| recipe | rule | ends after epoch | energy | {' | '.join(f'exit {exit_}, points' for exit_ in exits)} |")
    print("|---|---|---|--:|" + "--:|" * len(exits))
    for name in names:
        own = [run for run in runs if run.experiment == name]
        for rule in rules(own[0]):
            print(row(own, rule))
    return 0


if __name__ == "__main__":
    sys.exit(main())
