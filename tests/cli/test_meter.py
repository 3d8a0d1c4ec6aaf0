"""`greenpose meter -- COMMAND` leaves a run and the command's own exit code, whatever ends the command or the meter."""

import json
import signal
import time

import psutil
import pytest

from greenpose.metering import read_windows
from greenpose.record import Failure, Record
from greenpose.store import collect
from tests.cli.running import begun, greenpose

AT_WORK = []


@pytest.fixture(autouse=True)
def _nothing_stays_at_work():
    """A test that fails ends what it started, and what that started."""
    yield
    while AT_WORK:
        process = AT_WORK.pop()
        if process.exitcode is None:
            kill_all(process)


def kill_all(process):
    """Kill a process first, then its children."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        child.kill()


def started(tmp_path, *arguments):
    """The command line at work in a folder."""
    process = begun("meter", *arguments, cwd=tmp_path, GREENPOSE_COUNTRY="ITA")
    AT_WORK.append(process)
    return process


def done(tmp_path, *arguments, country="ITA", cold=False):
    """Its exit code, and what it wrote."""
    told = {"GREENPOSE_COUNTRY": country} if country else {}
    left = greenpose("meter", *arguments, cwd=tmp_path, cold=cold, **told)
    return left.code, left.out, left.err


def test_a_command_leaves_a_record_that_adds_up_to_its_windows(tmp_path):
    code, out, err = done(
        tmp_path, "--name", "lab", "--interval", "0.2", "--", "sh", "-c", "sleep 0.5; echo said", cold=True
    )
    assert (code, out) == (0, "said\n")
    (record,) = collect([tmp_path / "runs"])
    assert isinstance(record, Record)
    assert (record.name, record.experiment, record.exits, record.own) == ("lab", "lab", [], "command")
    windows = read_windows(tmp_path / "runs/lab/windows.jsonl")
    assert len(windows) == 3
    assert record.train_seconds == pytest.approx(sum(each.seconds for each in windows))
    assert record.train_energy_kwh * 3.6e6 == pytest.approx(sum(each.energy.mid for each in windows))
    assert record.notes[0] == "command: sh -c 'sleep 0.5; echo said'"
    assert err.splitlines()[-1] == "runs/lab"
    assert "grade" in err.splitlines()[-2]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("exit 1", 1, "the command ended with code 1"),
        ("exit 127", 127, "the command ended with code 127"),
        ("kill -SEGV $$", 128 + signal.SIGSEGV, "the command was ended by SIGSEGV"),
    ],
)
def test_a_command_that_does_not_end_well_leaves_a_note_and_its_code(tmp_path, command, code, message):
    assert done(tmp_path, "--quiet", "--", "sh", "-c", command) == (code, "", "")
    (failure,) = collect([tmp_path / "runs"])
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.message, failure.phase) == ("failed", message, "command")
    assert failure.energy_kwh > 0


def test_a_second_run_of_a_name_is_another_one(tmp_path):
    assert [done(tmp_path, "--quiet", "--", "true")[0] for _ in range(2)] == [0, 0]
    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == ["true", "true-2"]


def test_a_command_that_is_asked_to_end_is_interrupted(tmp_path):
    process = started(tmp_path, "--", "sleep", "60")
    folder = tmp_path / "runs/sleep"
    wait_for(lambda: (folder / "windows.jsonl").exists() and len(read_windows(folder / "windows.jsonl")) > 0)
    process.terminate()
    process.join(60)
    (failure,) = collect([tmp_path / "runs"])
    assert process.exitcode == 128 + signal.SIGTERM
    assert (failure.reason, failure.message) == ("interrupted", "the command was ended by SIGTERM")


def test_what_was_metered_of_a_command_whose_meter_was_killed_is_kept_and_it_is_said_to_be_lost(tmp_path):
    process = started(tmp_path, "--interval", "0.1", "--", "sh", "-c", "sleep 60; exit 3")
    folder = tmp_path / "runs/sh"
    wait_for(lambda: (folder / "windows.jsonl").exists() and len(read_windows(folder / "windows.jsonl")) >= 5)
    assert list(folder.glob("*ord.json")) == []
    kill_all(process)
    process.join(60)
    (failure,) = collect([tmp_path / "runs"])
    windows = read_windows(folder / "windows.jsonl")
    assert (failure.reason, failure.name, failure.phase) == ("lost", "sh", "command")
    assert failure.seconds == pytest.approx(sum(each.seconds for each in windows))
    assert failure.energy_kwh * 3.6e6 == pytest.approx(sum(each.energy.mid for each in windows))
    assert failure.co2eq_g > 0
    assert not (folder / "failure.json").exists()  # whoever reads writes nothing
    assert collect([tmp_path / "runs"]) == [failure]


def test_a_run_under_way_is_not_said_to_be_lost(tmp_path):
    process = started(tmp_path, "--interval", "0.1", "--", "sleep", "30")
    log = tmp_path / "runs/sleep/windows.jsonl"
    wait_for(lambda: log.exists() and len(read_windows(log)) >= 2)
    code, _, err = done(tmp_path, "--name", "other", "--", "true")
    assert (code, [entry.name for entry in collect([tmp_path / "runs"])]) == (0, ["other"]), err
    process.terminate()
    process.join(60)


def test_what_goes_on_after_the_command_is_said_where_its_cost_is(tmp_path):
    code, _, err = done(tmp_path, "--", "sh", "-c", "setsid sleep 4 >/dev/null 2>&1 & exit 0")
    (record,) = collect([tmp_path / "runs"])
    (doubt,) = record.doubts
    assert code == 0
    assert doubt.startswith("1 process of the command's still at work after its end (")
    assert doubt in err
    assert "sleep 4" in doubt


@pytest.mark.parametrize(
    ("arguments", "country", "code", "says"),
    [
        (
            ("--", "no-such"),
            "ITA",
            127,
            "error: no-such: no command of this name in any folder of PATH; nothing was run",
        ),
        (("--", "/etc"), "ITA", 126, "error: /etc: is a folder"),
        (
            ("--", "true"),
            None,
            2,
            "error: emissions depend on where the machine stands: --country ITA, or once for all, ",
        ),
        (("--", "true"), "XXX", 2, "error: "),
        (("--name", "a/b", "--", "true"), "ITA", 2, "error: "),
        ((), "ITA", 2, "Usage: "),
    ],
)
def test_what_cannot_be_metered_is_refused_in_words_and_leaves_nothing(tmp_path, arguments, country, code, says):
    found, out, err = done(tmp_path, *arguments, country=country)
    assert (found, out, "Traceback" in err) == (code, "", False)
    assert err.startswith(says)
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_nothing_can_execute_leaves_the_note_on_it(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    code, _, err = done(tmp_path, "--", "./script")
    (failure,) = collect([tmp_path / "runs"])
    assert (code, failure.message in err) == (127, True)


def test_json_comes_after_what_the_command_printed(tmp_path):
    code, out, _ = done(tmp_path, "--json", "--", "sh", "-c", "echo said; exit 5")
    said, _, document = out.partition("\n")
    told = json.loads(document)
    assert (code, said, told["code"]) == (5, "said", 5)
    assert told["document"] == "runs/sh/failure.json"
    assert told["joules"][0] < told["joules"][1] < told["joules"][2]


def wait_for(met):
    """Wait until a condition is met."""
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)
