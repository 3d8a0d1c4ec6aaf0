""""""

import json
import os
import signal
import sys
import threading
import time

import pytest

from greenpose.config import Grid, expand
from greenpose.errors import ConfigError
from greenpose.grid import plan, run_all, set_aside
from greenpose.record import dumps
from greenpose.store import State
from tests.report.records import record

FINISHES = "import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'record.json').write_text('{}')"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
WAITS = (
    "import pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
    "try:\n"
    "    (pathlib.Path(sys.argv[1]) / 'began').touch(); time.sleep(60)\n"
    "except KeyboardInterrupt:\n"
    "    (pathlib.Path(sys.argv[1]) / 'said-goodbye').touch(); sys.exit(130)"
)


def planned(root, **scripts):
    grid = Grid(name="g", base={"carbon": {"country": "ITA"}}, experiments={name: {} for name in scripts})
    return plan(expand(grid, where="g"), root)


def starting(**scripts):
    def command(one, *, quiet):
        return [sys.executable, "-c", scripts[one.cell.experiment], str(one.folder.path)]

    return command


def test_a_run_that_dies_is_noted_as_lost_and_the_others_go_on(tmp_path):
    scripts = {"A": FINISHES, "B": DIES, "C": FINISHES}
    outcomes = run_all(planned(tmp_path, **scripts), command=starting(**scripts))
    assert [outcome.state for outcome in outcomes] == [State.DONE, State.FAILED, State.DONE]
    failure = json.loads(outcomes[1].planned.folder.failure.read_text())
    assert failure["reason"] == "lost"
    assert "signal 9" in failure["message"]


@pytest.mark.parametrize(("workers", "first"), [(1, ["+A", "-A", "+B", "-B"]), (2, ["+A", "+B"])])
def test_runs_follow_one_another_unless_more_workers_are_asked_for(tmp_path, workers, first):
    log = []
    scripts = {"A": FINISHES, "B": FINISHES}
    run_all(
        planned(tmp_path, **scripts),
        workers=workers,
        command=starting(**scripts),
        started=lambda one: log.append(f"+{one.cell.experiment}"),
        ended=lambda outcome: log.append(f"-{outcome.planned.cell.experiment}"),
    )
    assert log[: len(first)] == first
    assert len(log) == 4


def test_every_measured_process_gets_the_pinned_environment_and_the_number_of_workers(tmp_path):
    dump = (
        "import json, os, pathlib, sys\n"
        "(pathlib.Path(sys.argv[1]) / 'record.json').write_text(json.dumps(dict(os.environ)))"
    )
    (outcome,) = run_all(planned(tmp_path, A=dump), workers=3, command=starting(A=dump))
    environment = json.loads(outcome.planned.folder.record.read_text())
    assert environment["MALLOC_MMAP_MAX_"] == "0"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["GREENPOSE_WORKERS"] == "1"  # more workers than runs share nothing
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_an_interrupt_is_passed_on_once_and_waits_for_the_run_to_write_what_it_has(tmp_path):
    (one,) = planned(tmp_path, A=WAITS)

    def interrupt():
        while not (one.folder.path / "began").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_all([one], command=starting(A=WAITS))
    thread.join()
    assert (one.folder.path / "said-goodbye").exists()


def test_a_run_that_another_process_is_at_work_on_is_left_alone(tmp_path):
    (one,) = planned(tmp_path, A=FINISHES)
    one.folder.path.mkdir(parents=True)
    with one.folder.claimed():
        (busy,) = planned(tmp_path, A=FINISHES)
        assert busy.state is State.RUNNING
        assert set_aside(busy) == busy
        assert set_aside(one) == busy  # planned before the other began
        (outcome,) = run_all([one], command=starting(A=FINISHES))
        assert (outcome.state, outcome.code) == (State.RUNNING, 0)
        assert not one.folder.record.exists()


def test_a_run_begun_with_data_from_another_place_is_refused(tmp_path):
    def cells(root):
        base = {"carbon": {"country": "ITA"}, "data": {"source": "coco", "root": str(root)}}
        return expand(Grid(name="g", base=base, experiments={"A": {}}), where="g")

    first = plan(cells(tmp_path / "here" / "set"), tmp_path)
    run_all(first, command=starting(A=FINISHES))
    assert plan(cells(tmp_path / "here" / "set"), tmp_path)[0].state is State.DONE
    with pytest.raises(ConfigError, match=r"was begun with data\.root"):
        plan(cells(tmp_path / "there" / "set"), tmp_path)


def test_only_keeps_what_matches_and_refuses_what_matches_nothing(tmp_path):
    grid = Grid(name="g", base={"carbon": {"country": "ITA"}}, experiments={"HRNet2": {}, "HRNet4-OKD": {}})
    cells = expand(grid, where="g")
    assert [p.cell.experiment for p in plan(cells, tmp_path, only=["HRNet4*"])] == ["HRNet4-OKD"]
    with pytest.raises(ConfigError, match="did you mean HRNet2"):
        plan(cells, tmp_path, only=["HRNet22"])


def test_starting_anew_keeps_what_was_there(tmp_path):
    (one,) = planned(tmp_path, A="")
    for _ in range(2):
        one.folder.path.mkdir()
        one.folder.record.write_text("{}")
        assert set_aside(one).state is State.TODO
        assert not one.folder.path.exists()
    assert len(list((tmp_path / ".previous").glob("*/record.json"))) == 2


def test_a_run_that_another_process_finished_since_it_was_planned_is_not_started_again(tmp_path):
    first, second = planned(tmp_path, A=FINISHES, B=FINISHES)
    second.folder.path.mkdir(parents=True)
    second.folder.record.write_text("theirs")
    begun = []
    outcomes = run_all(
        [first, second], command=starting(A=FINISHES, B=FINISHES), started=lambda one: begun.append(one.cell.experiment)
    )
    assert begun == ["A"]
    assert [(outcome.state, outcome.code) for outcome in outcomes] == [(State.DONE, 0), (State.DONE, 0)]
    assert second.folder.record.read_text() == "theirs"


@pytest.mark.parametrize(("in_its_place", "says"), [(False, "/config.yaml: no such file"), (True, "")])
def test_a_folder_that_is_removed_or_cannot_be_made_is_one_failure_that_names_it(tmp_path, in_its_place, says):
    scripts = {"A": "import shutil, sys; shutil.rmtree(sys.argv[1]); sys.exit(1)", "B": FINISHES}
    cells = planned(tmp_path, **scripts)
    if in_its_place:
        cells[0].folder.path.write_text("a file in its place")
    outcomes = run_all(cells, command=starting(**scripts))
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert f"{cells[0].folder.path}{says}" in outcomes[0].message


def test_no_run_is_left_behind_when_something_else_ends_the_grid(tmp_path):
    scripts = {"A": WAITS, "B": FINISHES}
    first, second = planned(tmp_path, **scripts)

    def ended(outcome):
        if outcome.planned is second:
            while not (first.folder.path / "began").exists():
                time.sleep(0.02)
            raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError, match="the terminal is gone"):
        run_all([first, second], workers=2, command=starting(**scripts), ended=ended)
    assert (first.folder.path / "said-goodbye").exists()


def test_training_is_taken_over_from_a_finished_run_that_differs_in_accounting_alone(tmp_path):
    def planned_with(**base):
        base = {"carbon": {"country": "ITA"}} | base
        return plan(expand(Grid(name="g", base=base, experiments={"A": {}}), where="g"), tmp_path)[0]

    first = planned_with()
    assert first.trained_in is None
    run_all([first], command=starting(A=FINISHES))
    exits = first.cell.config.model.exits
    first.folder.record.write_text(dumps(record("A", exits=tuple(exits))))
    for exit_ in exits:
        first.folder.best(exit_).touch()
    other = planned_with(carbon={"country": "FRA"}, measure={"batch": 3})
    assert other.state is State.TODO
    assert other.trained_in["run"] == first.cell.name
    assert tuple(other.trained_in["best"]) == exits
    assert set_aside(other).trained_in is None
    assert planned_with(train={"epochs": 3}).trained_in is None
    first.folder.best(exits[0]).unlink()
    assert planned_with(carbon={"country": "FRA"}).trained_in is None


@pytest.mark.parametrize(
    ("recipe", "script", "why"),
    [
        ({}, FINISHES, "what training goes on from is not kept once a run is done"),
        ({"schedule": "one-cycle"}, FINISHES, "its train.schedule depends on the number of epochs"),
        ({"grow": {2: 0.5}}, FINISHES, "its train.grow depends on the number of epochs"),
        ({}, DIES, "a run that was begun goes on to its own number of epochs only"),
    ],
)
def test_more_epochs_than_a_run_beside_it_had_are_trained_anew_and_it_is_said_why(tmp_path, recipe, script, why):
    def planned_with(**train):
        base = {
            "carbon": {"country": "ITA"},
            "model": {"exits": [2, 4]},
            "wiring": {"teach": ["4->2"]},
            "train": {"epochs": 3} | recipe | train,
        }
        return plan(expand(Grid(name="g", base=base, experiments={"A": {}}), where="g"), tmp_path)[0]

    first = planned_with()
    assert first.anew == ""
    run_all([first], command=starting(A=script))
    assert planned_with().anew == ""
    raised = planned_with(epochs=5)
    assert raised.anew == f"differs from {first.cell.name} in train.epochs (3, now 5): {why}"
    assert set_aside(raised).anew == ""
    assert planned_with(epochs=2).anew == ""
    assert planned_with(epochs=5, lr=1e-3).anew == ""
