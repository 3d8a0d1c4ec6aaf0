"""What finds poses is the cheapest that was measured and is accurate enough; where nothing was, that is said."""

import hashlib
import json

import onnx
import pytest

from greenpose.artefact import read_artefact
from greenpose.metering.machine import this_machine
from greenpose.predict import of_artefact, of_run
from greenpose.predict.estimator import UNMEASURED, chosen_file
from greenpose.record import dumps
from greenpose.store import read_record
from greenpose.subject import read_subject
from tests.artefact_costs import cost, known_of, turns
from tests.export.exporting import exported
from tests.predict import planted
from tests.report.records import record
from tests.run.measuring import finished_run

NAMES = {"exit1-int8.onnx": "int8", "exit1.onnx": "fp32", "exit1-other.onnx": "fp32"}


@pytest.fixture
def folder(tmp_path):
    """An artefact of three files, in the order in which they are preferred where nothing was measured."""
    folder = planted.artefact(tmp_path / "run" / "exported")
    card = json.loads((folder / "card.json").read_text())
    (entry,) = card["files"]
    model, card["files"] = onnx.load(folder / entry["file"]), []
    for name, precision in NAMES.items():
        model.doc_string = name
        content = model.SerializeToString()
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        card["files"].append(entry | {"file": name, "precision": precision, "sha256": digest, "bytes": len(content)})
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def measured(folder, shares, *, lost=(0, 0, 0), finished="2026-01-01T00:00:00+00:00", machine=None):
    """Return the document that says that the folder's files cost such shares and lost so much AP."""
    digests = {each.file.file: each.file.sha256 for each in read_artefact(folder)}
    costs = [
        cost("onnx", NAMES[name], exit_=1, share=share, ap=0.5 - less, change=(-less, -less, 0)).model_copy(
            update={"file": name, "sha256": digests[name]}
        )
        for (name, share), less in zip(shares.items(), lost, strict=False)
    ]
    run = record("planted", exits=(1, 2)).model_copy(update={"config_hash": "0" * 64, "finished_at": finished})
    own = cost("torch", exit_=1, share=0.6), cost("torch", exit_=2, share=1.0)
    one = turns([*own, *costs], run)
    host = one.host | {"fingerprint": machine or this_machine().fingerprint}
    return dumps(known_of(run, one.model_copy(update={"host": host})))


@pytest.mark.parametrize("place", ["exported", "."])
def test_the_cheapest_measured_file_that_is_accurate_enough_is_taken_and_why_is_said(folder, place):
    document = measured(folder, {"exit1-int8.onnx": 0.1, "exit1.onnx": 0.4, "exit1-other.onnx": 0.3}, lost=(0.03, 0, 0))
    (folder.parent / place / "artefacts.json").write_text(document)
    found = of_artefact(folder)
    assert found.about["file"] == str(folder / "exit1-other.onnx")
    why = "the least energy of 2 models measured on this machine within 2 points of AP, 30 % of torch float32 at exit 2"
    assert found.about["chosen_as"].replace("\xa0", " ") == why
    assert found.said.endswith(found.about["chosen_as"])
    assert of_artefact(folder / "exit1.onnx").about["file"] == str(folder / "exit1.onnx")


def test_what_was_measured_elsewhere_is_taken_and_said_to_be(folder):
    (folder / "artefacts.json").write_text(measured(folder, {"exit1.onnx": 0.4}, machine="another"))
    artefact, why = chosen_file(read_artefact(folder))
    assert (artefact.file.file, "1\xa0model measured on another machine" in why) == ("exit1.onnx", True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda folder: measured(folder, {"exit1.onnx": 0.4}, finished="2025-01-01T00:00:00+00:00"),
        lambda folder: measured(folder, {"exit1.onnx": 0.4}, lost=(0.021,)),
        lambda _: "{",
    ],
    ids=["nothing", "another training", "none accurate enough", "damaged"],
)
def test_where_nothing_of_it_was_measured_the_first_is_taken_and_said_to_be_unmeasured(folder, spoil):
    document = spoil(folder)
    if document:
        (folder / "artefacts.json").write_text(document)
    artefact, why = chosen_file(read_artefact(folder))
    assert (artefact.file.file, why) == ("exit1-int8.onnx", UNMEASURED)


def test_a_run_is_searched_by_its_cheapest_exit_or_file(tmp_path):
    run = finished_run(tmp_path / "tiny-00c0ffee")
    whole = read_record(run.record)
    said = of_run(read_subject(run.path, settings=())[0]).said
    assert "no exported file in its folder was measured" in said
    for exit_ in (2, 3):
        exported(run, "pt2", exit_=exit_, output=run.path / f"exported/exit{exit_}")
    entries = [
        cost("pt2", exit_=exit_, share=0.2 * exit_).model_copy(
            update={"sha256": read_artefact(run.path / f"exported/exit{exit_}")[0].file.sha256}
        )
        for exit_ in (2, 3)
    ]
    run.add_turns(turns([cost("torch", exit_=2, share=0.3), cost("torch", exit_=3), *entries], whole), whole)
    subject = read_subject(run.path, settings=())[0]
    assert of_run(subject).said.startswith(f"{run.path}, exit 2 (the least energy of 4\xa0models")
    assert of_run(subject, exit_=3).said.startswith(f"{run.path}, exit 3 (the least energy of 2\xa0models")
    assert "(the best of" in of_run(subject, in_torch=True).said
    run.add_turns(turns([cost("torch", exit_=3, share=0.9), *entries], whole, measured_at="later"), whole)
    assert of_run(subject).about["file"] == str(run.path / "exported/exit2/exit2.pt2")
    assert of_run(subject, exit_=3).about["file"] == str(run.path / "exported/exit3/exit3.pt2")
