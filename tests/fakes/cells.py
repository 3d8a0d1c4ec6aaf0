"""Runs of a grid whose workers are lines of shell, which submitit can start anywhere."""

import shlex
from functools import partial
from pathlib import Path

from greenpose.config import Grid, expand
from greenpose.config.accounting import Budget
from greenpose.grid import plan

SQUEUE = """#!/bin/sh
echo asked >> {place}/asked
[ -e {place}/broken ] && {{ echo "squeue: error: Unable to contact slurm controller" >&2; exit 1; }}
cat {place}/queue 2> /dev/null
for file in {place}/runs/.slurm/*_submitted.pkl; do
    job=$(basename $file _submitted.pkl)
    [ -d /proc/$job ] && ! grep -q "^State:.Z" /proc/$job/status && echo $job
done
true
"""
"""Lists the jobs of `queue`, and those of submitit's local executor that live; it notes that it was asked."""
FINISHES = "echo '{}' > record.json"
NOBODY_CARES = Budget()


def planned(root: Path, experiments: str = "A B C", seeds: int = 1):
    """Return the runs of named experiments with each seed."""
    grid = Grid(
        name="g",
        base={"carbon": {"country": "ITA"}},
        experiments={name: {} for name in experiments.split()},
        axes={"seed": [*range(1, seeds + 1)]},
    )
    return plan(expand(grid, where="g"), root)


def shell(**scripts: str):
    """Return the command of workers that do what is given for an experiment, and finish where nothing is.

    Each notes that it was started, in a file beside its folder, and works in its folder.
    """
    return partial(_command, scripts)


def _command(scripts, one, *, quiet, budget=None):
    folder = shlex.quote(str(one.folder.path.absolute()))
    script = scripts.get(one.cell.experiment, FINISHES)
    allowed = f"LIMIT={budget.energy_kwh if budget else None};"
    return [
        "/bin/sh",
        "-c",
        f"{allowed} trap '' USR2; cd {folder}; echo started >> ../starts-{one.cell.name}; {script}",
    ]


def starts(one) -> int:
    """Return how often a run was started."""
    file = one.folder.path.parent / f"starts-{one.cell.name}"
    return file.read_text().count("started") if file.exists() else 0


def fake_squeue(place: Path, monkeypatch):
    """Have a `squeue` on the PATH, which has the jobs of `queue` in a place, and none of its answers with `broken`."""
    (place / "squeue").write_text(SQUEUE.format(place=place))
    (place / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")


def asked(place: Path) -> int:
    """Return how often it was asked."""
    return (place / "asked").read_text().count("asked") if (place / "asked").exists() else 0
