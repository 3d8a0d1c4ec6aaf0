"""What judges the torture sees what it is there to see."""

import json
import os
import signal
from pathlib import Path

import pytest

from greenpose.errors import MeteringError
from greenpose.metering.window import WindowLog
from tests.torture.kinds import Kind
from tests.torture.nursery import HangError, nursery
from tests.torture.shim import install
from tests.torture.test_forms import differs
from tests.torture.test_reading import complaint
from tests.torture.test_runs import Place, doubled

WINDOW = {"attempt": 1, "id": 1, "parent": None, "name": "train/epoch 1", "seconds": 2.0}
BASELINE = Kind("b.json", "json", ())


@pytest.mark.parametrize(
    ("code", "said", "fault", "keys", "wrong"),
    [
        (2, "error: b.json:3: values.exit3.macs: is not a number", None, ["values", "exit3.macs"], ""),
        (2, "error: b.json: schema is None; this version reads 1", None, ["schema"], ""),
        (1, "regressed", None, ["values"], ""),
        (2, "error: something is wrong", None, ["values"], "file not named"),
        (2, "error: b.json: is wrong", None, ["values", "exit3.macs"], "place"),
        (1, "", KeyError("values"), ["values"], "KeyError"),
        (1, "", HangError(), ["values"], "hang"),
        (1, "Traceback (most recent call last):", None, ["values"], "code 1"),
        (70, "", None, ["values"], "code 70"),
    ],
)
def test_a_reader_is_to_end_in_words_that_name_file_and_place(code, said, fault, keys, wrong):
    found = complaint(BASELINE, code, said, fault, keys)
    assert wrong in found
    assert bool(wrong) == bool(found)


def test_windows_that_are_there_twice_or_are_not_in_the_sum_are_seen():
    lines = [json.dumps(WINDOW).encode()]
    assert [*doubled(lines, {"train_seconds": 2.0})] == []
    assert len([*doubled(lines, {"train_seconds": 4.0})]) == 1
    assert len([*doubled(lines * 2, {"train_seconds": 4.0})]) == 1


def test_lost_records_windows_and_rubbish_are_seen(tmp_path):
    place = Place(tmp_path / "work")
    folder = place.root / "runs" / "t" / "A-1"
    folder.mkdir(parents=True)
    (folder / "windows.jsonl").write_text(json.dumps(WINDOW) + "\n")
    record = {"train_seconds": 2.0, "exits": [dict.fromkeys(("exit", "ap", "ap50", "ap75", "ar", "pck"), 0)]}
    record["exits"][0] |= {"best_epoch": 1, "params": 1, "macs": 1}
    (folder / "record.json").write_text(json.dumps(record))
    notes, result = place.notes(), place.result()
    assert place.faults(notes, result) == []
    (folder / "best-exit2.safetensors").write_bytes(b"other")
    assert "weights" in place.faults(notes, result)[0]
    result = place.result()
    (folder / ".record.json.7").write_text("")
    (folder / "windows.jsonl").write_text(json.dumps(WINDOW | {"id": 2}) + "\n")
    (folder / "record.json").write_text(json.dumps(record | {"epochs": 1}))
    found = place.faults(notes, result)
    assert [fault.split(": ")[-1] for fault in found] == ["finished record lost", "windows lost", ".record.json.7"]


@pytest.mark.parametrize(
    ("ending", "page", "plain"),
    [
        ("html", "<p onclick='x'>a</p>", "<p>a</p>"),
        ("html", "<p>a</p><script>1</script>", "<p>a</p>"),
        ("html", "<p>a\x1b[1m</p>", "<p>a</p>"),
        ("md", "# a\n\n## b", "# a"),
        ("md", "a <b>b</b>", "a"),
        ("md", "[a](http://x)", "a"),
        ("csv", "a,=1+1\r\n", "a,b\r\n"),
        ("csv", "a,b\r\nc\r\n", "a,b\r\n"),
        ("csv", "a,-1+cmd\r\n", "a,-1e-3\r\n"),
        ("tex", "a % b", "a b"),
        ("tex", "\\input{x}", "x"),
        ("xml", "<a><b/></a>", "<a/>"),
        ("xml", "<a>\ufffe</a>", "<a>b</a>"),
        ("github", "::error::a\n::error::b", "::error::a b"),
        ("terminal", "a\u202eb", "a"),
    ],
)
def test_what_a_hostile_word_does_to_a_form_is_seen(ending, page, plain):
    assert differs(ending, page, plain)
    assert differs(ending, plain, plain) == []


def _fail(folder, log):
    os.chdir(folder)
    fail = {"operation": "write", "file": "a", "place": "?", "error": "ENOSPC", "lasting": False}
    install(folder, {"log": log, "fail": fail})
    try:
        with open("a", "w") as file:
            file.write("text")
    except OSError as error:
        os._exit(error.errno)


def _die(folder, log):
    os.chdir(folder)
    install(folder, {"log": log, "kill": 2})
    with open("a", "w") as file:
        file.write("text")


def _fail_late(folder, log):
    os.chdir(folder)
    fail = {"operation": "fsync", "file": "a", "place": "metering/window:sync", "error": "EIO", "lasting": False}
    install(folder, {"log": log, "fail": fail})
    windows = WindowLog(Path("a"))
    try:
        windows.sync()  # nothing to put on disk
        windows.begin({})
    except MeteringError as error:
        os.truncate("a", 0)
        os._exit(error.__cause__.errno)


@pytest.mark.parametrize(("what", "code"), [(_fail, 28), (_fail_late, 5), (_die, -signal.SIGKILL)])
def test_the_shim_refuses_a_write_and_ends_a_process_before_it(tmp_path, what, code):
    folder, log = tmp_path / "work", tmp_path / "log"
    folder.mkdir()
    process = nursery().Process(target=what, args=(str(folder), str(log)))
    process.start()
    process.join(60)
    assert process.exitcode == code
    assert [json.loads(line)["operation"] for line in log.read_text().splitlines()][:2] == ["open", "write"]
    assert (folder / "a").read_text() == ""
