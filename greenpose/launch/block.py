"""A block: all experiments of a seed, one after the other on one node, so that the node is no nuisance between them.

Under submitit it is a callable that stops its run, and is queued again, a while before the job's time is over; as a
script it is a plain file for sbatch.
"""

import logging
import os
import random
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenpose.config.accounting import Budget
from greenpose.config.launcher import Launcher
from greenpose.files import write_text
from greenpose.grid import GRACE_SECONDS, Command, Outcome, Planned, run_all, write_down
from greenpose.ledger.energy_budget import GridBudget
from greenpose.metering import SHARED_NODE
from greenpose.scheduler import FOLDER
from greenpose.store import State

NOTICE_SECONDS = int(GRACE_SECONDS) + 30
"""So long before its time is over a job is told: its run has GRACE_SECONDS to write down what it has."""
QUEUE_AGAIN = signal.SIGUSR2
"""What Slurm sends then, as submitit asks it to."""


def blocks_of(todo: Sequence[Planned]) -> list[list[Planned]]:
    """Return the runs of each seed, those of a block in a random order that is always the same."""
    blocks: dict[int, list[Planned]] = {}
    for one in todo:
        blocks.setdefault(one.cell.config.seed, []).append(one)
    for seed, block in blocks.items():
        random.Random(seed).shuffle(block)
    return list(blocks.values())


class _Stopped(BaseException):
    """Slurm has asked the job to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The runs that one job does; what it is given is pickled, and called on the node after each time it was queued."""

    runs: Sequence[Planned]
    """The runs, in their order."""
    command: Command
    """What to start for one of them."""
    budget: Budget | GridBudget
    """What each may cost at most, or all of them together."""
    shared: bool
    """Whether others may be at work on the node."""

    def __call__(self) -> None:
        """Do the runs that are left, as they are done on one machine; those that failed in this job are left so."""
        if self.shared:
            os.environ[SHARED_NODE] = "1"
        left = [one for one in self.runs if one.folder.state() is not State.FAILED]
        with _told_to_stop() as watch:
            run_all(left, command=self.command, budget=self.budget, started=watch, ended=_ended, watch=watch)

    def checkpoint(self) -> Any:
        """Return what submitit is to call when the job is queued again: this block, whose files say what is left."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def _told_to_stop() -> Iterator[Callable[..., None]]:
    """End the block when Slurm asks the job to stop, once its run has written down what it has.

    What is yielded raises then: where a signal is heard a run may just have been started that nobody knows to stop yet.
    Before the job's time is over submitit then queues it again. Where Slurm gives the node to somebody else it does so
    by itself, and where somebody cancels the job nobody does.
    """
    heard: list[int] = []
    queue_again = signal.getsignal(QUEUE_AGAIN)

    def stop(number: int, frame: Any) -> None:
        del frame
        heard.append(number)

    def watch(*_: Planned) -> None:
        if heard:
            raise _Stopped

    before = {each: signal.signal(each, stop) for each in (QUEUE_AGAIN, signal.SIGTERM)}
    try:
        yield watch
    except _Stopped:
        if QUEUE_AGAIN in heard and callable(queue_again):
            queue_again(QUEUE_AGAIN, None)
        raise SystemExit(128 + heard[0]) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _ended(outcome: Outcome) -> None:
    """Say in the job's log how a run ended; one that was stopped before it could say so has not failed."""
    if -outcome.code in (QUEUE_AGAIN, signal.SIGTERM):
        outcome.planned.folder.shelve_failure()
    logging.getLogger(__name__).warning(
        "%s: %s %s",
        outcome.planned.cell.name,
        outcome.state.value,
        outcome.message or outcome.undone or f"(code {outcome.code})",
    )


def write_scripts(todo: Sequence[Planned], root: Path, launcher: Launcher, command: Command) -> list[Path]:
    """Write a file for sbatch for each block, below `root`, and what its workers are to do; return the files.

    Raises:
        GreenPoseError: if something cannot be written.
    """
    files, folder = [], root / FOLDER
    for number, block in enumerate(blocks_of(todo), 1):
        for one in block:
            write_down(one)
        file = folder / f"block-{number}.sh"
        options = {"job-name": f"greenpose-{number}", "output": f"{folder.absolute()}/%j.log", "open-mode": "append"}
        flags = {name: getattr(launcher, name) for name in ("partition", "account", "time")} | {"requeue": True}
        flags |= options | {"exclusive": launcher.exclusive, **launcher.slurm}
        flags |= {} if launcher.exclusive else {"export": f"ALL,{SHARED_NODE}=1"}
        lines = [
            "#!/bin/bash",
            *(_flag(name, value) for name, value in flags.items() if value),
            *launcher.checked_setup,
        ]
        write_text(file, "\n".join([*lines, *(shlex.join(command(one, quiet=False)) for one in block)]) + "\n")
        files.append(file)
    return files


def _flag(name: str, value: str | int | bool) -> str:
    return f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={shlex.quote(str(value))}"
