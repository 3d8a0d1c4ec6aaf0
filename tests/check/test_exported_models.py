"""Exported models in the gate: their operators as an independent reader counts them, their verdicts, their budgets."""

import hashlib
import zipfile
from collections import Counter
from datetime import date
from inspect import unwrap

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from greenpose.artefact import Artefact, Card, CardFile
from greenpose.artefact.card import CardNumber, CropRule, Decoding, Normalisation, Port
from greenpose.artefact.folder import operators_of
from greenpose.artefact.runtime import load_openvino
from greenpose.check import Selection, accept, check_budgets, compare, dumps, read_baseline, read_budgets
from greenpose.check.exported_models import of_artefact
from greenpose.cli.check import check
from greenpose.cli.check_candidate import read_candidate
from greenpose.data import load_profile
from greenpose.errors import ArtefactError, CheckError
from greenpose.intervals import Bounds
from greenpose.quantity import Quantity
from greenpose.record import dumps as dumps_document
from greenpose.store import RunFolder
from tests.artefact_costs import cost, number, turns
from tests.check.test_exact_gate import ACCEPTANCE, EVERYTHING
from tests.report.records import record

ENDINGS = {"onnx": "onnx", "openvino": "xml", "pt2": "pt2"}


class Net(torch.nn.Module):
    """Two convolutions and a sum."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (torch.nn.Conv2d(3, 3, 1) for _ in range(2))

    def forward(self, x):
        return torch.relu(self.first(x)) + self.second(x)


def graph():
    """An ONNX model of the same shape."""
    one = helper.make_tensor("w", TensorProto.FLOAT, (3, 3, 1, 1), [0.5] * 9)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 32, 32)) for name in "xy"]
    made = helper.make_graph(nodes, "net", ports[:1], ports[1:], initializer=[one])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])


def artefact(folder, format_="onnx", precision="fp32", *, ap=0.5, size=4000, exit_=3, **fields):
    """An artefact whose model file need not be there unless its operators are asked for."""
    profile = load_profile("babypose")
    accuracy = number(ap, "fraction", "computed", type_a=Bounds(ap - 0.03, ap + 0.03))
    told = {name: CardNumber.of(name, accuracy) for name in ("ap", "ar", "pck")}
    counts = {name: Quantity(value=value, unit=name, kind="counted") for name, value in (("params", 7), ("macs", 9))}
    file = CardFile(
        file=f"exit{exit_}.{ENDINGS[format_]}",
        format=format_,
        precision=precision,
        runtime="onnxruntime",
        bytes=size,
        sha256="00",
        accuracy=told,
        accuracy_change=told,
        **fields,
    )
    ports = [Port(name=name, shape=["batch", depth, 32, 32]) for name, depth in (("images", 3), ("heatmaps", 12))]
    training = CardNumber.of("train_energy_kwh", number(1.0, "kWh", "modelled"))
    card = Card(
        run="HRNet4-OKD-00c0ffee",
        exit=exit_,
        config_hash="00c0ffee",
        trained_at="2026",
        files=[file],
        folded=False,
        folding_error=None,
        profile=profile,
        input=ports[0],
        normalisation=Normalisation(),
        crop=CropRule(aspect=1.0, padding=1.25, as_given=False),
        depth_window_mm=None,
        output=ports[1],
        decoding=Decoding(),
        numbers={name: CardNumber.of(name, each) for name, each in (counts | {"ap": accuracy}).items()},
        train_energy_kwh=training,
        train_co2eq_g=training,
        grade="C",
        measured_on={},
        software={},
    )
    return Artefact(folder=folder, card=card, file=file)


@pytest.fixture
def footprint(tmp_path):
    """Return a function that makes the footprint of an ONNX file, with other operators where `extra` are added."""

    def made(*, extra=0, measured=None, **changes):
        one, model = artefact(tmp_path, **changes), graph()
        model.graph.node.extend(helper.make_node("Relu", ["y"], [f"y{place}"]) for place in range(extra))
        one.path.write_bytes(model.SerializeToString())
        return of_artefact(one, measured)

    return made


@pytest.fixture
def filed(footprint, tmp_path):
    path = tmp_path / "base.json"
    path.write_text(dumps(accept(None, [footprint()], only=EVERYTHING, **ACCEPTANCE)))
    return read_baseline(path)


def outcomes(here, filed):
    return {each.name: each.outcome for each in compare([here], filed, only=EVERYTHING).findings}


def test_operators_are_those_that_the_package_of_the_format_finds(tmp_path):
    for format_, written, counted in (
        ("onnx", _onnx, _by_onnx),
        ("openvino", _openvino, _by_openvino),
        ("pt2", _pt2, _by_torch),
    ):
        one = artefact(tmp_path, format_)
        written(one.path)
        assert operators_of(one) == dict(sorted(counted(one.path).items())), format_
        assert sum(operators_of(one).values()) >= 4


def _onnx(path):
    path.write_bytes(graph().SerializeToString())


def _by_onnx(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def _openvino(path):
    openvino, source = load_openvino(), path.with_suffix(".onnx")
    _onnx(source)
    openvino.save_model(openvino.convert_model(source), path, compress_to_fp16=False)


def _by_openvino(path):
    files = {"Constant": "Const", "Relu": "ReLU"}  # what its files call operators that the package calls otherwise
    names = (each.get_type_name() for each in load_openvino().Core().read_model(path).get_ops())
    return Counter(files.get(name, name) for name in names)


def _pt2(path):
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 3, 32, 32),)), path)


def _by_torch(path):
    nodes = torch.export.load(path).graph.nodes
    return Counter(
        f"{each.target._schema.name.replace('::', '.')}.{each.target._overloadname}"
        for each in nodes
        if each.op == "call_function"
    )


@pytest.mark.parametrize(("name", "content"), [("onnx", b"no model"), ("openvino", b"<net/>"), ("pt2", b"no archive")])
def test_a_file_in_which_none_can_be_read_is_refused(tmp_path, name, content):
    one = artefact(tmp_path, name)
    one.path.write_bytes(content)
    with pytest.raises(ArtefactError, match="its operators cannot be read"):
        operators_of(one)


def test_an_archive_without_a_program_is_refused(tmp_path):
    one = artefact(tmp_path, "pt2")
    with zipfile.ZipFile(one.path, "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(ArtefactError, match="its operators cannot be read"):
        operators_of(one)


def test_what_was_accepted_is_ok(footprint, filed):
    names = ("ap", "file_bytes", "macs", "operations", "params")
    assert outcomes(footprint(), filed) == {f"exit3.{name}": "ok" for name in names}
    assert list(filed.baseline.experiments) == ["HRNet4-OKD.onnx-fp32"]
    assert filed.baseline.values["exit3.operations.Conv"] == 2


@pytest.mark.parametrize(
    ("changes", "name", "outcome"),
    [
        ({"size": 4001}, "file_bytes", "regressed"),
        ({"size": 3999}, "file_bytes", "improved"),
        ({"extra": 1}, "operations", "regressed"),
        ({"ap": 0.49}, "ap", "ok"),
        ({"ap": 0.46}, "ap", "inconclusive"),
        ({"ap": 0.40}, "ap", "regressed"),
    ],
)
def test_bytes_and_operators_are_compared_exactly_and_accuracy_with_its_floor(footprint, filed, changes, name, outcome):
    seen = outcomes(footprint(**changes), filed)
    assert seen.pop(f"exit3.{name}") == outcome
    assert set(seen.values()) == {"ok"}


def test_a_file_of_another_kind_is_not_held_against_it(footprint, filed):
    (only,) = compare([footprint(precision="int8")], filed, only=EVERYTHING).findings
    assert only.outcome == "incomparable"
    assert "but no HRNet4-OKD.onnx-int8" in only.says


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("exit3.file_bytes <= 4000", "ok"),
        ("onnx-int8/exit3.file_bytes <= 3999", "regressed"),
        ("HRNet4-OKD.onnx-int8/exit3.ap >= 0.4", "ok"),
        ("onnx-int8/exit3/final energy <= 0.25", "ok"),
        ("exit3/final cpu <= 0.1", "regressed"),
        ("exit3.memory_bytes <= 1e9", "ok"),
    ],
)
def test_budgets_name_artefacts_by_kind_and_hold_what_was_measured_of_them(footprint, tmp_path, line, outcome):
    (tmp_path / "budgets.yaml").write_text(f"budgets: ['{line}']")
    here = footprint(precision="int8", measured=cost("onnx", "int8", share=0.2))
    limits = read_budgets(tmp_path / "budgets.yaml")
    found = check_budgets(limits, [here], file="budgets.yaml", today=date(2026, 11, 30), only=Selection())
    assert [each.outcome for each in found.findings] == [outcome]


@pytest.mark.parametrize(
    "line", ["final.ap >= 0.9", "train.energy_kwh <= 1", "openvino-int8/exit3.ap >= 0.9", "exit2.ap >= 1"]
)
def test_budgets_of_something_else_are_not_for_it(footprint, tmp_path, line):
    (tmp_path / "budgets.yaml").write_text(f"budgets: ['{line}']")
    limits = read_budgets(tmp_path / "budgets.yaml")
    found = check_budgets(limits, [footprint()], file="budgets.yaml", today=date(2026, 11, 30), only=Selection())
    assert found.findings == ()
    assert "not checked" in found.notes[0]


def test_an_artefact_is_a_candidate_and_what_it_was_measured_to_cost_comes_from_beside_its_run(tmp_path):
    run = record("HRNet4-OKD", config_hash="00c0ffee")
    folder = RunFolder(tmp_path / "run")
    there = folder.path / "exported"
    there.mkdir(parents=True)
    folder.write_record(run)
    content = graph().SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    one = artefact(there, precision="int8", size=len(content))
    file = one.file.model_copy(update={"sha256": digest})
    one.path.write_bytes(content)
    (there / "card.json").write_text(dumps_document(one.card.model_copy(update={"files": [file]})))
    folder.add_turns(turns([cost("onnx", "int8", share=0.2, sha256=digest)], run), run)
    name, (here,) = read_candidate(there)
    assert name == "HRNet4-OKD-00c0ffee-exit3"
    assert here.labels == ("onnx-int8", "HRNet4-OKD.onnx-int8")
    assert here.quantities["exit3/final.energy_j_per_image"].value == 0.2
    assert here.quantities["exit3.file_bytes"].value == len(content)
    with pytest.raises(CheckError, match="an exported model is the same file in every revision"):
        unwrap(check)(there, against="main")
    (there / "exit3.onnx").write_bytes(content + b" ")
    with pytest.raises(ArtefactError):
        read_candidate(there)
