"""A folder's sums are those that everybody's tool computes, and tell what has changed."""

import hashlib
import shutil
import subprocess

import pytest

from greenpose.data.check import FILE, sha256, sums_text, verify_sums


@pytest.fixture
def folder(tmp_path):
    names = ["a b.txt", "deep/c.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / FILE).write_text(sums_text({name: sha256(name.encode()) for name in names}))
    return tmp_path


def test_a_sum_is_that_of_the_bytes():
    assert sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the tool is not here")
def test_everybodys_tool_reads_the_file(folder):
    done = subprocess.run(["sha256sum", "-c", FILE], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unchanged_folder_and_one_without_sums_have_nothing_to_say(folder):
    assert verify_sums(folder) == []
    (folder / "a b.txt").write_text("another")
    (folder / FILE).unlink()
    assert verify_sums(folder) == []


def test_changed_and_missing_files_are_named(folder):
    (folder / "a b.txt").write_text("another")
    (folder / "deep" / "c.txt").unlink()
    (finding,) = verify_sums(folder)
    assert finding.level == "warning"
    assert finding.message.startswith("2 files are not")
    assert finding.message.endswith("(a b.txt, deep/c.txt)")
