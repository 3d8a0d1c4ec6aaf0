"""`greenpose run`: an experiment or a grid, from data to report.

It starts the same command so many times. The first of them does all the work, and starts a process for each other one
itself, as its children: only so does its meter see what they cost. The others have nothing to do.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from greenpose.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_RUNS_FAILED,
    EXIT_USAGE,
    PLAIN,
    Manner,
    err,
    note,
    out,
    print_json,
    with_manners,
)
from greenpose.cli.launcher import (
    array_of,
    asked,
    plan_line,
    run_array,
    show_scripts,
    with_launcher,
)
from greenpose.cli.progress import FINE, GridProgress, LiveGrid, RunProgress, at_work, grid_table, numbers, told_of
from greenpose.cli.report import Asked, write_page
from greenpose.cli.start_time import AT_ONCE, CleanHours, StartOptions, begun, clean_hours, in_its_hours, with_start
from greenpose.cli.status import budget_line
from greenpose.cli.subject import (
    CountryOption,
    DeviceOption,
    FileArgument,
    GridOption,
    OnlyOption,
    SeedOption,
    SetOption,
    as_written,
    changes,
    find_cells,
    relabelled,
    start_again_pinned,
)
from greenpose.config.accounting import Budget
from greenpose.config.grid import Cell, shuffled
from greenpose.config.launcher import Launcher
from greenpose.errors import DataError, GreenPoseError, RecordError, said
from greenpose.formatting import listed, plural
from greenpose.grid import TIED, Command, Outcome, Planned, handing_out, plan, run_all, set_aside, worker_command
from greenpose.ledger.energy_budget import GridBudget
from greenpose.status import write_plan
from greenpose.store import RunFolder, State, read_document
from greenpose.tables import terminal_table

if TYPE_CHECKING:
    from greenpose.trackers import Following


def is_spare(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun started this process, and another one for the work."""
    return int(environ.get("RANK", "0")) > 0


def replicas(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return torchrun's number of processes as a `--set` option; none where torchrun started nothing."""
    size, here = (int(environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size != here:
        raise GreenPoseError(
            f"torchrun: {size} processes on several machines; GreenPose meters one: use --nnodes 1 --nproc-per-node N"
        )
    return [f"process.replicas={size}"] if size > 1 else []


OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for runs and page. Default: runs/NAME and reports/.")
]
LogOption = Annotated[
    list[str] | None,
    typer.Option(help="Tell a tracker, offline: mlflow:DIR, tensorboard:DIR or wandb:DIR; repeatable."),
]
MOST_LINES = 500
"""Runs of which the plan has a line each; of more, those that are done or have not begun are counted."""
QUIET = (State.DONE, State.TODO)
GridBudgetOption = Annotated[
    float | None, typer.Option(help="End the grid before the runs of its folder have taken this together.")
]


@with_manners
@with_start
@with_launcher
def run(
    file: FileArgument = None,
    grid: GridOption = False,
    where: OutOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time; more than one blurs energy and time.")] = 1,
    seed: SeedOption = None,
    settings: SetOption = None,
    only: OnlyOption = None,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Skip finished runs, or start anew.")] = True,
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="Go on with runs begun on another machine.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, run nothing.")] = False,
    budget_kwh: Annotated[float | None, typer.Option(help="End training of each run before this is passed.")] = None,
    budget_gco2: Annotated[float | None, typer.Option(help="The same for emissions, in gCO2eq.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="The same for wall time.")] = None,
    grid_budget_kwh: GridBudgetOption = None,
    country: CountryOption = None,
    device: DeviceOption = None,
    log: LogOption = None,
    make_report: Annotated[bool, typer.Option("--report/--no-report", help="Render the page at the end.")] = True,
    cluster: Mapping[str, Any] = MappingProxyType({}),
    start: StartOptions = AT_ONCE,
    manner: Manner = PLAIN,
) -> None:
    """Train, evaluate, meter and record; then render the report and print its path.

    Finished runs are skipped, killed ones go on where they were, failed ones are tried again, and those that stopped
    at their budget go on when it is raised.

    Examples:
      greenpose run --grid experiments/quick.yaml
      greenpose run experiments/openfield.yaml --set data.root=DIR --seed 1 --seed 2
    """
    if is_spare():
        return
    console = err(quiet=manner.quiet)
    budget = Budget(energy_kwh=budget_kwh, co2eq_g=budget_gco2, seconds=budget_seconds)
    chosen = [*(settings or []), *changes(country=country, device=device), *replicas()]
    with as_written(settings):
        found, cells = find_cells(file, console, as_grid=grid, settings=chosen, seeds=seed or [])
    launch, name = asked(found, **cluster), found.name
    runs, page = where or Path("runs") / name, (where or Path("reports")) / f"{name}.html"
    shared = _shared(runs, grid_budget_kwh, budget, launch)
    planned = _planned(cells, runs, only or [], resume=resume)
    words = _words(file, chosen, seed or [], only or [], grid=grid, quiet=manner.quiet)
    when = clean_hours(start, planned, resume=resume, launcher=launch, workers=workers, words=words)
    launch = begun(launch, when)
    if dry_run:
        _show_plan(planned, launch, shared, when, as_json=manner.json)
        return
    array = array_of(runs, launch, workers=workers, resume=resume)
    if not resume:
        planned = [set_aside(one) for one in planned]
    following = _following(log or [])
    write_plan(runs, name, {one.cell.name: one.cell.experiment for one in planned}, shared or budget)
    command = partial(worker_command, verbose=manner.verbose, budget=budget, elsewhere=elsewhere)
    todo = _todo(planned, budget, console, watched=array.jobs if array else ())
    if launch.kind == "script":
        show_scripts(todo, runs, launch, command, as_json=manner.json)
        return
    progress = _progress(runs, console, (len(todo), len(planned)), following, elsewhere=array is not None)
    do = partial(run_array, array, console) if array else _here(manner, progress, workers=min(workers, len(todo)))
    do = partial(in_its_hours(do, when, launch, console), command=command, budget=shared or budget)
    outcomes = _run(todo, do, progress)
    damaged = _write_report(plan(cells, runs), page, name) if make_report else []
    _conclude(planned, outcomes, page if make_report else None, console, damaged, when, as_json=manner.json)


def _planned(cells: Sequence[Cell], runs: Path, only: Sequence[str], *, resume: bool) -> list[Planned]:
    """Return the runs of a grid that are asked for, in the order in which they are done.

    Raises:
        DataError: if they are to go on with labels that have changed since.
    """
    planned = plan(shuffled([*cells]), runs, only=only)
    if resume and (faults := relabelled(planned)):
        raise DataError(faults)
    return planned


def _shared(runs: Path, limit_kwh: float | None, each: Budget, launcher: Launcher) -> GridBudget | None:
    """Return the budget of all runs of a folder; None where there is none.

    Raises:
        GreenPoseError: if it allows nothing, or runs would be started that do not hear of one another.
    """
    if limit_kwh is None:
        return None
    if launcher.kind == "script":
        raise GreenPoseError(
            "--grid-budget-kwh: files for sbatch start runs that do not hear of one another; use --launcher slurm, or "
            "--budget-kwh for each run"
        )
    return GridBudget(root=runs, energy_kwh=limit_kwh, each=each)


def _progress(
    runs: Path, console: Console, counts: tuple[int, int], following: "Following | None", *, elsewhere: bool
) -> GridProgress:
    """Return what tells of runs, so many of all that are planned: on a terminal live where they are several."""
    live = LiveGrid(runs, console, holders=elsewhere) if counts[0] > 1 and LiveGrid.fits(console) else None
    return GridProgress(console, counts, live=live, following=following)


def _here(manner: Manner, progress: GridProgress, *, workers: int) -> Callable[..., list[Outcome]]:
    """Return what does runs on this machine, after a note where it does several at a time."""
    if workers > 1:
        progress.console.print(note("runs at the same time share this machine: their energy and time blur"))
    hushed = manner.quiet or (manner.json and not manner.verbose)
    hear = partial(progress.live.hear, verbose=manner.verbose) if progress.live else None

    def do(todo: list[Planned], *, command: Command, budget: Budget | GridBudget, **told: Any) -> list[Outcome]:
        def told_apart(one: Planned, *, quiet: bool, **more: Any) -> list[str]:
            return command(one, quiet=quiet or hushed, **more)

        with handing_out(budget):
            return run_all(todo, workers=workers, command=told_apart, budget=budget, hear=hear, **told)

    return do


def _words(
    file: Path | None, settings: Sequence[str], seeds: Sequence[int], only: Sequence[str], **flags: bool
) -> list[str]:
    """Return what says to another command which runs are meant."""
    named = [*(f"--{flag}" for flag, given in flags.items() if given), *([str(file)] if file else [])]
    options = {"set": settings, "seed": seeds, "only": only}
    return [*named, *(f"--{option}={value}" for option, values in options.items() for value in values)]


def _show_plan(
    planned: list[Planned], launcher: Launcher, shared: GridBudget | None, when: CleanHours | None, *, as_json: bool
) -> None:
    elsewhere = launcher.kind != "local"
    if as_json:
        document: dict[str, Any] = {"runs": [_line(one) for one in planned]}
        document |= {"launcher": launcher.model_dump()} if elsewhere else {}
        document |= {"grid_budget": {"energy_kwh": shared.energy_kwh, "used_kwh": shared.used}} if shared else {}
        print_json(document | ({"start": when.document()} if when else {}))
        return
    brief = len(planned) > MOST_LINES
    shown = [one for one in planned if not (brief and one.state in QUIET)]
    rows = [(one.cell.name, one.state.value, str(one.folder.path)) for one in shown]
    if rows:
        out().print(terminal_table(("run", "state", "folder"), rows))
    if brief:
        counts = Counter(one.state.value for one in planned)
        out().print(
            f"{plural(len(planned), 'run')}: {listed([f'{number} {state}' for state, number in counts.items()])}"
        )
    if elsewhere:
        out().print(plan_line(launcher, planned), soft_wrap=True)
    if shared:
        out().print(budget_line(shared.energy_kwh, shared.used), soft_wrap=True)
    if when:
        out().print(when.first(), soft_wrap=True)


def _todo(planned: list[Planned], budget: Budget, console: Console, watched: Collection[str]) -> list[Planned]:
    """Return the runs that are to be done now, or that jobs which are `watched` do; say why the others are not."""
    todo = []
    for one in planned:
        name = one.cell.name
        if one.damage:
            console.print(note(f"{one.damage}; what is run anew writes it anew"), soft_wrap=True)
        if one.state is State.RUNNING and name not in watched:
            console.print(note(f"{name} is left alone: {at_work(one)}"), soft_wrap=True)
        elif one.state is State.STOPPED and not one.folder.may_go_on(budget):
            console.print(note(f"{name} stopped at its budget; a higher one lets it go on"))
        elif one.state is State.DONE:
            one.folder.tidy()
        else:
            todo.append(one)
            if why := _why_trained(one):
                console.print(note(f"{name} {why}"), soft_wrap=True)
    done = sum(one.state is State.DONE for one in planned)
    if done:
        console.print(f"{done} of {len(planned)} runs done already; --fresh runs them again")
    return todo


def _why_trained(one: Planned) -> str:
    """Return why a run is trained anew, or is not, though a run much like it lies beside it; empty where none does."""
    if one.trained_in:
        return (
            f"differs from {one.trained_in['run']} in accounting, metering or test alone: it is accounted from those "
            "windows, tested and measured, not trained; --fresh trains it"
        )
    return f"{one.anew}, so it is trained from the first epoch" if one.anew else ""


def _following(asked: Sequence[str]) -> "Following | None":
    """Return what tells trackers of the runs; None where none was asked for.

    Raises:
        GreenPoseError: if one of them cannot be told anything.
    """
    if not asked:
        return None
    from greenpose.trackers import Following, opened

    return Following({each: opened(each) for each in asked})


def _run(todo: list[Planned], run_them: Callable[..., list[Outcome]], progress: GridProgress) -> list[Outcome]:
    try:
        with progress:
            return run_them(todo, started=progress.started, ended=progress.ended, watch=progress.watch)
    except KeyboardInterrupt:
        progress.console.print("interrupted; what was measured is kept, and the same command goes on from there")
        raise


def _write_report(grid: list[Planned], page: Path, name: str) -> list[str]:
    """Render the page of all runs of this grid that left something, and of nothing else in its folder.

    Returns what cannot be read, and is left out.
    """
    files = [file for one in grid for file in (one.folder.record, one.folder.failure) if file.exists()]
    left: list[Path] = []
    faults: list[str] = []
    for file in {file.parent: file for file in reversed(files)}.values():
        try:
            read_document(file)
            left.append(file)
        except RecordError as error:
            faults.append(f"{said(error)}; it is left out of the page, and --fresh runs it again")
    write_page(Asked(runs=tuple(left), output=page, title=name))
    return faults


def _conclude(
    planned: list[Planned],
    outcomes: list[Outcome],
    page: Path | None,
    console: Console,
    damaged: list[str],
    when: CleanHours | None,
    *,
    as_json: bool,
) -> None:

    for fault in damaged:
        err().print(note(fault, "error"), soft_wrap=True)
    ended = {outcome.planned.cell.name: outcome for outcome in outcomes}
    results = [(one, _missing(one, ended.get(one.cell.name))) for one in planned]
    undone = [outcome for outcome in outcomes if outcome.undone]
    if undone:
        names = listed([outcome.planned.cell.name for outcome in undone])
        higher = "a higher --grid-budget-kwh goes on with what is left"
        console.print(note(f"{undone[-1].undone}; not begun: {names}; {higher}"), soft_wrap=True)
    if as_json:
        document = {"runs": [_result(one, missing) for one, missing in results], "report": page and str(page)}
        print_json(document | ({"start": when.document()} if when else {}))
    else:
        if len(planned) > 1:
            rows = [(one.cell.name.rpartition("-")[0], one.folder, missing) for one, missing in results]
            console.print(grid_table(rows), "")
        if page:
            out().print(str(page), soft_wrap=True)
    if damaged or any(outcome.state not in FINE for outcome in outcomes if not outcome.undone):
        raise typer.Exit(EXIT_RUNS_FAILED)


def _missing(one: Planned, outcome: Outcome | None) -> str:
    """Return why a run left no record that can be read, with how it ended; empty where it left one."""
    state = one.folder.state()
    if state is State.RUNNING:
        return at_work(one)
    if outcome and outcome.undone:
        return "not begun: the grid's budget does not bear it"
    if state not in FINE:
        return f"{state.value}: {told_of(outcome)}" if outcome else state.value
    try:
        numbers(one.folder)
    except GreenPoseError as error:
        return said(error)
    return ""


def _result(one: Planned, missing: str) -> dict[str, Any]:

    return _line(one) | ({"missing": missing} if missing else numbers(one.folder))


def _line(one: Planned) -> dict[str, Any]:
    return {"name": one.cell.name, "state": one.folder.state().value, "folder": str(one.folder.path)}


@with_manners
def worker(
    folder: Annotated[Path, typer.Argument(help="A run folder with its config.yaml.")],
    budget_kwh: Annotated[float | None, typer.Option()] = None,
    budget_gco2: Annotated[float | None, typer.Option()] = None,
    budget_seconds: Annotated[float | None, typer.Option()] = None,
    elsewhere: Annotated[bool, typer.Option()] = False,
    manner: Manner = PLAIN,
) -> None:
    """Do the run whose configuration lies in a folder; why it ended early stands in its failure.json."""
    tied = bool(os.environ.pop(TIED, ""))
    if tied:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm sends it to all of a job, whose block then stops us
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if not tied:  # else who started us has pinned us
            start_again_pinned(RunFolder(folder).experiment().process)
        from greenpose.run import execute

        with RunProgress(err(quiet=manner.quiet), verbose=manner.verbose) as progress:
            budget = Budget(energy_kwh=budget_kwh, co2eq_g=budget_gco2, seconds=budget_seconds)
            execute(RunFolder(folder), observer=progress, budget=budget, elsewhere=elsewhere)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except GreenPoseError as error:
        run = RunFolder(folder)
        if not (run.failure.exists() or (tied and run.is_taken())):  # else who started us says so
            err(quiet=manner.quiet).print(Text(f"      {said(error)}"), soft_wrap=True)
        raise typer.Exit(EXIT_USAGE) from None


def _end_with_parent() -> None:
    """Ask this process to stop when the one that started it is gone, however it went: its pipe ends then."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
