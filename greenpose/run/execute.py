"""One run: data, training, test, inference, record; whatever ends it early is written down."""

import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch

from greenpose import counting
from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.config.training import growth_in_words
from greenpose.data import Samples
from greenpose.data.boxes import Detected, load_boxes
from greenpose.data.splits import annotations_sha256, check_annotations, load_splits
from greenpose.errors import GreenPoseError, said
from greenpose.files import now, write_parts, write_text
from greenpose.ledger.phases import TRAINING
from greenpose.metering import ExitMeasurement, Log, Meter, MicroPlan, Window, carbon_of, this_machine
from greenpose.model import ExitNetwork, InBfloat16, Network
from greenpose.record import Record
from greenpose.run.callbacks import LOGGER, Observer, PhaseTracker, RunLogger
from greenpose.run.measure import measure_networks, trained_networks
from greenpose.run.measure_bf16 import JudgedInBf16, in_bf16, judge_in_bf16, require_measurable
from greenpose.run.pictures import leave_picture
from greenpose.run.record_exits import RunResult
from greenpose.run.record_run import compose
from greenpose.run.setup import (
    build_meter,
    build_network,
    build_objective,
    require_device,
    seed_everything,
)
from greenpose.run.step_costs import measure_step
from greenpose.store import RunFolder, read_lines
from greenpose.store.records import attempts_of, log_of, phase_of, write_failure
from greenpose.training import ExitPredictions, ExitScores, Files, Fitted, fit, judge
from greenpose.training.distributed import leading
from greenpose.training.fit import Best
from greenpose.training.precision import require_precision
from greenpose.training.step import to_images

TAKEN_OVER = 75
"""Exit code of a process whose run another host has taken over: that of a failure that may pass, EX_TEMPFAIL."""


class FailureNote:
    """Writes down what ended a run early, in which phase, and what it had cost by then."""

    def __init__(self, folder: RunFolder) -> None:
        """Keep where to write; the phase is `start` until a stage is given."""
        self._folder = folder
        self.stage: PhaseTracker | None = None

    def __enter__(self) -> "FailureNote":
        """Watch the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the note if the block ended with an exception, which goes on."""
        if error is None:
            return
        LOGGER.error("%s", "".join(traceback.format_exception(kind, error, trace)))
        interrupted = isinstance(error, KeyboardInterrupt)
        message = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        if isinstance(error, GreenPoseError):
            message = str(error)
        with suppress(OSError, GreenPoseError):  # a full disk, a folder that is gone: what ended the run goes on
            write_failure(
                self._folder,
                reason="interrupted" if interrupted else "failed",
                message=message,
                phase=self.stage.phase if self.stage else "start",
                at=now(),
            )


class _Log(logging.FileHandler):
    """A log that goes without what it cannot write: the run itself says so when it cannot write."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name there
        """Go on."""
        del record


@contextmanager
def logging_to(folder: RunFolder) -> Iterator[None]:
    """Write GreenPose's log, and Python's warnings, to the run's log file."""
    handler = _Log(folder.log, encoding="utf-8")
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


def execute(folder: RunFolder, *, observer: Observer, budget: Budget | None = None, elsewhere: bool = False) -> None:
    """Do the run whose configuration lies in `folder`, and write its record there.

    Training ends early where a `budget` does not bear another epoch: the record says so, and the checkpoint stays.
    A run that was begun on another machine goes on here only where `elsewhere` asks for that.
    A run that is finished by now, also by another process a moment ago, is left as it is.
    What ends the run without a record is written to `failure.json` and the log, and goes on to the caller.

    Raises:
        GreenPoseError: if the folder is taken, or the configuration cannot be run.
    """
    budget = budget or Budget()
    with folder.claimed(lost=partial(_leave, folder)) as mine:
        if not mine:
            raise GreenPoseError(
                f"{folder.path}: another process is at work here: {folder.holder() or 'since just now'}"
            )
        if not folder.may_go_on(budget):
            observer.say("done already")
            return
        with logging_to(folder), FailureNote(folder) as note:
            folder.shelve_failure()
            folder.shelve_record()
            result, ledger = _run(folder, observer, budget, note, elsewhere=elsewhere)
            record = _recorded(result, observer, ledger)
            folder.write_record(record)
        with logging_to(folder):
            leave_picture(folder, result.splits["test"], result.found, record)


def _leave(folder: RunFolder) -> None:
    """End this process at once, as if killed: another host is at work in the folder now, and goes on from its files."""
    sys.stderr.write(f"{folder.path}: another host has taken it over, since this process could not reach it\n")
    os._exit(TAKEN_OVER)


def _run(
    folder: RunFolder, observer: Observer, budget: Budget, note: FailureNote, *, elsewhere: bool
) -> tuple[RunResult, RunLogger]:
    cell, config = folder.read_cell(), folder.experiment()
    _make_ready(config)
    trained = _adopted(folder, cell, config, observer)
    earlier = log_of(folder)
    _require_home(folder, earlier, elsewhere=elsewhere)
    meter = _meter(config, folder, observer)
    stage = note.stage = PhaseTracker(meter, observer)
    with meter:
        with stage("data"):
            annotations, splits, boxes = _data(folder, cell, config)
        net = _network(config, observer)
        with stage("count"):
            counts = counting.count(config)
        ledger = RunLogger(
            folder,
            stage,
            config=config,
            images={split: len(samples) for split, samples in splits.items()},
            macs={exit_: float(found.macs) for exit_, found in counts.items()},
            carbon=carbon_of(**config.carbon.model_dump()),
            budget=budget,
            earlier=earlier.windows,
        )
        fitted = _fitted(trained) if trained else _train(config, folder, net, splits, stage, ledger)
        _require_windows(folder, [*earlier.windows, *meter.windows], fitted)
        subs = trained_networks(net, folder, net.exits)
        with stage("test", items=len(splits["test"])):
            tested = _test(subs, splits["test"], boxes, config)
            rounded = in_bf16(subs, config)
            judged = _judge(rounded, subs, tested, splits["test"], boxes, config)
        measured, in_turns = _measure(subs, rounded, splits["test"], config, stage)
        stage.enter("segments")
        step = measure_step(config, splits["train"], meter, plan=MicroPlan(max_blocks=config.measure.step_blocks))
    result = RunResult(
        cell=cell,
        config=config,
        splits=splits,
        annotations=annotations,
        boxes=boxes,
        counts=counts,
        epochs=[*read_lines(folder.epochs)],
        fitted=fitted,
        scores={exit_: scores for exit_, (scores, _) in tested.items()},
        found={exit_: found for exit_, (_, found) in tested.items()},
        measured=measured,
        bf16={exit_: (in_turns[exit_], *judged[exit_]) for exit_ in rounded},
        step=step,
        forecast=ledger.forecast(),
        budget=budget,
        earlier=earlier,
        windows=[*earlier.windows, *meter.windows],
        gaps=[*earlier.faults, *_removed(folder, meter)],
        meter=meter,
    )
    return result, ledger


def _make_ready(config: Experiment) -> None:
    """Refuse a device or precision that is not there, and make the run repeatable."""
    require_device(config.process.device, config.process.replicas)
    if config.train.precision != "auto":
        require_precision(config.train.precision, config.process.device)
    require_measurable(config)
    seed_everything(config)


def _meter(config: Experiment, folder: RunFolder, observer: Observer) -> Meter:
    """Return the run's meter, after saying what is doubtful about its grid."""
    meter = build_meter(config, folder.windows, replicas=config.process.replicas)
    if meter.carbon is not None and meter.carbon.doubt:
        _warn(observer, f"carbon: {meter.carbon.doubt}")
    return meter


def _data(
    folder: RunFolder, cell: Mapping[str, Any], config: Experiment
) -> tuple[dict[str, str], dict[str, Samples], Detected | None]:
    """Return the annotations' digests, which must be those that the run was begun with, the splits, detected boxes."""
    annotations = annotations_sha256(config.data)
    check_annotations(cell.get("annotations_sha256", {}), annotations, where=str(folder.path))
    splits = load_splits(config.data, whole=config.train.augment is not None)
    return annotations, splits, load_boxes(config.data, splits["test"])


def _network(config: Experiment, observer: Observer) -> Network:
    """Return the network, after saying what was loaded into it."""
    net, loaded = build_network(config)
    if loaded is not None:
        observer.say(str(loaded).splitlines()[0])
    return net


def _recorded(run: RunResult, observer: Observer, ledger: RunLogger) -> Record:
    """Return the record of a run, after saying what is missing or doubtful and was not said before."""
    for gap in run.gaps:
        observer.say(gap)
    record = compose(run)
    for entry in filter(lambda each: each.bf16, record.exits):
        observer.say(f"exit {entry.exit} in bf16: {entry.bf16}")
    for doubt in record.doubts:
        if doubt != ledger.warned:
            _warn(observer, doubt)
    return record


def _warn(observer: Observer, text: str) -> None:
    LOGGER.warning("%s", text)
    observer.say(f"doubtful: {text}")


def _adopted(
    folder: RunFolder, cell: Mapping[str, Any], config: Experiment, observer: Observer
) -> Mapping[str, Any] | None:
    """Return what is known of another run that trained for this one, after taking it over; None where none did."""
    trained: Mapping[str, Any] | None = cell.get("trained_in")
    if trained is not None:
        observer.say(f"trained as {trained['run']}; not trained again")
        _adopt(folder, trained, annotations_sha256(config.data))
    return trained


def _adopt(folder: RunFolder, trained: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
    """Take over what another run's training left: weights, epochs, and the windows of what went before its test.

    The windows come last, and in one step: where they are, everything is.
    """
    check_annotations(trained.get("annotations_sha256", {}), annotations, where=str(folder.path))
    if folder.windows.exists():
        return
    other = RunFolder(folder.path.parent / trained["run"])
    try:
        for exit_ in trained["best"]:
            write_parts(folder.best(int(exit_)), [other.best(int(exit_)).read_bytes()])
        write_parts(folder.epochs, [other.epochs.read_bytes()])
    except OSError as error:
        raise GreenPoseError(
            f"{folder.path}: was to take over the training of {other.path} ({said(error)}); --fresh trains it anew"
        ) from None
    log = log_of(other)
    lines: list[Mapping[str, Any]] = [*log.headers.values()]
    lines += [window.as_dict() for window in log.windows if phase_of(window) in ("data", "count", *TRAINING)]
    write_text(folder.windows, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def _fitted(trained: Mapping[str, Any]) -> Fitted:
    """Return how another run's training went; nothing here asks for its AP on the validation split any more."""
    best = {int(exit_): Best(epoch=int(epoch), ap=math.nan) for exit_, epoch in trained["best"].items()}
    return Fitted(best=best, epochs=int(trained["epochs"]), stopped=trained["stopped"])


def _require_home(folder: RunFolder, earlier: Log, *, elsewhere: bool) -> None:
    """Refuse to go on on a machine other than the run was begun on, unless that is asked for."""
    here = this_machine().fingerprint
    others = sorted({one.host for one in attempts_of(earlier) if one.host not in {None, here}} - {None})
    if others and not elsewhere:
        raise GreenPoseError(
            f"{folder.path}: was begun on another machine ({', '.join(map(str, others))}; this one is {here}): its "
            f"figures would be of neither; go on there, start anew with --fresh, or mix them with --elsewhere"
        )


def _require_windows(folder: RunFolder, windows: Sequence[Window], fitted: Fitted) -> None:
    """Refuse a training of which no window is left: it would seem to have cost nothing."""
    if not any(phase_of(window) == "train" for window in windows):
        raise GreenPoseError(
            f"{folder.windows}: holds no window of the {fitted.epochs} epochs that the checkpoint has: what they cost "
            f"is lost; put the file back, or start anew with --fresh"
        )


def _removed(folder: RunFolder, meter: Meter) -> list[str]:
    """Return in words how many windows of this attempt somebody took out of the log while the run was under way."""
    kept = {(window.attempt, window.id) for window in log_of(folder).windows}
    gone = sum((window.attempt, window.id) not in kept for window in meter.windows)
    of = f"of attempt {meter.attempt} {gone} of {len(meter.windows)} windows"
    return [f"{of} are not in {folder.windows.name} any more; the totals hold them"] if gone else []


def _train(
    config: Experiment,
    folder: RunFolder,
    net: Network,
    splits: dict[str, Samples],
    stage: PhaseTracker,
    ledger: RunLogger,
) -> Fitted:
    stage.enter("train", config.train.epochs * len(splits["train"]))
    if config.train.grow:
        text = growth_in_words(config.train, net.exits, images=len(splits["train"]))
        LOGGER.info("%s", text)
        stage.observer.say(text)

    def replica(rank: int, port: int) -> list[str]:
        return [sys.executable, "-m", "greenpose.run.replica", str(folder.path), str(rank), str(port)]

    with leading(config.process.replicas, config.process.device, replica):
        return fit(
            net,
            build_objective(config),
            splits,
            recipe=config.train,
            seed=config.seed,
            files=Files(checkpoint=folder.checkpoint, best=folder.best),
            window=stage.training,
            ledger=ledger,
        )


def _test(
    subs: dict[int, ExitNetwork], samples: Samples, boxes: Detected | None, config: Experiment
) -> dict[int, tuple[ExitScores, ExitPredictions]]:
    detected = None if boxes is None else boxes.samples
    batch, flip = config.train.batch, config.test.flip
    return {exit_: judge(sub, samples, detected, batch=batch, flip=flip) for exit_, sub in subs.items()}


def _judge(
    rounded: Mapping[int, InBfloat16],
    subs: Mapping[int, ExitNetwork],
    tested: Mapping[int, tuple[ExitScores, ExitPredictions]],
    samples: Samples,
    boxes: Detected | None,
    config: Experiment,
) -> dict[int, JudgedInBf16]:
    detected = None if boxes is None else boxes.samples
    return {
        exit_: judge_in_bf16(net, subs[exit_], tested[exit_][1], samples, detected, config)
        for exit_, net in rounded.items()
    }


def _measure(
    subs: Mapping[int, ExitNetwork],
    rounded: Mapping[int, InBfloat16],
    samples: Samples,
    config: Experiment,
    stage: PhaseTracker,
) -> tuple[dict[int, ExitMeasurement], dict[int, ExitMeasurement]]:
    """Return what inference costs at each exit in float32, and in bfloat16, on images of the test split."""
    stage.enter("inference")
    crops = samples.crops(np.arange(config.measure.batch) % len(samples))
    images = to_images(crops, torch.device(config.process.device))
    return measure_networks(subs, rounded, images, stage.meter, config=config)
