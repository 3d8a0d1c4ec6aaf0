"""On a real Slurm runs are killed, fail, are queued again and cancelled; the same command ends with all records."""

import socket
import subprocess
import time

import pytest

from greenpose.config.launcher import Launcher
from greenpose.errors import GreenPoseError
from greenpose.launch import Array
from greenpose.scheduler import Queue
from greenpose.store import State
from tests.fakes.cells import NOBODY_CARES, planned, shell, starts

pytestmark = pytest.mark.slurm

FIRST = "[ $(wc -l < ../starts-$(basename $PWD)) -gt 1 ]"
COMMAND = shell(
    killed=f"case $PWD in *seed=1*) {FIRST} || kill -9 $$;; esac; echo '{{}}' > record.json",
    raises=f"case $PWD in *seed=1*) {FIRST} || exit 7;; esac; echo '{{}}' > record.json",
    waits=f"case $PWD in *seed=[12]*) {FIRST} || exec sleep 100;; esac; echo '{{}}' > record.json",
)


REVOKED_SECONDS = 4.0
"""So long no node takes a job that is queued again, which is why Slurm lets it wait, for two minutes."""


def launched(root, todo, meddle=id, **asked):
    """Do runs under Slurm, meddling with their jobs; return these, and the outcomes by experiment and seed."""
    array = Array(root, Launcher(kind="slurm", time="10", **asked), queue=Queue(root, every=1), look=0.5)
    outcomes = array.run(todo, command=COMMAND, budget=NOBODY_CARES, watch=lambda: meddle(array))
    return array, {outcome.planned.cell.name.rpartition("-")[0]: outcome for outcome in outcomes}


def once(one, *command):
    """Return what does something to a run's job once it is started; a job that is queued again starts at once."""
    done = []

    def meddle(array):
        job = array.jobs[one.cell.name]
        if starts(one) == 1 and not done:
            subprocess.run([*command, job], check=True)
            done.append(time.monotonic())
        elif starts(one) == 1 and time.monotonic() > done[0] + REVOKED_SECONDS:
            hurry = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
            subprocess.run(hurry, check=False, capture_output=True)

    return meddle


def left(root):
    return [one for one in planned(root, "killed raises waits fine", seeds=3) if one.state is not State.DONE]


def test_twelve_runs_of_which_some_are_killed_fail_are_queued_again_and_cancelled(slurm, tmp_path):
    runs = tmp_path / "runs"
    every = planned(runs, "killed raises waits fine", seeds=3)
    waits = [one for one in every if one.cell.experiment == "waits"]
    again, cancel = once(waits[0], "scontrol", "requeue"), once(waits[1], "scancel")
    array, first = launched(
        runs, every, lambda array: (again(array), cancel(array)), parallel=2, slurm={"comment": "x"}
    )
    states = {name: outcome.state for name, outcome in first.items()}
    assert len(states) == 12
    assert states["killed-seed=1"] is states["raises-seed=1"] is State.FAILED
    assert {states[f"{name}-seed={seed}"] for name in ("waits", "fine") for seed in (1, 3)} == {State.DONE}
    assert states["waits-seed=2"] is State.FAILED
    assert f"Slurm has no job {array.numbers}_1 any more, and it left no record" in first["waits-seed=2"].message
    asked = {line for line in next(runs.glob(".slurm/*_submission.sh")).read_text().splitlines() if "#SBATCH" in line}
    options = (
        "array=0-2%2",
        "comment=x",
        "exclusive",
        "requeue",
        "signal=USR2@90",
        "time=10",
        "job-name=greenpose-runs",
    )
    assert {f"#SBATCH --{option}" for option in options} <= asked
    _, second = launched(runs, left(runs))
    assert {outcome.state for outcome in second.values()} == {State.DONE}
    assert left(runs) == []
    twice = {one.cell.name.rpartition("-")[0] for one in every if starts(one) == 2}
    assert twice == {"killed-seed=1", "raises-seed=1", "waits-seed=1", "waits-seed=2"}
    assert sum(starts(one) for one in every) == 16


def test_a_job_whose_time_is_nearly_over_is_queued_again_and_goes_on(slurm, tmp_path):
    runs = tmp_path / "runs"
    (one,) = todo = planned(runs, "waits")
    _, outcomes = launched(runs, todo, once(one, "scancel", "--signal=USR2"))
    assert ([outcome.state for outcome in outcomes.values()], starts(one)) == ([State.DONE], 2)


def test_a_run_whose_node_goes_down_is_done_once_the_node_is_back(slurm, tmp_path):
    (one,) = todo = planned(tmp_path, "waits")
    node = ["scontrol", "update", f"NodeName={socket.gethostname().partition('.')[0]}"]
    hurry, told = once(one, "true"), []

    def meddle(array):
        if starts(one) == 1 and not told:
            subprocess.run([*node, "State=DOWN", "Reason=test"], check=True)
            told.append(time.monotonic())
        elif told and time.monotonic() > told[0] + REVOKED_SECONDS:
            subprocess.run([*node, "State=RESUME"], check=False, capture_output=True)
            hurry(array)

    _, outcomes = launched(tmp_path, todo, meddle)
    assert ([outcome.state for outcome in outcomes.values()], starts(one)) == ([State.DONE], 2)


def test_what_slurm_refuses_is_told_in_its_own_words_and_leaves_nothing(slurm, tmp_path):
    with pytest.raises(GreenPoseError) as caught:
        launched(tmp_path, planned(tmp_path), partition="nowhere")
    assert str(caught.value) == (
        "Slurm does not take the jobs: invalid partition specified: nowhere; "
        "Batch job submission failed: Invalid partition name specified"
    )
    assert list(tmp_path.rglob("*.*")) == [tmp_path / ".slurm"]


def test_a_setup_line_that_fails_on_the_node_is_told_with_the_end_of_its_log(slurm, tmp_path):
    _, outcomes = launched(tmp_path, planned(tmp_path, "A"), setup=["true", "module load nowhere"])
    (outcome,) = outcomes.values()
    assert outcome.state is State.FAILED
    assert "module: command not found; greenpose: line 2 of setup failed" in outcome.message
