"""The scheduler's queue: which jobs Slurm still has, asked seldom; and the job that this process belongs to."""

import contextlib
import getpass
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from greenpose.errors import GreenPoseError

QUERY_SECONDS = 30.0
"""Slurm's controller serves everybody: it is asked no more often than this."""


FOLDER, JOBS = ".slurm", "jobs.json"
"""Where, among a grid's runs, jobs' scripts and logs are kept, and there the number of each run's job."""


def jobs_of(runs: Path) -> dict[str, str]:
    """Return the job of each run of a folder, as it was submitted last; none where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads((runs / FOLDER / JOBS).read_text(encoding="utf-8")))
    return {}


def own_job(environ: Mapping[str, str] = os.environ) -> str:
    """Return the job of Slurm that this process belongs to, one of an array as `12_3`; empty outside one."""
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID", "")


class Queue:
    """Which jobs of this user Slurm still has."""

    def __init__(self, *, every: float = QUERY_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask no more often than once in `every` seconds of `clock`."""
        self._every, self._clock = every, clock
        self._asked: float | None = None
        self._there: frozenset[str] | None = None
        self._absent: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()

    def ask(self) -> frozenset[str]:
        """Return the jobs that Slurm has, those of arrays one by one.

        Raises:
            GreenPoseError: if it does not answer.
        """
        self._asked, self._there = self._clock(), None
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={getpass.getuser()}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise GreenPoseError(f"squeue does not say which jobs there are: {in_a_line(str(said))}") from None
        self._there = frozenset(done.stdout.split())
        return self._there

    def gone(self, jobs: Collection[str]) -> frozenset[str]:
        """Return which of the jobs were missing in the last two answers; where none comes, nothing new is known."""
        if self._is_due():
            with contextlib.suppress(GreenPoseError):
                absent = frozenset(jobs) - self.ask()
                self._gone, self._absent = absent & self._absent, absent
        return self._gone

    def lacks(self, job: str) -> bool:
        """Return whether the last answer does not hold a job; False where none comes."""
        if self._is_due():
            with contextlib.suppress(GreenPoseError):
                self.ask()
        return self._there is not None and job not in self._there

    def keeps(self, job: str) -> bool:
        """Return whether Slurm, where there is one here, may have a job that is to go on: it does not say otherwise."""
        return bool(job) and shutil.which("squeue") is not None and not self.lacks(job)

    def _is_due(self) -> bool:
        return self._asked is None or self._clock() - self._asked >= self._every


QUEUE = Queue()
"""What this process asks of Slurm, all of it together."""


def in_a_line(said: str) -> str:
    """Return what a command of Slurm said, in one line and without its own name."""
    lines = [line.partition("error: ")[2] or line for line in said.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))
