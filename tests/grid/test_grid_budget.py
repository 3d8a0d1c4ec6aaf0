"""A grid's budget, held to the sum of what its runs have written into their logs of windows.

The workers of these tests work by a fake clock, while they are started; a second of it takes a UNIT of energy.
"""

import json
import sys

import pytest

from greenpose.config import Grid, expand
from greenpose.config.accounting import Budget
from greenpose.errors import GreenPoseError
from greenpose.formatting import joules_to_kwh
from greenpose.grid import handing_out, plan, run_all
from greenpose.ledger.energy_budget import GridBudget
from greenpose.record import Phase
from greenpose.scheduler import Queue
from greenpose.status import PLAN, status_of, write_plan
from greenpose.store import RunFolder, State
from tests.fakes.cells import fake_squeue
from tests.fakes.meters import TickingClock, TickingSource, metering
from tests.report.records import record

WATTS = 36.0
UNIT = WATTS / 3.6e6
DATA, EPOCH, TEST, MEASURE, EPOCHS = 1.0, 3.0, 2.0, 2.0, 4
BEYOND = DATA + TEST + MEASURE
WHOLE = EPOCHS * EPOCH + BEYOND


def budget_of(root, units, **more):
    return GridBudget(root=root, energy_kwh=units * UNIT, **more)


def planned(root, seeds=5, experiments="A"):
    grid = Grid(
        name="g",
        base={"carbon": {"country": "ITA"}},
        experiments={name: {} for name in experiments.split()},
        axes={"seed": [*range(seeds)]},
    )
    return plan(expand(grid, where="g"), root)


class Workers:
    """Starts workers that train by their budget as real ones do, and keeps what each was given."""

    def __init__(self, *, dying=(), lasting=0.0):
        self.given, self._dying, self._lasting = {}, set(dying), lasting

    def __call__(self, one, *, quiet, budget):
        del quiet
        name, folder = one.cell.name, one.folder
        self.given[name] = budget
        dies = name in self._dying
        self._dying.discard(name)
        if not dies:
            folder.shelve_failure()
            folder.shelve_record()
        used, ended = self._work(folder, budget.energy_kwh / UNIT, dies=dies)
        if not dies:
            _leave_record(one, used, budget, ended)
        script = f"import sys, time; time.sleep({self._lasting}); sys.exit({int(dies)})"
        return [sys.executable, "-c", script]

    def _work(self, folder, limit, *, dies):
        used = units_in(folder)
        clock = TickingClock()
        with metering(clock, TickingSource(clock, watts=WATTS), log=folder.windows) as meter:

            def spend(name, units):
                with meter.window(name, items=1):
                    clock.advance(units)

            spend("data", DATA)
            used, epoch, ended = used + DATA, epochs_in(folder), False
            while epoch < EPOCHS and not ended:
                epoch += 1
                spend(f"train/epoch {epoch}", EPOCH)
                used += EPOCH
                if dies:
                    return used, "died"
                ended = epoch < EPOCHS and used + EPOCH > limit
            spend("test", TEST)
            spend("inference", MEASURE)
        return used + TEST + MEASURE, "budget" if ended else "epochs"


def _leave_record(one, used, budget, ended):
    trained = epochs_in(one.folder) * EPOCH
    energies = {"train": (trained, epochs_in(one.folder)), "test": (used - trained, 1)}
    nothing = {"seconds": 1.0, "cpu_seconds": 1.0, "energy_kwh_by_component": {}, "basis": {}}
    phases = [Phase(name=name, energy_kwh=kwh * UNIT, windows=n, **nothing) for name, (kwh, n) in energies.items()]
    about = {"name": one.cell.name, "phases": phases, "stopped": ended, "budget": budget.limits}
    if ended == "budget":
        one.folder.checkpoint.touch()
    one.folder.write_record(record(one.cell.experiment, **about))


def lines_in(folder):
    if not folder.windows.exists():
        return []
    return [line for line in map(json.loads, folder.windows.read_text().splitlines()) if "name" in line]


def units_in(folder):
    """What a run took, in units, from the lines of its log."""
    return sum(joules_to_kwh(line["joules"]["cpu"][1]) / UNIT for line in lines_in(folder) if line["parent"] is None)


def epochs_in(folder):
    return sum(line["name"].startswith("train/") for line in lines_in(folder))


def spent(root):
    return sum(units_in(RunFolder(path.parent)) for path in root.glob("*/config.yaml"))


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("limit", [18, 25, 26, 34, 40, 42, 43, 51, 59, 60, 85, 86, 1000])
def test_a_grid_is_ended_before_its_budget_is_passed_and_no_later_than_it_must(tmp_path, limit, workers):
    outcomes = run_all(
        planned(tmp_path),
        command=Workers(lasting=0.0 if workers == 1 else 0.2),
        workers=workers,
        budget=budget_of(tmp_path, limit),
    )
    assert len(outcomes) == 5
    undone = [outcome for outcome in outcomes if outcome.undone]
    total = spent(tmp_path)
    assert total <= limit + (workers - 1) * BEYOND  # of those begun together nobody knew what tests take
    if workers > 1:  # one may stop at its part, and be gone on with by the same command
        return
    assert total > limit - (BEYOND + EPOCH + EPOCH) or not undone
    assert {outcome.state for outcome in outcomes} <= {State.DONE, State.STOPPED, State.TODO}
    cut = undone or any(outcome.state is State.STOPPED for outcome in outcomes)
    assert bool(cut) == (limit < 5 * WHOLE + DATA)  # which is held back with what tests take


def test_what_is_undone_is_said_with_how_much_is_used_and_nothing_of_it_is_begun(tmp_path):
    outcomes = run_all(planned(tmp_path), command=Workers(), budget=budget_of(tmp_path, 60))
    assert [outcome.state for outcome in outcomes] == [*[State.DONE] * 3, State.STOPPED, State.TODO]
    assert [bool(outcome.undone) for outcome in outcomes] == [False] * 4 + [True]
    assert outcomes[-1].undone == "of the grid's budget of 0.000600 kWh, 0.000590 kWh are used"
    assert outcomes[-1].code == 0
    assert not outcomes[-1].planned.folder.path.exists()
    assert outcomes[3].planned.folder.checkpoint.exists()
    assert spent(tmp_path) == pytest.approx(59)


def test_the_same_budget_again_begins_nothing_and_a_higher_one_goes_on(tmp_path):
    def again(limit):
        return run_all(planned(tmp_path), command=workers, budget=budget_of(tmp_path, limit))

    workers = Workers()
    again(60)
    workers.given.clear()
    before = spent(tmp_path)
    assert [bool(outcome.undone) for outcome in again(60)] == [False] * 4 + [True]
    assert (workers.given, spent(tmp_path)) == ({}, before)
    outcomes = again(100)
    assert {outcome.state for outcome in outcomes} == {State.DONE}
    went_on, _ = (budget.energy_kwh / UNIT for budget in workers.given.values())
    assert went_on == pytest.approx(100 - 3 * WHOLE - BEYOND)  # of what it took before nothing is asked twice
    assert spent(tmp_path) == pytest.approx(5 * WHOLE + BEYOND)  # the fourth was begun twice, and trained once


def test_failed_attempts_and_what_lies_there_from_before_count(tmp_path):
    every = planned(tmp_path, seeds=4)
    first = every[0].cell.name
    budget = budget_of(tmp_path, 3 * WHOLE)
    outcomes = run_all(every, command=Workers(dying=[first]), budget=budget)
    assert outcomes[0].state is State.FAILED
    assert budget.used / UNIT == pytest.approx(spent(tmp_path))
    assert units_in(every[0].folder) == pytest.approx(DATA + EPOCH)
    assert [outcome.state for outcome in outcomes[1:]] == [State.DONE, State.DONE, State.STOPPED]
    assert spent(tmp_path) <= 3 * WHOLE
    run_all(every[:1], command=Workers(), budget=budget_of(tmp_path, 1000))
    assert budget.used / UNIT == pytest.approx(spent(tmp_path))


def test_a_run_gets_the_lower_of_its_own_budget_and_of_what_is_left_without_what_tests_will_take(tmp_path):
    workers = Workers()
    each = Budget(energy_kwh=20 * UNIT, seconds=9.0)
    run_all(planned(tmp_path), command=workers, budget=budget_of(tmp_path, 60, each=each))
    given = [budget.energy_kwh / UNIT for budget in workers.given.values()]
    assert given == pytest.approx([20, 20, 20, 60 - 3 * WHOLE - BEYOND])
    assert {budget.seconds for budget in workers.given.values()} == {9.0}


def test_those_that_begin_together_share_what_is_left(tmp_path):
    workers = Workers(lasting=0.5)
    run_all(planned(tmp_path, seeds=2), command=workers, workers=2, budget=budget_of(tmp_path, 100))
    first, second = (budget.energy_kwh / UNIT for budget in workers.given.values())
    assert first == pytest.approx(50)
    assert second == pytest.approx(50 - 2 * BEYOND)  # the first, done as it began, had told by then what tests take


def test_of_its_own_experiment_is_asked_first_what_tests_take(tmp_path):
    dear, cheap = planned(tmp_path, seeds=1, experiments="A B")
    run_all([dear, cheap], command=Workers(), budget=budget_of(tmp_path, 1000))
    phases = [
        Phase(name="test", energy_kwh=500 * UNIT, windows=1, seconds=1, cpu_seconds=1, energy_kwh_by_component={})
    ]
    dear.folder.write_record(record("A", name=dear.cell.name, phases=phases))
    budget = budget_of(tmp_path, 1000)
    left = 1000 - 500 - WHOLE
    for experiment, held in (("A", 500), ("B", BEYOND), ("C", 500)):
        share = budget.share(RunFolder(tmp_path / "new"), experiment, granted={})
        assert (share.energy_kwh / UNIT if share else None) == (pytest.approx(left - held) if left > held else None)


def test_blocks_that_do_not_hear_of_one_another_get_parts_that_are_no_more_than_the_whole(tmp_path):
    every = planned(tmp_path, seeds=3, experiments="A B")
    budget = budget_of(tmp_path, 100)
    run_all(every[:1], command=Workers(), budget=budget)
    blocks = [[one.cell.name for one in every if one.cell.config.seed == seed] for seed in range(3)]
    blocks[2].pop()
    parts = budget.divided(blocks)
    assert sum(part.energy_kwh for part in parts) == pytest.approx(100 * UNIT)
    left = 100 - WHOLE
    shares = [part.energy_kwh / UNIT for part in parts]
    assert shares == pytest.approx([WHOLE + 2 * left / 5, 2 * left / 5, left / 5])
    for part, block in zip(parts, blocks, strict=True):
        run_all([one for one in every if one.cell.name in block], command=Workers(), budget=part)
        assert part.used / UNIT == pytest.approx(sum(units_in(RunFolder(tmp_path / name)) for name in block))
    assert spent(tmp_path) <= 100


def test_a_grids_budget_is_handed_out_by_one_command_at_a_time_and_not_while_jobs_have_parts_of_it(
    tmp_path, monkeypatch
):
    fake_squeue(tmp_path, monkeypatch)
    budget, wanted = budget_of(tmp_path, 60), "--grid-budget-kwh: {} may take what is left"
    other = wanted.format(r"another command \(.*, process \d+, since .*\)")
    with (
        handing_out(budget),
        handing_out(Budget()),  # what each run has for itself is nobody else's
        pytest.raises(GreenPoseError, match=other),
        handing_out(budget),
    ):
        pass
    (tmp_path / ".slurm").mkdir()
    (tmp_path / ".slurm/parts.json").write_text('{"7_0": [1.0, []], "7_1": [1.0, []]}')
    (tmp_path / "queue").write_text("7_1\n")
    with pytest.raises(GreenPoseError, match=wanted.format("Slurm's jobs 7_1")), handing_out(budget):
        pass
    (tmp_path / ".slurm/queue.json").unlink()
    (tmp_path / "queue").write_text("8\n")
    monkeypatch.setattr("greenpose.grid.queue_of", Queue)
    with handing_out(budget):
        assert budget.left > 0


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_allows_nothing_is_refused(tmp_path, limit):
    with pytest.raises(GreenPoseError, match="for the grid: must be a number above zero"):
        budget_of(tmp_path, limit)


def test_status_tells_what_of_it_is_used_by_all_that_lies_there(tmp_path):
    every = planned(tmp_path)
    budget = budget_of(tmp_path, 60, each=Budget(seconds=5))
    write_plan(tmp_path, "g", {one.cell.name: "A" for one in every[1:]}, budget)
    run_all(every, command=Workers(), budget=budget)
    found = status_of(tmp_path, strays=False)
    assert (len(found.runs), found.budget_kwh) == (4, 60 * UNIT)
    assert found.used_kwh / UNIT == pytest.approx(spent(tmp_path))
    plan_ = json.loads((tmp_path / PLAN).read_text())
    assert (plan_["budget"], plan_["grid_budget_kwh"]) == ({"seconds": 5}, 60 * UNIT)
