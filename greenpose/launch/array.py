"""Blocks of runs as one array of jobs under Slurm: submitted once, found again, watched by their own files.

What a run came to its folder says: done = record.json, failed = failure.json. Slurm is asked for one thing only, at
most once in half a minute for all jobs together: which of them it still has. Lost is what left neither and has no job.
"""

import contextlib
import io
import json
import pickle
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from greenpose.config.accounting import Budget
from greenpose.config.launcher import Launcher
from greenpose.errors import GreenPoseError, said
from greenpose.files import now, write_text
from greenpose.grid import Command, Outcome, Planned, limits_on, write_down
from greenpose.launch.accounting import crosscheck
from greenpose.launch.block import NOTICE_SECONDS, Block, blocks_of
from greenpose.ledger.energy_budget import GridBudget
from greenpose.scheduler import (
    ANSWER_SECONDS,
    DAMAGED,
    FOLDER,
    JOBS,
    PARTS,
    SKEW_SECONDS,
    Queue,
    in_a_line,
    queue_of,
    written,
)
from greenpose.store import RunFolder, State
from greenpose.store.claim import claimed, said_of
from greenpose.store.records import write_failure

LOOK_SECONDS = 1.0
"""Between two looks at the runs' files."""
EACH_SECONDS = 1e-3
"""What looking at one run is to take of that time at most: ten thousand are looked at every ten seconds."""
LEFT = "_submitted.pkl"
"""The end of the file in which submitit leaves a job what it is to do; it begins with the job's number."""
MOST_TIMES = 50
"""A job that has run out of its time so often is not queued again."""


class Array:
    """The jobs of one grid."""

    def __init__(
        self,
        root: Path,
        launcher: Launcher,
        *,
        executor: Any = None,
        queue: Queue | None = None,
        look: float = LOOK_SECONDS,
    ) -> None:
        """Find the jobs that an earlier start left at work on the runs below `root`.

        `executor` is submitit's, by default that of Slurm with what the launcher asks for.

        Raises:
            GreenPoseError: if there is no Slurm here, or it does not say which jobs there are.
        """
        self._folder, self.launcher, self._look = root / FOLDER, launcher, look
        self._queue = queue or queue_of(root)
        self._seen: dict[str, float] = {}
        self._parts: dict[str, GridBudget] = {}
        self._spent: dict[str, str] = {}
        self._executor = executor or _slurm(self._folder, launcher)
        self.jobs: dict[str, str] = {}
        """The job of each run that Slurm has one for."""
        self._find()

    @property
    def _file(self) -> Path:
        return self._folder / JOBS

    @property
    def _parts_file(self) -> Path:
        return self._folder / PARTS

    def _find(self) -> None:
        """Take up the jobs that Slurm still has, and what of a grid's budget they may take."""
        if self._file.exists():
            jobs, parts, root = written(self._file), self._handed_out(), self._folder.parent
            there = self._queue.kept({*jobs.values(), *parts})
            self._parts = {job: part for job, part in parts.items() if job in there}
            waited = {name: job for name, job in jobs.items() if job in there}
            failed = {name for name in waited if RunFolder(root / name).state() is State.FAILED}  # its job leaves it so
            self.jobs = {name: job for name, job in waited.items() if name not in failed}

    def _handed_out(self) -> dict[str, GridBudget]:
        """Return the part of a grid's budget that each job got."""
        root, told = self._folder.parent, written(self._parts_file)
        try:
            return {
                job: GridBudget(root=root, energy_kwh=kwh, runs=frozenset(runs)) for job, (kwh, runs) in told.items()
            }
        except (TypeError, ValueError):
            raise GreenPoseError(f"{self._parts_file}: {DAMAGED}") from None

    def _find_unlisted(self) -> None:
        """Write down the jobs of a start that was lost before it could.

        What a job is to do submitit leaves under the job's number once Slurm has it, and without that it does nothing.
        Slurm's last answer may be older than a young one of these.
        """
        listed, jobs, parts = written(self._file), dict[str, str](), self._handed_out()
        since = self._file.stat().st_mtime if self._file.exists() else 0.0
        young = time.time() - SKEW_SECONDS - ANSWER_SECONDS
        for file in sorted(self._folder.glob(f"*{LEFT}")):
            job, left_at = file.name.removesuffix(LEFT), file.stat().st_mtime
            if left_at > since and job not in listed.values() and (left_at > young or self._queue.kept({job})):
                block = _left_for_job(file)
                jobs |= {one.cell.name: job for one in block.runs}
                parts |= {job: block.budget} if isinstance(block.budget, GridBudget) else {}
        if jobs:
            self.jobs, self._parts = jobs | listed, parts
            self._keep()

    @contextlib.contextmanager
    def _alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Be the only one that submits runs of this grid; another one that does is waited for."""
        root, told = self._folder.parent, False
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            with claimed(root) as mine:
                if mine:
                    yield
                    return
            if not told:
                who = said_of(root) or "just begun"
                say(f"another process submits runs of this grid: waiting for it ({who})")
            told = True
            time.sleep(self._look)

    @property
    def numbers(self) -> str:
        """Return the numbers of the jobs, an array's once: what `scancel` takes."""
        return " ".join(sorted({job.partition("_")[0] for job in (*self.jobs.values(), *self._parts)}))

    def run(
        self,
        todo: Sequence[Planned],
        *,
        command: Command,
        budget: Budget | GridBudget,
        say: Callable[[str], None] = lambda _: None,
        started: Callable[[Planned], None] = lambda _: None,
        ended: Callable[[Outcome], None] = lambda _: None,
        watch: Callable[[], None] = lambda: None,
    ) -> list[Outcome]:
        """Submit the runs that have no job yet, and return how each ended, as `greenpose.grid.run_all` does.

        Of what is left of a grid's budget each job gets its part when it is submitted. Whoever interrupts this leaves
        the jobs at work.

        Raises:
            GreenPoseError: if Slurm does not take them, in its own words, or others are at work that have their parts.
        """
        with self._alone(say):
            self._find_unlisted()
            self._find()
            new = [one for one in todo if one.cell.name not in self.jobs]
            if len(new) < len(todo):
                say(f"{len(todo) - len(new)} runs are under way already, in Slurm's jobs {self.numbers}")
            if isinstance(budget, GridBudget) and new:
                new = self._borne(new, budget)
            if new:
                self._submit(new, command, budget)
                try:
                    self._keep()
                finally:  # whatever cannot be written: these go on, and only their numbers end them
                    say(f"{len(new)} runs are submitted, a job for each seed: {self.numbers}")
        waiting, outcomes = list(todo), list[Outcome]()
        while waiting:
            gone = self._queue.gone(self.jobs.values())
            for one in tuple(waiting):
                self._see(one, started)
                if outcome := self._outcome(one, gone, budget):
                    waiting.remove(one)
                    outcomes.append(outcome)
                    self._see(one, started, over=not outcome.undone)
                    ended(outcome)
            watch()
            if waiting:
                time.sleep(max(self._look, len(waiting) * EACH_SECONDS))
        return outcomes

    def crosscheck(self) -> list[str]:
        """Return what Slurm's own counters say of the jobs that are over, a sentence each; where a site has them."""
        return crosscheck(self._folder.parent, self._folder, written(self._file)) if self._file.exists() else []

    def _see(self, one: Planned, started: Callable[[Planned], None], *, over: bool = False) -> None:
        """Tell once of a run that a process is at work on, or that is over before one was seen."""
        if one.cell.name not in self._seen and (over or one.folder.is_taken()):
            self._seen[one.cell.name] = time.monotonic()
            started(one)

    def _borne(self, new: list[Planned], budget: GridBudget) -> list[Planned]:
        """Return the runs to submit: none where nothing is left of the grid's budget but what jobs at work have.

        Raises:
            GreenPoseError: if there are jobs at work that may take what they want.
        """
        if not self._parts.keys() >= {*self.jobs.values()}:
            raise GreenPoseError(
                "--grid-budget-kwh: jobs of this grid are at work that were submitted without one: let them end, or "
                f"scancel {self.numbers}, before more are submitted"
            )
        if budget.left > self._held:
            return new
        self._spent[""] = budget.told() + (f", and jobs at work ({self.numbers}) have the rest" if self._held else "")
        return []

    @property
    def _held(self) -> float:
        """Return what jobs at work may still take of a grid's budget, in kWh."""
        return sum(max(0.0, part.left) for part in self._parts.values())

    def _submit(self, new: Sequence[Planned], command: Command, budget: Budget | GridBudget) -> None:
        for one in new:
            one.folder.shelve_failure()  # what fails from now on has failed in its job
        shared, together = not self.launcher.exclusive, blocks_of(new)
        names = [[one.cell.name for one in runs] for runs in together]
        parts: Sequence[Budget | GridBudget] = [budget] * len(names)
        if isinstance(budget, GridBudget):
            parts = budget.divided(names, held=self._held)
        blocks = [
            Block(runs=runs, command=command, budget=part, shared=shared)
            for part, runs in zip(parts, together, strict=True)
        ]
        jobs = _submitted(self._executor, self._folder, blocks)
        self._parts |= {job: part for job, part in zip(jobs, parts, strict=True) if isinstance(part, GridBudget)}
        self.jobs |= {one.cell.name: job for block, job in zip(blocks, jobs, strict=True) for one in block.runs}

    def _keep(self) -> None:
        """Write down which job does which run, and what each may take of a grid's budget."""
        parts = {job: (part.energy_kwh, sorted(part.runs or ())) for job, part in self._parts.items()}
        if parts:
            write_text(self._parts_file, json.dumps(parts, indent=1) + "\n")
        write_text(self._file, json.dumps(self.jobs, indent=1) + "\n")

    def _outcome(self, one: Planned, gone: Collection[str], budget: Budget | GridBudget) -> Outcome | None:
        """Return how a run ended; None where its job is at work on it, or still to be."""
        job, state = self.jobs.get(one.cell.name, ""), one.folder.state()
        each = budget.each if isinstance(budget, GridBudget) else budget
        seconds = time.monotonic() - self._seen.get(one.cell.name, time.monotonic())
        if state is not State.RUNNING and not one.folder.may_go_on(each):
            return Outcome(planned=one, state=state, code=0, seconds=seconds)
        if state is State.FAILED:
            return Outcome(planned=one, state=state, code=1, seconds=seconds)
        if (job and job not in gone) or state is State.RUNNING:
            return None
        if state is State.STOPPED:  # at what its job had for it
            return Outcome(planned=one, state=state, code=0, seconds=seconds)
        if undone := self._undone(one, job, budget):
            return Outcome(planned=one, state=state, code=0, seconds=seconds, undone=undone)
        message = f"Slurm has no job {job} any more, and it left no record; {self._last_words(job)}"
        message += _noted_as_lost(one, state, message)
        return Outcome(planned=one, state=one.folder.state(), code=1, seconds=seconds, message=message)

    def _undone(self, one: Planned, job: str, budget: Budget | GridBudget) -> str:
        """Return how much of its budget is used where the rest bears no run of a job that has ended; empty else."""
        if job not in self._spent:
            limits = limits_on(one, self._parts.get(job, budget))
            self._spent[job] = limits if isinstance(limits, str) else ""
        return self._spent[job]

    def _last_words(self, job: str) -> str:
        """Return the end of a job's log."""
        log = self._folder / f"{job}_0_log.err"
        if not log.exists():
            return f"nor a log at {log}: can its node see this folder?"
        lines = log.read_text(errors="replace").strip().splitlines()
        return (
            f"its log ends: {'; '.join(map(str.strip, lines[-2:]))} ({log})" if lines else f"its log is empty ({log})"
        )


def _noted_as_lost(one: Planned, state: State, message: str) -> str:
    """Write down that nothing more is heard of a run; return why that cannot be, as on a full disk, or nothing."""
    try:
        if state is State.TODO:  # its node may have seen nothing of this folder
            write_down(one)
        if state in (State.TODO, State.STARTED):
            write_failure(one.folder, reason="lost", message=message, phase="", at=now())
    except (OSError, GreenPoseError) as error:
        return f"; that cannot be noted: {said(error)}"
    return ""


def _left_for_job(file: Path) -> Block:
    """Return what a job was left to do."""
    from submitit.core.utils import DelayedSubmission

    try:
        return cast("Block", DelayedSubmission.load(file).function)
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError):
        raise GreenPoseError(f"{file}: {DAMAGED}") from None


def _slurm(folder: Path, launcher: Launcher) -> Any:
    """Return submitit's executor for jobs as the launcher asks for them."""
    from submitit import SlurmExecutor

    missing = [name for name in ("sbatch", "srun", "squeue") if shutil.which(name) is None]
    if missing:
        raise GreenPoseError(
            f"--launcher slurm: {missing[0]} is not on the PATH: it starts on a login node of a Slurm cluster; "
            "--launcher script writes files to take there"
        )
    executor = SlurmExecutor(folder=folder, max_num_timeout=MOST_TIMES)
    asked = {"partition": launcher.partition, "account": launcher.account, "array_parallelism": launcher.parallel}
    executor.update_parameters(
        **{name: value for name, value in asked.items() if value},
        time=launcher.minutes,
        exclusive=launcher.exclusive or None,
        setup=launcher.checked_setup,
        signal_delay_s=NOTICE_SECONDS,
        job_name=f"greenpose-{folder.absolute().parent.name}",
        additional_parameters={**launcher.slurm, "requeue": True},
        srun_args=["--cpu-bind=none"] if launcher.exclusive else [],
        wckey=None,
    )
    return executor


def _submitted(executor: Any, folder: Path, blocks: Sequence[Block]) -> list[str]:
    """Return the job of each block; where Slurm takes none, nothing is left of the try."""
    from submitit.core.utils import FailedSubmissionError, UncompletedJobError

    before = {*folder.glob("*"), *folder.glob(".*")}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what sbatch says, and raises it too
            return [job.job_id for job in executor.submit_array(blocks)]
    except (FailedSubmissionError, UncompletedJobError, OSError) as error:
        for left in {*folder.glob("*"), *folder.glob(".*")} - before:
            left.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise GreenPoseError(f"the jobs cannot be submitted from {folder}: {said(error)}") from None
        raise GreenPoseError(f"Slurm does not take the jobs: {in_a_line(str(error))}") from None
