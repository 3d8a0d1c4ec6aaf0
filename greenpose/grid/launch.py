"""Running cells, each in a fresh interpreter with the measured environment pinned, by default one after the other.

Two runs on one machine share its power and its caches, so that neither's joules nor seconds mean what they say; more
than one worker is possible, and every record says how many there were.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from greenpose.config import ProcessConfig
from greenpose.config.accounting import OPTIONS, Budget
from greenpose.errors import GreenPoseError, said
from greenpose.grid.plan import Planned
from greenpose.metering import pinned_environment
from greenpose.store import State
from greenpose.store.records import note_lost

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


@runtime_checkable
class Command(Protocol):
    """What is started for a run."""

    def __call__(self, planned: Planned, *, quiet: bool) -> list[str]:
        """Return program and arguments."""


def _ignore(event: object) -> None:
    del event


@dataclass(slots=True)
class _Job:
    planned: Planned
    process: subprocess.Popen[bytes]
    started: float


def run_all(
    todo: Sequence[Planned],
    *,
    workers: int = 1,
    quiet: bool = False,
    command: Command | None = None,
    budget: Budget | None = None,
    started: Callable[[Planned], None] = _ignore,
    ended: Callable[[Outcome], None] = _ignore,
) -> list[Outcome]:
    """Run the cells and return how each ended; one that fails does not stop the others.

    `command` tells what to start for a run, by default GreenPose's own worker in this interpreter. When a cell's turn
    comes its folder is looked at again: one that another process finished within `budget` meanwhile, or is at work on,
    is left to it.

    Raises:
        KeyboardInterrupt: after every running cell has written down what it has.
    """
    waiting, running, outcomes = deque(todo), list[_Job](), list[Outcome]()
    workers = min(workers, len(todo))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                begun = _begin(
                    waiting.popleft(), command or worker_command, workers, started, quiet=quiet, budget=budget
                )
                if isinstance(begun, _Job):
                    running.append(begun)
                else:
                    outcomes.append(begun)
                    ended(begun)
            for job in _finished(running):
                running.remove(job)
                outcomes.append(_outcome(job))
                ended(outcomes[-1])
    finally:
        for outcome in _interrupt(running):  # none, unless something ended us
            ended(outcome)
    return outcomes


def worker_command(
    planned: Planned, *, quiet: bool, verbose: bool = False, budget: Budget | None = None, elsewhere: bool = False
) -> list[str]:
    """Return the command that does one run; a cluster's scheduler would start the same."""
    volume = ["--quiet"] if quiet else ["--verbose"] if verbose else []
    limits = [f"--budget-{OPTIONS[name]}={limit!r}" for name, limit in (budget.limits if budget else {}).items()]
    return [
        sys.executable,
        "-m",
        "greenpose",
        "worker",
        str(planned.folder.path),
        *limits,
        *volume,
        *(["--elsewhere"] if elsewhere else []),
    ]


def worker_environment(config: ProcessConfig, workers: int) -> dict[str, str]:
    """Return the environment of a measured process: this one's, with allocator, threads and devices pinned."""
    environment = {**os.environ, **pinned_environment(config.threads), "GREENPOSE_WORKERS": str(workers)}
    if config.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


def _begin(
    planned: Planned,
    command: Command,
    workers: int,
    started: Callable[[Planned], None],
    *,
    quiet: bool,
    budget: Budget | None,
) -> _Job | Outcome:
    """Return the job of a cell; its outcome where there is nothing to do any more, or it cannot be started."""
    try:
        if planned.folder.is_taken() or not planned.folder.may_go_on(budget or Budget()):
            return Outcome(planned=planned, state=planned.folder.state(), code=0, seconds=0.0)
        started(planned)
        return _start(planned, command, workers=workers, quiet=quiet)
    except (OSError, GreenPoseError) as error:
        return Outcome(planned=planned, state=State.FAILED, code=1, seconds=0.0, message=said(error))


def _start(planned: Planned, command: Command, *, workers: int, quiet: bool) -> _Job:
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
    process = subprocess.Popen(
        command(planned, quiet=quiet or workers > 1),
        stdin=subprocess.PIPE,  # nothing is written: it ends when we do, however that is, and the worker notices
        stdout=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C on the terminal reaches us alone; we pass it on once
        env=worker_environment(cell.config.process, workers) | {TIED: "1"},
    )
    return _Job(planned=planned, process=process, started=time.monotonic())


def _finished(running: Sequence[_Job]) -> list[_Job]:
    """Return the jobs that have ended, after waiting a moment for the first."""
    if not running:
        return []
    with contextlib.suppress(subprocess.TimeoutExpired):
        running[0].process.wait(timeout=0.2)
    return [job for job in running if job.process.poll() is not None]


def _outcome(job: _Job) -> Outcome:
    code = job.process.returncode
    folder = job.planned.folder
    seconds = time.monotonic() - job.started
    if job.process.stdin:
        job.process.stdin.close()
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
