"""The progress of a run and the table at a grid's end: a bar on a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from greenpose.units import lasting, significant


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
