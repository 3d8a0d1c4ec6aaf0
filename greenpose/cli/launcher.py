"""Options of `greenpose run` that say who starts the runs, and what they are told under Slurm."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from greenpose.cli.console import gathered, note, out, print_json
from greenpose.config.accounting import Budget
from greenpose.config.grid import Grid
from greenpose.config.launcher import Launcher, launcher_of, settings_of, user_file
from greenpose.errors import GreenPoseError
from greenpose.grid import Command, Outcome, Planned
from greenpose.ledger.energy_budget import GridBudget

if TYPE_CHECKING:
    from greenpose.launch import Array

with_launcher = gathered(
    "cluster",
    dict,
    {
        "launcher": (
            str | None,
            typer.Option(help="Who starts the runs: local, slurm (an array of jobs) or script (files for sbatch)."),
        ),
        "partition": (str | None, typer.Option(help="Slurm's partition.")),
        "account": (str | None, typer.Option(help="Slurm's account.")),
        "time": (str | None, typer.Option(help="Time of a Slurm job, e.g. 12:00:00; then it goes on in the next.")),
        "parallel": (int | None, typer.Option(min=1, help="Slurm jobs at a time; each does all runs of a seed.")),
        "exclusive": (
            bool | None,
            typer.Option("--exclusive/--share", help="A whole node for a job (default), or a part of one."),
        ),
        "setup": (list[str] | None, typer.Option(help="Line of shell before a job's runs; repeatable.")),
        "slurm": (list[str] | None, typer.Option(help="Further option of sbatch, key=value; repeatable.")),
    },
)
"""Gives a command the options that `asked` takes, as its parameter `cluster`."""


def asked(
    grid: Grid, *, launcher: str | None, setup: Sequence[str] | None, slurm: Sequence[str] | None, **given: Any
) -> Launcher:
    """Return who starts the runs of a grid: the options, over the grid's section, over the user's own file.

    Raises:
        ConfigError: if the options or the file are wrong.
    """
    options = {name: value for name, value in {"kind": launcher, **given}.items() if value is not None}
    options |= {"setup": list(setup)} if setup else {}
    options |= {"slurm": settings_of(slurm)} if slurm else {}
    return launcher_of(options, grid.launcher, user_file())


def plan_line(launcher: Launcher, planned: Sequence[Planned]) -> str:
    """Return the line of a plan that says what would be asked of the cluster."""
    from greenpose.launch import blocks_of

    blocks = blocks_of(planned)
    jobs = f"{len(blocks)} jobs, each of all runs of a seed" if len(blocks) > 1 else "one job of all runs"
    return f"launcher {launcher.kind}: {jobs}: {launcher.told()}"


def array_of(runs: Path, launcher: Launcher, *, workers: int, resume: bool) -> "Array | None":
    """Return the jobs of a grid under Slurm; None where another launcher is asked for.

    Raises:
        GreenPoseError: if there is no Slurm here, or runs that are to be started anew are at work there.
    """
    if launcher.kind != "local" and workers > 1:
        raise GreenPoseError(f"--workers {workers}: is for runs on this machine; --parallel is for Slurm's jobs")
    if launcher.kind != "slurm":
        return None
    from greenpose.launch import Array

    array = Array(runs, launcher)
    if not resume and array.jobs:
        raise GreenPoseError(
            f"--fresh: runs of this grid are at work under Slurm: scancel {array.numbers} first, and wait until "
            "squeue, asked once in 30 s, has them no more"
        )
    return array


def run_array(
    array: "Array",
    console: Console,
    todo: Sequence[Planned],
    *,
    command: Command,
    budget: Budget | GridBudget,
    **told: Any,
) -> list[Outcome]:
    """Do runs under Slurm and return how each ended, as `run_all` does; Ctrl-C leaves the jobs at work."""
    if not array.launcher.exclusive:
        console.print(note("jobs share their nodes: energy is modelled from CPU time, and no exit is ranked by it"))
    try:
        told["say"] = lambda words: console.print(note(words), soft_wrap=True)
        outcomes = array.run(todo, command=command, budget=budget, **told)
    except KeyboardInterrupt:
        if array.jobs:
            parting = f"the jobs go on: the same command comes back to them, `scancel {array.numbers}` ends them"
            console.print(note(parting), soft_wrap=True)
        raise
    for sentence in array.crosscheck():
        console.print(note(sentence), soft_wrap=True)
    return outcomes


def show_scripts(todo: Sequence[Planned], runs: Path, launcher: Launcher, command: Command, *, as_json: bool) -> None:
    """Write the files for sbatch, and print what to type."""
    from greenpose.launch import write_scripts

    lines = [f"sbatch {shlex.quote(str(script))}" for script in write_scripts(todo, runs, launcher, command)]
    if as_json:
        print_json({"runs": [one.cell.name for one in todo], "type": lines})
    else:
        out().print(*lines, sep="\n", soft_wrap=True)
