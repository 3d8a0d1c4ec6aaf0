"""The scheduler's queue: which jobs Slurm still has, asked seldom; and the job that this process belongs to."""

import functools
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from greenpose.errors import GreenPoseError
from greenpose.files import write_text

QUERY_SECONDS = 30.0
"""Slurm's controller serves everybody: it is asked no more often than this."""
ANSWER_SECONDS, SKEW_SECONDS = 60.0, 300.0
"""How long an answer may take, and so far apart clocks of hosts may be."""

FOLDER, JOBS, PARTS = ".slurm", "jobs.json", "parts.json"
"""Where, among a grid's runs, jobs' scripts and logs are kept, and there the number of each run's job, and what of the
grid's budget each job may take."""
ANSWER, TURN = "queue.json", "queue.turn"
"""There too: what Slurm said last, and the file of who asks it just now."""

DAMAGED = "is damaged: it says what jobs are at work on; remove it once squeue shows none of this grid"
"""What is to be done about a list of jobs that cannot be read."""


def written(file: Path) -> dict[str, Any]:
    """Return what a start has written down of its jobs; nothing where it has not.

    Raises:
        GreenPoseError: if that cannot be read.
    """
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise GreenPoseError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise GreenPoseError(f"{file}: {DAMAGED}") from None


def own_job(environ: Mapping[str, str] = os.environ) -> str:
    """Return the job of Slurm that this process belongs to, one of an array as `12_3`; empty outside one."""
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID", "")


class Answer(NamedTuple):
    """What Slurm said when it was asked last."""

    at: float
    """When, in seconds since 1970 by the clock of the disk on which the grid lies."""
    users: list[int]
    """Whose jobs it was asked for."""
    jobs: list[str]
    """Those that it has, those of arrays one by one."""
    fault: str = ""
    """Why it did not answer; empty where it did."""


class Queue:
    """Which jobs of a grid Slurm still has, as whichever process asked last was told.

    Its answer lies among the grid's runs, for every process on every host. Who finds it older than that makes a file
    that must not be there yet, so that one asks at a time; how old the answer is, that file's time tells, which is the
    disk's, as the answer's is: hosts' clocks have no part in it. Who may write no file there asks for itself.
    """

    def __init__(
        self, runs: Path, *, every: float = QUERY_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask for the jobs of a folder of runs once in `every` seconds at most; `clock` is this process's own."""
        self._folder, self._every, self._clock = runs / FOLDER, every, clock
        self._due = -math.inf
        self._answer: Answer | None = None
        self._counted = -math.inf
        self._absent: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()

    def kept(self, jobs: Collection[str]) -> frozenset[str]:
        """Return which of the jobs Slurm has; all that were written down after its last answer.

        Raises:
            GreenPoseError: if it does not answer.
        """
        answer = self._told()
        if answer is not None and answer.fault:
            raise GreenPoseError(f"squeue does not say which jobs there are: {answer.fault}")
        return frozenset(jobs).intersection(jobs if answer is None else answer.jobs)

    def gone(self, jobs: Collection[str]) -> frozenset[str]:
        """Return which of the jobs were missing in the last two answers; where none comes, nothing new is known."""
        answer = self._told()
        if answer is not None and not answer.fault and answer.at > self._counted:
            absent = frozenset(jobs).difference(answer.jobs)
            self._gone, self._absent, self._counted = absent & self._absent, absent, answer.at
        return self._gone

    def keeps(self, job: str) -> bool:
        """Return whether Slurm, where there is one here, may have a job that is to go on: it does not say otherwise."""
        if not job or shutil.which("squeue") is None:
            return False
        answer = self._told()
        return answer is None or bool(answer.fault) or job in answer.jobs

    def _told(self) -> Answer | None:
        """Return what Slurm says; None where nobody knows yet, or more jobs were submitted since."""
        if self._clock() >= self._due:
            self._look()
        with suppress(OSError):
            if self._answer is not None and self._answer.at < (self._folder / JOBS).stat().st_mtime:
                return None
        return self._answer

    def _look(self) -> None:
        """Take what another process was told, or ask."""
        began, turn = self._clock(), self._folder / TURN
        try:
            turn.touch(exist_ok=False)
        except FileExistsError:  # another one asks just now
            self._due = began + 1.0
            with suppress(OSError):
                if time.time() - turn.stat().st_mtime > ANSWER_SECONDS + SKEW_SECONDS:  # it died of it
                    turn.unlink()
            return
        except OSError:
            self._answer, self._due = self._asked(time.time()), began + self._every
            return
        try:
            at = turn.stat().st_mtime
            known = self._shared()
            if known is None or not 0 <= at - known.at < self._every or not self._users() <= {*known.users}:
                known = self._asked(at, *(known.users if known else ()))
                with suppress(GreenPoseError):  # a full disk: the next one asks too
                    write_text(self._folder / ANSWER, json.dumps(known._asdict()) + "\n")
            self._answer, self._due = known, began + self._every - (at - known.at)
        finally:
            with suppress(OSError):
                turn.unlink()

    def _shared(self) -> Answer | None:
        with suppress(OSError, ValueError, TypeError):
            found = Answer(**json.loads((self._folder / ANSWER).read_text(encoding="utf-8")))
            if (type(found.at), type(found.users), type(found.jobs)) == (float, list, list):
                return found
        return None

    def _users(self) -> set[int]:
        """Return whose jobs are meant: this user's, and those of whom the folder belongs to."""
        users = {os.getuid()}
        with suppress(OSError):
            users.add(self._folder.stat().st_uid)
        return users

    def _asked(self, at: float, *others: int) -> Answer:
        users = sorted({*self._users(), *others})
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={','.join(map(str, users))}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            return Answer(at, users, [], in_a_line(str(getattr(error, "stderr", None) or error)))
        return Answer(at, users, done.stdout.split())


@functools.cache
def queue_of(runs: Path) -> Queue:
    """Return what this process knows of the jobs of a folder of runs, all of it together."""
    return Queue(runs)


def in_a_line(said: str) -> str:
    """Return what a command of Slurm said, in one line and without its own name."""
    lines = [line.partition("error: ")[2] or line for line in said.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))
