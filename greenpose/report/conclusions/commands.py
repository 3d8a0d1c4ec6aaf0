"""Commands that the page tells: what runs an experiment again, with more seeds or subjects, or looks at a run."""

import shlex
from collections.abc import Iterable, Sequence

from greenpose.config.yaml_files import packaged_experiment
from greenpose.errors import ConfigError
from greenpose.formatting import shown
from greenpose.record import Record
from greenpose.report.study import Group

MOST_NAMED = 2
"""Experiments beyond which a command runs all of their grid."""
_SEEDS_IN_FULL = 4
"""Seeds beyond which a command gives them in braces, which bash and zsh expand."""


def run_folder(run: Record) -> str:
    """Return where a grid leaves a run unless it is told otherwise."""
    return shlex.quote(shown(f"runs/{run.grid}/{run.name}"))


def of_run(command: str, run: Record, options: str = "") -> str:
    """Return a command about a run; none about a loop that is not ours, of which it would know nothing."""
    return "" if run.own else f"greenpose {command} {run_folder(run)} {options}".strip()


def run_again(groups: Sequence[Group], setting: str = "", *, seeds: Iterable[int] = ()) -> str:
    """Return the command that runs a grid's experiments again, all where they are many, with their seeds or others.

    Only their own program can run loops again that are not ours: then there is none.
    """
    runs = [run for group in groups for run in group.runs]
    if any(run.own for run in runs):
        return ""
    names = dict.fromkeys(run.experiment for run in runs)
    only = [f"--only {shlex.quote(shown(name))}" for name in names] if len(names) <= MOST_NAMED else []
    told = sorted({*seeds} or {run.seed for run in runs if "seed" in run.axes})
    changed = [f"--set {setting}"] if setting else []
    return " ".join(["greenpose run", grid_file(runs[0].grid), *only, *_seeds(told), *changed])


def run_more(groups: Sequence[Group], unit: str, count: int) -> str:
    """Return the command that runs more seeds, or tests more subjects; those of a folder are the user's to add."""
    first = groups[0].runs[0]
    if unit == "seed":
        last = max(run.seed for group in groups for run in group.runs)
        return run_again(groups, seeds=range(last + 1, last + count + 1))
    subjects = first.subjects.get("test", 0)
    if first.dataset.get("source") != "synthetic" or not subjects:
        return run_again(groups)
    return run_again(groups, f"data.synthetic.patients.test={subjects + count}")


def _seeds(seeds: Sequence[int]) -> list[str]:
    if len(seeds) <= _SEEDS_IN_FULL:
        return [f"--seed {seed}" for seed in seeds]
    together = seeds[-1] - seeds[0] == len(seeds) - 1
    return [f"--seed={{{f'{seeds[0]}..{seeds[-1]}' if together else ','.join(map(str, seeds))}}}"]


def grid_file(grid: str) -> str:
    """Return what names a grid's file: its shipped name, else what it would be called."""
    try:
        packaged_experiment(grid)
    except ConfigError:
        return shlex.quote(shown(f"{grid}.yaml"))
    return grid
