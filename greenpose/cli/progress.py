"""Progress of a run, grid or measurement: on a terminal live, elsewhere a line an event; a grid's table at its end."""

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import note
from greenpose.cli.status import LOOK_SECONDS, screen_of
from greenpose.config import MeasureConfig
from greenpose.errors import GreenPoseError, RecordError, said
from greenpose.formatting import lasting, significant
from greenpose.grid import Outcome, Planned
from greenpose.metrics import AP, ENERGY, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity
from greenpose.record import Failure
from greenpose.record.numbers import Numbers
from greenpose.status import Seen, status_of
from greenpose.store import RunFolder, State, read_document, read_record
from greenpose.tables import Cell, TableCell, number_columns, systematic_notes, terminal_table

if TYPE_CHECKING:
    from greenpose.trackers import Following

FINE = (State.DONE, State.STOPPED, State.RUNNING)
"""States of runs that did what was asked of them, or that another process is at work on."""

LOOK_SHARE = 0.0025
"""Of a CPU, what looking at a grid's files may take: they are looked at less often where they are many or long."""
TOLD_BY_FILES = re.compile(r"\s*epoch \d+: ")
"""How lines of a run begin that say what its files say too."""


class RunProgress:
    """Shows a run's phases and epochs on a console."""

    def __init__(self, console: Console, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw on `console`; a quiet one draws nothing. `clock` tells seconds."""
        self._verbose, self._clock = verbose, clock
        self._total: int | None = None
        self._first: tuple[float, int] | None = None
        self._bar = Progress(
            TextColumn("      {task.description:<10}", markup=False),
            BarColumn(bar_width=16),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=2,  # drawing is metered with the run: at rich's ten a second it took 1 % of a core
            disable=console.quiet or not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "RunProgress":
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing."""
        self._bar.stop()

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase of `total` steps (None: unknown)."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total, note="")
        self._total, self._first = total, None

    def step(self, done: int, note: str = "") -> None:
        """Report that `done` steps of the phase are complete."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, note=note)

    def training(self, *, done: int, rate: float, loss: float, energy_wh: float) -> None:
        """Report a training step: images done in all epochs, images per second, loss, Wh of the run so far."""
        used = f"{significant(energy_wh)} Wh{self._left(done)}"
        self.step(done, f"{used}  loss {significant(loss)}  {rate:.0f} img/s")

    def _left(self, done: int) -> str:
        """Return how long the epochs to come last, if none is spared, as fast as since training was first heard of."""
        now = self._clock()
        self._first = self._first or (now, done)
        seconds, images = now - self._first[0], done - self._first[1]
        if self._total is None or images <= 0 or seconds <= 0:
            return ""
        return f", {lasting(seconds * max(0, self._total - done) / images)} left"

    def say(self, line: str, *, detail: bool = False) -> None:
        """Print one line above the bar; a detail only where everything is to be heard."""
        if self._verbose or not detail:
            self._bar.console.print(f"      {line}", markup=False)


class LiveGrid:
    """Shows on a terminal how far the runs of a grid are while other processes do them, as `greenpose status` does.

    It reads their files: every two seconds, and seldom enough to take no more than LOOK_SHARE of a CPU.
    """

    def __init__(
        self,
        folder: Path,
        console: Console,
        *,
        holders: bool,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Draw on `console` the runs of a folder, and with `holders` who is at work on them; clocks tell seconds."""
        self._folder, self._console, self._holders = folder, console, holders
        self._clock, self._cpu_clock = clock, cpu_clock
        self.picture = Live(console=console, auto_refresh=False, transient=True)
        self._seen: Seen = {}
        self._drawn: Any = None
        self._next = 0.0

    @staticmethod
    def fits(console: Console) -> bool:
        """Return whether somebody looks at a console that can be drawn on."""
        return console.is_terminal and not console.is_dumb_terminal and not console.quiet

    def look(self) -> None:
        """Draw what has changed, where it is time to look."""
        if self._clock() < self._next:
            return
        began = self._cpu_clock()
        with contextlib.suppress(GreenPoseError, OSError):  # what cannot be read just now is shown as it was
            found = status_of(self._folder, seen=self._seen, strays=False)
            if self._drawn != (now := (found.runs, self._console.size)):
                self.picture.update(screen_of(found, self._console, holders=self._holders), refresh=True)
                self._drawn = now
        self._next = self._clock() + max(LOOK_SECONDS, (self._cpu_clock() - began) / LOOK_SHARE)

    def hear(self, planned: Planned, line: str, *, verbose: bool = False) -> None:
        """Print above it what a run says, but for what its files say too."""
        if verbose or not TOLD_BY_FILES.match(line):
            self._console.print(Text(f"      {planned.cell.name}: {line.strip()}"), soft_wrap=True)


class GridProgress:
    """Tells the terminal, and trackers, of runs as they begin, go on and end."""

    def __init__(
        self, console: Console, counts: tuple[int, int], *, live: LiveGrid | None, following: "Following | None"
    ) -> None:
        """Tell of so many runs of all that are planned: a line an event, and `live` how far they are."""
        self.console, self.live, self._following = console, live, following
        self._begun, self._planned = counts[1] - counts[0], counts[1]
        self._last = ""

    def __enter__(self) -> "GridProgress":
        """Start drawing."""
        if self.live:
            self.live.picture.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing, and leave nothing of the picture."""
        if self.live:
            self.live.picture.stop()

    def started(self, one: Planned) -> None:
        """Tell of a run that begins, unless it can be seen."""
        self._begun, self._last = self._begun + 1, one.cell.name
        if not self.live:
            self.console.print(Text.assemble((f"[{self._begun}/{self._planned}]", "bold"), f" {one.cell.name}"))
        if self._following:
            self._following.begin(one.folder, one.cell.grid, one.cell.name, one.cell.config.model_dump(mode="json"))

    def ended(self, outcome: Outcome) -> None:
        """Tell how a run ended, by its name unless its beginning was told of last; of one not begun its grid tells."""
        if outcome.undone:
            return
        name, color = outcome.planned.cell.name, "green" if outcome.state in FINE else "red"
        said_last, self._last = name == self._last and not self.live, ""
        words = f"  {told_of(outcome)}" if said_last else f"  {name}  {told_of(outcome)}"
        self.console.print(Text.assemble("      ", (outcome.state.value, color), words), soft_wrap=True)
        if self._following:
            self._following.end(outcome.planned.folder)
            for fault in self._following.faults:
                self.console.print(note(fault), soft_wrap=True)
            self._following.faults.clear()

    def watch(self) -> None:
        """Look at what runs have written since."""
        for each in (self._following, self.live):
            if each:
                each.look()


def told_of(outcome: Outcome) -> str:
    """Return what is to be said of how a run ended."""
    if outcome.message:
        return outcome.message
    if outcome.state is State.RUNNING:
        return at_work(outcome.planned)
    folder = outcome.planned.folder
    try:
        return record_line(folder) if outcome.state in FINE else failure_line(folder, code=outcome.code)
    except GreenPoseError as error:
        return said(error)


def at_work(one: Planned) -> str:
    """Return who else does a run."""
    who = one.folder.holder()
    return f"another process is at work on it{f' ({who})' if who else ''}"


def record_line(folder: RunFolder) -> str:
    """Return time, energy and the accuracy of every exit of a finished run."""
    record = read_record(folder.record)
    energy = _in_unit(record, TRAIN_ENERGY)
    accuracies = {entry.exit: _in_unit(entry, AP) for entry in record.exits}
    parts = [
        f"{record.train_seconds:.0f} s training",
        f"{energy.text()} {TRAIN_ENERGY.unit} ({', '.join((energy.kind, *systematic_notes([energy])))})",
        *(["each test image computed twice"] if record.final_exit.passes > 1 else []),
        *(
            f"exit {exit_}: AP {ap.text(most_decimals=AP.most_decimals)} %"
            for exit_, ap in accuracies.items()
            if ap.value is not None
        ),
    ]
    return "  ".join(parts)


def grid_table(runs: Iterable[tuple[str, RunFolder, str]]) -> Table:
    """Return a grid's results, an exit a row: AP and joules per image with their intervals, and what failed.

    Each run is given by its name, its folder, and where it left no record, why.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, folder, missing in runs:
        if missing:
            rows.append((name, "", "", "", "", TableCell(value=missing, style="red")))
            continue
        record = read_record(folder.record)
        first: tuple[Cell, Cell] = name, _in_unit(record, TRAIN_ENERGY)
        for entry in record.exits:
            twice = "each image twice" if entry.passes > 1 else ""
            rows.append((first[0], str(entry.exit), _in_unit(entry, AP), first[1], _in_unit(entry, ENERGY), twice))
            first = "", ""
    return terminal_table(("experiment", *number_columns("exit"), AP, TRAIN_ENERGY, ENERGY, ""), rows)


def _in_unit(numbers: Numbers, metric: Metric) -> Quantity:
    return numbers.quantity(metric.name, scale=metric.scale, unit=metric.unit)


def numbers(folder: RunFolder) -> dict[str, Any]:
    """Return what scripts ask of a finished run: seconds and energy of training, AP and energy of every exit."""
    record = read_record(folder.record)
    exits = [{"exit": each.exit, "ap": each.ap, "energy_j_per_image": each.energy_j_per_image} for each in record.exits]
    return {"train_seconds": record.train_seconds, "train_energy_kwh": record.train_energy_kwh, "exits": exits}


def failure_line(folder: RunFolder, *, code: int) -> str:
    """Return what a run that did not finish said last, and where to read more."""
    if not folder.failure.exists():
        return f"exit code {code}; " + (f"see {folder.log}" if folder.log.exists() else "it left no log")
    failure = read_document(folder.failure)
    if not isinstance(failure, Failure):
        raise RecordError([f"{folder.failure}: holds a record, not a failure"])
    what = f": {failure.message}" if failure.reason != "interrupted" else ""
    return f"in {failure.phase or 'start'}{what}  (log: {folder.log})"


class Blocks:
    """Shows how many blocks are done, and how well they agree by then.

    It is drawn between blocks only: a thread that draws all the time would be metered with the network.
    """

    def __init__(self, console: Console, plan: MeasureConfig, *, verbose: bool) -> None:
        self._plan, self._verbose = plan, verbose
        self._bar = Progress(
            TextColumn("measuring"),
            BarColumn(bar_width=16),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            auto_refresh=False,
            disable=console.quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("warming up", total=1.0)

    def __enter__(self) -> "Blocks":
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_progress(self, blocks: int, wide: float) -> None:
        """Hear of a block; of none before the first, when time begins to count."""
        if not blocks:
            self._bar.reset(self._task)
            return
        plan, seconds = self._plan, self._bar.tasks[self._task].elapsed or 0.0
        known = f", which agree to within {wide:.1%} ({plan.rel_ci:.0%} is enough)" if math.isfinite(wide) else ""
        line = f"block {blocks}, {seconds:.0f} of {plan.max_seconds:g} s{known}"
        done = max(seconds / plan.max_seconds, blocks / plan.max_blocks)
        self._bar.update(self._task, description=line, completed=done, refresh=True)
        if self._verbose:
            self._bar.console.print(line)
