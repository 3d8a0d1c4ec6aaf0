"""Artefacts measured beside their run: real tiny files in their runtimes on this machine."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import jsonschema
import pytest

from greenpose.artefact import Artefact, read_artefact
from greenpose.errors import ArtefactError
from greenpose.metering import read_windows
from greenpose.record import dumps
from greenpose.record.artefacts import ArtefactCosts
from greenpose.run import peak_memory
from greenpose.run.measure_artefacts import measure_artefacts, place_of
from greenpose.store import read_record
from tests.export.conftest import whole
from tests.run.measuring import experiment, finished_run
from tests.store.test_artefact_costs import SCHEMA


def small_run(path):
    """A finished run whose record takes images as small as its network does."""
    folder = finished_run(path)
    record = read_record(folder.record)
    data = record.config["data"] | {"input_size": [32, 32]}
    folder.write_record(record.model_copy(update={"config": record.config | {"data": data}}))
    return folder


__all__ = ["whole"]

BRIEF = experiment(measure={"batch": 2, "min_window_seconds": 0.01, "max_blocks": 2, "max_seconds": 1})

BALLAST = 700_000_000
"""Bytes that the measuring process holds, and no process that it starts."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run") / "tiny-00c0ffee")


@pytest.fixture(scope="module")
def artefacts(whole):
    return [each for each in read_artefact(whole) if each.file.file in {"exit2.onnx", "exit2.pt2"}]


@pytest.fixture(scope="module")
def measured(run, artefacts):
    """The measurement, and the names of its windows; processes measure the memory of files, no more those of exits."""
    log, ballast = run.path / "measured.jsonl", bytearray(BALLAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peak_memory, "of_exit", lambda _, exit_, **_how: exit_ * 10**8)
        turns = measure_artefacts(BRIEF, artefacts, trained=run, log=log)
    del ballast
    return turns, [each.name for each in read_windows(log)]


def test_files_and_exits_in_torch_take_turns_in_every_block(measured):
    turns, names = measured
    places = {"idle", "torch exit 2", "torch exit 3", "exit2.onnx", "exit2.pt2"}
    blocks = [names[start : start + 5] for start in range(0, len(names), 5)]
    assert len(blocks) == turns.blocks + 1
    assert all({name.removeprefix("inference ") for name in block} == places for block in blocks)


def test_what_each_file_is_comes_from_its_card_and_what_it_computes_in_from_its_runtime(measured, artefacts):
    turns, _ = measured
    assert [each.file for each in turns.costs] == [
        *("best-exit2.safetensors", "best-exit3.safetensors"),
        *("exit2.onnx", "exit2.pt2"),
    ]
    for each, artefact in zip(turns.files, artefacts, strict=True):
        content = artefact.path.read_bytes()
        assert (each.sha256, each.file_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert (each.exit, each.precision, each.arithmetic, each.outputs) == (2, "fp32", "float32", "heatmaps")
        assert each.runtime.startswith(artefact.file.runtime)


def test_shares_are_of_the_final_exit_in_torch(measured):
    turns, _ = measured
    assert turns.reference.exit == 3
    assert set(turns.reference.relative_to_final.values()) == {1.0}
    for each in turns.costs:
        assert each.relative_to_final.keys() == {"latency_s", "cpu_s_per_image", "energy_j_per_image"}
        assert all(share > 0 for share in each.relative_to_final.values())


def test_every_number_has_a_unit_and_a_kind_and_the_document_is_as_its_schema_says(measured, run):
    turns, _ = measured
    for each in turns.costs:
        for name, value in each:
            if isinstance(value, float):
                assert each.quantity(name).unit, name
                assert each.quantity(name).kind != "not_covered", name
        assert each.memory_bytes > each.file_bytes
    known = run.add_turns(turns, read_record(run.record))
    jsonschema.validate(json.loads(dumps(known)), json.loads(SCHEMA.read_text()))
    assert ArtefactCosts.model_validate_json(dumps(known)) == known
    assert "instruction_sets" in turns.host
    assert turns.software["onnxruntime"]


def test_accuracy_of_an_exit_in_torch_is_the_records(measured, run):
    turns, _ = measured
    record = read_record(run.record)
    for each in turns.costs[:2]:
        assert (each.ap, each.basis["ap"]) == (record.exit(each.exit).ap, record.exit(each.exit).basis["ap"])
        assert each.ap_change == 0


def test_without_a_run_files_take_turns_alone_and_shares_say_why_they_are_missing(artefacts, monkeypatch):
    monkeypatch.setattr(peak_memory, "of_artefact", lambda *_, **_how: None)
    turns = measure_artefacts(BRIEF, artefacts[:1], trained=None)
    assert [each.file for each in turns.costs] == ["exit2.onnx"]
    assert turns.reference is None
    share = turns.costs[0].quantity("relative_to_final.energy_j_per_image")
    assert share.value is None
    assert "torch's own network did not take turns" in share.missing


def test_a_file_in_another_folder_is_told_apart_by_its_path(artefacts, tmp_path):
    first = artefacts[0]
    other = Artefact(folder=tmp_path, card=first.card, file=first.file)
    assert place_of(first, artefacts) == "exit2.onnx"
    assert place_of(other, [first, other]) == str(tmp_path / "exit2.onnx")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"config_hash": "another"}, "exported from tiny"),
        ({"trained_at": "2031"}, "trained 2031, and not from"),
    ],
)
def test_an_artefact_of_another_run_or_training_is_refused(run, artefacts, changed, says):
    foreign = replace(artefacts[0], card=artefacts[0].card.model_copy(update=changed))
    for trained, some in ((run, [foreign]), (None, [artefacts[0], foreign])):
        with pytest.raises(ArtefactError, match=says):
            measure_artefacts(BRIEF, some, trained=trained)


def test_images_of_another_size_are_refused(run, artefacts):
    config = BRIEF.model_copy(update={"data": BRIEF.data.model_copy(update={"input_size": (64, 32)})})
    with pytest.raises(ArtefactError, match="takes images of 32x32, where 64x32 are measured"):
        measure_artefacts(config, artefacts, trained=run)


def test_memory_is_that_of_a_process_of_its_own_which_loads_torch_for_torch_only(measured, run):
    """A process that imports torch holds some 100 MB more than one that does not, whatever this one holds."""
    held = {each.file: each.memory_bytes for each in measured[0].costs}
    assert 30e6 < held["exit2.onnx"] < held["exit2.pt2"] - 50e6
    assert held["exit2.pt2"] < BALLAST
    assert [held[f"best-exit{exit_}.safetensors"] for exit_ in (2, 3)] == [2 * 10**8, 3 * 10**8]
    assert peak_memory.of_artefact(run.path / "nothing.onnx", batch=2, threads=1) is None


def test_the_high_water_mark_rises_with_what_is_held_and_never_falls():
    program = f"""
        import runpy
        high_water = runpy.run_path({peak_memory.__file__!r})["high_water"]
        marks = [high_water()]
        held = b"x" * 50_000_000
        marks.append(high_water())
        del held
        print(*marks, high_water())
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())]
    marks = [int(each) for each in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()]
    assert 45e6 < marks[1] - marks[0] < 70e6
    assert all(after > before - 2e6 for before, after in pairwise(marks)), "the kernel counts in batches of pages"
