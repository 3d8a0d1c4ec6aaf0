"""A program's own loop as a run: its windows are metered, and at the end there is a record like any other.

`greenpose.experiment` hands one out; `greenpose meter` uses one for a whole program. Nothing here needs torch until an
exit is a network of it.
"""

import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, final

from greenpose.errors import GreenPoseError, MeteringError, RecordError, said, writing
from greenpose.files import now
from greenpose.ledger.own_exits import OwnExit, exit_entries, measure, own_exit, scores
from greenpose.ledger.own_record import Own, compose
from greenpose.ledger.own_settings import OwnSettings, settings_of
from greenpose.metering import Meter, OpenWindow, Plan, carbon_of, meter
from greenpose.record import Failure, Record
from greenpose.record.metric import OwnMetric
from greenpose.record.run import Reason
from greenpose.store import RunFolder
from greenpose.store.records import phase_of, write_failure

NOT_STARTED = "has not begun: use it as `with greenpose.experiment(...) as run:`, or call run.start()"
ENDED = "has ended: make another one"
_current: "list[weakref.ref[OwnRun]]" = []
"""The run that this process meters, if any: what a process draws belongs to one record."""


@final
class OwnRun:
    """A run of somebody's own loop, from `with` or `start` to the end of the block or `stop`."""

    def __init__(
        self,
        settings: OwnSettings,
        *,
        out: Path,
        own: Own = "builder",
        make_meter: Callable[[Path], Meter] | None = None,
    ) -> None:
        """Keep the parts; nothing is written or read before the start.

        `make_meter` makes the meter that appends its windows to a file; by default one of this process.
        """
        self.settings, self.own = settings, own
        self.doubts: list[str] = []
        self.gaps: list[str] = []
        self.result: Record | Failure | None = None
        self._out = out
        self._make_meter = partial(own_meter, settings) if make_meter is None else make_meter
        self._meter: Meter | None = None
        self._folder: RunFolder | None = None
        self._windows: list[OpenWindow] = []
        self._exits: dict[int, OwnExit] = {}
        self._metric: OwnMetric | None = None
        self._claim, self._metering = ExitStack(), ExitStack()

    @property
    def meter(self) -> Meter:
        """Return the meter of the run: any window opened on it belongs to the run.

        Raises:
            MeteringError: before the start.
        """
        if self._meter is None:
            raise MeteringError(f"experiment {self.settings.name!r}: {NOT_STARTED}")
        return self._meter

    @property
    def folder(self) -> RunFolder:
        """Return where the run is written.

        Raises:
            MeteringError: before the start.
        """
        if self._folder is None:
            raise MeteringError(f"experiment {self.settings.name!r}: {NOT_STARTED}")
        return self._folder

    def start(self) -> "OwnRun":
        """Take a folder, write down what the run is, and begin to meter.

        Raises:
            GreenPoseError: the second time, beside another one, or if nothing can be written there.
        """
        if self._meter is not None:
            raise MeteringError(f"experiment {self.settings.name!r}: has begun already; run.stop() ends it")
        other = next((run for run in (ref() for ref in _current) if run is not None), None)
        if other is not None:
            raise MeteringError(
                f"experiment {self.settings.name!r}: {other.settings.name!r} is still being metered in this process, "
                "and energy belongs to one record; end that one first, with run.stop() or its `with` block"
            )
        with ExitStack() as claim, ExitStack() as metering:
            self._folder = _new_folder(self._out, self.settings.name)
            claim.enter_context(self._folder.claimed())
            self._folder.write_cell(self._cell())
            self._meter = metering.enter_context(self._make_meter(self._folder.windows))
            self._claim, self._metering = claim.pop_all(), metering.pop_all()
        _current[:] = [weakref.ref(self)]
        return self

    def window(self, name: str, *, epoch: int | None = None, items: int = 0, crosscheck: bool = False) -> OpenWindow:
        """Return a window of the run: a phase, or one epoch of it; `items` is how many things it processes.

        `data`, `train`, `validate` and `test` are called so; any other name is a phase of its own. What is neither
        data, count, test nor inference counts as training.

        Raises:
            MeteringError: if the run is not under way, or the name says nothing.
        """
        meter = self._under_way()
        if not name.strip() or not name.isprintable():
            raise MeteringError(f"window {name!r}: give it a name, such as train")
        if epoch is not None and epoch < 0:
            raise MeteringError(f"window {name!r}: epoch {epoch}; epochs are counted from 1, or 0")
        opened = meter.window(name if epoch is None else f"{name}/epoch {epoch}", items=items, crosscheck=crosscheck)
        self._windows = [*(each for each in self._windows if each.is_open), opened]
        return opened

    def exit(
        self,
        number: int,
        *,
        metrics: Mapping[str, Any],
        net: Any = None,
        images: Any = None,
        params: int | None = None,
        macs: int | None = None,
    ) -> None:
        """Give an exit: what it reaches, and the network that is counted here and metered at the end of the run.

        Args:
            number: Exit number, from 1; the greatest is the final exit.
            metrics: What it reaches, by name: a number, or (number, low, high) with its 95 % interval.
            net: The smallest network with this exit: a module of torch, or any function of a batch.
            images: A batch that `net` is called with: a tensor, or a tuple or mapping of them.
            params: Parameters, of what is no module of torch.
            macs: Multiply-accumulates for one image, of the same.

        Raises:
            GreenPoseError: if something of it cannot be; the exit is not added then, and nothing else is lost.
        """
        self._under_way()
        where = f"exit {number}"
        if number < 1 or number in self._exits:
            said = "is there already" if number in self._exits else "exits are numbered from 1"
            raise RecordError([f"{where}: {said}"])
        found, metric = scores(metrics, self.settings.metrics, where=where)
        first = next(iter(self._exits.values()), None)
        if first is not None and {*first.metrics} != {*found}:
            told = f"{', '.join(sorted(first.metrics))}; here {', '.join(sorted(found))}"
            raise RecordError([f"{where}: metrics differ from those of exit {first.exit}, which are {told}"])
        with self.window("count"):
            given = own_exit(number, net=net, images=images, metrics=found, sizes={"params": params, "macs": macs})
        batches = {each.items for each in (*self._exits.values(), given) if each.net is not None}
        if len(batches) > 1:
            raise RecordError(
                [f"{where}: a call has {given.items} images, of another exit {min(batches - {given.items})}"]
            )
        self._exits[number], self._metric = given, metric

    def note(self, text: str) -> None:
        """Add a sentence that is to be told with the run."""
        self.settings.notes.append(text)

    def stop(self) -> Record:
        """End the run, write its record, and return it; windows that are open end with it.

        Raises:
            GreenPoseError: if it is not under way, or the record cannot be written; the note on that is left instead.
        """
        meter = self._under_way()
        try:
            self._end_windows()
            plan = Plan.of(self.settings.measure)
            measured = measure([*self._exits.values()], meter, plan, seed=self.settings.seed)
            self._metering.close()
            exits = partial(exit_entries, [*self._exits.values()], measured, meter=meter)
            record = compose(
                self._cell(),
                self.settings,
                meter,
                own=self.own,
                exits=exits,
                metric=self._metric,
                told={"doubts": self.doubts, "gaps": self.gaps},
            )
            self.folder.write_record(record)
        except BaseException as error:
            self._fail(error)
            raise
        self._leave(record)
        return record

    def fail(self, *, reason: Reason, message: str, phase: str | None = None) -> Failure:
        """End the run with a note on why it has no record, and return the note; what was metered is in it.

        `phase` is by default that of the window that was open last.

        Raises:
            GreenPoseError: if it is not under way, or nothing can be written.
        """
        meter = self._under_way()
        try:
            with suppress(MeteringError):  # a device that is gone: what it drew by then is in the windows
                self._end_windows()
                self._metering.close()
            last = phase_of(meter.windows[-1]) if meter.windows else "start"
            where = last if phase is None else phase
            failure = write_failure(self.folder, reason=reason, message=message, phase=where, at=now())
        finally:
            self._leave(None)
        self.result = failure
        return failure

    def __enter__(self) -> "OwnRun":
        """Begin."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End with a record; where the block ended with an exception, with a note on it, and the exception goes on."""
        if self.under_way:
            if error is None or (isinstance(error, SystemExit) and not error.code):
                self.stop()
            else:
                self._fail(error)

    def _cell(self) -> dict[str, Any]:
        """Return what the folder keeps of the run from its start on."""
        settings = self.settings
        return {
            "name": self.folder.path.name,
            "grid": self._out.resolve().name,
            "axes": {"seed": settings.seed},
            "config_hash": settings.digest_of_config,
            "own": self.own,
            "experiment": settings.config,
        }

    @property
    def under_way(self) -> bool:
        """Return whether it has begun and not ended."""
        return self._meter is not None and any(ref() is self for ref in _current)

    def _under_way(self) -> Meter:
        if not self.under_way:
            said = NOT_STARTED if self._meter is None else ENDED
            raise MeteringError(f"experiment {self.settings.name!r}: {said}")
        return self.meter

    def _end_windows(self) -> None:
        """End what was left open, innermost first, and say so."""
        for opened in reversed([each for each in self._windows if each.is_open]):
            opened.stop()
            self.doubts.append(f"window {opened.name} was still open when the run ended, and ended with it")

    def _fail(self, error: BaseException) -> None:
        """Leave a note on what ended the run; a full disk or a folder that is gone is not told over it."""
        interrupted = isinstance(error, KeyboardInterrupt)
        with suppress(OSError, GreenPoseError):
            self.fail(
                reason="interrupted" if interrupted else "failed",
                message="interrupted" if interrupted else _message(error),
            )

    def _leave(self, result: Record | None) -> None:
        self.result = result
        self._claim.close()
        _current.clear()


def experiment(
    name: str,
    *,
    out: Path | str = "runs",
    country: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    seed: int = 0,
    own: Own = "builder",
    **about: Any,
) -> OwnRun:
    """Return a run that makes a record out of any training, for `report`, `check` and history.

    ```python
    with greenpose.experiment("resnet-exits", out="runs/lab", country="ITA") as run:
        with run.window("train", epoch=1, items=50000):
            ...
    ```

    Args:
        name: Name of the experiment; runs that differ in their seed only share it. The folder in `out` is called so,
            and where that is taken `NAME-2` and so on: nothing is written over.
        out: Folder of runs.
        country: Three-letter ISO code of the grid.
        metrics: What exits are judged by: for each name `"higher"` or `"lower"`, or a mapping with `direction`, `unit`,
            `label`, `margin`, `floor`. The first one ranks. Names that everybody knows need not be here.
        seed: Seed of the run's random numbers.
        own: `command` where the run is a whole program.
        about: What else there is to say. `carbon`: settings of that section of an experiment file, e.g.
            `{"intensity_g_per_kwh": 30}`. `data`: what the data are called. `digest`: their digest, or the file or
            folder whose digest it is to be. `images`: how many there are per split, `{"train": 50000, "test": 10000}`.
            `settings`: what the run was set to, by which runs are told apart. `notes`: what is to be told with it.
            `measure`: how exits are metered, as that section of an experiment file: `{"max_seconds": 20}`.

    Raises:
        GreenPoseError: with everything that is wrong.
    """
    found = settings_of(name, country=country, metrics=metrics, seed=seed, **about)
    return OwnRun(found, out=Path(out), own=own)


def own_meter(settings: OwnSettings, log: Path) -> Meter:
    """Return the meter of this process; a GPU is waited for if torch uses one by then."""
    carbon = settings.carbon
    return meter(country=carbon.country, carbon=carbon_of(**carbon.model_dump()), log=log, synchronize=_wait_for_device)


def _wait_for_device() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _new_folder(out: Path, name: str) -> RunFolder:
    """Make and return the folder of a run that is called so, or so with a number where that is taken."""
    for number in count(1):
        path = out / (name if number == 1 else f"{name}-{number}")
        with writing(path), suppress(FileExistsError):
            path.mkdir(parents=True)
            return RunFolder(path)
    raise AssertionError("numbers do not end")


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, GreenPoseError) else f"{type(error).__name__}: {said(error)}"  # type: ignore[arg-type]
