"""What `run` takes, and what it says about it."""

import json

import pytest

from greenpose.record import dumps
from tests.cli.running import greenpose
from tests.report.records import record
from tests.run.tiny import write_grid

PLACE = "carbon: {country: ITA}\n"


def test_a_grid_is_taken_for_one_and_said_to_be(tmp_path):
    write_grid(tmp_path)
    done = greenpose("run", "tiny.yaml", "--dry-run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert len(done.json["runs"]) == 2
    assert done.err == "note: tiny.yaml is a grid: it has 2 runs\n"
    asked = greenpose("run", "tiny.yaml", "--grid", "--dry-run", "--json", cwd=tmp_path)
    assert (asked.json, asked.err) == (done.json, "")
    assert greenpose("run", "tiny.yaml", "--dry-run", "--quiet", cwd=tmp_path).err == ""


@pytest.mark.parametrize("words", [("run", "quick", "--grid", "--dry-run"), ("profile", "quick")])
def test_an_experiment_that_ships_goes_by_its_name_anywhere(tmp_path, words):
    done = greenpose(*words, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "HRNet4-OKD-DS" in done.out


def test_a_country_is_never_a_truth_value(tmp_path):
    done = greenpose("run", "--country", "NO", "--dry-run", cwd=tmp_path)
    assert done.code == 2
    assert "country 'NO' is not a three-letter ISO code of the table; did you mean NOR (Norway)?" in done.err


def test_a_shallow_exit_that_teaches_a_deep_one_is_told_beforehand(tmp_path):
    (tmp_path / "e.yaml").write_text(PLACE + "model: {exits: [3, 4]}\nwiring: {teach: [3->4], supervise: [3, 4]}\n")
    done = greenpose("run", "e.yaml", "--dry-run", cwd=tmp_path)
    assert done.code == 0
    assert done.err == ("note: wiring.teach: exit 4 learns from exit 3, which is shallower; 4->3 lets 4 teach 3\n")


def test_a_finished_grid_is_summed_up_and_scripts_get_its_numbers(tmp_path):
    write_grid(tmp_path)
    planned = greenpose("run", "tiny.yaml", "--dry-run", "--json", cwd=tmp_path).json["runs"]
    for run in planned:
        (tmp_path / run["folder"]).mkdir(parents=True)
        name = run["name"].rpartition("-")[0]
        (tmp_path / run["folder"] / "record.json").write_text(dumps(record(name, ap={2: 0.5, 3: 0.625})))
    done = greenpose("run", "tiny.yaml", "--no-report", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out == ""
    rows = [line.split() for line in done.err.splitlines() if "experiment" in line or "50.0" in line or "62.5" in line]
    assert [row[0] for row in rows] == ["experiment", "HRNet2", "HRNet3-OKD-DS", "3"]
    done = greenpose("run", "tiny.yaml", "--no-report", "--json", cwd=tmp_path)
    assert [[each["ap"] for each in run["exits"]] for run in done.json["runs"]] in (
        [[0.5], [0.5, 0.625]],
        [[0.5, 0.625], [0.5]],
    )
    assert all(run["train_energy_kwh"] > 0 for run in done.json["runs"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "qick"), "qick: no such file; of those that ship, did you mean quick?"),
        (("run", "quick.yml"), "quick.yml: no such file; of those that ship, did you mean quick?"),
        (("profile", "quik"), "quik: no such file; of those that ship, did you mean quick?"),
        (("measure", "quik"), "quik: no such folder; of those that ship, did you mean quick?"),
        (("check", "quik"), "quik: no such file or folder; of those that ship, did you mean quick?"),
        (("check", "quik", "--self-test"), "quik: no such file or folder; of those that ship, did you mean quick?"),
    ],
)
def test_every_command_knows_the_nearest_name_that_ships(tmp_path, words, says):
    done = greenpose(*words, cwd=tmp_path)
    assert (done.code, done.err) == (2, f"error: {says}\n")


def test_an_experiment_that_ships_is_checked_by_its_name(tmp_path):
    accepted = greenpose("check", "quick", "--baseline", "b.json", "--update", "--reason", "first", cwd=tmp_path)
    assert accepted.code == 0, accepted.err
    done = greenpose("check", "quick", "--baseline", "b.json", "--json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert json.loads((tmp_path / "b.json").read_text())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("run", "--country", "XX"), "--country"),
        (("run", "--device", "gpu"), "--device"),
        (("measure", "--max-seconds", "-1"), "--max-seconds"),
        (("measure", "--device", "gpu"), "--device"),
        (("estimate", "--country", "XX"), "--country"),
        (("run", "one.yaml", "--country", "XX"), "--country"),
        (("run", "--set", "process.device=gpu"), "--set process.device: "),
        (("run", "--seed", "-1"), "--seed"),
    ],
)
def test_a_fault_names_the_option_that_was_written_and_no_other(tmp_path, words, names):
    (tmp_path / "one.yaml").write_text(PLACE)
    done = greenpose(*words, cwd=tmp_path)
    assert done.code == 2
    assert names in done.err
    assert ("--set" in done.err) == names.startswith("--set")
    assert "HRNet" not in done.err
