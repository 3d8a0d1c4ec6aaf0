"""The run itself: data, training, test, inference, record; whatever ends it early is written down."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from greenpose import counting
from greenpose.config import Experiment
from greenpose.data import Samples
from greenpose.data.splits import load_splits
from greenpose.errors import GreenPoseError
from greenpose.metering import ExitMeasurement, Meter, Plan, measure_exits, read_windows
from greenpose.model import HRNet, SubNetwork
from greenpose.run.compose import compose, now
from greenpose.run.facts import Facts
from greenpose.run.setup import (
    build_meter,
    build_network,
    build_objective,
    channels_last,
    require_device,
    seed_everything,
)
from greenpose.store import RunFolder, append_line
from greenpose.store.claim import claim
from greenpose.store.lost import write_failure
from greenpose.training import Epoch, ExitScores, Files, Fitted, fit, load_best, predict, score
from greenpose.training.images import to_images
from greenpose.units import joules_to_kwh

LOGGER = logging.getLogger("greenpose")
SHOW_SECONDS = 0.5
"""Training is shown this often at most: looking costs a reading of all meters."""


@runtime_checkable
class Observer(Protocol):
    """Who watches a run."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Hear that a phase of `total` steps begins (None: unknown)."""

    def step(self, done: int, note: str = "") -> None:
        """Hear that `done` steps of the phase are complete."""

    def training(self, *, done: int, rate: float, loss: float, energy_wh: float) -> None:
        """Hear of training: images done in all epochs, images per second, mean loss, Wh of the run so far."""

    def say(self, line: str, *, detail: bool = False) -> None:
        """Hear something worth a line; a detail is for those who want to hear everything."""


def execute(folder: RunFolder, *, observer: Observer) -> None:
    """Do the run whose configuration lies in `folder`, and write its record there.

    What ends it early is written to `failure.json` and the log, and goes on to the caller.

    Raises:
        GreenPoseError: if the folder is taken, or the configuration cannot be run.
    """
    if not claim(folder.running):
        raise GreenPoseError(f"{folder.path}: another process is at work here ({folder.running.name})")
    try:
        folder.sweep()
        cell = folder.read_cell()
        with _logging_to(folder), _FailureNote(folder) as note:
            folder.shelve_failure()
            folder.write_record(_run(folder, cell, observer, note))
    finally:
        folder.running.unlink(missing_ok=True)


def _run(folder: RunFolder, cell: dict[str, Any], observer: Observer, note: "_FailureNote") -> Any:
    config = Experiment.model_validate(cell["experiment"])
    require_device(config.process.device)
    seed_everything(config)
    meter = build_meter(config, folder)
    stage = _Stage(meter, observer, note)
    with meter:
        with stage("data"):
            splits = load_splits(config.data)
        net, loaded = build_network(config)
        if loaded is not None:
            observer.say(str(loaded).splitlines()[0])
        with stage("count"):
            counts = counting.count(config)
        fitted = _train(config, folder, net, splits, stage)
        subs = _best_networks(net, folder)
        with stage("test", items=len(splits["test"])):
            scores = _test(subs, splits["test"], config)
        measured = _measure(subs, splits["test"], config, stage)
    facts = Facts(
        cell=cell,
        config=config,
        splits=splits,
        counts=counts,
        fitted=fitted,
        scores=scores,
        measured=measured,
        windows=read_windows(folder.windows),
        meter=meter,
    )
    return compose(facts)


@dataclass(slots=True)
class _Stage:
    """Opens the window of a phase, tells the observer, and remembers the phase for a failure's sake."""

    meter: Meter
    observer: Observer
    note: "_FailureNote"
    began: float = 0.0

    def __call__(self, name: str, items: int = 0) -> AbstractContextManager[object]:
        self.note.phase = name
        self.observer.phase(name)
        LOGGER.info("%s", name)
        return self.meter.window(name, items=items)

    def training(self, name: str, items: int) -> AbstractContextManager[object]:
        """Return the window of an epoch's part; training itself is cross-checked."""
        kind = name.partition("/")[0]
        self.note.phase = kind
        self.began = self.meter.clock()
        return self.meter.window(name, items=items, crosscheck=kind == "train")


def _train(config: Experiment, folder: RunFolder, net: HRNet, splits: dict[str, Samples], stage: _Stage) -> Fitted:
    num_images = len(splits["train"])
    stage.observer.phase("train", config.train.epochs * num_images)
    return fit(
        net,
        build_objective(config),
        splits,
        recipe=config.train,
        seed=config.seed,
        files=Files(checkpoint=folder.checkpoint, best=folder.best),
        window=stage.training,
        ledger=_Ledger(folder, stage, num_images=num_images),
    )


class _Ledger:
    """Passes training's progress on: to the observer as it goes, to `epochs.jsonl` and the log epoch by epoch."""

    def __init__(self, folder: RunFolder, stage: _Stage, *, num_images: int) -> None:
        self._folder, self._stage, self._num_images = folder, stage, num_images
        self._shown = 0.0

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Show the rate over the epoch so far, and the energy of the run so far."""
        meter = self._stage.meter
        if meter.clock() - self._shown < SHOW_SECONDS:
            return
        self._shown = meter.clock()
        self._stage.observer.training(
            done=(epoch - 1) * self._num_images + done,
            rate=done / max(meter.clock() - self._stage.began, 1e-9),
            loss=loss,
            energy_wh=joules_to_kwh(meter.total.energy.mid) * 1e3,
        )

    def closed(self, epoch: Epoch) -> None:
        """Log an epoch; it is a detail where it was not validated."""
        append_line(self._folder.epochs, asdict(epoch))
        aps = "  ".join(f"exit {exit_} AP {100 * ap:.1f} %" for exit_, ap in epoch.ap.items())
        line = f"epoch {epoch.epoch}: loss {epoch.loss:.3g}  {aps}".rstrip()
        LOGGER.info("%s", line)
        self._stage.observer.say(line, detail=not epoch.ap)


def _best_networks(net: HRNet, folder: RunFolder) -> dict[int, SubNetwork]:
    """Return each exit's stand-alone network with its best weights, ready for inference."""
    subs = {}
    for exit_ in net.exits:
        sub = net.truncate(exit_)
        sub.load_state_dict(load_best(folder.best(exit_)))
        subs[exit_] = channels_last(sub.eval())
    return subs


def _test(subs: dict[int, SubNetwork], samples: Samples, config: Experiment) -> dict[int, ExitScores]:
    return {
        exit_: score(samples, predict(sub, samples, batch=config.train.batch)[exit_]) for exit_, sub in subs.items()
    }


def _measure(
    subs: dict[int, SubNetwork], samples: Samples, config: Experiment, stage: _Stage
) -> dict[int, ExitMeasurement]:
    """Return what inference costs at each exit, on the same fixed images."""
    measure = config.measure
    stage.note.phase = "inference"
    stage.observer.phase("inference")
    device = torch.device(config.process.device)
    images = to_images(samples.crops(np.arange(measure.batch) % len(samples)), device)
    plan = Plan(
        min_window_seconds=measure.min_window_seconds,
        rel_ci=measure.rel_ci,
        max_blocks=measure.max_blocks,
        max_seconds=measure.max_seconds,
    )
    runners = {exit_: _Runner(sub, images) for exit_, sub in subs.items()}
    with torch.inference_mode():
        return measure_exits(runners, stage.meter, items_per_call=measure.batch, plan=plan, seed=config.seed)


@dataclass(frozen=True, slots=True)
class _Runner:
    """One call of one exit's network on fixed images."""

    sub: SubNetwork
    images: torch.Tensor

    def __call__(self) -> object:
        return self.sub(self.images)


class _FailureNote:
    """Writes down what ended a run early, and what it had cost by then."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.phase = "start"

    def __enter__(self) -> "_FailureNote":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        LOGGER.error("%s", "".join(traceback.format_exception(kind, error, trace)))
        interrupted = isinstance(error, KeyboardInterrupt)
        message = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        if isinstance(error, GreenPoseError):
            message = str(error)
        write_failure(
            self._folder,
            reason="interrupted" if interrupted else "failed",
            message=message,
            phase=self.phase,
            at=now(),
        )


@contextmanager
def _logging_to(folder: RunFolder) -> Iterator[None]:
    """Write GreenPose's log, and Python's warnings, to the run's log file."""
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = (LOGGER, logging.getLogger("py.warnings"))
    logging.captureWarnings(True)
    LOGGER.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
        logging.captureWarnings(False)
