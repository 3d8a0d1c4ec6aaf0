"""`greenpose check --against`: what can be said without starting a process that measures."""

import subprocess
import sys

import pytest

from greenpose.check.paired.selftest import recall
from tests.cli.running import greenpose
from tests.cli.test_check import check

EXPERIMENT = "carbon: {country: ITA}\n"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.mark.parametrize("option", [["--exit", "3"], ["--wall"], ["--max-pairs", "90"]])
def test_options_of_paired_turns_are_refused_without_something_to_compare_with(place, option):
    done = check(place, "e.yaml", *option)
    assert done.code == 2
    assert f"{option[0]}: belongs to --against REF or --against-env PATH" in done.err


def test_a_folder_without_a_repository_an_unknown_revision_and_environment_end_in_words(place):
    done = greenpose("check", "e.yaml", "--against", "main", cwd=place)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --against main:")
    assert "is in no git repository" in done.err
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    assert "--against nowhere: no such revision" in check(place, "e.yaml", "--against", "nowhere").err
    assert "--against-env nowhere: no Python there" in check(place, "e.yaml", "--against-env", "nowhere").err


def test_an_exit_that_there_is_not_is_refused_before_anything_is_started(place):
    done = check(place, "e.yaml", "--against-env", sys.prefix, "--exit", "2")
    assert done.code == 2
    assert "--exit 2: e.yaml has exits 4" in done.err


def test_help_names_the_options_without_importing_what_measures():
    code = (
        "import sys\n"
        "from greenpose.cli.app import app\n"
        "try:\n"
        "    app(['check', '--help'])\n"
        "except SystemExit:\n"
        "    print(sorted({'torch', 'numpy', 'greenpose.check.paired.against'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for option in ("--against-env", "--self-test", "--max-pairs", "--wall", "--exit"):
        assert option in done.stdout


@pytest.mark.slow
def test_a_self_test_prints_what_this_machine_can_tell_and_keeps_it(place, monkeypatch):
    done = greenpose("check", "--self-test", "--json", cwd=place)
    assert done.code in (0, 3)
    assert done.json["comparisons"] > 0
    assert 0 < done.json["bound"] < 1
    monkeypatch.setenv("GREENPOSE_CACHE", str(place / "cache"))
    kept = recall()
    assert kept is not None
    assert kept.comparisons == done.json["comparisons"]
