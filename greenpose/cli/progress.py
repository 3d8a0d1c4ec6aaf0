"""The progress of a run and the table at a grid's end: a bar on a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table

from greenpose.errors import RecordError
from greenpose.formatting import lasting, significant
from greenpose.metrics import AP, ENERGY, TRAIN_ENERGY, Metric
from greenpose.quantity import Quantity
from greenpose.record import Failure
from greenpose.record.numbers import Numbers
from greenpose.store import RunFolder, read_document, read_record
from greenpose.tables import Cell, TableCell, number_columns, systematic_notes, terminal_table


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def record_line(folder: RunFolder) -> str:
    """Return time, energy and the accuracy of every exit of a finished run."""
    record = read_record(folder.record)
    energy = _in_unit(record, TRAIN_ENERGY)
    accuracies = {entry.exit: _in_unit(entry, AP) for entry in record.exits}
    parts = [
        f"{record.train_seconds:.0f} s training",
        f"{energy.text()} {TRAIN_ENERGY.unit} ({', '.join((energy.kind, *systematic_notes([energy])))})",
        *(
            f"exit {exit_}: AP {ap.text(most_decimals=AP.most_decimals)} %"
            for exit_, ap in accuracies.items()
            if ap.value is not None
        ),
    ]
    return "  ".join(parts)


def grid_table(runs: Iterable[tuple[str, RunFolder, str]]) -> Table:
    """Return a grid's results, an exit a row: AP and joules per image with their intervals, and what failed.

    Each run is given by its name, its folder, and where it left no record, what it said.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, folder, said in runs:
        if said:
            rows.append((name, "", "", "", "", TableCell(value=said, style="red")))
            continue
        record = read_record(folder.record)
        first: tuple[Cell, Cell] = name, _in_unit(record, TRAIN_ENERGY)
        for entry in record.exits:
            rows.append((first[0], str(entry.exit), _in_unit(entry, AP), first[1], _in_unit(entry, ENERGY), ""))
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
