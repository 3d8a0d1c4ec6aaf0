"""The settings of a network of one's own: where its source is found, what its digest holds, and what it changes."""

from pathlib import Path

import pytest

from greenpose.config import Experiment, OwnNetworkConfig, expand
from greenpose.config.load import load_file
from greenpose.config.own_network import source_of
from greenpose.errors import ConfigError
from greenpose.schema import parse
from tests.model.own_networks import cell_of, leave

BASE = {"name": "x", "carbon": {"country": "ITA"}, "wiring": {"supervise": [1, 2]}}


def faults(**model):
    return parse(Experiment, {**BASE, "model": {"exits": [1, 2], **model}}, where="")[1]


def test_the_source_lies_beside_the_experiment_whatever_the_current_folder_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = cell_of(leave(tmp_path / "a")).config.model
    assert model.folder == str(tmp_path / "a")
    assert model.sha256 == source_of("net:asked", tmp_path / "a").sha256


def test_it_is_looked_for_on_pythons_path_where_it_is_not_beside(tmp_path, monkeypatch):
    leave(tmp_path / "lab")
    monkeypatch.syspath_prepend(tmp_path / "lab")
    assert source_of("net:asked", tmp_path).folder == tmp_path / "lab"
    leave(tmp_path)
    assert source_of("net:asked", tmp_path).folder == tmp_path


def test_a_run_is_known_by_its_source_wherever_that_lies_and_no_longer_once_it_has_changed(tmp_path):
    first = cell_of(leave(tmp_path / "a"))
    assert cell_of(leave(tmp_path / "b")).config_hash == first.config_hash
    file = leave(tmp_path / "a")
    (tmp_path / "a" / "net.py").write_text("def asked(): ...\n")
    assert cell_of(file).config_hash != first.config_hash


def test_the_digest_holds_what_the_module_imports_from_beside_it_and_nothing_else(tmp_path):
    lab = tmp_path / "lab"
    (lab / "parts").mkdir(parents=True)
    (lab / "net.py").write_text("import torch\nfrom parts import blocks\nfrom parts.heads import Head\n")
    (lab / "parts" / "__init__.py").write_text("")
    (lab / "parts" / "blocks.py").write_text("from . import norms\nfrom .. import nowhere\n")
    (lab / "parts" / "heads.py").write_text("import os\n")
    (lab / "parts" / "norms.py").write_text("")
    (lab / "other.py").write_text("")
    source = source_of("net:build", lab)
    assert set(source.files) == {"net", "parts", "parts.blocks", "parts.heads", "parts.norms"}
    assert source.file == lab / "net.py"
    before = source.sha256
    (lab / "parts" / "norms.py").write_text("x = 1\n")
    assert source_of("net:build", lab).sha256 != before


def test_an_installed_package_counts_by_its_one_file_and_is_not_imported():
    source = source_of("safetensors.torch:load_file", Path())
    assert list(source.files) == ["safetensors.torch"]


def test_a_module_that_is_nowhere_is_told_with_what_is_there(tmp_path):
    file = leave(tmp_path, "nets:asked")
    with pytest.raises(
        ConfigError, match=r"own.yaml: own: model.factory: nets: no such module in .*; did you mean net\?"
    ):
        expand(load_file(file), where=str(file))
    (tmp_path / "net.py").write_text("def build(:\n")
    file = leave(tmp_path / "b", "net:asked")
    (tmp_path / "b" / "net.py").write_text("def build(:\n")
    with pytest.raises(ConfigError, match=r"model.factory: .*/net.py: line 1: invalid syntax"):
        expand(load_file(file), where=str(file))


@pytest.mark.parametrize(
    ("factory", "meant"),
    [("net.py:build", "net:build"), ("net", "net:build"), ("lab/net.py", "lab.net:build"), ("a:b:c", "a:build")],
)
def test_a_factory_is_a_module_and_a_function(factory, meant):
    assert faults(factory=factory) == [
        f"model.factory: {factory!r} names no function; write package.module:function, e.g. {meant}"
    ]


def test_settings_of_hrnet_are_no_settings_of_another_network():
    assert faults(factory="net:build", width=32) == [
        "model: width is a setting of HRNet, and factory net:build gives another network; what its function takes"
        " belongs into model.settings"
    ]
    assert faults(factory="net:build", setings={}) == ["model.setings: unknown key; did you mean settings?"]
    assert faults(factory="net:build", exits=[1, 1]) == [
        "model: exits [1, 1] must be distinct and at least one, e.g. [1, 2]"
    ]
    assert faults(wdth=3) == ["model.wdth: unknown key; did you mean width?"]
    assert faults(factory="net:build", exits=[5]) != []


def test_hrnet_has_its_stride_and_a_network_of_ones_own_any():
    hrnet = {**BASE, "model": {"exits": [1, 2]}, "data": {"stride": 8}}
    assert parse(Experiment, hrnet, where="")[1] == ["data.stride: is 8, and HRNet's heatmaps have 4; leave it out"]
    own, _ = parse(Experiment, hrnet | {"model": {"exits": [1, 2], "factory": "net:build"}}, where="")
    assert own.data.heatmap_size == (24, 32)
    assert own.model_dump(mode="json")["data"]["stride"] == 8
    assert "stride" not in Experiment.model_validate(BASE | {"wiring": {}}).model_dump(mode="json")["data"]


def test_what_is_written_down_reads_back(tmp_path):
    config = cell_of(leave(tmp_path)).config
    assert Experiment.model_validate(config.model_dump(mode="json")) == config
    assert isinstance(config.model, OwnNetworkConfig)
