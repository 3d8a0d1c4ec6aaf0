"""Runs on other labels are other data: not resumed, not compared, and said."""

import json
import shutil

import pytest

from greenpose.check.baseline import Context
from greenpose.check.exact_gate import obstacles
from greenpose.check.footprint import of_record
from greenpose.metrics import CONVENTIONS
from greenpose.store import RunFolder, collect
from tests.cli.running import greenpose
from tests.run.infants import annotations, infants


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data and a finished run on them."""
    folder = tmp_path_factory.mktemp("labelled")
    infants(folder, "labelled", exits=(1, 2))
    done = greenpose("run", "labelled.yaml", "--no-report", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def relabelled(trained, tmp_path):
    """The same, with one joint of the training split moved since."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    relabel(tmp_path, "train")
    return tmp_path


def relabel(folder, split):
    file = annotations(folder, split)
    document = json.loads(file.read_text())
    document["annotations"][0]["keypoints"][0] += 3
    file.write_text(json.dumps(document))


def test_a_finished_run_is_not_taken_for_one_on_other_labels(relabelled):
    again = greenpose("run", "labelled.yaml", "--no-report", cwd=relabelled)
    assert again.code == 2
    assert "was begun with other annotations of train; greenpose run --fresh trains anew" in again.err


def test_a_fresh_run_takes_the_new_labels(relabelled):
    (before,) = collect([relabelled / "runs"])
    assert greenpose("run", "labelled.yaml", "--no-report", "--fresh", cwd=relabelled).code == 0
    (after,) = collect([relabelled / "runs"])
    digests = [one.dataset["annotations_sha256"] for one in (before, after)]
    assert digests[0]["train"] != digests[1]["train"]
    assert digests[0]["test"] == digests[1]["test"]


def test_a_worker_does_not_go_on_with_other_labels(relabelled):
    (record,) = (relabelled / "runs").rglob("record.json")
    record.unlink()
    again = greenpose("worker", record.parent, cwd=relabelled)
    assert again.code != 0
    assert "was begun with other annotations of train" in (record.parent / "failure.json").read_text()


def test_a_run_begun_before_digests_were_kept_goes_on(relabelled):
    (config,) = (relabelled / "runs").rglob("config.yaml")
    folder = RunFolder(config.parent)
    folder.write_cell({key: value for key, value in folder.read_cell().items() if key != "annotations_sha256"})
    assert greenpose("run", "labelled.yaml", "--no-report", cwd=relabelled).code == 0


def test_the_gate_compares_accuracy_on_the_same_test_labels_only(trained):
    (record,) = collect([trained / "runs"])
    other = record.model_copy(deep=True)
    other.dataset["annotations_sha256"]["test"] = "0" * 64
    older = record.model_copy(deep=True)
    del older.dataset["annotations_sha256"]

    def refusal(there):
        footprint = of_record(there)
        context = Context(data=footprint.data, input=footprint.input, network=footprint.network, torch=footprint.torch)
        return next(obstacles("ap", context, of_record(record), convention=CONVENTIONS["ap"]), None)

    assert (refusal(record), refusal(older)) == (None, None)
    assert "accuracy was evaluated on coco babypose" in str(refusal(other))


def test_early_exit_is_not_judged_on_other_labels_than_the_run_was(relabelled):
    (record,) = (relabelled / "runs").rglob("record.json")
    relabel(relabelled, "test")
    done = greenpose("policy", record.parent, cwd=relabelled)
    assert done.code == 2
    assert "was begun with other annotations of test; greenpose run --fresh" in done.err
