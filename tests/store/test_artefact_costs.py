"""What artefacts cost lies beside the record, and a new measurement takes the place of what it measured again."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest

from greenpose.errors import RecordError
from greenpose.record import dumps
from greenpose.record.artefacts import ArtefactCosts
from greenpose.store import RunFolder, artefact_costs
from tests.artefact_costs import cost, known_of, turns
from tests.report.records import record

SCHEMA = Path(__file__).parents[2] / "docs/schema/artefacts.schema.json"
TORCH = (cost("torch", exit_=3, share=0.6), cost("torch", exit_=4, share=1.0))


@pytest.fixture
def run():
    return record("tiny", exits=(3, 4))


@pytest.fixture
def folder(tmp_path, run):
    folder = RunFolder(tmp_path / run.name)
    folder.path.mkdir()
    folder.write_record(run)
    return folder


def files(known):
    return [each.file for _, each in known.costs()]


def test_what_is_written_reads_back_and_is_as_its_schema_says(folder, run):
    known = folder.add_turns(turns([*TORCH, cost("onnx", "int8")], run), run)
    assert artefact_costs([folder.path]) == [known]
    data = json.loads(folder.artefacts.read_text())
    jsonschema.validate(data, json.loads(SCHEMA.read_text()))
    assert data["schema"] == "greenpose.artefacts/1"
    assert known.measurements[0].reference.exit == 4
    assert known.belongs_to(run)


def test_a_file_measured_again_on_its_machine_counts_no_more_as_before(folder, run):
    folder.add_turns(turns([*TORCH, cost("onnx"), cost("openvino")], run), run)
    known = folder.add_turns(turns([*TORCH, cost("onnx", share=0.4)], run, measured_at="later"), run)
    assert files(known) == ["exit3.xml", "exit3.onnx"]
    assert known.measurements[0].reference.exit == 4
    assert [each.relative_to_final["energy_j_per_image"] for _, each in known.costs()] == [0.5, 0.4]
    known = folder.add_turns(turns([*TORCH, cost("openvino")], run), run)
    assert [[each.file for each in one.files] for one in known.measurements] == [["exit3.onnx"], ["exit3.xml"]]


@pytest.mark.parametrize(
    "changed", [{"sha256": "another"}, {"weights_sha256": "another"}], ids=["another file", "other weights"]
)
def test_a_file_of_other_content_is_another_one(folder, run, changed):
    folder.add_turns(turns([cost("openvino")], run), run)
    known = folder.add_turns(turns([cost("openvino", **changed)], run), run)
    assert files(known) == ["exit3.xml", "exit3.xml"]


def test_another_machine_has_entries_of_its_own(folder, run):
    folder.add_turns(turns([cost("onnx")], run), run)
    known = folder.add_turns(turns([cost("onnx")], run, host=run.host | {"fingerprint": "another"}), run)
    assert files(known) == ["exit3.onnx", "exit3.onnx"]


def test_what_belongs_to_an_earlier_training_goes_with_the_next_measurement(folder, run):
    folder.add_turns(turns([cost("onnx")], run), run)
    again = run.model_copy(update={"finished_at": "2031-01-01T00:00:00+00:00"})
    known = folder.add_turns(turns([cost("openvino")], again), again)
    assert files(known) == ["exit3.xml"]
    assert known.belongs_to(again)
    assert not known.belongs_to(run)


def test_measurements_that_end_at_once_are_all_kept(folder, run):
    some = [turns([cost("onnx", sha256=f"{number}")], run) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: folder.add_turns(each, run), some))
    assert len(files(artefact_costs([folder.path])[0])) == 8
    assert sorted(path.name for path in folder.path.iterdir()) == ["artefacts.json", "record.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 50_000, "nested too deeply"),
        ("{}", "is not of the schema greenpose.artefacts/1"),
        ('{"schema": "greenpose.artefacts/1"}', "run: is missing"),
    ],
)
def test_a_damaged_document_is_refused_in_words_and_left_as_it_is(folder, run, text, says):
    folder.artefacts.write_text(text)
    with pytest.raises(RecordError, match=says):
        artefact_costs([folder.path])
    left_out = []
    assert artefact_costs([folder.path], left_out=left_out) == []
    assert says in left_out[0]
    with pytest.raises(RecordError, match=says):
        folder.add_turns(turns([cost("onnx")], run), run)
    assert folder.artefacts.read_text() == text


def test_costs_may_not_be_left_out(run):
    data = json.loads(dumps(known_of(run, turns([cost("onnx")], run))))
    data["measurements"][0]["costs"] = []
    with pytest.raises(ValueError, match="costs"):
        ArtefactCosts.model_validate(data)
