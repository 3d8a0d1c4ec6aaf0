"""Slurm's own account of what a job drew, where a site keeps one: held against what the job's runs metered.

Slurm counts whole nodes from the job's start to its end, also while Python starts and between two runs; windows are
what the records add up. So its figure is the greater one, and far from ours one of the two counters is wrong.
"""

import json
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from greenpose.errors import GreenPoseError
from greenpose.files import write_text
from greenpose.formatting import significant, systematic
from greenpose.ledger.phases import energy_of
from greenpose.metering import NO_ENERGY
from greenpose.quantity import worst
from greenpose.store import RunFolder
from greenpose.store.records import attempts_of, kind_of, log_of, outermost

FILE = "energy.json"
"""Where what Slurm said is kept, beside the jobs' numbers: joules of each job."""
UNDER_WAY = ("PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED", "COMPLETING")
"""States of jobs of which Slurm has not added up everything yet; the same command asks again."""


def consumed_joules(jobs: Collection[str]) -> dict[str, float]:
    """Return what Slurm says that each job drew that is over; nothing of those, or of sites, where nobody counts."""
    if shutil.which("sacct") is None or not jobs:
        return {}
    command = [
        "sacct",
        "--noheader",
        "--parsable2",
        "--format=JobID,State,ConsumedEnergyRaw",
        f"--jobs={','.join(jobs)}",
    ]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):  # no accounting here
        return {}
    found, under_way = dict[str, float](), set[str]()
    for line in said.splitlines():
        step, state, joules = (*line.split("|"), "", "")[:3]
        job = step.partition(".")[0]
        if state in UNDER_WAY:
            under_way.add(job)
        if job in jobs and joules.isdecimal() and int(joules):
            found[job] = max(found.get(job, 0.0), float(joules))  # a job's own line has the sum of its steps
    return {job: joules for job, joules in found.items() if job not in under_way}


def crosscheck(root: Path, slurm: Path, jobs: Mapping[str, str]) -> list[str]:
    """Keep in `slurm` what Slurm says of the jobs of runs below `root`, and return a sentence for each job.

    Where it cannot be kept a sentence says so: the runs are done, and nothing of theirs depends on it.
    """
    found = consumed_joules(frozenset(jobs.values()))
    sentences = [_beside(root, job, joules, jobs) for job, joules in sorted(found.items())]
    try:
        if found:
            write_text(slurm / FILE, json.dumps(_kept(slurm / FILE) | found, indent=1) + "\n")
    except GreenPoseError as error:
        sentences.append(f"what Slurm says is not kept: {error}")
    return sentences


def _beside(root: Path, job: str, joules: float, jobs: Mapping[str, str]) -> str:
    """Return what a job's runs metered, how it was obtained and how wrong it may be, beside what Slurm says."""
    logs = [log_of(RunFolder(root / name)) for name, each in jobs.items() if each == job]
    ours = sum((energy_of(outermost(log.windows)) for log in logs), NO_ENERGY)
    metered, ratio = "nothing", ""
    if ours.mid:
        kind = worst(kind_of(attempts_of(log)) for log in logs if log.windows)
        spread = systematic(ours.low / ours.mid, ours.high / ours.mid)
        metered = f"{significant(ours.mid / 3600)} Wh ({kind}, {spread})"
        ratio = f", {significant(joules / ours.mid)} times that"
    return (
        f"job {job}: the windows of its runs add up to {metered}; Slurm's own counter says "
        f"{significant(joules / 3600)} Wh (measured, spread not known){ratio}, for its whole nodes and time"
    )


def _kept(file: Path) -> dict[str, float]:
    if not file.exists():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise GreenPoseError(f"{file}: cannot be read: {error}; remove it, and what Slurm says now is kept") from None
