"""What is exported says what the network says, and its card says what the record says."""

import hashlib
import importlib.util
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from greenpose.errors import GreenPoseError
from greenpose.export import chosen_formats, export_exit
from greenpose.export.card import card_text
from greenpose.export.deploy import absent_packages, difference, error_of, read_pt2
from greenpose.model import Architecture, SubNetwork, fold_batchnorm
from greenpose.store import read_document
from tests.run.measuring import finished_run

FORMATS = ("safetensors", "pt2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("run") / "tiny-00c0ffee")


@pytest.fixture(scope="module", params=[False, True], ids=["as trained", "folded"])
def exported(request, run, tmp_path_factory):
    config, folder = run.experiment(), run
    output = tmp_path_factory.mktemp("deploy") / "there"
    card = export_exit(config, folder, 2, formats=FORMATS, output=output, folded=request.param)
    return card, output, request.param


def network(folder, exit_=2):
    entries = load_file(folder.best(exit_))
    net = SubNetwork(
        Architecture(width=4, num_joints=12, exits=(exit_,), stem_width=4, modules=(1, 1, 1), blocks=1)
    ).eval()
    net.load_state_dict(entries)
    return net


def test_a_program_says_what_the_trained_exit_says_at_any_batch_size(run, exported):
    _, output, _ = exported
    program = torch.export.load(output / "exit2.pt2").module()
    for batch in (1, 2, 5):
        x = torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))
        assert difference(program, network(run), x) < 1e-5


def test_tensors_fill_the_network_that_their_file_describes(run, exported):
    _, output, folded = exported
    path = output / "exit2.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    shape = json.loads(header["architecture"])
    names = ["width", "num_joints", "exits", "stem_width", "modules", "blocks"]
    assert list(shape.items()) == [(name, network(run).architecture.model_dump(mode="json")[name]) for name in names]
    assert json.loads(header["folded"]) is folded
    net = SubNetwork(Architecture(**shape)).eval()
    net = fold_batchnorm(net) if folded else net
    net.load_state_dict(load_file(path))
    x = torch.rand(2, 3, 32, 32)
    assert difference(net, network(run), x) < (1e-5 if folded else 1e-12)
    assert any("bn" in name for name in load_file(path)) is not folded


def test_the_card_is_the_records_and_names_every_file_with_its_digest(run, exported):
    card, output, folded = exported
    record = read_document(run.record)
    assert json.loads((output / "card.json").read_text()) == json.loads(card.model_dump_json(by_alias=True))
    assert sorted(path.name for path in output.iterdir()) == ["card.json", "card.md", "exit2.pt2", "exit2.safetensors"]
    for file in card.files:
        content = (output / file.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    entry = record.exit(2)
    for name in ("params", "macs", "ap", "latency_s", "energy_j_per_image"):
        assert (card.numbers[name].value, card.numbers[name].basis) == (getattr(entry, name), entry.basis[name])
    assert card.train_energy_kwh.basis == record.basis["train_energy_kwh"]
    assert card.train_energy_kwh.value == record.train_energy_kwh
    assert (card.grade, card.folded) == (record.grade, folded)
    assert (card.folding_error is not None) is folded
    assert "before folding" in card_text(card)
    assert f"| ap | {entry.ap:.3g}" in card_text(card)


def test_the_card_says_how_far_each_file_was_off_when_it_was_run_again(exported):
    card, output, _ = exported
    assert {file.file: file.error for file in card.files} == {
        "exit2.safetensors": 0,
        "exit2.pt2": pytest.approx(0, abs=1e-5),
    }
    assert "`, run again: " in (output / "card.md").read_text()


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is not None, reason="onnxruntime would run it")
def test_a_file_that_nothing_here_can_run_is_not_verified(run, exported, tmp_path):
    (tmp_path / "exit2.onnx").write_bytes(b"never read")
    error = error_of(network(run), torch.rand(2, 3, 32, 32), "onnx", tmp_path / "exit2.onnx")
    assert error is None
    card, _, _ = exported
    file = card.files[0].model_copy(update={"file": "exit2.onnx", "error": error})
    text = card_text(card.model_copy(update={"files": [file]}))
    assert "`exit2.onnx`" in text
    assert ", not verified: nothing here could run it\n" in text


@pytest.mark.parametrize("spoil", [lambda x: x * 1.001, lambda x: x * float("nan")])
def test_a_file_that_says_something_else_is_not_kept(run, tmp_path, monkeypatch, spoil):
    readers = {"pt2": lambda path: lambda images: spoil(read_pt2(path)(images))}
    monkeypatch.setattr("greenpose.export.deploy.READERS", readers)
    with pytest.raises(GreenPoseError, match=r"exit2\.pt2: the pt2 file differs from the network by (0\.001|nan)"):
        export_exit(run.experiment(), run, 2, formats=("pt2",), output=tmp_path, folded=False)
    assert list(tmp_path.iterdir()) == []


def test_exported_files_have_the_mode_of_any_file(exported):
    _, output, _ = exported
    (output.parent / "any").touch()
    assert {file.stat().st_mode for file in output.iterdir()} == {(output.parent / "any").stat().st_mode}


def test_a_format_whose_packages_are_absent_is_refused_with_what_to_install():
    absent = absent_packages("onnx")
    if not absent:
        pytest.skip("the packages are there")
    with pytest.raises(GreenPoseError, match=r"--to onnx: .* not installed; pip install onnx onnxscript, or leave it"):
        chosen_formats("safetensors,onnx")


def test_formats_are_chosen_by_name_once_each_and_mistakes_are_told_together():
    assert chosen_formats("pt2, safetensors,pt2") == ("pt2", "safetensors")
    with pytest.raises(GreenPoseError, match="--to pt3: unknown; did you mean pt2") as caught:
        chosen_formats("pt3,torchscript")
    assert len(caught.value.faults) == 2
    with pytest.raises(GreenPoseError, match="name at least one"):
        chosen_formats(" , ")


def test_nothing_is_left_of_a_file_that_could_not_be_written(run, tmp_path):
    config, folder = run.experiment(), run
    with pytest.raises(GreenPoseError, match="exit 4"):
        export_exit(config, folder, 4, formats=FORMATS, output=tmp_path / "no", folded=False)
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(bool(absent_packages("onnx")), reason="onnx and onnxscript are not installed")
def test_an_onnx_model_says_what_the_trained_exit_says(run, tmp_path):
    from onnx.reference import ReferenceEvaluator

    config, folder = run.experiment(), run
    card = export_exit(config, folder, 2, formats=("onnx",), output=tmp_path, folded=True)
    assert (card.files[0].error is None) is (importlib.util.find_spec("onnxruntime") is None)
    model = ReferenceEvaluator(str(tmp_path / "exit2.onnx"))
    for batch in (1, 3):
        x = torch.rand(batch, 3, 32, 32)
        (heatmaps,) = model.run(None, {"images": x.numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(heatmaps), network(folder)(x), rtol=1e-4, atol=1e-6)
