""""""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from greenpose.errors import MeteringError
from greenpose.metering import Joules, Window, gaps, grade, read_log, read_windows, worst_kind
from greenpose.metering.interference import Interference
from greenpose.metering.sources.codecarbon import CrossReading
from greenpose.metering.window import WindowLog
from tests.fakes.meters import TickingClock, provenance


def window(number=1, **changes):
    facts = {
        "id": number,
        "parent": None,
        "name": "epoch ü",
        "attempt": 1,
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "started_s": 0.5,
        "seconds": 2.0,
        "cpu_seconds": 1.5,
        "joules": {"cpu": Joules(1.0, 2.0, 4.0), "ram": Joules(0.1, 0.2, 0.4)},
        "items": 12,
        "ok": True,
    }
    return Window(**(facts | changes))


def test_windows_come_back_as_they_were_written(tmp_path):
    contamination = Interference(foreign_cpu_share=0.1, steal_share=0.0, involuntary_switches=3, minor_faults=4)
    crosscheck = CrossReading(tool="codecarbon 1", missing="it was ill")
    windows = [
        window(1),
        window(2, parent=1, ok=False, contamination=contamination),
        window(3, crosscheck=crosscheck, missing={"gpu": "gone"}),
    ]
    log = WindowLog(tmp_path / "windows.jsonl")
    log.begin({"started_at": "now"})
    for entry in windows:
        log.append(entry)
    log.close()
    assert read_windows(tmp_path / "windows.jsonl") == windows


def test_every_line_is_json_and_the_first_says_the_layout(tmp_path):
    log = WindowLog(tmp_path / "windows.jsonl")
    log.begin({"started_at": "now"})
    log.append(window())
    log.close()
    first, second = map(json.loads, (tmp_path / "windows.jsonl").read_text().splitlines())
    assert first == {"schema": "greenpose.windows/1", "attempt": 1, "started_at": "now"}
    assert second["joules"] == {"cpu": [1.0, 2.0, 4.0], "ram": [0.1, 0.2, 0.4]}


def test_a_window_is_in_the_file_as_soon_as_it_is_appended(tmp_path):
    log = WindowLog(tmp_path / "windows.jsonl")
    log.append(window())
    assert len(read_windows(tmp_path / "windows.jsonl")) == 1
    log.close()


def test_the_disk_is_waited_for_at_most_once_a_second_and_at_the_end(tmp_path):
    clock, synced = TickingClock(), []
    log = WindowLog(tmp_path / "windows.jsonl", clock=clock, fsync=synced.append)
    for _ in range(10):
        clock.advance(0.25)
        log.append(window())
    assert len(synced) == 2
    log.close()
    assert len(synced) == 3


def test_a_slow_disk_is_waited_for_less_often(tmp_path):
    """An fsync of 10 ms may happen every ten seconds: 0.1 % of the time."""
    clock, synced = TickingClock(), []

    def fsync(_):
        clock.advance(0.01)
        synced.append(clock.now)

    log = WindowLog(tmp_path / "windows.jsonl", clock=clock, fsync=fsync)
    began = clock.now
    for _ in range(400):
        clock.advance(0.1)
        log.append(window())
    assert 0.01 * len(synced) <= 0.001 * (clock.now - began) + 0.01
    assert len(synced) == 4
    log.close()


def test_how_long_the_disk_was_waited_for_adds_up(tmp_path):
    clock, waits = TickingClock(), iter([0.25, 0.5, 2.0])
    log = WindowLog(tmp_path / "windows.jsonl", clock=clock, fsync=lambda _: clock.advance(next(waits)))
    for expected in (0.25, 0.75, 2.75):
        log.append(window())
        log.sync()
        clock.advance(9.0)
        log.sync()
        assert log.waited_s == expected
    assert log.fsyncs == 3
    log.close()


def test_nothing_new_means_nothing_to_sync(tmp_path):
    synced = []
    log = WindowLog(tmp_path / "windows.jsonl", fsync=synced.append)
    log.sync()
    log.close()
    assert synced == []


def test_a_second_attempt_appends_and_counts(tmp_path):
    path = tmp_path / "windows.jsonl"
    for expected in (1, 2, 3):
        log = WindowLog(path)
        assert log.attempt == expected
        log.begin({})
        log.append(window(attempt=log.attempt))
        log.close()
    assert [entry.attempt for entry in read_windows(path)] == [1, 2, 3]


def test_a_torn_line_costs_only_itself(tmp_path):
    path = tmp_path / "windows.jsonl"
    log = WindowLog(path)
    log.begin({})
    log.append(window(1))
    log.append(window(2))
    log.close()
    path.write_bytes(path.read_bytes()[:-20])
    log = WindowLog(path)
    log.begin({})
    log.append(window(3, attempt=2))
    log.close()
    assert [entry.id for entry in read_windows(path)] == [1, 3]
    header, _, _, second_header, _ = path.read_text().splitlines()
    assert json.loads(header)["attempt"] == 1
    assert json.loads(second_header)["attempt"] == 2


def test_missing_files_and_folders_are_refused_by_name(tmp_path):
    with pytest.raises(MeteringError, match=r"none\.jsonl: cannot be read"):
        read_windows(tmp_path / "none.jsonl")
    with pytest.raises(MeteringError, match="cannot be written"):
        WindowLog(tmp_path / "none" / "windows.jsonl")


def test_a_killed_process_keeps_its_closed_windows(tmp_path):
    path = tmp_path / "windows.jsonl"
    program = f"""
        import os, signal
        import greenpose
        with greenpose.meter(log={str(path)!r}) as m, m.window("run"):
            for epoch in range(3):
                with m.window(f"epoch {{epoch}}", items=5):
                    pass
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, env=dict(os.environ))
    assert ended.returncode == -signal.SIGKILL
    windows = read_windows(path)
    assert [entry.name for entry in windows] == ["epoch 0", "epoch 1", "epoch 2"]
    assert {entry.parent for entry in windows} == {1}
    assert all(entry.energy.mid > 0 for entry in windows)


def test_a_log_appended_to_itself_counts_once(tmp_path):
    path = tmp_path / "windows.jsonl"
    for _ in range(2):
        log = WindowLog(path)
        log.begin({})
        log.append(window(1, attempt=log.attempt))
        log.append(window(2, attempt=log.attempt))
        log.close()
    once = read_windows(path)
    path.write_bytes(path.read_bytes() * 2)
    assert read_windows(path) == once
    assert len(once) == 4
    assert WindowLog(path).attempt == 3


def test_an_attempt_after_one_whose_header_is_gone_has_a_number_of_its_own(tmp_path):
    path = tmp_path / "windows.jsonl"
    log = WindowLog(path)
    log.begin({})
    path.write_text("")  # the open file goes on at its new end
    log.append(window(1))
    log.close()
    assert WindowLog(path).attempt == 2


def test_a_full_disk_is_said_by_the_logs_path(tmp_path):
    path = tmp_path / "windows.jsonl"
    log = WindowLog(path)
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), log._file)
    with pytest.raises(MeteringError, match=r"windows\.jsonl: cannot be written: No space left on device"):
        log.append(window())
    os.close(log._file)


def test_a_disk_that_refuses_what_it_took_before_is_said_by_the_logs_path(tmp_path):
    def fsync(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = WindowLog(tmp_path / "windows.jsonl", fsync=fsync)
    log.append(window())
    for put in (log.sync, log.close):
        with pytest.raises(MeteringError, match=r"windows\.jsonl: cannot be written: Input/output error"):
            put()
    with pytest.raises(OSError, match="Bad file descriptor"):  # closed all the same
        os.fstat(log._file)


def line(**changes):
    data = {name: value for name, value in (window().as_dict() | changes).items() if value is not ...}
    return json.dumps(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seconds": "2"}, "seconds is '2'; must be a number of seconds, zero or more"),
        ({"seconds": float("nan")}, "seconds is nan; must be a number of seconds"),
        ({"cpu_seconds": -0.5}, "cpu_seconds is -0.5; must be a number of seconds, zero or more"),
        ({"joules": []}, "joules is []; must be three numbers of joules for each component"),
        ({"joules": {"cpu": [1, 2]}}, "joules is {'cpu': [1, 2]}; must be three numbers"),
        ({"joules": {"cpu": [1, 2, float("inf")]}}, "must be three numbers"),
        ({"joules": {"cpu": [1, -2, 3]}}, "must be three numbers of joules for each component, zero or more"),
        ({"id": True}, "id is True; must be a whole number"),
        ({"id": 10**400}, "id is 1000"),
        ({"name": ...}, "name is missing"),
        ({"name": "\ud800"}, r"name is '\ud800'; must be text"),
        ({"started_at": "yesterday"}, "started_at is 'yesterday'; must be a time with its zone, ISO 8601"),
        ({"started_at": "2026-01-01T00:00:00"}, "must be a time with its zone"),
        ({"ok": 1}, "ok is 1; must be true or false"),
        ({"parent": "1"}, "parent is '1'; must be a whole number or null"),
        ({"contamination": {"steal_share": 1.0}}, "must be numbers of foreign_cpu_share, steal_share"),
        ({"crosscheck": {"seconds": 1.0}}, "crosscheck is {'seconds': 1.0}; must be another tool's figures"),
        ({"crosscheck": {"tool": "x", "watts": 1.0}}, "must be another tool's figures"),
        ({"missing": ["gpu"]}, "missing is ['gpu']; must be a reason for each component"),
        ({"seconds": 1e308}, "must be a number of seconds"),
        ({"cpu_seconds": None}, "must be a number of seconds"),
        ({"id": 1.5}, "must be a whole number"),
        ({"attempt": None}, "must be a whole number"),
        ({"name": ["train"]}, "must be text"),
        ({"items": float("inf")}, "must be a whole number"),
        ({"started_at": 5}, "must be a time with its zone"),
        ({"joules": {"cpu": [1, None, 3]}}, "must be three numbers"),
        ({"joules": {"cpu": "123"}}, "must be three numbers"),
        ({"joules": None}, "must be three numbers"),
        ({"contamination": [1]}, "must be numbers of foreign_cpu_share"),
        ({"crosscheck": {"tool": "x", "seconds": "long"}}, "must be another tool's figures"),
        ({"crosscheck": "all is well"}, "must be another tool's figures"),
        ({"schema": "greenpose.windows/2"}, "schema is 'greenpose.windows/2'; must be greenpose.windows/1"),
    ],
)
def test_a_damaged_line_is_named_with_its_field_and_what_would_be_right_and_costs_only_itself(tmp_path, changes, said):
    path = tmp_path / "windows.jsonl"
    path.write_text('{"schema":"greenpose.windows/1"}\n' + line() + "\n" + line(**changes) + "\n" + line(id=3) + "\n")
    log = read_log(path)
    assert [entry.id for entry in log.windows] == [1, 3]
    (fault,) = log.faults
    assert fault.startswith(f"{path}:3: not a window: ")
    assert said in fault
    with pytest.raises(MeteringError) as caught:
        read_windows(path)
    assert str(caught.value) == fault


def test_all_damaged_lines_are_told_together_and_endless_ones_counted(tmp_path):
    path = tmp_path / "windows.jsonl"
    path.write_text(line() + "\n" + (line(ok=None, items=-1) + "\n") * 25)
    with pytest.raises(MeteringError) as caught:
        read_windows(path)
    told = str(caught.value).splitlines()
    assert told[0] == f"{path}:2: not a window: items is -1; must be a whole number; ok is None; must be true or false"
    assert (len(told), told[-1]) == (21, f"{path}: and 5 lines more")


@pytest.mark.parametrize("torn", [b"[" * 100_000, b"\xff\xfe\x00", b'{"id": ' + b"9" * 5000, b"null", b"[1]", b"\x00"])
def test_what_is_no_json_costs_only_its_own_line(tmp_path, torn):
    path = tmp_path / "windows.jsonl"
    path.write_bytes(line(id=1).encode() + b"\n" + torn + b"\n" + line(id=2).encode() + b"\n")
    assert [entry.id for entry in read_windows(path)] == [1, 2]


def test_doubts_come_back_as_they_were_written(tmp_path):
    doubtful = window(1, doubts={"stopped": "the process was stopped for 8 s"})
    log = WindowLog(tmp_path / "windows.jsonl")
    log.append(doubtful)
    log.close()
    assert read_windows(tmp_path / "windows.jsonl") == [doubtful]
    assert not doubtful.sound
    assert window().sound


def parts(**kinds_and_joules):
    joules = {name: Joules(0.0, energy, energy) for name, (_, energy) in kinds_and_joules.items() if energy is not None}
    return joules, [provenance(name, kind) for name, (kind, _) in kinds_and_joules.items()]


@pytest.mark.parametrize(
    ("components", "letter", "worst"),
    [
        ({"cpu": ("measured", 10), "ram": ("measured", 10)}, "A", "measured"),
        ({"cpu": ("measured", 95), "ram": ("modelled", 5)}, "A", "measured"),
        ({"cpu": ("measured", 90), "ram": ("modelled", 10)}, "A", "measured"),
        ({"cpu": ("measured", 89), "ram": ("modelled", 11)}, "B", "modelled"),
        ({"cpu": ("modelled", 5), "gpu": ("estimated", 95)}, "B", "estimated"),
        ({"cpu": ("modelled", 50), "ram": ("modelled", 50)}, "C", "modelled"),
        ({"cpu": ("modelled", 95), "ram": ("measured", 5)}, "C", "modelled"),
        ({"cpu": ("measured", 50), "gpu": ("not_covered", None)}, "B", "measured"),
        ({"cpu": ("modelled", 50), "gpu": ("not_covered", None)}, "C", "modelled"),
        ({"cpu": ("measured", 50), "gpu": ("measured", None)}, "B", "measured"),
        ({"gpu": ("not_covered", None)}, "C", "not_covered"),
        ({}, "C", "not_covered"),
    ],
)
def test_the_grade_is_that_of_the_material_parts(components, letter, worst):
    joules, provenances = parts(**components)
    assert grade(joules, provenances) == letter
    assert worst_kind(joules, provenances) == worst


def test_a_component_that_is_not_in_the_total_is_a_gap_whatever_its_source_promised():
    joules, provenances = parts(cpu=("measured", 50), gpu=("not_covered", None), ram=("modelled", None))
    assert [provenance.component for provenance in gaps(joules, provenances)] == ["gpu", "ram"]
    joules, provenances = parts(cpu=("measured", 50), ram=("modelled", 0))
    assert gaps(joules, provenances) == ()
