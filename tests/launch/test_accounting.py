"""What Slurm says that jobs drew, from a `sacct` that answers as its manual says."""

import json

import pytest

from greenpose.launch.accounting import consumed_joules, crosscheck
from greenpose.metering.window import WindowLog
from tests.report.test_samples import trained

SAID = """7_0|COMPLETED|7200
7_0.batch|COMPLETED|3600
7_0.0|COMPLETED|3600
7_1|FAILED|
7_1.0|FAILED|1800
7_2|RUNNING|900
7_2.0|COMPLETED|900
7_3|COMPLETED|0
8|COMPLETED|5
"""
JOBS = ("7_0", "7_1", "7_2", "7_3")


@pytest.fixture
def sacct(tmp_path, monkeypatch):
    """A folder with a `sacct` on the PATH that says what is given, of the jobs that it writes down being asked for."""

    def says(text, *, code=0):
        (tmp_path / "said").write_text(text)
        script = f"#!/bin/sh\necho $* >> {tmp_path}/asked\ncat {tmp_path}/said\nexit {code}\n"
        (tmp_path / "sacct").write_text(script)
        (tmp_path / "sacct").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path

    return says


def test_a_job_drew_what_its_own_line_says_or_the_greatest_of_its_steps_once_it_is_over(sacct):
    place = sacct(SAID)
    assert consumed_joules(JOBS) == {"7_0": 7200.0, "7_1": 1800.0}
    assert (place / "asked").read_text().count("--jobs=7_0,7_1,7_2,7_3") == 1


@pytest.mark.parametrize(("text", "code"), [("", 1), ("Slurm accounting storage is disabled\n", 0), (SAID, 1)])
def test_where_a_site_keeps_no_accounts_nothing_is_said_and_nothing_kept(sacct, text, code):
    place = sacct(text, code=code)
    assert crosscheck(place, place, {"A-1": "7_0"}) == []
    assert not (place / "energy.json").exists()


def test_where_there_is_no_sacct_nobody_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert consumed_joules(JOBS) == {}


def test_it_is_held_against_the_windows_of_the_jobs_runs_and_kept_with_what_was_there(sacct):
    place = sacct(SAID)
    (place / "A-1").mkdir()
    log = WindowLog(place / "A-1" / "windows.jsonl")
    log.begin({"started_at": "now"})
    for window in trained(epochs=20):
        log.append(window)
    log.close()
    ours = 20 + 11 + 20 * (3 + 0.7 + 0.1) * 12.3  # joules of its outermost windows
    (place / "energy.json").write_text('{"3": 4.0}')
    said = crosscheck(place, place, {"A-1": "7_0", "B-1": "7_0", "C-2": "7_1"})
    assert json.loads((place / "energy.json").read_text()) == {"3": 4.0, "7_0": 7200.0, "7_1": 1800.0}
    assert said[0] == (
        f"job 7_0: the windows of its runs add up to {ours / 3600:.3f} Wh (modelled, syst. ×0.5–2); "
        f"Slurm's own counter says 2.00 Wh (measured, spread not known), "
        f"{7200 / ours:.2f} times that, for its whole nodes and time"
    )
    assert said[1] == (
        "job 7_1: the windows of its runs add up to nothing; Slurm's own counter says 0.500 Wh "
        "(measured, spread not known), for its whole nodes and time"
    )


def test_accounts_that_are_damaged_are_not_written_over(sacct):
    place = sacct(SAID)
    (place / "energy.json").write_text("{")
    _, kept = crosscheck(place, place, {"A-1": "7_0"})
    assert "what Slurm says is not kept" in kept
    assert "energy.json: cannot be read" in kept
    assert (place / "energy.json").read_text() == "{"
