import os

import pytest

from greenpose.metering.machine import OpenFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "energy_uj"
    path.write_text("1\n")
    return path


def test_it_says_what_the_file_says_at_each_reading(path):
    read = OpenFile(path)
    assert read() == "1\n"
    path.write_text("22\n")
    assert [read(), read()] == ["22\n", "22\n"]


def test_it_lets_go_of_the_file_with_its_last_user(path):
    read = OpenFile(path)
    file = read._file
    os.fstat(file)
    del read
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_a_file_that_is_not_there_cannot_be_held(tmp_path):
    with pytest.raises(FileNotFoundError):
        OpenFile(tmp_path / "energy_uj")
