"""Grids of runs: what is left to do, and one fresh process after the other that does it.

Two runs on one machine share its power and its caches, so that neither's joules nor seconds mean what they say; more
than one worker is possible, and every record says how many there were.
"""

import contextlib
import functools
import glob
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from greenpose.config import Cell, Experiment, ProcessConfig
from greenpose.config.accounting import OPTIONS, Budget
from greenpose.config.grid import select
from greenpose.errors import ConfigError, FaultsError, GreenPoseError, said
from greenpose.ledger.energy_budget import GridBudget
from greenpose.metering import pinned_environment
from greenpose.record import Record
from greenpose.scheduler import FOLDER, PARTS, queue_of, written
from greenpose.store import RunFolder, State, read_document
from greenpose.store.claim import claimed, said_of
from greenpose.store.records import note_lost

BEYOND_TRAINING = (State.DONE, State.STOPPED, State.RUNNING)
"""States of runs whose training is done or under way."""
NOT_TRAINING = ("carbon", "measure", "test")
"""Parts of a configuration that say how a run is tested, metered and accounted: another value trains nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One cell of a grid and where it stands."""

    cell: Cell
    """What to run."""
    folder: RunFolder
    """Where it is kept."""
    state: State
    """What its files show now."""
    moved: tuple[str, ...] = ()
    """What it was begun with that lies in another place now."""
    damage: str | None = None
    """Why the configuration in its folder cannot be read; None where it can, or where there is none."""
    trained_in: Mapping[str, Any] | None = None
    """The finished run that has this training done, and how it went; None where this one is to train."""
    anew: str = ""
    """Why it is trained from the first epoch though a run of fewer epochs lies beside it; empty where none does."""


def plan(cells: Sequence[Cell], root: Path, *, only: Sequence[str] = ()) -> list[Planned]:
    """Return the cells with their folders and states; `only` keeps those whose experiment or name matches a pattern.

    Raises:
        ConfigError: if a pattern matches nothing.
    """
    chosen = select(cells, only)
    beside = functools.cache(functools.partial(_by_training, root, {cell.name: cell.config for cell in cells}))
    planned = [_planned(cell, RunFolder(root / cell.name), beside) for cell in chosen]
    faults = [fault for one in planned for fault in one.moved]
    if faults:
        raise ConfigError(faults)
    return planned


Beside = Callable[[str], Mapping[str, list[tuple[RunFolder, Experiment]]]]
"""Takes an experiment; returns its runs in a folder by all that training depends on but the number of epochs."""


def _planned(cell: Cell, folder: RunFolder, beside: Beside) -> Planned:
    """Return where a cell stands; a damaged configuration in its folder says nothing, and is written anew."""
    moved: list[str] = []
    damage = None
    state = folder.state()
    if not (state is State.DONE and _in_place(folder, cell.config)) and folder.config.exists():
        try:
            moved = _moved(folder, folder.experiment(), cell.config)
        except ConfigError as error:
            damage = error.faults[0]
    return Planned(
        cell=cell,
        folder=folder,
        state=state,
        moved=tuple(moved),
        damage=damage,
        trained_in=None if damage or state in BEYOND_TRAINING else _trained_in(cell, folder, beside),
        anew=_anew(cell, beside) if state is State.TODO else "",
    )


def _in_place(folder: RunFolder, config: Experiment) -> bool:
    """Return whether a finished run's files lie where it had them, by the lines that say so.

    Reading the settings of a run takes a millisecond, and nothing else of them counts any more.
    """
    places = {"root": config.data.root, "weights": config.model.weights}
    lines = [f"\n    {name}: {place}\n" for name, place in places.items() if place]
    with contextlib.suppress(OSError):
        return not lines or all(map(folder.config.read_text(errors="replace").__contains__, lines))
    return False


def _anew(cell: Cell, beside: Beside) -> str:
    """Return why a run that differs in fewer epochs alone is not gone on with; empty where there is none."""
    recipe = cell.config.train
    for other, before in beside(cell.experiment).get(_training_but_epochs(cell.config), ()):
        state = other.state()
        if before.train.epochs >= recipe.epochs or state is State.TODO:
            continue
        if recipe.schedule == "one-cycle" or recipe.grow:
            why = f"its train.{'grow' if recipe.grow else 'schedule'} depends on the number of epochs"
        elif state is State.DONE:
            why = "what training goes on from is not kept once a run is done"
        else:
            why = "a run that was begun goes on to its own number of epochs only"
        return f"differs from {other.path.name} in train.epochs ({before.train.epochs}, now {recipe.epochs}): {why}"
    return ""


def _by_training(
    root: Path, known: Mapping[str, Experiment], experiment: str
) -> Mapping[str, list[tuple[RunFolder, Experiment]]]:
    """Return the runs of an experiment in a folder, those that can be read, as `Beside` says.

    What is `known` of a run by its name, which ends with the hash of its settings, is not read.
    """
    found: dict[str, list[tuple[RunFolder, Experiment]]] = {}
    for config in sorted(root.glob(f"{glob.escape(experiment)}-*/config.yaml")):
        folder = RunFolder(config.parent)
        with contextlib.suppress(FaultsError):
            settings = known.get(folder.path.name) or folder.experiment()
            found.setdefault(_training_but_epochs(settings), []).append((folder, settings))
    return found


def _training_but_epochs(config: Experiment) -> str:
    """Return what of a configuration the training depends on, but the number of its epochs."""
    told = config.model_dump(mode="json", exclude={**dict.fromkeys(NOT_TRAINING, True), "train": {"epochs"}})
    return json.dumps(told, sort_keys=True)


def _trained_in(cell: Cell, folder: RunFolder, beside: Beside) -> Mapping[str, Any] | None:
    """Return the finished run beside a folder that differs in what does not change training, and how training went.

    A run that was begun keeps what it was begun with.
    """
    if folder.checkpoint.exists() or folder.windows.exists():
        begun: Mapping[str, Any] | None = folder.read_cell().get("trained_in") if folder.config.exists() else None
        return begun
    for other, before in beside(cell.experiment).get(_training_but_epochs(cell.config), ()):
        if before.train.epochs != cell.config.train.epochs or other.state() is not State.DONE:
            continue
        with contextlib.suppress(FaultsError):
            record = read_document(other.record)
            if isinstance(record, Record) and all(other.best(entry.exit).exists() for entry in record.exits):
                return {
                    "run": other.path.name,
                    "epochs": record.epochs,
                    "stopped": record.stopped,
                    "best": {entry.exit: entry.best_epoch for entry in record.exits},
                    "annotations_sha256": other.read_cell().get("annotations_sha256", {}),
                }
    return None


def _moved(folder: RunFolder, before: Experiment, now: Experiment) -> list[str]:
    """Return a fault where the run's folder was begun with files of the same names from another place."""
    return [
        f"{folder.path}: was begun with {key} {then}, now it is {place}; give another --out"
        for key, then, place in (
            ("data.root", before.data.root, now.data.root),
            ("model.weights", before.model.weights, now.model.weights),
        )
        if then and place and Path(then).resolve() != Path(place).resolve()
    ]


def set_aside(planned: Planned) -> Planned:
    """Return the cell as if it had never run; what it left is moved to `.previous/` beside it, not deleted.

    One that a living process is at work on is returned as it is.
    """
    if not planned.folder.path.exists():
        return replace(planned, trained_in=None, anew="")
    shelf = planned.folder.path.parent / ".previous"
    with planned.folder.claimed() as mine:
        if not mine:
            return replace(planned, state=State.RUNNING)
        shelf.mkdir(exist_ok=True)
        number = 1 + sum(1 for _ in shelf.glob(f"{planned.cell.name}.*"))
        aside = RunFolder(planned.folder.path.rename(shelf / f"{planned.cell.name}.{number}"))
        aside.running.unlink(missing_ok=True)
        aside.lease.unlink()
    return replace(planned, state=State.TODO, trained_in=None, anew="")


TIED = "GREENPOSE_TIED"
"""Set for a worker whose standard input ends with the process that started it, and that is to end then too."""
GRACE_SECONDS = 60.0
"""How long an interrupted run may take to write down what it has before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one cell ended."""

    planned: Planned
    """The cell."""
    state: State
    """What its files show now."""
    code: int
    """Exit code of its process; negative: the signal that ended it."""
    seconds: float
    """Wall time of its process."""
    message: str = ""
    """What kept it from being started, or from leaving a note of its own; empty where its folder says how it ended."""
    undone: str = ""
    """How much of the grid's budget is used, where what is left of it does not bear this cell, which was not begun."""


Command = Callable[..., list[str]]
"""Takes a planned run, `quiet` where several are at work, and in a grid with a budget the run's own as `budget`;
returns the program that does it, and its arguments."""
Hear = Callable[[Planned, str], None]
"""Takes a run, and a line that its process says on stderr."""


@dataclass(slots=True)
class _Job:
    planned: Planned
    process: subprocess.Popen[bytes]
    started: float
    limits: Budget
    ear: threading.Thread


def run_all(
    todo: Sequence[Planned],
    *,
    workers: int = 1,
    command: Command | None = None,
    budget: Budget | GridBudget | None = None,
    started: Callable[[Planned], None] = lambda _: None,
    ended: Callable[[Outcome], None] = lambda _: None,
    watch: Callable[[], None] = lambda: None,
    hear: Hear | None = None,
) -> list[Outcome]:
    """Run the cells and return how each ended; one that fails does not stop the others.

    `command` tells what to start for a run, by default GreenPose's own worker in this interpreter. When a cell's turn
    comes its folder is looked at again: one that another process finished within `budget` meanwhile, or is at work on,
    is left to it; of a budget of the whole grid it gets what is left. `watch` is called several times a second while
    they run. What they say on stderr goes to `hear`, by default to where ours goes.

    Raises:
        KeyboardInterrupt: after every running cell has written down what it has.
    """
    waiting, running, outcomes = deque(todo), list[_Job](), list[Outcome]()
    workers = min(workers, len(todo))
    shared, spent = isinstance(budget, GridBudget), ""
    over = threading.Event()
    start = partial(_start, command or worker_command, workers=workers, shared=shared, hear=hear, over=over)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                rivals = min(len(waiting), workers - len(running))
                limits = spent or limits_on(waiting[0], budget, running, rivals=rivals)
                if isinstance(limits, str) and running:
                    break  # what these leave of their parts may bear it
                spent = limits if isinstance(limits, str) else ""
                begun = _begin(waiting.popleft(), limits, started, start)
                if isinstance(begun, _Job):
                    running.append(begun)
                else:
                    outcomes.append(begun)
                    ended(begun)
            watch()
            for job in _finished(running, over):
                running.remove(job)
                outcomes.append(_outcome(job))
                ended(outcomes[-1])
    finally:
        for outcome in _interrupt(running):  # none, unless something ended us
            ended(outcome)
    return outcomes


@contextlib.contextmanager
def handing_out(budget: Budget | GridBudget) -> Iterator[None]:
    """Be the only command that hands out a grid's budget, where it is one, until the block ends.

    Raises:
        GreenPoseError: if another command does so, or jobs of Slurm have parts of it.
    """
    if not isinstance(budget, GridBudget):
        yield
        return
    root = budget.root
    with claimed(root) as mine:
        jobs = [job for job in written(root / FOLDER / PARTS) if queue_of(root).keeps(job)]
        if not mine or jobs:
            who = f"Slurm's jobs {' '.join(jobs)}" if jobs else f"another command ({said_of(root) or 'just begun'})"
            raise GreenPoseError(
                f"--grid-budget-kwh: {who} may take what is left of this grid's budget: let it end first"
            )
        yield


def limits_on(
    planned: Planned, budget: Budget | GridBudget | None, running: Sequence[_Job] = (), *, rivals: int = 1
) -> Budget | str:
    """Return what a cell may use: of a grid's budget what is left; where that does not bear it, how much is used."""
    if not isinstance(budget, GridBudget):
        return budget or Budget()
    granted = {job.planned.folder.path.name: job.limits.energy_kwh or 0.0 for job in running}
    return budget.share(planned.folder, planned.cell.experiment, granted=granted, rivals=rivals) or budget.told()


def worker_command(
    planned: Planned, *, quiet: bool, verbose: bool = False, budget: Budget | None = None, elsewhere: bool = False
) -> list[str]:
    """Return the command that does one run; a cluster's scheduler would start the same."""
    volume = ["--quiet"] if quiet else ["--verbose"] if verbose else []
    limits = [f"--budget-{OPTIONS[name]}={limit!r}" for name, limit in (budget.limits if budget else {}).items()]
    away = ["--elsewhere"] if elsewhere else []
    return [sys.executable, "-m", "greenpose", "worker", str(planned.folder.path), *limits, *volume, *away]


def worker_environment(config: ProcessConfig, workers: int) -> dict[str, str]:
    """Return the environment of a measured process: this one's, with allocator, threads and devices pinned."""
    environment = {**os.environ, **pinned_environment(config.threads), "GREENPOSE_WORKERS": str(workers)}
    if config.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _begin(
    planned: Planned,
    limits: Budget | str,
    started: Callable[[Planned], None],
    start: Callable[[Planned, Budget], _Job],
) -> _Job | Outcome:
    """Return the job of a cell; its outcome where there is nothing to do any more, or it cannot be started."""
    folder = planned.folder
    try:
        over = folder.record.exists() if isinstance(limits, str) else not folder.may_go_on(limits)
        if over or folder.is_taken():
            return Outcome(planned=planned, state=folder.state(), code=0, seconds=0.0)
        if isinstance(limits, str):
            return Outcome(planned=planned, state=folder.state(), code=0, seconds=0.0, undone=limits)
        started(planned)
        return start(planned, limits)
    except (OSError, GreenPoseError) as error:
        return Outcome(planned=planned, state=State.FAILED, code=1, seconds=0.0, message=said(error))


def write_down(planned: Planned) -> None:
    """Write what a worker is to do into the folder of the run, which is made where it is not there."""
    from greenpose.data.splits import annotations_sha256  # what reads images is not needed to say what a command does

    cell = planned.cell
    planned.folder.path.mkdir(parents=True, exist_ok=True)
    planned.folder.write_cell(
        {
            "name": cell.name,
            "grid": cell.grid,
            "axes": cell.axes,
            "config_hash": cell.config_hash,
            "experiment": cell.config.model_dump(mode="json"),
            "annotations_sha256": annotations_sha256(cell.config.data),
        }
        | ({"trained_in": dict(planned.trained_in)} if planned.trained_in else {})
    )


def _start(
    command: Command,
    planned: Planned,
    limits: Budget,
    *,
    workers: int,
    shared: bool,
    hear: Hear | None,
    over: threading.Event,
) -> _Job:
    write_down(planned)
    process = subprocess.Popen(
        command(planned, quiet=workers > 1, **({"budget": limits} if shared else {})),
        stdin=subprocess.PIPE,  # nothing is written: it ends when we do, however that is, and the worker notices
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if hear else None,
        process_group=0,  # Ctrl-C on the terminal reaches us alone; we pass it on once
        env=worker_environment(planned.cell.config.process, workers) | {TIED: "1"},
    )
    threading.Thread(target=_await, args=(process, over), daemon=True).start()
    ear = threading.Thread(target=_listen, args=(planned, process.stderr, hear), daemon=True)
    ear.start()
    return _Job(planned=planned, process=process, started=time.monotonic(), limits=limits, ear=ear)


def _await(process: subprocess.Popen[bytes], over: threading.Event) -> None:
    """Say when a worker has ended."""
    process.wait()
    over.set()


def _listen(planned: Planned, said: IO[bytes] | None, hear: Hear | None) -> None:
    """Pass on what a worker says, line by line, until it and all that it started have ended."""
    for line in said or ():
        if hear:
            hear(planned, line.decode(errors="replace").rstrip())


def _finished(running: Sequence[_Job], over: threading.Event) -> list[_Job]:
    """Return the jobs that have ended, after waiting a moment for one.

    To wait for a process with a timeout is to ask the kernel thirty times a second, beside the run that is metered.
    """
    if running and over.wait(timeout=0.2):
        over.clear()
    return [job for job in running if job.process.poll() is not None]


def _outcome(job: _Job) -> Outcome:
    code = job.process.returncode
    folder = job.planned.folder
    seconds = time.monotonic() - job.started
    if job.process.stdin:
        job.process.stdin.close()
    job.ear.join(timeout=1)
    try:
        if code != 0 and folder.state() in {State.TODO, State.STARTED}:
            note_lost(folder, code=code)
    except (OSError, GreenPoseError) as error:  # its folder is gone, or the disk is full: the other cells go on
        return Outcome(planned=job.planned, state=State.FAILED, code=code, seconds=seconds, message=said(error))
    return Outcome(planned=job.planned, state=folder.state(), code=code, seconds=seconds)


def _interrupt(running: Sequence[_Job]) -> list[Outcome]:
    """Ask every run to stop, wait for it to write down what it has, kill it on a second Ctrl-C or after the grace."""
    deadline = time.monotonic() + GRACE_SECONDS
    for job in running:
        job.process.terminate()  # SIGINT is ignored by what was started in a background job
    for job in running:
        try:  # its input stays open till then: it is to hear of this once
            job.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            job.process.kill()
            job.process.wait()
    return [_outcome(job) for job in running]
