"""Artefact folders are checked before anything in them is run."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from greenpose.artefact import is_artefact, open_model, read_artefact
from greenpose.artefact.folder import read_card
from greenpose.artefact.onnx_file import read_onnx_file
from greenpose.data.crops import normalised
from greenpose.errors import ArtefactError
from greenpose.metering.machine import this_machine
from greenpose.training.step import to_images
from tests.export.conftest import whole

__all__ = ["whole"]


@pytest.fixture(scope="module")
def made(whole, tmp_path_factory):
    """Of all that can be exported what computes in float32."""
    output = tmp_path_factory.mktemp("artefact")
    card = json.loads((whole / "card.json").read_text())
    card["files"] = [each for each in card["files"] if each["precision"] == "fp32"]
    for name in ("card.md", *(file for each in card["files"] for file in (each["file"], each["weights"]) if file)):
        shutil.copy(whole / name, output)
    (output / "card.json").write_text(json.dumps(card))
    return output


@pytest.fixture
def folder(made, tmp_path):
    """A copy to be spoilt."""
    place = tmp_path / "there"
    place.mkdir()
    for file in made.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def replaced(folder: Path, name: str, content: bytes) -> Path:
    """Put other content into a model file, and its digest on the card, as somebody does who means it."""
    path = folder / name
    path.write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    (entry,) = (each for each in card["files"] if each["file"] == name)
    entry["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    return path


def rewritten(folder: Path, change) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_a_folder_gives_what_can_be_run_the_fastest_first_and_a_file_itself(folder):
    assert [each.file.file for each in read_artefact(folder)] == ["exit2.xml", "exit2.onnx", "exit2.pt2"]
    assert [each.file.file for each in read_artefact(folder / "exit2.bin")] == ["exit2.xml"]
    assert [each.file.file for each in read_artefact(folder / "exit2.pt2")] == ["exit2.pt2"]
    assert [each.file.file for each in read_artefact(folder, file="exit2.pt2")] == ["exit2.pt2"]
    assert is_artefact(folder)
    assert is_artefact(folder / "exit2.onnx")
    assert not is_artefact(folder.parent)
    assert not is_artefact(folder / "card.md")


@pytest.mark.parametrize(("sets", "second"), [((), "exit2-32.xml"), (("AVX2", "AMX"), "exit2-16.xml")])
def test_bf16_comes_before_float32_only_where_the_cpu_has_units_for_it(folder, monkeypatch, sets, second):
    def both(card):
        entry = next(each for each in card["files"] if each["format"] == "openvino")
        kinds = {"exit2-32": "fp32", "exit2-16": "bf16", "exit2-8": "int8"}
        named = [{"file": f"{n}.xml", "weights": f"{n}.bin", "precision": kinds[n]} for n in kinds]
        card["files"] = [entry | each for each in named]

    rewritten(folder, both)
    for name in ("exit2-32", "exit2-16", "exit2-8"):
        for ending in ("xml", "bin"):
            (folder / f"{name}.{ending}").write_bytes((folder / f"exit2.{ending}").read_bytes())
    machine = replace(this_machine(), instruction_sets=sets)
    monkeypatch.setattr("greenpose.artefact.folder.this_machine", lambda: machine)
    assert [each.file.file for each in read_artefact(folder)][:2] == ["exit2-8.xml", second]


@pytest.mark.parametrize(
    ("name", "runtime"), [("exit2.onnx", "onnxruntime"), ("exit2.pt2", "torch"), ("exit2.xml", "openvino")]
)
def test_a_model_says_what_the_network_says_and_what_it_computes_in(made, name, runtime):
    (artefact,) = read_artefact(made / name)
    model = open_model(artefact)
    images = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    program = torch.export.load(made / "exit2.pt2").module()
    with torch.inference_mode():
        expected = program(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)
    assert model.runtime.startswith(f"{runtime} ")
    assert model.arithmetic == "float32"
    assert model.evidence.endswith("in float32")


@pytest.mark.parametrize("name", ["exit2.onnx", "exit2.xml"])
def test_an_onnx_or_openvino_model_is_read_and_run_where_there_is_no_torch(made, name):
    code = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from greenpose.artefact import open_model, read_artefact
artefact = read_artefact(Path({str(made / name)!r}))[0]
print(artefact.file.file, open_model(artefact)(np.zeros((1, 3, 32, 32), np.float32)).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[0] == f"{name} (1, 12, 8, 8)", done.stderr


def test_crops_are_normalised_as_in_training():
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 64, 3), dtype=np.uint8)
    for some in (crops, crops[..., 0]):
        expected = to_images(some, torch.device("cpu")).numpy()
        np.testing.assert_allclose(normalised(some), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card.update(schema="greenpose.card/1"), "schema 'greenpose.card/1', where 'greenpose.card/2'"),
        (lambda card: card.pop("crop"), "crop: is missing"),
        (lambda card: card["input"].update(shape=["batch", 3, 33, 32]), "both multiples of 32"),
        (lambda card: card["normalisation"].update(mean=[0, 0, 0]), "normalisation.mean: is"),
        (lambda card: card["crop"].update(order="BGR"), "crop.order: must be 'RGB'"),
        (lambda card: [each.update(file="/etc/passwd") for each in card["files"]], "is no file of its own folder"),
        (lambda card: [each.update(file=f"../{each['file']}") for each in card["files"]], "is no file of its own"),
        (lambda card: [each.update(file="gone.onnx") for each in card["files"]], "cannot be read: No such file"),
        (lambda card: card["files"].clear(), "files: needs 1 at least"),
    ],
)
def test_a_card_that_is_damaged_is_refused_in_words(folder, change, words):
    rewritten(folder, change)
    with pytest.raises(ArtefactError) as caught:
        read_artefact(folder)
    assert words in str(caught.value)


def test_a_card_that_is_no_json_or_not_there_is_named(folder):
    (folder / "card.json").write_text("{")
    with pytest.raises(ArtefactError, match=r"card\.json: not JSON"):
        read_card(folder / "card.json")
    (folder / "card.json").unlink()
    with pytest.raises(ArtefactError, match=r"card\.json: cannot be read: No such file"):
        read_artefact(folder / "exit2.onnx")
    with pytest.raises(ArtefactError, match="there is no such file or folder"):
        read_artefact(folder / "exit3.onnx")


def test_weights_alone_are_no_model_and_a_runtime_that_is_absent_is_named_with_how_to_get_it(folder, monkeypatch):
    with pytest.raises(ArtefactError, match=r"exit2\.safetensors: holds weights only"):
        read_artefact(folder / "exit2.safetensors")
    monkeypatch.setattr("greenpose.artefact.folder.is_installed", lambda _: False)
    with pytest.raises(ArtefactError, match="onnxruntime is not installed; pip install onnxruntime"):
        read_artefact(folder / "exit2.onnx")


def test_a_model_file_that_was_replaced_or_leads_elsewhere_is_refused(folder, made):
    (folder / "exit2.onnx").write_bytes((folder / "exit2.pt2").read_bytes())
    with pytest.raises(ArtefactError, match=r"exit2\.onnx: is not the file that was exported: its SHA-256"):
        read_artefact(folder)
    (folder / "exit2.onnx").unlink()
    (folder / "exit2.onnx").symlink_to(made / "exit2.onnx")
    with pytest.raises(ArtefactError, match=r"exit2\.onnx: leads out of its folder"):
        read_artefact(folder)


def tiny_onnx(kind: str = "Relu", *, domain: str = "", external: bool = False) -> bytes:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    if external:
        weights.ClearField("float_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="../secret.bin")
    inner = helper.make_graph([helper.make_node(kind, ["w"], ["y"], domain=domain)], "inner", [], [], [weights])
    node = helper.make_node("If", ["images"], ["heatmaps"], then_branch=inner, else_branch=inner)
    return helper.make_model(helper.make_graph([node], "outer", [], [])).SerializeToString()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiny_onnx("Grab", domain="com.evil"), "has custom operators, which are not run: com.evil:Grab"),
        (tiny_onnx(external=True), "keeps its weights in other files"),
        (b"", "is no ONNX model"),
        (b"\x3a\xff\xff\xff\xff\x0f", "is no ONNX model"),
        (b"PK" * 100, "is no ONNX model"),
    ],
)
def test_an_onnx_file_that_would_run_or_read_something_else_is_refused_even_with_a_card_that_names_it(
    folder, content, words
):
    replaced(folder, "exit2.onnx", content)
    with pytest.raises(ArtefactError) as caught:
        read_artefact(folder / "exit2.onnx")
    assert words in str(caught.value)


def test_an_onnx_model_that_its_runtime_refuses_is_named(folder):
    replaced(folder, "exit2.onnx", tiny_onnx())
    (artefact,) = read_artefact(folder / "exit2.onnx")
    with pytest.raises(ArtefactError, match=r"exit2\.onnx: onnxruntime refuses it: "):
        open_model(artefact)


def test_operators_are_counted_as_the_package_onnx_counts_them(made):
    content = (made / "exit2.onnx").read_bytes()
    nodes = onnx.load_from_string(content).graph.node
    found = read_onnx_file(content)
    assert found.operators == Counter((node.domain, node.op_type) for node in nodes)
    assert not found.is_external


class Told:
    """Leaves a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return (Path.touch, (self.place,))


@pytest.mark.parametrize("part", ["sample_inputs", "weight"])
def test_nothing_of_a_torch_export_file_is_unpickled(folder, tmp_path, part):
    place = tmp_path / "was unpickled"
    buffer = BytesIO()
    torch.save(Told(place), buffer)
    entries = {}
    with zipfile.ZipFile(folder / "exit2.pt2") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    if part == "sample_inputs":
        name = next(name for name in entries if "/sample_inputs/" in name)
    else:
        name = next(name for name in entries if name.endswith("/weight_0"))
        table = next(each for each in entries if each.endswith("/model_weights_config.json"))
        kept = json.loads(entries[table])
        for entry in kept["config"].values():
            entry["use_pickle"] = entry["path_name"] == "weight_0"
        entries[table] = json.dumps(kept).encode()
    entries[name] = buffer.getvalue()
    with zipfile.ZipFile(tmp_path / "evil.pt2", "w") as archive:
        for each, content in entries.items():
            archive.writestr(each, content)
    replaced(folder, "exit2.pt2", (tmp_path / "evil.pt2").read_bytes())
    (artefact,) = read_artefact(folder / "exit2.pt2")
    with pytest.raises(ArtefactError, match="would be unpickled, and nothing is"):
        open_model(artefact)
    assert not place.exists()
