import shutil
from pathlib import Path

import pytest

import greenpose
from benchmarks.planted import PLANTED

PACKAGE = Path(greenpose.__file__).parent


def test_there_are_enough_and_each_has_a_name_of_its_own():
    assert len({mutant.name for mutant in PLANTED}) == len(PLANTED) >= 20


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name)
def test_a_planted_change_still_fits_the_code_and_leaves_python(mutant, tmp_path):
    for name, _, _ in mutant.changes:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / name)
    mutant.plant(tmp_path)
    for name, _, _ in mutant.changes:
        text = (tmp_path / name).read_text()
        assert text != (PACKAGE / name).read_text()
        compile(text, name, "exec")
