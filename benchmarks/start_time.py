"""What choosing when to start saves in a year: `python -m benchmarks.start_time`, a minute.

The year is made up by `made_up_year` below and stands for no grid: sun at noon, more of it in summer, people in the
evening, less at weekends, and weather that stays for a day or two, from a seeded generator. Work comes up every 37
hours of it, which is any hour of any day of the week; what it emits as chosen is held against starting at once, and
against each start in a whole hour from then on that the deadline leaves, tried one by one.

Promised: no deadline is missed, whatever within its interval the work takes; where it takes what is expected, its grid
is never worse than the best that was tried. The file is the truth here: a real one is a forecast, and saves less.
`--csv FILE` keeps the year.
"""

import argparse
import itertools
import math
import random
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from benchmarks import conclude
from greenpose.ledger.start_time import Range, Workload, choose
from greenpose.metering.carbon.hourly_intensity import HOUR, Hours

FIRST = datetime(2027, 1, 1, tzinfo=UTC)
YEAR_HOURS = 365 * 24
EVERY = 37
"""Hours between two times at which work comes up."""
SPREADS = (0.0, 0.25)
"""What work takes lies so far around its expectation, as a fraction."""
KINDS = ((3, 1), (3, 12), (8, 1), (8, 16), (24, 1), (24, 24))
"""Hours that work takes, and runs that it has."""
SLACKS = (12, 24, 72)
"""Hours that the deadline leaves beyond the most that work takes."""


def made_up_year(seed: int = 18) -> list[float]:
    """Return the made-up intensity of each hour of a year, in g/kWh."""
    draws, weather, year = random.Random(seed), 0.0, []
    for hour in range(YEAR_HOURS):
        day, clock = divmod(hour, 24)
        summer = 0.5 - 0.5 * math.cos(2 * math.pi * (day + 10) / 365)
        sun = (60 + 140 * summer) * max(0.0, math.sin(math.pi * (clock - 6) / 12))
        people = 70 * math.exp(-(((clock - 19) / 2.5) ** 2)) - (30 if day % 7 > 4 else 0)
        weather = 0.97 * weather + draws.gauss(0, 0.24)  # settles at a deviation of one
        year.append(round(max(25.0, 330 - sun + people + 70 * weather), 1))
    return year


def as_csv(year: list[float]) -> str:
    """Return the year as a file of hourly intensities, which says that it is made up."""
    lines = [f"{FIRST + hour * HOUR:%Y-%m-%dT%H:%MZ},{grams},made up" for hour, grams in enumerate(year)]
    return "\n".join(["datetime,g_per_kwh,source", *lines]) + "\n"


LATE, ROUNDING = 1e-3, 1e-5
"""Seconds after a deadline, and g/kWh, that are rounding."""


class Outcome(NamedTuple):
    """What one time of waiting came to, in g/kWh."""

    at_once: float
    chosen: float
    best_hour: float
    """The least of all starts in whole hours from now on, tried one by one."""
    late: float
    """Seconds after the deadline."""


def a_year_of_starts(
    hours: Hours, length: int, runs: int, slack: int, spread: float, *, seed: int = 1
) -> Iterator[Outcome]:
    """Yield what becomes of work that comes up again and again, looked at again after each block of runs."""
    draws = random.Random(seed)
    room = math.ceil((1 + spread) * length) + slack
    for hour in range(0, YEAR_HOURS - 24 - room, EVERY):
        now, truth = FIRST + hour * HOUR, draws.uniform(1 - spread, 1 + spread) * length * 3600
        chosen, ended = done(hours, now, now + room * HOUR, length, runs, truth / runs, spread)
        tried = (hours.over(now + wait * HOUR, truth).mid for wait in range(slack + 1))
        yield Outcome(hours.over(now, truth).mid, chosen, min(tried), (ended - now).total_seconds() - room * 3600)


def done(
    hours: Hours,
    now: datetime,
    deadline: datetime,
    length: float,
    runs: int,
    each: float,
    spread: float,
    *,
    below: float | None = None,
) -> tuple[float, datetime]:
    """Return the grid during runs that take `each` seconds in truth, and when they ended."""
    grid, left = 0.0, runs
    while left:
        seconds = Range(*(factor * length * 3600 * left / runs for factor in (1 - spread, 1.0, 1 + spread)))
        choice = choose(hours, Workload(runs=left, seconds=seconds, kwh=None), now, deadline=deadline, below=below)
        some, start = min(left, choice.size), choice.starts[0]
        grid += some / runs * hours.over(start, some * each).mid
        now, left = start + timedelta(seconds=some * each), left - some
    return grid, now


def main() -> int:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="write the made-up year here")
    arguments, year = parser.parse_args(), made_up_year()
    if arguments.csv:
        arguments.csv.write_text(as_csv(year))
    hours = Hours(name="made up", digest="0" * 12, scope="", first=FIRST, values=tuple(year))
    faults: list[str] = []
    print(f"made-up year: mean {statistics.fmean(year):.0f} g/kWh, {min(year):.0f} to {max(year):.0f}")
    print("work, h  interval  runs  slack, h  at once  chosen  best hour  saved  worst start  ended after the deadline")
    for (length, runs), slack, spread in itertools.product(KINDS, SLACKS, SPREADS):
        outcomes = list(a_year_of_starts(hours, length, runs, slack, spread))
        once, chosen, best = (statistics.fmean(column) for column in list(zip(*outcomes, strict=True))[:3])
        late = sum(outcome.late > LATE for outcome in outcomes)
        worse = sum(outcome.chosen > outcome.best_hour + ROUNDING for outcome in outcomes)
        worst = max(outcome.chosen / outcome.at_once - 1 for outcome in outcomes)
        print(
            f"{length:7}  ±{spread:7.0%}  {runs:4}  {slack:8}  {once:7.1f}  {chosen:6.1f}  {best:9.1f}  "
            f"{1 - chosen / once:5.1%}  {worst:+11.1%}  {late} of {len(outcomes)}"
        )
        faults += [f"{length} h, {runs} runs, {slack} h: {late} deadlines missed"] * bool(late)
        faults += [f"{length} h, {runs} runs, {slack} h: {worse} worse than the best hour"] * bool(worse and not spread)
    return conclude(faults)


if __name__ == "__main__":
    raise SystemExit(main())
