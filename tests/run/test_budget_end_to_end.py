"""A run that is given a budget, through the command line: it stops, waits, goes on and ends as its user says."""

from pathlib import Path
from typing import NamedTuple

import pytest

from greenpose.record import Record
from greenpose.store import RunFolder, State, collect, pictures, read_lines
from tests.cli.running import Done, greenpose
from tests.run.tiny import write_grid

LONG = ("--set", "train.epochs=8", "--set", "train.validate_every=4")


def run(workplace: Path, *budget: object) -> Done:
    """Run one experiment of the tiny grid for 8 epochs, or as long as its budget bears."""
    done = greenpose("run", "--grid", "tiny.yaml", "--only", "HRNet2", *LONG, "--no-report", *budget, cwd=workplace)
    assert "Traceback" not in done.err
    return done


class PhaseTracker(NamedTuple):
    """What a command said, and what it left."""

    done: Done
    record: Record
    epochs: list[int]
    state: State
    files: set[str]


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> dict[str, PhaseTracker]:
    """One run: with a budget too small for one epoch, the same again, one that is twice as large, and none."""
    workplace = tmp_path_factory.mktemp("budget")
    write_grid(workplace)

    def stage(*budget: object) -> PhaseTracker:
        done = run(workplace, *budget)
        (folder,) = (RunFolder(path) for path in (workplace / "runs" / "tiny").glob("*-*"))
        (record,) = collect([folder.record])
        assert isinstance(record, Record)
        assert len(pictures([folder.path])) == 1, "its picture is that of its last record"
        epochs = [line["epoch"] for line in read_lines(folder.epochs)]
        return PhaseTracker(done, record, epochs, folder.state(), {path.name for path in folder.path.iterdir()})

    return {
        "small": stage("--budget-gco2", 1e-6),
        "same": stage("--budget-gco2", 1e-6),
        "larger": stage("--budget-seconds", 1e6, "--budget-gco2", 2e-6),
        "none": stage(),
    }


def test_a_budget_too_small_for_one_epoch_is_said_to_be_used_after_the_first(stages):
    small = stages["small"]
    assert small.done.code == 0
    assert small.epochs == [1]
    assert "training ends here: budget of 0.00000100 gCO2eq: " in small.done.err
    assert "gCO2eq are used already; its checkpoint is kept" in small.done.err
    assert "stopped at its budget" in small.done.err


def test_a_run_that_stops_is_validated_tested_and_recorded_as_stopped(stages):
    record = stages["small"].record
    assert (record.stopped, record.epochs, record.attempts) == ("budget", 1, 1)
    assert record.budget == {"co2eq_g": 1e-6}
    assert record.exits[0].ap is not None
    assert record.exits[0].energy_j_per_image is not None
    assert stages["small"].state is State.STOPPED
    assert {"checkpoint.pt", "best-exit2.safetensors", "record.json", "predictions.png"} <= stages["small"].files


def test_the_same_budget_again_leaves_it_alone_and_says_what_would_not(stages):
    same = stages["same"]
    assert same.done.code == 0
    assert "stopped at its budget; a higher one lets it go on" in same.done.err
    assert same.record == stages["small"].record


def test_a_larger_budget_lets_it_go_on_from_its_checkpoint_and_counts_what_was_used_before(stages):
    before, after = stages["same"].record, stages["larger"].record
    assert stages["larger"].done.code == 0
    assert stages["larger"].epochs == [1, 2]
    assert (after.stopped, after.epochs, after.attempts) == ("budget", 2, 2)
    assert after.budget == {"co2eq_g": 2e-6, "seconds": 1e6}
    assert after.train_energy_kwh > before.train_energy_kwh
    assert "record-1.json" in stages["larger"].files


def test_without_a_budget_it_goes_on_to_its_end(stages):
    last = stages["none"]
    assert last.done.code == 0
    assert (last.record.stopped, last.record.epochs) == ("epochs", 8)
    assert last.epochs == list(range(1, 9))
    assert last.state is State.DONE
    assert "checkpoint.pt" not in last.files


def test_a_budget_of_nothing_is_refused(tmp_path):
    write_grid(tmp_path)
    done = run(tmp_path, "--budget-kwh", 0)
    assert done.code == 2
    assert "budget of 0 kWh: must be a number above zero" in done.err


@pytest.fixture(scope="module")
def grid_stages(tmp_path_factory) -> dict[str, tuple[Done, dict[str, State]]]:
    """Two experiments: with a grid's budget that the first one's first epoch takes, the same again, and one for all."""
    workplace = tmp_path_factory.mktemp("grid-budget")
    write_grid(workplace)

    def stage(*budget: object) -> tuple[Done, dict[str, State]]:
        done = greenpose("run", "--grid", "tiny.yaml", "--no-report", *budget, cwd=workplace)
        assert "Traceback" not in done.err
        folders = [RunFolder(path) for path in sorted((workplace / "runs" / "tiny").glob("*-*"))]
        return done, {folder.path.name: folder.state() for folder in folders}

    return {
        "small": stage("--grid-budget-kwh", 1e-9),
        "plan": stage("--grid-budget-kwh", 1e-9, "--dry-run", "--json"),
        "same": stage("--grid-budget-kwh", 1e-9, "--json"),
        "larger": stage("--grid-budget-kwh", 1.0),
        "workplace": (greenpose("status", "runs/tiny", "--json", cwd=workplace), {}),
    }


def test_a_grids_budget_ends_its_first_training_and_names_what_is_not_begun(grid_stages):
    done, states = grid_stages["small"]
    assert done.code == 0
    assert [*states.values()] == [State.STOPPED]
    (stopped,) = states
    assert "training ends here: budget of 0.00000000100 kWh: " in done.err
    (told,) = (line for line in done.err.splitlines() if "not begun: HR" in line)
    assert "of the grid's budget of 0.00000000100 kWh, " in told
    assert stopped not in told
    assert told.endswith("; a higher --grid-budget-kwh goes on with what is left")


def test_the_plan_and_the_same_budget_again_say_so_and_begin_nothing(grid_stages):
    plan, again = grid_stages["plan"][0].json, grid_stages["same"][0]
    assert plan["grid_budget"]["energy_kwh"] == 1e-9
    assert plan["grid_budget"]["used_kwh"] > 1e-9
    assert (again.code, grid_stages["same"][1]) == (0, grid_stages["small"][1])
    assert sorted(run["state"] for run in again.json["runs"]) == ["stopped at its budget", "to do"]
    (undone,) = (run for run in again.json["runs"] if run["state"] == "to do")
    assert undone["missing"] == "not begun: the grid's budget does not bear it"


def test_a_higher_budget_of_the_grid_goes_on_and_status_tells_what_is_used(grid_stages):
    done, states = grid_stages["larger"]
    assert done.code == 0
    assert [*states.values()] == [State.DONE] * 2
    assert "not begun" not in done.err
    found = grid_stages["workplace"][0].json["grid_budget"]
    assert found["energy_kwh"] == 1.0
    assert found["used_kwh"] > grid_stages["plan"][0].json["grid_budget"]["used_kwh"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("0",), "budget of 0 kWh for the grid: must be a number above zero"),
        (("nan",), "budget of nan kWh for the grid: must be a number above zero"),
        (
            ("1", "--launcher", "script", "--time", "1:00:00"),
            "files for sbatch start runs that do not hear of one another",
        ),
    ],
)
def test_a_budget_of_a_grid_that_allows_nothing_or_cannot_be_kept_is_refused(tmp_path, asked, says):
    write_grid(tmp_path)
    done = run(tmp_path, "--grid-budget-kwh", *asked)
    assert (done.code, says in done.err) == (2, True), done.err
    assert not (tmp_path / "runs").exists()
