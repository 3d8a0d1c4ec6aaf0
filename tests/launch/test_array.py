"""Runs that submitit starts, here on this machine: submitted once, found again, lost where nothing is left of them."""

import itertools
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from submitit import LocalExecutor
from submitit.core.utils import DelayedSubmission

from greenpose.config.launcher import Launcher
from greenpose.errors import GreenPoseError
from greenpose.grid import write_down
from greenpose.launch import Array
from greenpose.ledger.energy_budget import GridBudget
from greenpose.scheduler import Queue
from greenpose.store import State
from greenpose.store.records import write_failure
from tests.fakes.cells import NOBODY_CARES, asked, fake_squeue, planned, shell, starts

SLURM = Launcher(kind="slurm", time="10")


class Local(LocalExecutor):
    """Submitit's executor of jobs on this machine, which ends with a test."""

    def __init__(self, folder):
        super().__init__(folder)
        self.jobs = []

    def submit_array(self, functions):
        self.jobs += super().submit_array(functions)
        return self.jobs[-len(functions) :]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a `squeue` on the PATH, which has the jobs of `queue`, and those of the executor that live."""
    fake_squeue(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def executor(place):
    local = Local(place / "runs/.slurm")
    yield local
    for job in local.jobs:
        job._process.wait(timeout=60)


def array(place, executor, **queue):
    return Array(place / "runs", SLURM, executor=executor, queue=Queue(place / "runs", **queue), look=0.1)


def run(array, todo, command=None, **told):
    return array.run(todo, command=command or shell(), budget=NOBODY_CARES, **told)


@pytest.mark.parametrize("runs", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_a_fifth_of_the_runs_is_killed_and_the_same_command_does_those_again_and_no_other(place, executor, runs):
    counts = {"dies": runs // 10, "sound": runs * 4 // 10}
    dying, sound = ([f"{kind}{number}" for number in range(count)] for kind, count in counts.items())
    names = " ".join([*dying, *sound])
    dies = shell(
        **dict.fromkeys(dying, "[ $(wc -l < ../starts-$(basename $PWD)) -gt 1 ] || kill -9 $$; echo > record.json")
    )
    every = planned(place / "runs", names, seeds=2)
    began = time.monotonic()
    outcomes = run(array(place, executor), every, dies)
    states = {outcome.planned.cell.name: outcome.state for outcome in outcomes}
    assert len(states) == len(outcomes) == runs
    assert {name for name, state in states.items() if state is State.FAILED} == {
        one.cell.name for one in every if one.cell.experiment in dying
    }
    assert asked(place) <= 1 + (time.monotonic() - began) / 30
    for job in executor.jobs:
        job._process.wait(timeout=60)
    left = [one for one in planned(place / "runs", names, seeds=2) if one.state is not State.DONE]
    assert {outcome.state for outcome in run(array(place, executor), left, dies)} == {State.DONE}
    assert [one.folder.record.exists() for one in every] == [True] * runs
    assert [starts(one) for one in every] == [2 if one.cell.experiment in dying else 1 for one in every]


def test_where_slurm_does_not_answer_nothing_is_lost_and_nothing_is_submitted_twice(place):
    queue = Queue(place / "runs", every=0)
    assert queue.gone({"7_0"}) == set()
    (place / "broken").touch()
    assert queue.gone({"7_0"}) == queue.gone({"7_0"}) == set()
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/jobs.json").write_text('{"A": "7_0"}')
    with pytest.raises(GreenPoseError, match=r"squeue does not say which jobs there are: Unable to contact slurm"):
        Array(place / "runs", SLURM, executor=object())


@pytest.mark.parametrize(
    ("name", "content"),
    [("jobs", b"\xff"), ("jobs", b"3"), ("parts", b"{"), ("parts", b'{"7_0": 3}'), ("parts", b'{"7_0": ["x", []]}')],
)
def test_a_damaged_list_of_jobs_or_of_their_parts_is_told_with_what_to_do(place, name, content):
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/jobs.json").write_text("{}")
    (place / f"runs/.slurm/{name}.json").write_bytes(content)
    with pytest.raises(
        GreenPoseError, match=rf"{name}\.json: is damaged: .* remove it once squeue shows none of this grid"
    ):
        array(place, object())


def test_after_a_lost_login_the_same_command_waits_for_the_jobs_that_are_there(place):
    first, second = planned(place / "runs", "A B")
    first.folder.path.mkdir(parents=True)
    (place / "runs/.slurm").mkdir()
    (place / "runs/.slurm/jobs.json").write_text(json.dumps({first.cell.name: "7_0", second.cell.name: "7_0"}))
    (place / "queue").write_text("7_0\n")
    said, begun = [], []
    again = array(place, object())  # which would fail where anything was submitted

    def watch():
        for one in (first, second):
            one.folder.path.mkdir(parents=True, exist_ok=True)
            one.folder.record.write_text("{}")

    outcomes = run(again, [first, second], say=said.append, started=begun.append, watch=watch)
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.DONE]
    assert begun == [first, second]
    assert said == ["2 runs are under way already, in Slurm's jobs 7"]
    assert again.numbers == "7"


def test_runs_whose_jobs_slurm_has_no_more_are_submitted_anew(place):
    first, second = todo = planned(place / "runs", "A B", seeds=2)[:2]
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/jobs.json").write_text(json.dumps({first.cell.name: "7_0", second.cell.name: "7_1"}))
    (place / "queue").write_text("7_1\n9\n")
    for one in todo:
        one.folder.path.mkdir(parents=True)
    submitted = []

    def submit_array(blocks):
        submitted.extend(one.cell.name for block in blocks for one in block.runs)
        return [SimpleNamespace(job_id="9")]

    again = array(place, SimpleNamespace(submit_array=submit_array))
    run(again, todo, watch=lambda: [one.folder.record.write_text("{}") for one in todo])
    assert submitted == [first.cell.name]
    assert json.loads((place / "runs/.slurm/jobs.json").read_text()) == {second.cell.name: "7_1", first.cell.name: "9"}


def test_what_has_failed_is_tried_again_though_the_job_in_which_it_did_goes_on_with_others(place):
    first, second = todo = planned(place / "runs", "A B")
    write_down(first)
    write_failure(first.folder, reason="failed", message="no", phase="train", at="2026-01-01T00:00:00+00:00")
    (place / "runs/.slurm").mkdir()
    (place / "runs/.slurm/jobs.json").write_text(json.dumps({first.cell.name: "7_0", second.cell.name: "7_0"}))
    (place / "queue").write_text("7_0\n8\n")
    submitted = []

    def submit_array(blocks):
        submitted.extend(one.cell.name for block in blocks for one in block.runs)
        return [SimpleNamespace(job_id="8")]

    def watch():
        for one in todo:
            one.folder.path.mkdir(parents=True, exist_ok=True)
            one.folder.record.write_text("{}")

    outcomes = run(array(place, SimpleNamespace(submit_array=submit_array)), todo, watch=watch)
    assert submitted == [first.cell.name]
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.DONE]


def test_what_left_neither_record_nor_failure_and_has_no_job_is_lost_with_the_end_of_its_log(place):
    first, second, third = todo = planned(place / "runs", "A B C")
    again = array(place, object(), every=0)
    again.jobs = {first.cell.name: "7_0", second.cell.name: "7_1", third.cell.name: "7_1"}
    write_down(first)
    first.folder.windows.write_text("")
    third.folder.path.touch()  # nothing can be written into it
    (place / "runs/.slurm").mkdir()
    (place / "runs/.slurm/7_0_0_log.err").write_text("one\n\ntwo\nslurmstepd: error: *** JOB 7 ON n CANCELLED ***\n")
    outcomes = run(again, todo)
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.FAILED, State.TODO]
    assert outcomes[0].message.startswith(
        "Slurm has no job 7_0 any more, and it left no record; its log ends: "
        "two; slurmstepd: error: *** JOB 7 ON n CANCELLED *** ("
    )
    assert outcomes[1].message.endswith("7_1_0_log.err: can its node see this folder?")
    assert "can its node see this folder?; that cannot be noted: " in outcomes[2].message
    for one, outcome in zip(todo[:2], outcomes, strict=False):
        failure = json.loads(one.folder.failure.read_text())
        assert (failure["reason"], failure["message"]) == ("lost", outcome.message)


def test_a_disk_that_is_full_is_not_slurms_fault_and_leaves_nothing(place):
    def submit_array(_):
        (place / "runs/.slurm/x.pkl").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(GreenPoseError, match=r"cannot be submitted from .*/\.slurm: input/output: No space left"):
        run(array(place, SimpleNamespace(submit_array=submit_array)), planned(place / "runs", "A"))
    assert [*place.glob("runs/.slurm/*")] == []


def test_whoever_is_at_work_on_a_run_whose_job_is_gone_is_waited_for(place):
    (one,) = todo = planned(place / "runs", "A")
    again = array(place, object(), every=0)
    again.jobs = {one.cell.name: "7"}
    one.folder.path.mkdir(parents=True)
    looks = itertools.count()
    with one.folder.claimed():

        def watch():
            if next(looks) == 5:
                one.folder.record.write_text("{}")

        outcomes = run(again, todo, watch=watch)
    assert [outcome.state for outcome in outcomes] == [State.DONE]


def window_of(kwh):
    """A shell's lines that take so many kilowatt-hours, as a meter writes that down, and keep the limit they got."""
    told = {"id": 1, "parent": None, "name": "train/epoch 1", "attempt": 1, "started_at": "2026-01-01T00:00:00+00:00"}
    told |= {"started_s": 0.0, "seconds": 1.0, "cpu_seconds": 1.0, "items": 1, "ok": True}
    told |= {"joules": {"cpu": [kwh * 3.6e6] * 3}}
    header = {"schema": "greenpose.windows/1", "attempt": 1, "started_at": told["started_at"], "components": []}
    return f"echo $LIMIT > limit; printf '%s\\n' '{json.dumps(header)}' '{json.dumps(told)}' > windows.jsonl"


def test_of_a_grids_budget_each_job_gets_its_part_and_what_that_does_not_bear_is_undone(place, executor):
    takes = shell(**dict.fromkeys("ABC", f"{window_of(2.0)}; echo '{{}}' > record.json"))
    every = planned(place / "runs", "A B C", seeds=2)
    budget = GridBudget(root=place / "runs", energy_kwh=11.0)
    outcomes = array(place, executor, every=0).run(every, command=takes, budget=budget)
    done = [one for one in every if one.folder.record.exists()]
    given = {one.cell.name: float((one.folder.path / "limit").read_text()) for one in done}
    assert sorted(given.values()) == pytest.approx([3.5, 3.5, 5.5, 5.5])  # a half each, and of it what is left
    assert budget.used == pytest.approx(8.0)
    undone = [outcome for outcome in outcomes if outcome.undone]
    assert len(undone) == 2
    assert {outcome.planned.cell.name for outcome in undone} | given.keys() == {one.cell.name for one in every}
    assert {(outcome.state, outcome.code) for outcome in undone} == {(State.TODO, 0)}
    assert undone[0].undone == "of the grid's budget of 5.50 kWh, 4.00 kWh are used"
    assert [starts(outcome.planned) for outcome in undone] == [0, 0]


def test_where_nothing_is_left_of_a_grids_budget_nothing_is_submitted(place):
    (one,) = todo = planned(place / "runs", "A")
    write_down(one)
    subprocess.run(["/bin/sh", "-c", window_of(3.0)], cwd=one.folder.path, check=True)
    begun = []
    again = array(place, object())  # which would fail where anything was submitted
    budget = GridBudget(root=place / "runs", energy_kwh=3.0)
    (outcome,) = again.run(todo, command=shell(), budget=budget, started=begun.append)
    assert (outcome.code, begun) == (0, [])
    assert outcome.undone == "of the grid's budget of 3.00 kWh, 3.00 kWh are used"


def test_a_login_that_is_lost_once_slurm_has_the_jobs_is_not_followed_by_others(place):
    """Slurm has them, and what they are to do lies under their numbers; which they are nobody has written down."""
    every = planned(place / "runs", "A B", seeds=2)
    numbers = iter("78")

    def submit_array(blocks):
        number = next(numbers)
        for index, block in enumerate(blocks):
            DelayedSubmission(block).dump(place / f"runs/.slurm/{number}_{index}_submitted.pkl")
        (place / "queue").write_text("7_0\n7_1\n8_0\n")
        return [SimpleNamespace(job_id=f"{number}_{index}") for index, _ in enumerate(blocks)]

    def lost(*_):
        raise KeyboardInterrupt

    def ends():
        for one in every:
            one.folder.path.mkdir(parents=True, exist_ok=True)
            one.folder.record.write_text("{}")

    slurm = SimpleNamespace(submit_array=submit_array)
    budget = GridBudget(root=place / "runs", energy_kwh=10.0)
    first = array(place, slurm)
    first._keep = lost
    with pytest.raises(KeyboardInterrupt):
        first.run(every, command=shell(), budget=budget)
    damaged, over = (place / f"runs/.slurm/{job}_0_submitted.pkl" for job in "65")
    damaged.write_bytes(b"")
    over.write_bytes((place / "runs/.slurm/7_0_submitted.pkl").read_bytes())
    os.utime(over, (time.time() - 400,) * 2)
    said = []
    again = array(place, slurm)
    with pytest.raises(GreenPoseError, match=r"6_0_submitted.pkl: is damaged: .* remove it once squeue shows none"):
        again.run(every, command=shell(), budget=budget, say=said.append)
    os.utime(damaged, (time.time() - 400,) * 2)  # and Slurm has no such job
    outcomes = again.run(every, command=shell(), budget=budget, say=said.append, watch=ends)
    assert {outcome.state for outcome in outcomes} == {State.DONE}
    assert said == ["4 runs are under way already, in Slurm's jobs 7"]
    parts = json.loads((place / "runs/.slurm/parts.json").read_text())
    assert {job: kwh for job, (kwh, _) in parts.items()} == {"7_0": 5.0, "7_1": 5.0}
    assert next(numbers) == "8"


def test_of_two_logins_with_the_same_command_one_submits_and_the_other_waits_for_it(place):
    every = planned(place / "runs", "A B")
    submitted, said, until = [], [], time.monotonic() + 120

    def submit_array(blocks):
        submitted.extend(blocks)
        (place / "queue").write_text("7_0\n")
        while not said and time.monotonic() < until:
            time.sleep(0.01)
        return [SimpleNamespace(job_id="7_0")]

    def ends():
        assert time.monotonic() < until
        if any("under way" in words for words in said):
            for one in every:
                one.folder.path.mkdir(parents=True, exist_ok=True)
                one.folder.record.write_text("{}")

    def login(_):
        return run(array(place, SimpleNamespace(submit_array=submit_array)), every, say=said.append, watch=ends)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(login, range(2))
    assert {outcome.state for outcome in first + second} == {State.DONE}
    assert len(submitted) == 1
    waited, done, under_way = said
    assert "another process submits runs of this grid: waiting for it (" in waited
    assert (done, under_way) == (
        "2 runs are submitted, a job for each seed: 7",
        "2 runs are under way already, in Slurm's jobs 7",
    )


def test_nothing_is_submitted_within_a_grids_budget_while_jobs_are_at_work_that_have_none(place):
    first, second = todo = planned(place / "runs", "A B")
    again = array(place, object())
    again.jobs = {first.cell.name: "7_0"}
    with pytest.raises(GreenPoseError, match=r"at work that were submitted without one: .* scancel 7, before more"):
        again.run(todo, command=shell(), budget=GridBudget(root=place / "runs", energy_kwh=3.0))
    assert starts(second) == 0


@pytest.mark.parametrize(("limit", "granted"), [(10.0, None), (16.0, 6.0)])
def test_after_a_lost_login_jobs_keep_their_parts_of_a_grids_budget_and_the_rest_is_handed_out(place, limit, granted):
    first, second = planned(place / "runs", "A", seeds=2)
    submitted = []

    def submit_array(blocks):
        submitted.extend(blocks)
        return [SimpleNamespace(job_id=f"{6 + len(submitted)}_0")]

    def login_is_lost():
        raise KeyboardInterrupt

    def ends():
        for one in (first, second):
            one.folder.path.mkdir(parents=True, exist_ok=True)
            one.folder.record.write_text("{}")

    slurm = SimpleNamespace(submit_array=submit_array)
    (place / "queue").write_text("7_0\n8_0\n")
    with pytest.raises(KeyboardInterrupt):
        array(place, slurm).run(
            [first], command=shell(), budget=GridBudget(root=place / "runs", energy_kwh=10.0), watch=login_is_lost
        )
    write_down(first)
    subprocess.run(["/bin/sh", "-c", window_of(4.0)], cwd=first.folder.path, check=True)
    budget = GridBudget(root=place / "runs", energy_kwh=limit)
    outcomes = array(place, slurm).run([first, second], command=shell(), budget=budget, watch=ends)
    undone = {outcome.planned.cell.name: outcome.undone for outcome in outcomes if outcome.undone}
    parts = [block.budget.energy_kwh for block in submitted]
    assert parts == pytest.approx([10.0, *([granted] if granted else [])])
    words = "of the grid's budget of 10.0 kWh, 4.00 kWh are used, and jobs at work (7) have the rest"
    assert undone == ({} if granted else {second.cell.name: words})


def test_what_a_job_left_of_its_part_is_handed_out_once_slurm_has_it_no_more(place):
    first, second = planned(place / "runs", "A", seeds=2)
    (place / "runs/.slurm").mkdir(parents=True)
    (place / "runs/.slurm/jobs.json").write_text(json.dumps({first.cell.name: "7_0"}))
    (place / "runs/.slurm/parts.json").write_text(json.dumps({"7_0": [10.0, [first.cell.name]]}))
    (place / "queue").write_text("8_0\n")
    write_down(first)
    subprocess.run(["/bin/sh", "-c", f"{window_of(4.0)}; echo '{{}}' > record.json"], cwd=first.folder.path, check=True)
    submitted = []

    def submit_array(blocks):
        submitted.extend(blocks)
        second.folder.path.mkdir(parents=True)
        second.folder.record.write_text("{}")
        return [SimpleNamespace(job_id="8_0")]

    budget = GridBudget(root=place / "runs", energy_kwh=10.0)
    array(place, SimpleNamespace(submit_array=submit_array)).run([second], command=shell(), budget=budget)
    assert [block.budget.energy_kwh for block in submitted] == pytest.approx([6.0])
