"""A run that is tested in detected boxes, from the command line to its record."""

import hashlib
import json

import pytest

from greenpose.cli.subject import faults_of
from greenpose.config import Experiment
from greenpose.record import Record
from greenpose.store import collect
from tests.cli.running import greenpose
from tests.run.infants import NUMBERS, annotations, infants


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Two test patients seen twice; boxes on three of the four, one of them twice, and a false one."""
    folder = tmp_path_factory.mktemp("detected")
    infants(folder, "detected", exits=(1,), detections="boxes.json")
    labels = json.loads(annotations(folder, "test").read_text())["annotations"]
    assert len(labels) == 4
    boxes = [{"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9} for a in labels[1:]]
    x, y, width, height = boxes[0]["bbox"]
    boxes += [
        boxes[0] | {"bbox": [x + 1, y + 1, width, height], "score": 0.8},
        boxes[0] | {"bbox": [2, 3, 12, 9], "score": 0.3},
    ]
    (folder / "infants" / "boxes.json").write_text(json.dumps(boxes))
    return folder


@pytest.fixture(scope="module")
def record(workplace) -> Record:
    done = greenpose("run", "detected.yaml", "--no-report", cwd=workplace)
    assert done.code == 0, done.err
    (record,) = collect([workplace / "runs"])
    return record


def test_the_record_says_which_boxes_were_searched_and_what_they_were(workplace, record):
    content = (workplace / "infants" / "boxes.json").read_bytes()
    assert {key: record.dataset[key] for key in ("boxes", "boxes_file", "boxes_sha256", "num_boxes")} == {
        "boxes": "detected",
        "boxes_file": "boxes.json",
        "boxes_sha256": hashlib.sha256(content).hexdigest(),
        "num_boxes": 5,
    }
    assert record.images["test"] == 4


def test_each_accuracy_says_its_boxes_and_oks_its_area(record):
    (entry,) = record.exits
    for name in ("ap", "ap50", "ap75", "ar"):
        assert "area: as annotated; boxes: detected (boxes.json)" in entry.quantity(name).method
    for name in ("pck", "pck_corrected"):
        assert "boxes: annotated" in entry.quantity(name).method
    assert record.dataset["area"] == "as annotated"


def test_a_subject_without_a_box_is_counted_as_missed(record):
    (entry,) = record.exits
    assert 0 <= entry.ar <= 3 / 4


def test_faults_of_the_boxes_are_told_before_anything_is_trained(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    (workplace / "infants" / "bad.json").write_text(json.dumps([{"image_id": 77, "category_id": 2}]))
    experiment = json.loads((workplace / "detected.yaml").read_text())
    experiment["data"]["detections"] = "bad.json"
    config = Experiment.model_validate(experiment)
    faults = faults_of(config)
    assert [fault.split(": ")[:3] for fault in faults] == [
        ["data", "infants/bad.json", field] for field in ("image_id", "category_id", "bbox", "score")
    ]


def test_the_record_says_which_annotations_were_learnt_and_judged(workplace, record):
    files = {split: annotations(workplace, split) for split in NUMBERS}
    digests = {split: hashlib.sha256(file.read_bytes()).hexdigest() for split, file in files.items()}
    assert record.dataset["annotations_sha256"] == digests
