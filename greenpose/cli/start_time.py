"""Options of `greenpose run` that say when: in the hours in which the grid is cleanest, by an hourly file."""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.console import Console

from greenpose.cli.console import gathered, note
from greenpose.config.launcher import Launcher
from greenpose.errors import GreenPoseError, said
from greenpose.files import utc_now
from greenpose.formatting import ends, lasting, plain, plural
from greenpose.grid import Outcome, Planned
from greenpose.metering.carbon.hourly_intensity import Hours, read_hours
from greenpose.store import State

if TYPE_CHECKING:
    from greenpose.ledger.start_time import ChosenStart, Range, Workload

CLOCK = re.compile(r"\d{1,2}:\d{2}")
YEARS = (1971, 2200)
NAP_SECONDS = 60.0
"""The clock is looked at again so often while nothing is done: somebody may set it, or the machine may have slept."""
SOON = timedelta(seconds=1)
"""What begins within this begins at once."""
SHOWN = 0.005
"""Least part of the work in hours outside the file that is mentioned."""
SAMPLE = "datetime,g_per_kwh, then a line for each hour, e.g. 2026-12-01T00:00Z,212.5"


class StartOptions(NamedTuple):
    """When the runs are to start."""

    start_below: float | None = None
    """Grams per kWh that the grid is to be below."""
    finish_by: str | None = None
    """Deadline."""
    takes: float | None = None
    """Hours that the runs take at most; None to find out by trial steps."""
    intensity: str | None = None
    """File of hourly intensities to go by; None for that of the configuration."""


AT_ONCE = StartOptions()
with_start = gathered(
    "start",
    StartOptions,
    {
        "start_below": (
            float | None,
            typer.Option(
                min=0, max=10_000, help="Wait until the grid is below so many g/kWh, hour by hour in carbon.hourly."
            ),
        ),
        "finish_by": (
            str | None,
            typer.Option(
                help="Wait for the cleanest hours, and be done by then: 08:00, 2026-12-01T08:00 or ...Z (UTC)."
            ),
        ),
        "takes": (
            float | None,
            typer.Option(min=1e-3, max=8784, help="Hours that it takes at most. Default: by trial steps."),
        ),
        "intensity": (str | None, typer.Option(help="CSV of hourly intensities to wait by. Default: carbon.hourly.")),
    },
)
"""Gives a command the options of `StartOptions`, as its parameter `start`."""


class Need(NamedTuple):
    """What one run takes."""

    seconds: "Range"
    """Wall time."""
    kwh: "Range | None"
    """Energy, with the building's part; None where nobody knows."""


def moment_of(text: str, now: datetime) -> datetime:
    """Return the moment that somebody means, UTC: one without an offset is this machine's, `08:00` the next of that.

    Raises:
        GreenPoseError: if it is none.
    """
    try:
        if CLOCK.fullmatch(text):
            here = now.astimezone().replace(tzinfo=None)
            hour, minute = map(int, text.split(":"))
            then = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return (then if then > here else then + timedelta(days=1)).astimezone(UTC)
        moment = datetime.fromisoformat(text)
        if not YEARS[0] <= moment.year < YEARS[1]:
            raise ValueError
        return moment.astimezone(UTC)
    except ValueError:
        zone = now.astimezone().strftime("%Z")
        raise GreenPoseError(
            f"--finish-by {text!r}: is no time; write 08:00 (the next), 2026-12-01T08:00 (both in this machine's time "
            f"zone, {zone}), or with an offset, 2026-12-01T08:00Z"
        ) from None


def taking(seconds: "Range") -> str:
    """Return how long something takes, with the upper end that the deadline is kept with."""
    return lasting(seconds.mid) + (f" (at most {lasting(seconds.high)})" if seconds.high > seconds.mid else "")


def told(moment: datetime) -> str:
    """Return a moment in UTC, and on this machine's clock where that is another."""
    here = moment.astimezone()
    local = f" ({here:%H:%M %Z})" if here.utcoffset() else ""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC{local}"


@dataclass(kw_only=True)
class CleanHours:
    """When the runs of a grid are done, looked at again after each block of them."""

    hours: Hours
    todo: Sequence[Planned]
    """Runs that are not done."""
    needs: Mapping[str, Need]
    """What each run takes, by its name."""
    deadline: datetime | None
    below: float | None
    pauses: bool
    """Whether runs can be held back one by one; else only their common start is chosen."""
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    slower: float = 1.0
    """How many times as long as expected runs took so far, at most; 1 before any did."""
    chosen: "ChosenStart" = field(init=False)
    """What was chosen for all runs before any began."""

    def __post_init__(self) -> None:
        """Choose, and refuse what cannot be kept."""
        self.chosen = self.choose(self.todo)

    def choose(self, left: Sequence[Planned]) -> "ChosenStart":
        """Return when to do the runs that are left.

        Raises:
            GreenPoseError: if they cannot be done in time, or the grid is never clean enough.
        """
        from greenpose.ledger.start_time import choose

        return choose(
            self.hours, self.work(left), self.now(), deadline=self.deadline, below=self.below, pauses=self.pauses
        )

    def work(self, left: Sequence[Planned]) -> "Workload":
        """Return what the runs that are left take together, ends added to ends."""
        from greenpose.ledger.start_time import Range, Workload

        needs = [self.needs[one.cell.name] for one in left]
        low, mid, high = (sum(ends) for ends in zip(*(need.seconds for need in needs), strict=True))
        drawn = [need.kwh for need in needs if need.kwh]
        kwh = Range(*map(sum, zip(*drawn, strict=True))) if len(drawn) == len(needs) else None
        return Workload(runs=len(left), seconds=Range(low, mid, max(high, mid * self.slower)), kwh=kwh)

    def run(
        self, do: Callable[..., list[Outcome]], console: Console, todo: Sequence[Planned], **how: Any
    ) -> list[Outcome]:
        """Do runs, each block in its hours, and return how each ended."""
        outcomes, left = list["Outcome"](), list(todo)
        while left:
            spent = bool(outcomes and outcomes[-1].undone)  # then nothing is begun any more that could wait
            size = len(left) if spent else self._wait(left, console, again=bool(outcomes))
            began, block = self.now(), left[:size]
            outcomes += do(block, **how)
            took = (self.now() - began).total_seconds()
            self.slower = max(self.slower, took / self.work(block).seconds.mid)
            left = left[size:]
        return outcomes

    def _wait(self, left: Sequence[Planned], console: Console, *, again: bool) -> int:
        """Do nothing until the next block is to begin, and return its runs."""
        try:
            choice = self.choose(left)
        except GreenPoseError as error:
            if not again:
                raise
            console.print(note(f"{said(error)}: the {plural(len(left), 'run')} left are done at once"), soft_wrap=True)
            return len(left)
        if choice.starts[0] - self.now() > SOON or not again:
            console.print(self.sentence(choice, left, again=again), soft_wrap=True)
        while (seconds := (choice.starts[0] - self.now()).total_seconds()) > 0:
            self.sleep(min(seconds, NAP_SECONDS))
        return choice.size

    def sentence(self, choice: "ChosenStart", left: Sequence[Planned], *, again: bool = False) -> str:
        """Return when the runs begin, and what that is expected to save."""
        wait = choice.starts[0] - self.now()
        if wait > SOON:
            verb = f"holds back the {plural(len(left), 'run')} left" if again else "waits"
            begin = f"{verb} until {told(choice.starts[0])}, {lasting(wait.total_seconds())} from now"
        else:
            begin = "starts at once"
        done = f" and be done by {told(self.deadline)}" if self.deadline else ""
        known = "; ".join([self._saving(choice, left), *self._remarks(choice, left)])
        return f"{begin}, to take {taking(self.work(left).seconds)}{done}: {known}"

    def _saving(self, choice: "ChosenStart", left: Sequence[Planned]) -> str:
        kwh, (then, once, saved, part, _) = self.work(left).kwh, choice.expected
        if choice.starts[0] - self.now() <= SOON and not saved.mid:
            return "no later start emits less"
        unit = "gCO2eq/kWh"
        if kwh:
            then, once, saved, unit = then.times(kwh), once.times(kwh), saved.times(kwh), "gCO2eq"
        first, other, less = (ends(plain(each.low, 2), plain(each.high, 2)) for each in (then, once, saved))
        share = ends(f"{100 * part.low:.0f}", f"{100 * part.high:.0f}")
        return (
            f"expected {first} {unit} instead of {other} at once, saves {plain(saved.mid, 2)} {unit} ({less}), "
            f"{100 * part.mid:.0f} % ({share})"
        )

    def _remarks(self, choice: "ChosenStart", left: Sequence[Planned]) -> list[str]:
        """Return what else must be known: pauses, hours outside the file, what cannot be kept."""
        seconds, remarks = self.work(left).seconds, list[str]()
        each = timedelta(seconds=seconds.mid / len(choice.starts)) + SOON
        pauses = sum(after - before > each for before, after in zip(choice.starts, choice.starts[1:], strict=False))
        if pauses:
            remarks.append(f"held back {plural(pauses, 'time')} more between runs")
        if not choice.is_clean:
            remarks.append(f"the grid is not below {self.below:g} g/kWh in time for all of it: the least grams then")
        if choice.is_tight:
            remarks.append("it may end after the deadline")
        if choice.expected.guessed >= SHOWN:
            hours = f"{self.hours.name}, which holds {self.hours.vintage}: its mean for the same hours of the day"
            remarks.append(f"{choice.expected.guessed:.0%} of it lies outside {hours}")
        return [*remarks, *([self.hours.doubt] if self.hours.doubt else [])]

    def first(self) -> str:
        """Return when the first of all runs begins, and what that is expected to save, in words."""
        return self.sentence(self.chosen, self.todo)

    def document(self) -> dict[str, Any]:
        """Return the choice as JSON has it."""
        choice, work = self.chosen, self.work(self.todo)
        then, once, saved, part, guessed = choice.expected
        ranges: dict[str, Range] = {"g_per_kwh": then, "at_once_g_per_kwh": once, "saved_part": part}
        ranges |= {"takes_seconds": work.seconds}
        if work.kwh:
            names = ("co2eq_g", "at_once_co2eq_g", "saved_co2eq_g")
            ranges |= dict(zip(names, (each.times(work.kwh) for each in (then, once, saved)), strict=True))
        return {
            "at": [start.isoformat(timespec="seconds") for start in choice.starts],
            "runs_each": choice.size,
            "finish_by": self.deadline and self.deadline.isoformat(timespec="seconds"),
            "start_below": self.below,
            "is_below": None if self.below is None else choice.is_clean,
            "may_be_late": choice.is_tight,
            "guessed": guessed,
            **{name: {"low": each.low, "value": each.mid, "high": each.high} for name, each in ranges.items()},
        }


def clean_hours(
    start: StartOptions,
    planned: Sequence[Planned],
    *,
    resume: bool,
    launcher: Launcher,
    workers: int,
    words: Sequence[str],
) -> CleanHours | None:
    """Return when runs that are not done are to be; None where they are to start at once, or all are done.

    `words` are those of `greenpose estimate` for the same grid.

    Raises:
        GreenPoseError: if there is no hourly file, how long it takes is not known, or it cannot be kept.
    """
    if start.finish_by is None and start.start_below is None:
        idle = [f"--{name}" for name in ("takes", "intensity") if getattr(start, name) is not None]
        if idle:
            raise GreenPoseError(f"{' and '.join(idle)}: is for --finish-by TIME or --start-below G_PER_KWH; give one")
        return None
    todo = [one for one in planned if not resume or one.state not in (State.DONE, State.RUNNING)]
    if not todo:
        return None
    deadline = moment_of(start.finish_by, utc_now()) if start.finish_by is not None else None
    hours = _hours(start, todo)
    alone = launcher.kind == "local" and workers == 1
    if start.takes is None and not alone:
        who = "runs at the same time" if launcher.kind == "local" else "jobs on a cluster"
        why = "is not known from here: give --takes HOURS, from the first one's begin to the last one's end"
        raise GreenPoseError(f"{_option(start)}: how long {who} take {why}")
    if start.takes is not None:
        needs = _given(start.takes / len(todo), planned)
    else:
        needs = _tried(planned, words, _option(start))
    return CleanHours(hours=hours, todo=todo, needs=needs, deadline=deadline, below=start.start_below, pauses=alone)


def _option(start: StartOptions) -> str:
    return "--start-below" if start.finish_by is None else "--finish-by"


def _hours(start: StartOptions, todo: Sequence[Planned]) -> Hours:
    """Return the hourly file of the option, else of the runs."""
    files = {start.intensity} if start.intensity else {one.cell.config.carbon.hourly for one in todo}
    file = files.pop()
    if file is None or files:
        why = "the runs go by different hourly files" if files else "the grid must be known hour by hour"
        raise GreenPoseError(
            f"{_option(start)}: {why}: give --intensity FILE.csv (or carbon.hourly), of the hours to come: {SAMPLE}"
        )
    return read_hours(file)


def _given(hours: float, planned: Sequence[Planned]) -> dict[str, Need]:
    from greenpose.ledger.start_time import Range

    return {one.cell.name: Need(Range(*[hours * 3600] * 3), None) for one in planned}


def _tried(planned: Sequence[Planned], words: Sequence[str], option: str) -> dict[str, Need]:
    """Return what `greenpose estimate` finds in a process of its own, which keeps torch out of this one.

    Raises:
        GreenPoseError: if it finds nothing, in its own words.
    """
    command = [sys.executable, "-m", "greenpose", "estimate", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        document = json.loads(done.stdout)
        found = {run["name"]: run["whole"] for run in document["runs"]}
    except (ValueError, KeyError):
        raise GreenPoseError(f"{option}: how long it takes is not known; give --takes HOURS") from None
    pue = {one.cell.name: one.cell.config.carbon.pue for one in planned}
    return {name: need_of(found[name], pue=factor) for name, factor in pue.items()}


def need_of(found: Mapping[str, Any], *, pue: float) -> Need:
    """Return what a run takes as an estimate says; both intervals of its energy joined, as factors, in quadrature."""
    from greenpose.ledger.start_time import Range

    seconds, energy = found["seconds"], found["energy_kwh"]
    value, pairs = energy["value"], [energy[name] for name in ("type_a", "type_b") if energy[name]]
    kwh = None
    if value > 0 and all(low > 0 for low, _ in pairs):
        low, high = (math.exp(math.hypot(*(math.log(pair[end] / value) for pair in pairs))) for end in (0, 1))
        kwh = Range(pue * value / low, pue * value, pue * value * high)
    return Need(Range(seconds["type_a"][0], seconds["value"], seconds["type_a"][1]), kwh)


def begun(launcher: Launcher, when: CleanHours | None) -> Launcher:
    """Return the launcher with the begin of its jobs, for which Slurm waits; as it is where this machine does the runs.

    Raises:
        GreenPoseError: if another begin was asked for.
    """
    if when is None or launcher.kind == "local":
        return launcher
    if "begin" in launcher.slurm:
        raise GreenPoseError(f"--slurm begin={launcher.slurm['begin']}: the begin is chosen here; give one of the two")
    begin = when.chosen.starts[0].astimezone()
    return launcher.model_copy(update={"slurm": {**launcher.slurm, "begin": f"{begin:%Y-%m-%dT%H:%M:%S}"}})


def in_its_hours(
    do: Callable[..., list[Outcome]], when: CleanHours | None, launcher: Launcher, console: Console
) -> Callable[..., list[Outcome]]:
    """Return what does runs when they are to be done; under Slurm that waits, and this says for what."""
    if when is None:
        return do
    if launcher.kind != "local":
        console.print(when.first(), soft_wrap=True)
        return do
    return partial(when.run, do, console)
