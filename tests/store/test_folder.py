import json
from pathlib import Path

import pytest

from greenpose.errors import GreenPoseError, RecordError
from greenpose.record import Failure, dumps, loads
from greenpose.store import RunFolder, State, append_line, collect, read_lines, stream
from greenpose.store.folder import as_yaml
from tests.metering.test_window import window
from tests.report.records import record


def failure(name="A-1", reason="failed") -> Failure:
    return Failure(
        name=name,
        experiment="A",
        grid="g",
        reason=reason,
        message="m",
        phase="train",
        seconds=1,
        energy_kwh=2,
        at="now",
    )


def test_a_failure_to_json_and_back_is_the_same():
    assert loads(dumps(failure()), where="f") == failure()


def test_the_state_of_a_run_is_what_its_files_say(tmp_path):
    folder = RunFolder(tmp_path / "A-1")
    assert folder.state() is State.TODO
    folder.path.mkdir()
    folder.windows.write_text("")
    assert folder.state() is State.STARTED
    folder.write_failure(failure())
    assert folder.state() is State.FAILED
    folder.shelve_failure()
    folder.write_failure(failure(reason="interrupted"))
    assert folder.state() is State.INTERRUPTED
    assert (folder.path / "failure-1.json").exists()


def test_a_run_that_a_living_process_holds_is_running_whatever_else_it_left(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_failure(failure())
    with folder.claimed() as mine:
        assert mine
        assert folder.state() is State.RUNNING
    assert folder.state() is State.FAILED


def test_a_damaged_failure_note_is_still_a_failure(tmp_path):
    folder = RunFolder(tmp_path)
    folder.failure.write_text("{")
    assert folder.state() is State.FAILED


def test_leftovers_of_a_killed_write_are_swept_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    for name in (".checkpoint.pt.123", ".tmpZ3kQ0a", ".config.yaml.124", "checkpoint.pt", ".previous"):
        (tmp_path / name).touch()
    with folder.claimed():
        pass
    rivals = ".config.yaml.124"  # it is written before a claim, so another process may be at it
    assert sorted(path.name for path in tmp_path.iterdir()) == [rivals, ".previous", "checkpoint.pt"]


def test_half_written_weights_of_earlier_versions_go_from_beside_a_finished_run(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / ".tmpZ3kQ0a").touch()
    folder.write_record(record("A"))
    folder.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_entries_stand_in_a_configuration_where_these_and_no_more_were_written(tmp_path):
    folder, digests = RunFolder(tmp_path), {"train": "a1", "val": "b2"}
    assert not folder.holds(as_yaml({"digests": digests}))
    for cell, there in (
        ({"name": "A", "digests": digests}, True),
        ({"name": "A", "digests": digests, "more": {"x": 1}}, True),
        ({"name": "A", "digests": {**digests, "test": "c3"}}, False),
        ({"name": "A", "digests": {**digests, "val": "b"}}, False),
        ({"name": "A", "inner": {"digests": digests}}, False),
        ({"name": "A"}, False),
    ):
        folder.write_cell(cell)
        assert folder.holds(as_yaml({"digests": digests})) == there


def test_a_torn_last_line_is_passed_over_and_nothing_else(tmp_path):
    log = tmp_path / "windows.jsonl"
    for index in range(3):
        append_line(log, {"n": index})
    with log.open("a") as file:
        file.write('{"n": 3, "tor')
    assert [entry["n"] for entry in read_lines(log)] == [0, 1, 2]


def test_collecting_names_every_path_without_a_record_and_every_fault(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"schema": "greenpose.record/99"}')
    with pytest.raises(RecordError) as caught:
        collect([tmp_path / "empty", tmp_path / "broken.json", tmp_path / "other.json", tmp_path / "none.json"])
    assert len(caught.value.faults) == 4
    assert "greenpose.record/99" in str(caught.value)


def test_an_earlier_attempt_in_a_copy_is_part_of_the_run_that_finished_and_another_failure_is_not(tmp_path):
    run = record()
    RunFolder(tmp_path / "now").write_record(run)
    for place, at in (
        ("copy", "2025-06-01T08:30:00Z"),
        ("other", "2025-05-01T08:30:00Z"),
        ("again", "2025-05-01T08:30:00Z"),
    ):
        RunFolder(tmp_path / place).write_failure(failure().model_copy(update={"name": run.name, "at": at}))
    assert [getattr(entry, "at", "") for entry in collect([tmp_path])] == ["", "2025-05-01T08:30:00Z"]


def test_two_states_of_one_run_are_not_both_taken(tmp_path):
    run = record()
    RunFolder(tmp_path / "a").write_record(run.model_copy(update={"finished_at": "2025-06-01T08:20:00Z"}))
    RunFolder(tmp_path / "b").write_record(run)
    faults = []
    assert len(list(stream([tmp_path], left_out=faults))) == 1
    (fault,) = faults
    assert fault.startswith(f"{tmp_path / 'b' / 'record.json'}: the same run as {tmp_path / 'a' / 'record.json'}")


def test_collecting_a_folder_finds_runs_below_it_but_not_what_was_set_aside(tmp_path):
    for name in ("B-2", "A-1", ".previous/A-1.1"):
        RunFolder(tmp_path / name).write_failure(failure(name))
    assert [entry.name for entry in collect([tmp_path])] == ["A-1", "B-2"]


def test_what_a_kill_left_beside_a_finished_record_is_swept_but_not_what_a_stopped_run_goes_on_from(tmp_path):
    published = next(Path(__file__).parents[2].glob("reports/quick/*/record.json"))
    text = json.dumps(json.loads(published.read_text()) | {"stopped": "epochs"})
    done, stopped, damaged = (RunFolder(tmp_path / name) for name in ("done", "stopped", "damaged"))
    for folder in (done, stopped, damaged):
        folder.path.mkdir()
        folder.checkpoint.touch()
        folder.running.touch()
    done.record.write_text(text)
    stopped.record.write_text(text.replace('"stopped": "epochs"', '"stopped": "budget"'))
    damaged.record.write_text(text[:1000])
    for folder in (done, stopped, damaged):
        folder.tidy()
        assert not folder.running.exists()
    assert not done.checkpoint.exists()
    assert stopped.checkpoint.exists()
    assert damaged.checkpoint.exists()


def test_a_full_disk_is_said_by_the_file_that_could_not_be_written(tmp_path):
    full = RunFolder(tmp_path)
    full.epochs.symlink_to("/dev/full")
    with pytest.raises(GreenPoseError, match=r"epochs\.jsonl: cannot be written: No space left on device"):
        append_line(full.epochs, {"epoch": 1})


def test_two_hosts_runs_of_one_cell_are_both_kept_even_of_one_moment_and_a_copy_counts_once(tmp_path):
    run = record()
    twin = run.model_copy(update={"host": run.host | {"host": "another"}})
    other = run.model_copy(
        update={"host": run.host | {"fingerprint": "another"}, "finished_at": "2025-06-01T09:31:00Z"}
    )
    for place, each in {"a": run, "b": twin, "c": other, "copies/a": run, "copies/b": twin}.items():
        RunFolder(tmp_path / place).write_record(each)
    faults = []
    assert list(stream([tmp_path], left_out=faults)) == [run, twin, other]
    assert faults == []


def test_a_failure_on_another_host_is_no_earlier_attempt_of_the_run_that_finished_here(tmp_path):
    """Both are of one name, and it ended while this one was under way; its log says that it began at another moment."""
    run = record()
    RunFolder(tmp_path / "here").write_record(run)
    failed = failure().model_copy(update={"name": run.name, "at": "2025-06-01T08:30:00Z"})
    for place, begun in (("there", "2025-06-01T08:00:01.500+00:00"), ("copy", run.started_at)):
        folder = RunFolder(tmp_path / place)
        folder.write_failure(failed)
        folder.windows.write_text(json.dumps(window(started_at=begun).as_dict()) + "\n")
    assert list(collect([tmp_path])) == [run, failed]
