"""The status of a grid's runs, from their files alone: how far each is, what it took, what the rest will take.

Nobody at work is disturbed: it can be asked from another terminal, or another machine that sees the folder, as often as
one likes. Nothing is written but what Slurm says, where runs may be lost, so that it is asked once for everybody.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from greenpose.config import Experiment
from greenpose.config.accounting import Budget
from greenpose.config.training import depth_schedule
from greenpose.errors import FaultsError, GreenPoseError, RecordError
from greenpose.files import now, write_text
from greenpose.formatting import joules_to_kwh, systematic
from greenpose.ledger.energy_budget import GridBudget, run_energy, run_energy_of_record, stamp_of
from greenpose.ledger.forecast import CostOf, busy_share, joules_of, predict_training, seconds_of
from greenpose.ledger.phases import energy_of, training_windows, whole_epochs
from greenpose.metering import Log, Window, read_log
from greenpose.metering.cost_prediction import Repeated, predict_total
from greenpose.quantity import Kind, Quantity, missing, worst
from greenpose.record import Failure
from greenpose.scheduler import FOLDER, JOBS, queue_of, written
from greenpose.schema import Document, loaded
from greenpose.store import RunFolder, State, read_document, read_lines
from greenpose.store.records import attempts_of, kind_of, outermost, read_brief, read_text

PLAN = ".plan.json"
"""What `greenpose run` leaves in a folder of runs: those that it was asked for, begun or not."""
LOST = "lost"
"""A run whose process is gone without a word; the command that began it goes on with it."""
ENDED = (State.DONE.value, State.STOPPED.value)
"""States of runs that take nothing more."""
UNITS = {"energy_kwh": "kWh", "seconds": "s"}
"""What a run takes, and in what."""
_COSTS: Mapping[str, CostOf] = {
    "energy_kwh": lambda window: joules_to_kwh(joules_of(window)),
    "seconds": seconds_of,
}


class WantedRuns(Document):
    """The runs of a folder that somebody wants."""

    schema_: Literal["greenpose.plan/1"] = Field(default="greenpose.plan/1", alias="schema")
    """Version of this layout."""
    grid: str
    """Name of the grid."""
    at: str
    """UTC time when it was last asked for, ISO 8601."""
    runs: dict[str, str]
    """Experiment of each run, by the run's name, in the order in which they are to be done."""
    budget: dict[str, float] = Field(default_factory=dict)
    """Limits of each run: `energy_kwh`, `co2eq_g`, `seconds`."""
    grid_budget_kwh: float | None = None
    """What all runs of the folder may take together; None for no limit."""


def write_plan(folder: Path, grid: str, runs: Mapping[str, str], budget: Budget | GridBudget) -> None:
    """Leave in a folder of runs which of them are wanted, and what each and all of them may take.

    Raises:
        GreenPoseError: if it cannot be written.
    """
    each, whole = (budget.each, budget.energy_kwh) if isinstance(budget, GridBudget) else (budget, None)
    plan = WantedRuns(grid=grid, at=now(), runs=dict(runs), budget=each.limits, grid_budget_kwh=whole)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PLAN, plan.model_dump_json(by_alias=True, indent=2) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far one run is."""

    name: str
    """Its name, which is its folder's."""
    experiment: str
    """Its experiment; empty where its folder does not say so."""
    state: str
    """A `State`, or `lost`."""
    epoch: int = 0
    """Epochs that were trained to their end."""
    epochs: int | None = None
    """Epochs of its recipe; None where its folder does not say so."""
    ap: Mapping[int, float]
    """AP of each exit as a fraction: on the test split of a finished run, else the best on the validation split."""
    spent: Mapping[str, float]
    """What its training took so far: `energy_kwh` and `seconds`."""
    used_kwh: float = 0.0
    """What the whole run took of the grid's budget: data, tests and metering of inference on top of training."""
    expected: Mapping[str, Quantity]
    """The same for all of its training, with 95 % prediction intervals, or why that cannot be told yet."""
    budget_used: Mapping[str, float]
    """What the whole run took of each limit of its budget, as a fraction."""
    kind: Kind = "not_covered"
    """How its energy was obtained; `not_covered` before there is any."""
    factors: tuple[float, float] | None = None
    """Interval of systematic error of its energy, as factors, e.g. (0.5, 2); None where it is not known."""
    holder: str = ""
    """Who is at work on it and since when, or is to be; empty for nobody."""
    fault: str = ""
    """What could not be read, or what its last attempt said at its end; empty for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridStatus:
    """How far the runs of a folder are."""

    folder: Path
    """Where they lie."""
    runs: tuple[RunStatus, ...]
    """Those that are wanted, in the order in which they are done, then others that lie there."""
    spent: Mapping[str, float]
    """What all their trainings took so far, failed attempts included: `energy_kwh` and `seconds`."""
    expected: Mapping[str, Quantity]
    """The same when all are done one after the other, with 95 % prediction intervals."""
    budget_kwh: float | None = None
    """What all runs that lie there may take together, tests and metering of inference included; None for no limit."""
    used_kwh: float = 0.0
    """What they took so far of that."""
    fault: str = ""
    """Why it is not known which jobs are to go on with runs that are lost; empty where it is."""

    @property
    def energy_note(self) -> str:
        """Return how all that energy was obtained and how wrong it may be: `modelled, syst. ×0.35–2`."""
        told = [run for run in self.runs if run.spent["energy_kwh"]]
        factors = [run.factors for run in told if run.factors]
        spread = [systematic(min(low for low, _ in factors), max(high for _, high in factors))] if factors else []
        return ", ".join([worst(run.kind for run in told), *spread]) if told else ""

    @property
    def counts(self) -> dict[str, int]:
        """Return how many runs are in which state, in the order of their progress."""
        known = [State.DONE, State.STOPPED, State.RUNNING, State.INTERRUPTED, State.FAILED]
        names = [*(state.value for state in known), LOST, State.TODO.value]
        counted = {name: sum(run.state == name for run in self.runs) for name in names}
        return {name: number for name, number in counted.items() if number}


Seen = dict[Path, tuple[Any, RunStatus]]
"""How far runs were when they were last looked at, and what tells whether they still are."""


def status_of(folder: Path, *, seen: Seen | None = None, strays: bool = True, most: int | None = None) -> GridStatus:
    """Return how far the runs of a folder are; one whose files are damaged says so and hides none of the others.

    Who looks again and again gives the same `seen`: of the runs in it only files that have changed are read. Without
    `strays` runs are left out that lie there and that nobody wants any more. Where there are more than `most`, those
    that are done have no AP, which stands late in a record.

    Raises:
        RecordError: if there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise RecordError([f"{folder}: there is no such folder; give one of runs, e.g. runs/quick"])
    plan = _plan(folder / PLAN)
    begun = sorted(file.parent.name for file in folder.glob("*/config.yaml"))
    if not begun and not plan.runs:
        raise RecordError([f"{folder}: no run in it; give a folder of runs, e.g. runs/quick"])
    names = list(dict.fromkeys([*plan.runs, *begun]))
    beyond = "" if most is None or len(names) <= most else "phases" if plan.grid_budget_kwh is None else "train_parts"
    look = partial(_run, plan=plan, beyond=beyond)
    folders = (RunFolder(folder / name) for name in names)
    jobs, fault = _jobs_of(folder)
    runs = [_queued(look(run) if seen is None else _seen(run, plan, seen, look), jobs, folder) for run in folders]
    shown = tuple(run for run in runs if strays or run.name in plan.runs)
    spent = {name: sum(run.spent[name] for run in shown) for name in UNITS}
    expected = {name: _whole(shown, name) for name in UNITS}
    return GridStatus(
        folder=folder,
        runs=shown,
        spent=spent,
        expected=expected,
        budget_kwh=plan.grid_budget_kwh,
        used_kwh=math.fsum(run.used_kwh for run in runs),
        fault=fault,
    )


def _jobs_of(folder: Path) -> tuple[Mapping[str, str], str]:
    """Return the job of each run of a folder, as it was submitted last, or why that is not known."""
    try:
        return written(folder / FOLDER / JOBS), ""
    except GreenPoseError as error:
        return {}, str(error)


def _seen(folder: RunFolder, plan: WantedRuns, seen: Seen, look: Callable[[RunFolder], RunStatus]) -> RunStatus:
    """Return how far a run is; it is read where something has changed since it was seen."""
    files = folder.config, folder.record, folder.failure, folder.checkpoint, folder.epochs, folder.windows
    now_is = stamp_of(*files), folder.is_taken(), plan.budget, plan.grid_budget_kwh
    known = seen.get(folder.path)
    if known is None or known[0] != now_is:
        known = seen[folder.path] = now_is, look(folder)
    return known[1]


def _queued(run: RunStatus, jobs: Mapping[str, str], folder: Path) -> RunStatus:
    """Return a run as it is, or, where it would be lost but for its job, which Slurm still has, as interrupted."""
    if run.state != LOST or not queue_of(folder).keeps(jobs.get(run.name, "")):
        return run
    return replace(run, state=State.INTERRUPTED.value, holder=f"job {jobs[run.name]} is to go on with it")


def _plan(path: Path) -> WantedRuns:
    """Return what is wanted of a folder; nothing where nobody, or nobody that can be read, says so."""
    if not path.exists():
        return WantedRuns(grid="", at="", runs={})
    return loaded(WantedRuns, read_text(path), where=str(path), error=RecordError)


def _run(folder: RunFolder, plan: WantedRuns, beyond: str) -> RunStatus:
    """Return how far a run is; of a finished one's record nothing from the key `beyond` on is read."""
    experiment = plan.runs.get(folder.path.name, "")
    state = folder.state()
    shown = {"name": folder.path.name, "experiment": experiment, "state": state.value}
    if state is State.TODO:
        return _untold(shown, "it has not begun")
    try:
        if state is State.DONE:
            return _finished(folder, shown, plan, beyond)
        return _under_way(folder, state, shown, plan)
    except FaultsError as error:
        return _untold(shown, "its files cannot be read", fault=error.faults[0])
    except (GreenPoseError, OSError) as error:
        return _untold(shown, "its files cannot be read", fault=str(error))


def _untold(shown: Mapping[str, Any], why: str, *, fault: str = "") -> RunStatus:
    nothing = dict.fromkeys(UNITS, 0.0)
    expected = {name: missing(why, unit=unit) for name, unit in UNITS.items()}
    return RunStatus(**shown, spent=nothing, expected=expected, budget_used={}, ap={}, fault=fault)


def _finished(folder: RunFolder, shown: Mapping[str, Any], plan: WantedRuns, beyond: str) -> RunStatus:
    record = read_brief(folder.record, before=beyond)
    energy = record.quantity("train_energy_kwh")
    spent = {"energy_kwh": record.train_energy_kwh, "seconds": record.train_seconds}
    return RunStatus(
        **{**shown, "experiment": record.experiment},
        epoch=record.epochs,
        epochs=record.epochs,
        ap={entry.exit: entry.ap for entry in record.exits if entry.ap is not None},
        spent=spent,
        used_kwh=0.0 if plan.grid_budget_kwh is None else run_energy_of_record(record).used,
        expected={name: predict_total([], spent=used) for name, used in spent.items()},
        budget_used={},
        kind=energy.kind,
        factors=energy.factors,
    )


def _under_way(folder: RunFolder, state: State, shown: Mapping[str, Any], plan: WantedRuns) -> RunStatus:
    config = folder.experiment()
    log = read_log(folder.windows) if folder.windows.exists() else Log([], {}, [])
    epochs = list(read_lines(folder.epochs))
    trained = training_windows(log.windows)
    spent, energy = {name: sum(map(cost, trained)) for name, cost in _COSTS.items()}, energy_of(trained)
    known = {"state": LOST if state is State.STARTED else state.value, "experiment": config.name}
    return RunStatus(
        **{**shown, **known},
        epoch=max((epoch["epoch"] for epoch in epochs if isinstance(epoch.get("epoch"), int)), default=0),
        epochs=config.train.epochs,
        ap=_best(epochs),
        spent=spent,
        used_kwh=0.0 if plan.grid_budget_kwh is None else run_energy(folder).used,
        expected={name: _expected(log.windows, config, name) for name in UNITS},
        budget_used=_used(log.windows, plan.budget),
        kind=kind_of(attempts_of(log)),
        factors=(energy.low / energy.mid, energy.high / energy.mid) if energy.mid else None,
        holder=folder.holder() if state is State.RUNNING else "",
        fault=_last_words(folder) if state in (State.FAILED, State.INTERRUPTED) else "",
    )


def _best(epochs: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Return the best AP of each exit in a log of epochs."""
    best: dict[int, float] = {}
    for epoch in epochs:
        for exit_, ap in (epoch.get("ap") or {}).items():
            best[int(exit_)] = max(float(ap), best.get(int(exit_), 0.0))
    return dict(sorted(best.items()))


def _expected(windows: Sequence[Window], config: Experiment, name: str) -> Quantity:
    """Return what all of a training will take, from the epochs so far."""
    unit, done = UNITS[name], whole_epochs(windows)
    if not done:
        return missing("no epoch is done", unit=unit)
    macs, made = dict.fromkeys(config.model.exits, 1.0), config.data.synthetic
    last = max(done)
    schedule = depth_schedule(config.train, macs, images=done[last]["train"].items)
    if set(schedule[last:]) - set(schedule[:last]):
        return missing("deeper exits are still to join (train.grow), and nothing of them was trained yet", unit=unit)
    found = predict_training(
        windows,
        _COSTS[name],
        recipe=config.train,
        macs=macs,
        validated_images=made.patients.val * made.frames.val if config.data.source == "synthetic" else 0,
        cpus=busy_share(config.process),
    )
    return replace(found, unit=unit)


def _whole(runs: Sequence[RunStatus], name: str) -> Quantity:
    """Return what all trainings take: done, as forecast, and for those without a forecast as their experiment's others.

    Ends are added to ends, since the same neighbours move all of them.
    """
    told = {run.name: run.expected[name] for run in runs if run.expected[name].value is not None}
    over = [run for run in runs if run.state == ENDED[0] or (run.state in ENDED and run.name not in told)]
    total = predict_total([], spent=sum(run.spent[name] for run in over))
    by_experiment: dict[str, list[RunStatus]] = {}
    for run in runs:
        by_experiment.setdefault(run.experiment, []).append(run)
    for experiment, those in by_experiment.items():
        known = [told[run.name].known for run in those if run.name in told]
        untold = sum(run.state not in ENDED and run.name not in told for run in those)
        if untold and not known:
            return missing(f"nothing of {experiment} was trained yet", unit=UNITS[name])
        for run in those:
            if run.name in told and run.state != ENDED[0]:
                total += told[run.name]
        if untold:
            total += predict_total([Repeated(costs=known, remaining=untold)], spent=0.0)
    return replace(total, unit=UNITS[name])


def _used(windows: Sequence[Window], limits: Mapping[str, float]) -> dict[str, float]:
    """Return the part of each limit that is used; of emissions nothing is said, which take the grid's hours."""
    roots = outermost(list(windows))
    return {name: sum(map(_COSTS[name], roots)) / limit for name, limit in limits.items() if name in _COSTS}


def _last_words(folder: RunFolder) -> str:
    """Return why the last attempt ended."""
    note = read_document(folder.failure)
    return f"in {note.phase or 'start'}: {note.message}" if isinstance(note, Failure) else ""
