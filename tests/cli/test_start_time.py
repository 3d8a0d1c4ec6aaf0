"""`greenpose run --finish-by` and `--start-below`, as a user meets them, and the clock that they wait by."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from greenpose.cli.start_time import CleanHours, Need, moment_of, need_of
from greenpose.errors import GreenPoseError
from greenpose.grid import Outcome
from greenpose.ledger.start_time import Range
from greenpose.metering.carbon.hourly_intensity import HOUR, Hours
from greenpose.store import State
from tests.cli.running import begun, greenpose
from tests.grid.test_grid_budget import planned
from tests.run.tiny import write_grid

FIRST = datetime(2027, 1, 1, tzinfo=UTC)
PLAN = ("run", "--grid", "tiny.yaml", "--dry-run")


@pytest.fixture
def workplace(tmp_path):
    """A folder with the tiny grid and a file of the hours around now: 400 g/kWh, 100 in three from the sixth on."""
    write_grid(tmp_path)
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    grams = {hour: 100 if hour in (6, 7, 8) else 400 for hour in range(-24, 24)}
    lines = [f"{begin + hour * HOUR:%Y-%m-%dT%H:%MZ},{value}" for hour, value in grams.items()]
    (tmp_path / "grid.csv").write_text("\n".join(["datetime,g_per_kwh", *lines]))
    return tmp_path


def later(hours):
    """A moment so many hours from now, as one writes it, to the minute."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%MZ}"


def clean(workplace):
    """When the clean hours begin."""
    lines = (workplace / "grid.csv").read_text().splitlines()
    return datetime.fromisoformat(next(line for line in lines if line.endswith(",100")).partition(",")[0])


def test_a_plan_says_until_when_it_waits_and_what_that_saves_and_waits_for_nothing(workplace):
    done = greenpose(*PLAN, "--finish-by", later(12), "--intensity", "grid.csv", "--takes", 3, cwd=workplace)
    assert (done.code, done.err) == (0, "")
    line = done.out.splitlines()[-1]
    assert line.startswith(f"waits until {clean(workplace):%Y-%m-%d %H:%M} UTC, ")
    assert (
        ": expected 90 to 110 gCO2eq/kWh instead of 360 to 440 at once, "
        "saves 300 gCO2eq/kWh (260 to 340), 75 % (65 to 85)" in line
    )
    told = greenpose(*PLAN, "--finish-by", later(12), "--intensity", "grid.csv", "--takes", 3, "--json", cwd=workplace)
    start = told.json["start"]
    assert start["at"][0] == clean(workplace).isoformat()
    assert (start["runs_each"], start["takes_seconds"]["value"]) == (1, 10800)
    assert start["saved_part"]["value"] == pytest.approx(0.75)
    assert "co2eq_g" not in start
    assert not (workplace / "runs").exists()


def test_how_long_it_takes_is_found_by_trial_steps_and_then_grams_are_told(workplace):
    grid = ("--set", "carbon.country=null", "--set", "carbon.hourly=grid.csv")
    done = greenpose(*PLAN, *grid, "--finish-by", later(12), "--only", "HRNet2", "--json", cwd=workplace)
    assert done.code == 0, done.err
    start = done.json["start"]
    assert 0 < start["takes_seconds"]["low"] < start["takes_seconds"]["value"] < start["takes_seconds"]["high"]
    saved, once, then = (start[f"{name}co2eq_g"] for name in ("saved_", "at_once_", ""))
    assert saved["value"] == pytest.approx(once["value"] - then["value"])
    assert once["value"] == pytest.approx(4 * then["value"])
    assert saved["low"] < saved["value"] < saved["high"]


def test_hours_that_the_file_does_not_hold_or_that_are_no_grid_s_are_said(workplace):
    lines = (workplace / "grid.csv").read_text().splitlines()
    (workplace / "short.csv").write_text("\n".join([*lines[:28], lines[28].replace(",400", ",0.4")]))
    done = greenpose(*PLAN, "--finish-by", later(30), "--intensity", "short.csv", "--takes", 20, cwd=workplace)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 4 * HOUR
    line = done.out.splitlines()[-1].replace("\u00a0", " ")
    assert f"to {end:%Y-%m-%d %H:%M} UTC: its mean for the same hours of the day" in line
    assert line.endswith("1 of 28 hours lie outside 1 to 2000 g/kWh (0.4 in line 29): were other units meant?")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--finish-by", "08:00"), "the grid must be known hour by hour: give --intensity FILE.csv (or carbon.hourly)"),
        (("--finish-by", "08:00"), "a line for each hour, e.g. 2026-12-01T00:00Z,212.5"),
        (("--takes", 3), "--takes: is for --finish-by TIME or --start-below G_PER_KWH"),
        (("--finish-by", "08:00", "--intensity", "none.csv"), "none.csv: cannot be read"),
        (("--finish-by", "soon", "--intensity", "grid.csv"), "--finish-by 'soon': is no time; write 08:00 (the next)"),
        (("--finish-by", "2020-01-01", "--intensity", "grid.csv", "--takes", 1), "2020-01-01 00:00 UTC is over"),
        (("--finish-by", later(2), "--intensity", "grid.csv", "--takes", 9), "and what is to be done takes 9.0 h"),
        (("--start-below", 50, "--intensity", "grid.csv", "--takes", 1), "100 g/kWh from"),
        (
            ("--finish-by", later(9), "--intensity", "grid.csv", "--workers", 2),
            "runs at the same time take is not known",
        ),
        (
            ("--finish-by", later(9), "--intensity", "grid.csv", "--launcher", "script", "--time", 9),
            "how long jobs on a cluster take is not known from here: give --takes HOURS",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words_before_anything_is_written(workplace, options, said):
    done = greenpose("run", "--grid", "tiny.yaml", *options, cwd=workplace, TZ="UTC")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (workplace / "runs").exists()


def test_slurm_waits_by_itself_for_the_begin_of_its_jobs(workplace):
    asked = ("--finish-by", later(9), "--intensity", "grid.csv", "--takes", 3, "--launcher", "script", "--time", 60)
    done = greenpose("run", "--grid", "tiny.yaml", *asked, cwd=workplace, cold=True, TZ="Europe/Rome")
    assert done.code == 0, done.err
    begin = subprocess.run(
        ["date", f"--date={clean(workplace).isoformat()}", "+%Y-%m-%dT%H:%M:%S"],
        env=os.environ | {"TZ": "Europe/Rome"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert f"#SBATCH --begin={begin}" in (workplace / "runs/tiny/.slurm/block-1.sh").read_text().splitlines()
    twice = greenpose("run", "--grid", "tiny.yaml", *asked, "--slurm", "begin=now", cwd=workplace)
    assert (twice.code, twice.err) == (2, "error: --slurm begin=now: the begin is chosen here; give one of the two\n")


def test_what_is_done_already_is_not_waited_for_and_ctrl_c_ends_waiting_with_130_at_no_work(workplace):
    words = ("run", "--grid", "tiny.yaml", "--only", "HRNet2", "--no-report", "--intensity", "grid.csv", "--takes", "1")
    waiting = begun(*words, "--finish-by", later(9), cwd=workplace)
    while not (waiting.err.exists() and waiting.err.read_text().startswith("waits until")):
        assert waiting.exitcode is None
        time.sleep(0.02)
    process = psutil.Process(waiting.pid)
    assert any(process.cpu_percent(interval=0.5) < 10 for _ in range(120)), "it works while it waits"
    assert process.children() == []
    os.kill(waiting.pid, signal.SIGINT)
    waiting.join(60)
    assert "interrupted" in waiting.err.read_text()
    assert waiting.exitcode == 130
    assert not list((workplace / "runs").rglob("windows.jsonl"))
    at_once = greenpose(*words, "--finish-by", later(1.05), "--json", cwd=workplace)
    assert at_once.code == 0, at_once.err
    assert at_once.err.startswith("starts at once, to take 60 min and be done by")
    assert at_once.json["start"]["saved_part"]["value"] == pytest.approx(0, abs=0.01)
    again = greenpose(*words, "--finish-by", later(9), "--json", cwd=workplace)
    assert (again.code, "start" in again.json, "waits" in again.err) == (0, False, False)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("08:00", "2027-06-02T06:00"),
        ("23:30", "2027-06-01T21:30"),
        ("2027-06-03T08:00", "2027-06-03T06:00"),
        ("2027-12-03", "2027-12-02T23:00"),
        ("2027-06-03T08:00Z", "2027-06-03T08:00"),
        ("2027-06-03T08:00-04:00", "2027-06-03T12:00"),
    ],
)
def test_a_time_without_a_zone_is_this_machines_and_a_clock_s_the_next(text, moment, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Rome")
    time.tzset()
    try:
        now = datetime(2027, 6, 1, 18, tzinfo=UTC)  # 20:00 there
        assert moment_of(text, now) == datetime.fromisoformat(moment + "Z")
        with pytest.raises(GreenPoseError, match=r"zone, CEST\)"):
            moment_of("25:00", now)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "tomorrow", "24:00", "0001-01-01", "9999-12-31T23:00-23:00", "8"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(GreenPoseError, match="is no time; write 08:00"):
        moment_of(text, FIRST)


class Clock:
    """A clock that goes on while one sleeps, or works."""

    def __init__(self, now=FIRST):
        self.now, self.naps = now, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += timedelta(seconds=seconds)


DIRTY_AT_NIGHT = Hours(
    name="h.csv",
    digest="",
    scope="",
    first=FIRST,
    values=tuple(100.0 if 8 <= hour % 24 < 16 else 500.0 for hour in range(72)),
)


def runs(number):
    todo = planned(Path("runs"), seeds=number)
    return [replace(one, cell=replace(one.cell, name=f"run{each}")) for each, one in enumerate(todo)]


def outcome(one, undone=""):
    return Outcome(planned=one, state=State.DONE, code=0, seconds=1.0, undone=undone)


def hold(todo, clock, *, hours, most=None, deadline=None, below=None):
    each = Range(*(3600 * end for end in (hours, hours, most or hours)))
    needs = {one.cell.name: Need(each, Range(1, 2, 4)) for one in todo}
    return CleanHours(
        hours=DIRTY_AT_NIGHT,
        todo=todo,
        needs=needs,
        deadline=deadline,
        below=below,
        pauses=True,
        now=clock,
        sleep=clock.sleep,
    )


def held(todo, clock, *, truth, **asked):
    """Return when each run began if it takes so many hours in truth, and what was said."""
    began, console = {}, Console(record=True, width=1000)

    def do(block, *, told):
        for one in block:
            began[one.cell.name] = (clock.now - FIRST) / HOUR
            clock.now += timedelta(hours=truth)
        return [told] * len(block)

    sound = outcome(todo[0])
    assert hold(todo, clock, **asked).run(do, console, todo, told=sound) == [sound] * len(todo)
    return began, console.export_text().splitlines()


def test_runs_are_held_back_where_the_hours_to_come_are_dirty_and_the_deadline_bears_it():
    clock = Clock()
    began, said = held(runs(4), clock, hours=4, truth=4, deadline=FIRST + 48 * HOUR)
    assert began == {"run0": 8, "run1": 12, "run2": 32, "run3": 36}
    assert [line.partition(",")[0] for line in said] == [
        "waits until 2027-01-01 08:00 UTC",
        "holds back the 2\u00a0runs left until 2027-01-02 08:00 UTC",
    ]
    assert "expected 360 to 1800 gCO2eq instead of 1100 to 5300 at once" in said[0]
    assert "held back 1\u00a0time more between runs" in said[0]
    assert max(clock.naps) <= 60


def test_runs_that_take_longer_than_was_thought_are_held_back_less():
    began, said = held(runs(3), Clock(), hours=4, truth=8, deadline=FIRST + 34 * HOUR)
    assert began == {"run0": 4, "run1": 12, "run2": 20}
    assert len(said) == 1
    began, said = held(runs(3), Clock(), hours=4, truth=20, deadline=FIRST + 34 * HOUR)
    assert began == {"run0": 4, "run1": 24, "run2": 44}
    assert said[-1].endswith("is over; give a time to come: the 1\u00a0run left are done at once")


def test_what_a_grid_s_budget_does_not_bear_is_not_waited_for():
    clock, todo, blocks = Clock(), runs(4), []

    def do(block):
        blocks.append((clock.now, len(block)))
        clock.now += len(block) * HOUR
        return [outcome(one, "100 % used") for one in block]

    hold(todo, clock, hours=4, deadline=FIRST + 48 * HOUR).run(do, Console(), todo)
    assert blocks == [(FIRST + 8 * HOUR, 1), (FIRST + 9 * HOUR, 3)]


def test_the_ends_of_energy_and_of_the_hours_are_those_of_what_is_saved():
    todo = runs(2)
    start = hold(todo, Clock(), hours=1, deadline=FIRST + 24 * HOUR).document()
    assert start["at"] == ["2027-01-01T08:00:00+00:00", "2027-01-01T09:00:00+00:00"]
    saved, part = start["saved_co2eq_g"], start["saved_part"]
    wrong = (50**2 + 10**2) ** 0.5
    assert saved == pytest.approx({"low": 2 * (400 - wrong), "value": 4 * 400, "high": 8 * (400 + wrong)})
    assert part == pytest.approx({"low": (400 - wrong) / 500, "value": 0.8, "high": (400 + wrong) / 500})
    assert json.loads(json.dumps(start)) == start


def test_a_run_draws_what_an_estimate_says_the_building_s_part_included_and_both_intervals_joined():
    energy = {"value": 2.0, "type_a": [1.0, 4.0], "type_b": [1.0, 4.0]}
    need = need_of({"seconds": {"value": 60, "type_a": [50, 90]}, "energy_kwh": energy}, pue=1.5)
    joined = 2 ** (2**0.5)
    assert need.seconds == (50, 60, 90)
    assert need.kwh == pytest.approx((3 / joined, 3, 3 * joined))
    nothing = {"value": 0.0, "type_a": [0.0, 0.0], "type_b": [0.0, 0.0]}
    assert need_of({"seconds": {"value": 60, "type_a": [50, 90]}, "energy_kwh": nothing}, pue=1.5).kwh is None
