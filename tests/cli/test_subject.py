"""What `measure` understands by a path, and what it says when it does not."""

from pathlib import Path

import pytest
import yaml

from greenpose.cli.subject import find_subject
from greenpose.errors import ConfigError
from tests.run.measuring import EXPERIMENT, finished_run


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path / "runs" / "tiny-00c0ffee")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT))
    return path


@pytest.fixture
def grid(tmp_path) -> Path:
    path = tmp_path / "grid.yaml"
    base = {key: value for key, value in EXPERIMENT.items() if key not in ("name", "wiring")}
    models = {"HRNet2": {"model.exits": [2]}, "HRNet3": {"model.exits": [3]}, "HRNet3-slow": {"model.exits": [3]}}
    models["HRNet3-slow"]["train.lr"] = 1e-5
    path.write_text(yaml.safe_dump({"name": "grid", "base": base, "experiments": models, "axes": {"seed": [1, 2]}}))
    return path


def faults(source, *, settings=(), only=(), exits=()) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        find_subject(source, settings=settings, only=only, exits=exits)
    return list(refused.value.faults)


def test_without_a_path_it_is_the_papers_network_with_every_exit():
    subject = find_subject(None, settings=())
    assert subject.exits == (1, 2, 3, 4)
    assert (subject.config.model.width, subject.config.data.input_size) == (32, (192, 256))
    assert subject.config.model.weights is None
    assert subject.trained is None


@pytest.mark.parametrize("name", [".", "record.json", "config.yaml", "best-exit2.safetensors"])
def test_a_run_is_found_by_its_folder_and_by_what_lies_in_it(run, name):
    subject = find_subject(run.path / name, settings=())
    assert subject.trained.path.resolve() == run.path.resolve()
    assert (subject.name, subject.exits) == ("tiny-00c0ffee", (2, 3))
    assert subject.config_hash == "00c0ffee" * 8


def test_an_experiment_has_fresh_weights_whatever_file_it_names(file):
    subject = find_subject(file, settings=["model.weights=nowhere.pth", "measure.batch=3"])
    assert subject.trained is None
    assert subject.config.model.weights is None
    assert subject.config.measure.batch == 3


def test_the_last_setting_wins(file):
    assert find_subject(file, settings=["measure.batch=3", "measure.batch=5"]).config.measure.batch == 5


def test_exits_can_be_chosen_in_any_order(run):
    assert find_subject(run.path, settings=(), exits=(3, 2, 3)).exits == (2, 3)


def test_one_run_of_a_grid_is_chosen_by_name_and_seeds_do_not_matter(grid):
    subject = find_subject(grid, settings=(), only=["HRNet3*"])
    assert (subject.name, subject.exits) == ("HRNet3", (3,))


def test_a_grid_of_several_networks_names_its_experiments(grid):
    (fault,) = faults(grid)
    assert "--only" in fault
    assert fault.endswith("HRNet2, HRNet3, HRNet3-slow")


def test_a_trained_run_can_be_measured_otherwise_but_not_changed(run):
    subject = find_subject(run.path, settings=["measure.batch=7", "process.threads=2", "data.input_size=[64, 32]"])
    assert (subject.config.measure.batch, subject.config.process.threads) == (7, 2)
    assert subject.config.data.input_size == (64, 32)
    found = faults(run.path, settings=["model.width=8", "data.profile=coco", "measure.batch=7"])
    assert [fault.split(":")[0] for fault in found] == ["--set model.width", "--set data.profile"]


def test_all_mistakes_are_found_together(run):
    run.best(2).unlink()
    found = faults(run.path, settings=["carbon.country=Italy"], exits=(2, 4))
    assert [
        needle for needle in ("best-exit2", "exits 2, 3", "did you mean ITA") if needle not in " ".join(found)
    ] == []
    assert len(found) == 3


def test_a_fault_of_a_runs_configuration_names_its_file(run):
    written = yaml.safe_load(run.config.read_text())
    written["experiment"]["data"]["profile"] = " "
    run.config.write_text(yaml.safe_dump(written))
    (fault,) = faults(run.path)
    assert fault.startswith(f"{run.config}: data: profile ' ' is not known")


def test_a_run_that_was_metered_from_outside_says_why_nothing_can_be_built_of_it(run):
    run.config.write_text(run.config.read_text() + "own: builder\n")
    (fault,) = faults(run.path)
    assert fault.startswith(f"{run.path}: was metered from outside, as a loop of your own or a program: ")
    assert fault.endswith("its record is for report and check")


def test_a_run_that_is_not_finished_says_so(run):
    run.record.unlink()
    (fault,) = faults(run.path)
    assert "not finished (to do)" in fault
    assert "greenpose run" in fault


def test_a_folder_of_runs_names_them_and_a_mistyped_one_is_guessed(run):
    assert faults(run.path.parent)[0].endswith("give the folder of one: tiny-00c0ffee")
    assert faults(run.path.with_name("tiny-00c0fee"))[0].endswith("no such folder; did you mean tiny-00c0ffee?")


def test_a_record_without_its_folder_is_not_enough(run, tmp_path):
    run.record.rename(tmp_path / "record.json")
    assert "weights are not beside it" in faults(tmp_path / "record.json")[0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nix.yaml", None, "no such file"),
        ("nix", None, "no such folder; give the folder of a finished run, or an experiment"),
        ("empty.yaml", "", "is empty; it takes keys and values"),
        ("folder/config.yaml", "name: x", "is not what a run writes"),
    ],
)
def test_what_is_neither_run_nor_experiment_is_refused_in_words(tmp_path, name, text, said):
    path = tmp_path / name
    if text is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if path.name == "config.yaml":
            path.with_name("record.json").write_text("{}")
    assert said in faults(path)[0]


def test_only_belongs_to_a_grid(run, file):
    assert "is one run" in faults(run.path, only=["x"])[0]
    assert "matches no run; known: tiny" in faults(file, only=["x"])[0]
