"""What an attempt that ended early had cost, counted once however its windows nest."""

import json

import pytest

from greenpose.errors import RecordError
from greenpose.ledger.costs import component_entries, grade_of
from greenpose.ledger.energy_budget import run_energy_of_record
from greenpose.metering import Joules, Meter, read_log, read_windows, this_machine
from greenpose.store import RunFolder
from greenpose.store.records import (
    attempts_of,
    kind_of,
    log_of,
    missing_windows,
    note_lost,
    outermost,
    read_brief,
    read_record,
)
from reports.examples import REPORTS
from tests.fakes.meters import ScriptedSource
from tests.metering.grids import dirty_now
from tests.metering.test_window import window


def metered(folder: RunFolder, **carbon: object) -> None:
    """Leave a log of a window of 30 J around one of 10 J, and of one of 5 J after it."""
    carbon = carbon or {"country": None, "intensity_g_per_kwh": 360.0, "pue": 1.0}
    folder.write_cell(
        {
            "name": "A-1",
            "grid": "g",
            "axes": {},
            "experiment": {"name": "A", "carbon": carbon},
        }
    )
    readings = [0.0, 0.0, 10.0, 20.0, 30.0, 30.0, 35.0, 35.0]
    source = ScriptedSource("cpu", [Joules(value / 2, value, value * 2) for value in readings])
    with Meter([source], log=folder.windows) as meter:
        with meter.window("train/epoch 1"), meter.window("inner"):
            pass
        with meter.window("validate/epoch 1"):
            pass


def test_an_attempt_costs_its_outermost_windows_with_their_interval(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder)
    failure = note_lost(folder, code=-9)
    assert failure.energy_kwh == pytest.approx(35 / 3.6e6)
    assert failure.co2eq_g == pytest.approx(35 / 3.6e6 * 360)
    interval = failure.basis["energy_kwh"].type_b
    assert (interval.low, interval.high) == pytest.approx((17.5 / 3.6e6, 70 / 3.6e6))
    assert (failure.reason, failure.phase) == ("lost", "validate")
    assert len(outermost(read_windows(folder.windows))) == 2


def test_an_attempt_is_charged_by_its_own_hours(tmp_path):
    folder = RunFolder(tmp_path / "run")
    metered(folder, hourly=dirty_now(tmp_path, 500))
    failure = note_lost(folder, code=-9)
    assert failure.co2eq_g == pytest.approx(35 / 3.6e6 * 500)
    assert "hourly" in failure.basis["co2eq_g"].method


def test_an_attempt_whose_hourly_file_is_gone_is_noted_all_the_same(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder, hourly=str(tmp_path / "gone.csv"))
    failure = note_lost(folder, code=-9)
    assert failure.energy_kwh == pytest.approx(35 / 3.6e6)
    assert failure.co2eq_g is None
    assert "gone.csv" in failure.basis["co2eq_g"].missing


def test_an_attempt_with_damaged_settings_of_the_grid_is_noted_all_the_same(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder, country="ITA", pue={"a": 1})
    failure = note_lost(folder, code=-9)
    assert failure.co2eq_g is None
    assert failure.basis["co2eq_g"].missing.startswith("carbon: pue: must be a number")


def test_a_process_that_was_asked_to_stop_was_interrupted_not_lost(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder)
    assert note_lost(folder, code=130).reason == "interrupted"


def test_nothing_metered_costs_nothing(tmp_path):
    assert log_of(RunFolder(tmp_path)).windows == []


def two_attempts(path, first, second):
    """Leave a log of an attempt of 30 J and one of 5 J, by two kinds of sources."""
    for kind, joules in ((first, 30.0), (second, 5.0)):
        source = ScriptedSource("cpu", [Joules(0, 0, 0), Joules(0, 0, 0), Joules(joules, joules, joules)], kind=kind)
        with Meter([source], log=path) as meter, meter.window("train/epoch 1"):
            pass


@pytest.mark.parametrize(("first", "second"), [("measured", "modelled"), ("modelled", "measured")])
def test_a_run_is_labelled_by_the_worst_of_its_attempts_whichever_came_last(tmp_path, first, second):
    two_attempts(tmp_path / "windows.jsonl", first, second)
    attempts = attempts_of(read_log(tmp_path / "windows.jsonl"))
    assert [one.joules["cpu"].mid for one in attempts] == [30.0, 5.0]
    assert kind_of(attempts) == "modelled"
    assert grade_of(attempts) == "B"
    (component,) = component_entries(*(one.provenances for one in attempts))
    assert component.kind == "modelled"
    assert {one.host for one in attempts} == {this_machine().fingerprint}


@pytest.mark.parametrize("kind", ["measured", "modelled"])
def test_a_failures_energy_is_of_the_kind_that_its_log_tells(tmp_path, kind):
    folder = RunFolder(tmp_path)
    metered(folder)
    folder.windows.unlink()
    two_attempts(folder.windows, kind, kind)
    failure = note_lost(folder, code=-9)
    assert [failure.basis[name].kind for name in ("energy_kwh", "co2eq_g")] == [kind, kind]


def test_a_log_without_its_headers_says_nothing_better_than_modelled(tmp_path):
    two_attempts(tmp_path / "windows.jsonl", "measured", "measured")
    lines = (tmp_path / "windows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "windows.jsonl").write_text("".join(line for line in lines if "schema" not in line))
    assert kind_of(attempts_of(read_log(tmp_path / "windows.jsonl"))) == "modelled"


def test_a_lost_runs_phase_is_the_first_word_of_its_last_window(tmp_path):
    folder = RunFolder(tmp_path)
    metered(folder)
    source = ScriptedSource("cpu", [Joules(0, 0, 0)])
    with Meter([source], log=folder.windows) as meter, meter.window("inference exit 3"):
        pass
    assert note_lost(folder, code=-9).phase == "inference"


@pytest.mark.parametrize(
    ("log", "code", "told"),
    [
        (True, -9, "by signal 9; see log.txt"),
        (False, -9, "by signal 9; it left no log"),
        (True, 130, "with code 130; see log.txt"),
        (
            True,
            2,
            "with code 2; what it said stands in the terminal or its job's log, and in log.txt if",
        ),  # a full disk holds no words
        (False, 2, "with code 2; it left no log: what it said stands in the terminal or its job's log"),
    ],
)
def test_a_lost_run_points_where_its_words_can_be(tmp_path, log, code, told):
    folder = RunFolder(tmp_path)
    metered(folder)
    if log:
        folder.log.touch()
    assert told in note_lost(folder, code=code).message


def numbered(*windows):
    return [window(number, attempt=attempt, name=name, parent=parent) for attempt, number, name, parent in windows]


def test_windows_without_gaps_are_complete():
    whole = numbered((1, 1, "data", None), (1, 2, "train/epoch 1", None), (1, 3, "validate/epoch 1", None))
    assert missing_windows(whole, epochs=1) == []


def test_a_window_that_a_kill_left_open_is_not_taken_for_lost_where_its_parts_name_it():
    cut = numbered((1, 1, "train/epoch 1", None), (1, 3, "train/epoch 2/data", 2), (2, 1, "train/epoch 2", None))
    assert missing_windows(cut, epochs=2) == []


def test_lost_windows_are_named_by_epoch_and_by_number():
    left = numbered((1, 1, "data", None), (1, 6, "train/epoch 4", None), (2, 2, "train/epoch 5", None))
    assert missing_windows(left, epochs=6) == [
        "of 6 epochs the windows of 4 are lost: 1-3, 6",
        "of attempt 1 the windows numbered 2-5 are lost",
        "of attempt 2 the windows numbered 1 are lost",
    ]


@pytest.mark.parametrize(
    "changed", [lambda text: text, lambda text: json.dumps(json.loads(text)), lambda text: text[:-1]]
)
def test_a_look_at_a_record_tells_what_all_of_it_tells(tmp_path, changed):
    for number, path in enumerate(sorted(REPORTS.glob("*/*/record.json"))):
        file = tmp_path / f"{number}.json"
        file.write_text(changed(path.read_text()))
        brief, record = read_brief(file), read_record(file)
        assert [(entry.exit, entry.ap) for entry in brief.exits] == [(entry.exit, entry.ap) for entry in record.exits]
        assert brief.quantity("train_energy_kwh") == record.quantity("train_energy_kwh")
        assert run_energy_of_record(brief) == run_energy_of_record(record)
        for before, lacks in (("phases", {"phases": [], "exits": []}), ("train_parts", {"exits": []})):
            as_written = file.read_text() == path.read_text()
            assert read_brief(file, before=before) == brief.model_copy(update=lacks if as_written else {})


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "greenpose.record/2"}', "cut"])
def test_a_look_at_what_is_no_record_says_so_as_reading_it_does(tmp_path, text):
    file, whole = tmp_path / "record.json", min(REPORTS.glob("quick/*/record.json")).read_text()
    file.write_text(whole[:-100] if text == "cut" else text)
    with pytest.raises(RecordError) as looked:
        read_brief(file)
    with pytest.raises(RecordError) as read:
        read_record(file)
    assert looked.value.faults == read.value.faults
