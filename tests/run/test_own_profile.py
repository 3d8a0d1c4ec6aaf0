"""A profile of one's own is part of the run: found beside the file that names it, kept, and counted."""

from importlib.resources import files

import pytest
import yaml

from greenpose.config import Grid, expand, load_grid
from greenpose.data import load_profile
from greenpose.errors import ConfigError
from greenpose.store import RunFolder
from tests.cli.running import greenpose
from tests.run.tiny import TINY

BABYPOSE = yaml.safe_load((files("greenpose") / "data/profiles/babypose.yaml").read_text())


def write(folder, *, sigma, **settings):
    """Leave a grid in a folder with a profile of its own beside it, and return its one run."""
    folder.mkdir(exist_ok=True)
    profile = BABYPOSE | {"name": "mine", "sigmas": [sigma] * 12}
    (folder / "mine.yaml").write_text(yaml.safe_dump(profile))
    grid = yaml.safe_load(TINY)
    grid["base"]["data"] |= {"profile": "mine.yaml"} | settings
    del grid["experiments"]["HRNet2"]
    (folder / "tiny.yaml").write_text(yaml.safe_dump(grid))
    (cell,) = expand(load_grid(folder / "tiny.yaml"), where=str(folder / "tiny.yaml"))
    return cell


def test_it_lies_beside_its_file_whatever_the_current_folder_is_and_its_contents_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = write(tmp_path / "a", sigma=0.1)
    assert load_profile(first.config.data.profile).sigmas == (0.1,) * 12
    assert write(tmp_path / "b", sigma=0.1).config_hash == first.config_hash
    assert write(tmp_path / "a", sigma=0.2).config_hash != first.config_hash


def test_one_that_ships_counts_by_its_name():
    written = TINY.replace("min_window_seconds: 0.005", "min_window_seconds: 0.02").replace(
        "max_seconds: 0.5", "max_seconds: 2"
    )
    (cell, *_) = expand(Grid.model_validate(yaml.safe_load(written)), where="tiny")
    assert cell.config.data.profile == "babypose"
    assert cell.config_hash.startswith("d099edca")  # as before profiles could be part of a configuration


def test_an_option_names_it_from_the_current_folder(tmp_path, monkeypatch):
    write(tmp_path / "a", sigma=0.1)
    write(tmp_path / "b", sigma=0.3)
    monkeypatch.chdir(tmp_path / "b")
    grid = load_grid(tmp_path / "a" / "tiny.yaml", settings=["data.profile=mine.yaml"])
    (cell,) = expand(grid, where=str(tmp_path / "a" / "tiny.yaml"))
    assert cell.config.data.profile.sigmas == (0.3,) * 12


def test_its_faults_name_its_file_and_a_missing_one_where_it_was_looked_for(tmp_path):
    write(tmp_path / "a", sigma=0.1)
    (tmp_path / "a" / "mine.yaml").write_text("name: mine\nname: yours\n")
    with pytest.raises(ConfigError, match=r"data.profile: .*a/mine.yaml: not valid YAML: line 2, column 1: key 'name'"):
        expand(load_grid(tmp_path / "a" / "tiny.yaml"), where=str(tmp_path / "a" / "tiny.yaml"))
    (tmp_path / "a" / "mine.yaml").unlink()
    with pytest.raises(ConfigError, match=r"data.profile: .*/a/mine.yaml: no such file"):
        expand(load_grid(tmp_path / "a" / "tiny.yaml"), where=str(tmp_path / "a" / "tiny.yaml"))


def test_a_run_keeps_it_is_not_done_with_another_and_works_wherever_it_is_moved(tmp_path):
    first = write(tmp_path / "a", sigma=0.1)
    call = ("run", "--grid", "../a/tiny.yaml", "--out", "runs", "--no-report", "--json")
    (tmp_path / "b").mkdir()
    done = greenpose(*call, cwd=tmp_path / "b")
    assert done.code == 0, done.err
    assert [run["state"] for run in done.json["runs"]] == ["done"]
    write(tmp_path / "a", sigma=0.2)
    planned = greenpose(*call, "--dry-run", cwd=tmp_path / "b")
    assert [run["state"] for run in planned.json["runs"]] == ["to do"]

    (tmp_path / "a" / "mine.yaml").unlink()
    moved = (tmp_path / "b" / "runs" / first.name).rename(tmp_path / "moved")
    assert RunFolder(moved).experiment().data.profile.sigmas == (0.1,) * 12
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for words in (
        ("export", "../moved", "--exit", 2, "--to", "safetensors", "-o", "deploy"),
        ("measure", "../moved", "--max-seconds", 0.2, "--set", "measure.max_blocks=2"),
        ("policy", "../moved", "--no-measure", "--ap", 0),
    ):
        done = greenpose(*words, cwd=elsewhere)
        assert done.code == 0, (words, done.err)
