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
from greenpose.config.budget import OPTIONS, Budget
from greenpose.grid.plan import Planned
from greenpose.metering import pinned_environment
from greenpose.store import State
from greenpose.store.lost import note_lost

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
    started: Callable[[Planned], None] = _ignore,
    ended: Callable[[Outcome], None] = _ignore,
) -> list[Outcome]:
    """Run the cells and return how each ended; one that fails does not stop the others.

    `command` tells what to start for a run, by default GreenPose's own worker in this interpreter.

    Raises:
        KeyboardInterrupt: after every running cell has written down what it has.
    """
    waiting, running, outcomes = deque(todo), list[_Job](), list[Outcome]()
    workers = min(workers, len(todo))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                started(waiting[0])
                running.append(_start(waiting.popleft(), command or worker_command, workers=workers, quiet=quiet))
            for job in _finished(running):
                running.remove(job)
                outcomes.append(_outcome(job))
                ended(outcomes[-1])
    except KeyboardInterrupt:
        for outcome in _interrupt(running):
            ended(outcome)
        raise
    return outcomes


def worker_command(planned: Planned, *, quiet: bool, verbose: bool = False, budget: Budget | None = None) -> list[str]:
    """Return the command that does one run; a cluster's scheduler would start the same."""
    volume = ["--quiet"] if quiet else ["--verbose"] if verbose else []
    limits = [f"--budget-{OPTIONS[name]}={limit!r}" for name, limit in (budget.limits if budget else {}).items()]
    return [sys.executable, "-m", "greenpose", "worker", str(planned.folder.path), *limits, *volume]


def worker_environment(config: ProcessConfig, workers: int) -> dict[str, str]:
    """Return the environment of a measured process: this one's, with allocator, threads and devices pinned."""
    environment = {**os.environ, **pinned_environment(config.threads), "GREENPOSE_WORKERS": str(workers)}
    if config.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment


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
    )
    process = subprocess.Popen(
        command(planned, quiet=quiet or workers > 1),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C on the terminal reaches us alone; we pass it on once
        env=worker_environment(cell.config.process, workers),
    )
    return _Job(planned=planned, process=process, started=time.monotonic())


def _finished(running: Sequence[_Job]) -> list[_Job]:
    """Return the jobs that have ended, after waiting a moment for the first."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running[0].process.wait(timeout=0.2)
    return [job for job in running if job.process.poll() is not None]


def _outcome(job: _Job) -> Outcome:
    code = job.process.returncode
    folder = job.planned.folder
    if code != 0 and folder.state() not in {State.DONE, State.FAILED, State.INTERRUPTED, State.RUNNING, State.STOPPED}:
        note_lost(folder, code=code)
    return Outcome(planned=job.planned, state=folder.state(), code=code, seconds=time.monotonic() - job.started)


def _interrupt(running: Sequence[_Job]) -> list[Outcome]:
    """Ask every run to stop, wait for it to write down what it has, kill it on a second Ctrl-C or after the grace."""
    deadline = time.monotonic() + GRACE_SECONDS
    for job in running:
        job.process.terminate()  # SIGINT is ignored by what was started in a background job
    for job in running:
        try:
            job.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            job.process.kill()
            job.process.wait()
    return [_outcome(job) for job in running]
