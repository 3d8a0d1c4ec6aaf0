"""A folder appears whole or not at all, whatever becomes of the process that makes it."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from greenpose.data.folders import unfinished_path, whole_folder
from greenpose.errors import DataError

_HOLD = """
import os, sys
from pathlib import Path
from greenpose.data.folders import whole_folder
with whole_folder(Path(sys.argv[1])) as unfinished:
    (unfinished.path / "deep").mkdir()
    (unfinished.path / "deep" / "half").write_text("...")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_nothing_is_seen_before_the_end_and_everything_after(tmp_path):
    out = tmp_path / "new" / "out"
    with whole_folder(out) as unfinished:
        (unfinished.path / "a").write_text("1")
        assert not out.exists()
    assert [entry.name for entry in out.iterdir()] == ["a"]
    assert [entry.name for entry in out.parent.iterdir()] == ["out"]
    assert not unfinished.swept


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_whatever_ends_it(tmp_path, ending):
    with pytest.raises(ending), whole_folder(tmp_path / "out") as unfinished:  # noqa: PT012
        (unfinished.path / "a").write_text("1")
        raise ending
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_there_and_a_full_one_or_a_file_may_not(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with whole_folder(out) as unfinished:
        (unfinished.path / "a").write_text("1")
    for taken in (out, out / "a"):
        with pytest.raises(DataError, match="is in use already"), whole_folder(taken):
            pass
    assert (out / "a").read_text() == "1"


def test_a_living_process_is_not_disturbed_and_what_a_killed_one_left_is_swept(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(DataError, match="another process is making"), whole_folder(out):
            pass
        assert (unfinished_path(out) / "deep" / "half").exists()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert not out.exists()
    with whole_folder(out) as unfinished:
        assert unfinished.swept
        assert not (unfinished.path / "deep").exists()
    assert list(out.iterdir()) == []


def test_the_remains_of_a_folder_that_somebody_deleted_do_no_harm(tmp_path):
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "out") as unfinished:
        shutil.rmtree(unfinished.path)
    assert list(tmp_path.iterdir()) == []
