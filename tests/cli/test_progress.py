""""""

import io

import pytest
from rich.console import Console
from rich.table import Table

from greenpose.cli.console import Output
from greenpose.cli.progress import RunProgress, failure_line, grid_table, numbers, record_line
from greenpose.errors import RecordError
from greenpose.formatting import number
from greenpose.store import RunFolder
from tests.metering.fakes import TickingClock
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
