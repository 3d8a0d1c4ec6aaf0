""""""

import io
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from greenpose.cli.console import Output
from greenpose.cli.progress import (
    GridProgress,
    LiveGrid,
    RunProgress,
    failure_line,
    grid_table,
    numbers,
    record_line,
)
from greenpose.cli.status import _document, screen_of
from greenpose.config.accounting import Budget
from greenpose.errors import RecordError
from greenpose.formatting import number
from greenpose.grid import run_all
from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.status import GridStatus, RunStatus, write_plan
from greenpose.store import RunFolder
from tests.fakes.meters import TickingClock
from tests.grid.test_grid_budget import Workers, budget_of, planned
from tests.report.records import failure, record


def test_minutes_left_stand_beside_the_energy_while_it_trains():
    clock, shown = TickingClock(), io.StringIO()
    console = Console(file=shown, force_terminal=True, _environ={"TERM": "xterm"}, width=100)
    with RunProgress(console, clock=clock) as progress:
        progress.phase("training", 1000)
        progress.training(done=100, rate=1.0, loss=0.5, energy_wh=2.0)
        clock.advance(100.0)
        progress.training(done=200, rate=1.0, loss=0.5, energy_wh=4.0)
    assert "4.00 Wh, 13 min left  loss 0.500" in shown.getvalue()
    assert shown.getvalue().count("left") == 1


@pytest.mark.parametrize("columns", [10, 24, 60])
def test_no_number_of_a_table_is_cut_in_a_narrow_terminal(columns):
    table = Table("run", "macs", "energy")
    table.add_row("HRNet4-OKD-DS-4e2a8fdc", "1,234,567,890", "51.2 [47.1-55.9]")
    text = {}
    for kind in (Output, Console):
        file = io.StringIO()
        console = kind(file=file, width=columns)
        console.print(table)
        assert console.width == columns
        text[kind] = file.getvalue()
    assert all(part in text[Output] for part in ("HRNet4-OKD-DS-4e2a8fdc", "1,234,567,890", "[47.1-55.9]"))
    assert "…" not in text[Output]
    assert columns == 60 or "1,234,567,890" not in text[Console]


def test_a_finished_run_is_summed_up_with_units_spread_and_provenance(tmp_path):
    folder = RunFolder(tmp_path)
    done = record("HRNet4-OKD", ap={3: 0.512, 4: 0.6})
    folder.write_record(done)
    line = record_line(folder)
    interval = done.exit(3).basis["ap"].type_a
    text = number(51.2, 100 * interval.low, 100 * interval.high, most_decimals=1)
    assert f"exit 3: AP {text} %" in line
    assert " Wh (modelled, syst. ×0.5–2)" in line


def test_a_grid_ends_with_a_table_of_every_exit_and_of_what_failed(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    done = record("HRNet4-OKD", ap={3: 0.512, 4: 0.6})
    folder.write_record(done)
    Output(width=120).print(
        grid_table([("HRNet4-OKD", folder, ""), ("HRNet2", folder, "failed: in data: no such file")])
    )
    *heads, first, second, third = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heads[0] == ["Training", "energy,", "Wh", "Gross", "energy,", "J/image"]
    assert heads[1:] == [["≈", "modelled"] * 2, ["experiment", "exit", "AP,", "%", *["syst.", "×0.5–2"] * 2]]
    assert [first[:3], second[:2]] == [["HRNet4-OKD", "3", "51.2"], ["4", "60.0"]]
    assert third == ["HRNet2", "failed:", "in", "data:", "no", "such", "file"]
    joules = float(first[-2])
    assert joules == pytest.approx(done.exit(3).energy_j_per_image, rel=0.05)
    exits = [entry.model_copy(update={"passes": 2}) for entry in done.exits]
    folder.write_record(done.model_copy(update={"exits": exits}))
    Output(width=120).print(grid_table([("mirrored", folder, "")]))
    assert capsys.readouterr().out.count("each image twice") == 2


def test_scripts_get_accuracy_and_energy(tmp_path):
    folder = RunFolder(tmp_path)
    done = record("HRNet4-OKD", ap={3: 0.512, 4: 0.6})
    folder.write_record(done)
    found = numbers(folder)
    assert found["train_energy_kwh"] == done.train_energy_kwh
    assert [(each["exit"], each["ap"]) for each in found["exits"]] == [(3, 0.512), (4, 0.6)]
    assert all(each["energy_j_per_image"] > 0 for each in found["exits"])


def test_a_file_of_the_other_kind_is_a_fault_that_is_told_also_without_assertions(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_failure(failure())
    folder.failure.rename(folder.record)
    with pytest.raises(RecordError, match="holds a failure, not a record"):
        record_line(folder)
    folder.record.unlink()
    folder.write_record(record("HRNet4-OKD"))
    folder.record.rename(folder.failure)
    with pytest.raises(RecordError, match="holds a record, not a failure"):
        failure_line(folder, code=1)


def terminal(columns=80, lines=24):
    shown = io.StringIO()
    return shown, Output(file=shown, force_terminal=True, width=columns, height=lines, _environ={"TERM": "xterm"})


def status_with(*states, fault="in train: the disk is full"):
    runs = []
    for place, state in enumerate(states):
        whole = Quantity(value=2.0, unit="kWh", kind="modelled", method="", type_a=Bounds(1.0, 3.0))
        runs.append(
            RunStatus(
                name=f"HRNet4-COKD-DS-seed={place}-{place:08x}",
                experiment="HRNet4-COKD-DS",
                state=state,
                epoch=3,
                epochs=210,
                ap={1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4},
                spent={"energy_kwh": 0.5, "seconds": 10.0},
                expected={"energy_kwh": whole, "seconds": replace(whole, value=20.0)},
                budget_used={},
                fault=fault if state == "failed" else "",
            )
        )
    spent = {"energy_kwh": 0.5 * len(runs), "seconds": 10.0 * len(runs)}
    expected = {"energy_kwh": runs[0].expected["energy_kwh"], "seconds": runs[0].expected["seconds"]}
    return GridStatus(folder=Path("runs"), runs=tuple(runs), spent=spent, expected=expected, budget_kwh=9.0)


@pytest.mark.parametrize(
    ("at_work", "days", "pace"), [(1, 12, "one run after the other"), (3, 4, "3 runs at a time as now")]
)
def test_the_end_is_expected_at_the_pace_of_now(at_work, days, pace):
    found = status_with(*["running"] * at_work, "to do")
    day = 86400.0
    left = Quantity(value=12 * day, unit="s", kind="modelled", method="", type_a=Bounds(6 * day, 24 * day))
    found = replace(found, expected={**found.expected, "seconds": left}, spent={**found.spent, "seconds": 0.0})
    shown, console = terminal(200)
    console.print(screen_of(found, console))
    when = r"(\d{4}-\d\d-\d\d \d\d:\d\d)"
    pattern = rf"of training left, {pace}: it ends at {when} UTC \(95\u00a0%: {when} to {when} UTC\)"
    (ends,) = re.findall(pattern, re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).replace("\n", " "))
    told = _document(found)["training_ends"]
    pairs = (ends[1], told["earliest"]), (ends[0], told["expected"]), (ends[2], told["latest"])
    for share, (shown_end, told_end) in zip((0.5, 1, 2), pairs, strict=True):
        expected = datetime.now(UTC) + timedelta(days=share * days)
        for each in (f"{shown_end}+00:00", told_end):
            assert abs(datetime.fromisoformat(each) - expected) < timedelta(minutes=5)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 24), (120, 50), (200, 70), (60, 12)])
@pytest.mark.parametrize("done", [0, 1, 30, 58])
@pytest.mark.parametrize("failed", [0, 1, 40])
def test_a_grid_that_is_shown_live_takes_no_more_lines_than_the_terminal_has(columns, lines, done, failed):
    states = [*["done"] * done, "running", *["failed"] * failed, *["to do"] * (60 - 1 - done)]
    found = status_with(*states)
    _, console = terminal(columns, lines)
    text = console.render_lines(screen_of(found, console), pad=False)
    rows = ["".join(part.text for part in line) for line in text]
    assert len(rows) < lines
    assert sum(bool(re.search(r"  run(n\w*…?|…)  ", row)) for row in rows) == 1  # what is at work is among them
    folded = sum(int(number) for row in rows if row.startswith("... and") for number in re.findall(r"\d+", row))
    in_table = sum(bool(re.match(r"HRNet4\S*  ", row)) for row in rows)
    assert in_table + folded == len(states)


def test_a_grid_that_fits_is_shown_whole_and_in_a_narrow_terminal_without_intervals():
    found = status_with("done", "running", "to do", "to do")
    said = {}
    for columns in (80, 160):
        shown, console = terminal(columns)
        console.print(screen_of(found, console))
        said[columns] = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
        assert max(map(len, said[columns].splitlines())) <= columns
    assert "HRNet4-COKD-DS-seed=1-00000001  running" in said[160]
    assert "1: 10.0  2: 20.0  3: 30.0  4: 40.0 (val)" in said[160]
    assert "2000\u00a0±1000" in said[160]
    assert "2000 Wh (95\u00a0%: 1000 to 3000) in all" in said[160].replace("\n", " ")
    assert re.search(r"HRNet4-COKD-DS-seed=1  +running +3/210 +4: 40.0 \(val\)", said[80])
    assert "the grid's budget: 0 of 9000 Wh used" in said[80]


def test_the_picture_is_whole_also_below_a_line_that_is_not_to_be_broken():
    shown, console = terminal(60)
    live = LiveGrid(Path("runs"), console, holders=False)
    live.picture.update(screen_of(status_with("running", "to do"), console))
    with live.picture:
        shown.truncate(0)
        console.print(Text("a note that is wider than the terminal " * 3), soft_wrap=True)
        picture = shown.getvalue().splitlines()[-6:]
    assert "included" in " ".join(picture)
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)) for line in picture) <= 60


class Meter:
    """A clock of CPU time by which each look takes as much."""

    def __init__(self, each):
        self.each, self.now = each, 0.0

    def __call__(self):
        self.now += self.each
        return self.now


@pytest.mark.parametrize(("each", "pause"), [(0.0, 2.0), (0.004, 2.0), (0.05, 20.0)])
def test_a_grids_files_are_looked_at_every_two_seconds_and_less_often_where_that_costs_more(tmp_path, each, pause):
    clock, (_, console) = TickingClock(now=0.0), terminal()
    live = LiveGrid(tmp_path, console, holders=False, clock=clock, cpu_clock=(cpu := Meter(each)))
    looks = []
    for _ in range(600):
        before = cpu.now, live._next
        live.look()
        if live._next != before[1]:
            looks.append(clock.now)
        clock.advance(0.1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert gaps == pytest.approx([pause] * len(gaps), abs=0.11)
    assert cpu.now / 2 / clock.now <= 0.005


def test_what_a_run_says_stands_above_the_picture_but_for_what_the_picture_tells(tmp_path):
    shown, console = terminal(200)
    live = LiveGrid(tmp_path, console, holders=False)
    (one,) = planned(tmp_path, seeds=1)
    for line in ("      epoch 3: loss 0.1", "      warning: carbon: 0.3 is somebody's kg", "Killed"):
        live.hear(one, line)
    assert shown.getvalue().splitlines() == [
        f"      {one.cell.name}: warning: carbon: 0.3 is somebody's kg",
        f"      {one.cell.name}: Killed",
    ]
    live.hear(one, "      epoch 3: loss 0.1", verbose=True)
    assert "epoch 3" in shown.getvalue()


@pytest.mark.parametrize("drawn", [True, False])
def test_a_grid_is_drawn_live_or_told_of_in_a_line_an_event(tmp_path, drawn):
    todo = planned(tmp_path, seeds=2)
    write_plan(tmp_path, "g", {one.cell.name: "A" for one in todo}, Budget())
    shown, console = terminal(120)
    progress = GridProgress(
        console, (2, 3), live=LiveGrid(tmp_path, console, holders=False) if drawn else None, following=None
    )
    with progress:
        run_all(
            todo,
            command=Workers(lasting=0.3),
            budget=budget_of(tmp_path, 100),
            started=progress.started,
            ended=progress.ended,
            watch=progress.watch,
        )
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\u00a0", " ")
    first, second = (one.cell.name for one in todo)
    if drawn:
        assert "2 runs: 1 done and 1 to do" in text or "2 runs: 2 to do" in text
        assert "[2/3]" not in text
        assert f"done  {first}  " in text
        assert shown.getvalue().endswith("\x1b[2K")  # nothing of the picture is left
    else:
        assert "2 runs" not in text
        assert [line for line in text.splitlines() if line.startswith("[")] == [f"[2/3] {first}", f"[3/3] {second}"]
        assert f"done  {first}" not in text
