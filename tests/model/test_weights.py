import pickle
import zlib

import pytest
import torch
from safetensors.torch import save_file

from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, load_weights
from tests.model.filling import fill, reference_name

SMALL = {"width": 4, "stem_width": 4, "modules": (1, 1, 1), "blocks": 1}


def small(num_joints=12, exits=(1, 2, 3, 4)):
    return HRNet(num_joints=num_joints, exits=exits, **SMALL)


def official(num_joints=12):
    """The official release's layout: one head, `final_layer`."""
    return {
        reference_name(name): entry for name, entry in fill(small(num_joints, (4,)), "official").state_dict().items()
    }


def paper():
    """The paper's layout: four intermediate heads, the fourth never trained, and `final_layer`."""
    entries = {reference_name(name): entry for name, entry in fill(small(), "paper").state_dict().items()}
    dead = {
        f"intermediate_layers.3.{part}": torch.full_like(entries[f"final_layer.{part}"], 9)
        for part in ("weight", "bias")
    }
    return {**entries, **dead}


def same_as(net, entries):
    return all(torch.equal(entry, entries[reference_name(name)]) for name, entry in net.state_dict().items())


def test_the_official_format_fills_trunk_and_final_exit():
    net = small(exits=(4,))
    report = load_weights(net, official())
    assert report.complete
    assert not report.unexpected
    assert same_as(net, official())
    assert "heads.4.weight" in report.matched


def test_heads_that_the_file_lacks_are_reported_missing_and_kept():
    net = small()
    before = net.heads["2"].weight.clone()
    report = load_weights(net, official())
    assert set(report.missing) == {f"heads.{k}.{part}" for k in (1, 2, 3) for part in ("weight", "bias")}
    assert not report.complete
    assert torch.equal(net.heads["2"].weight, before)


def test_the_papers_format_fills_every_exit_and_its_dead_head_is_left_out():
    net = small()
    report = load_weights(net, paper())
    assert report.complete
    assert report.unexpected == ("intermediate_layers.3.weight", "intermediate_layers.3.bias")
    assert same_as(net, paper())


def test_without_a_final_layer_the_fourth_intermediate_head_is_exit_4s():
    entries = {name: entry for name, entry in paper().items() if not name.startswith("final_layer")}
    net = small()
    assert load_weights(net, entries).complete
    assert (net.heads["4"].weight == 9).all()


def test_what_a_shorter_network_has_no_place_for_is_unexpected():
    net = small(exits=(2,))
    report = load_weights(net, paper())
    assert report.complete
    assert "final_layer.weight" in report.unexpected
    assert any(name.startswith("stage3.") for name in report.unexpected)
    assert "stage2.0.fuse_layers.1.0.0.0.weight" in report.unexpected
    assert len(report.matched) + len(report.unexpected) == len(paper())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda entries: {f"module.{name}": entry for name, entry in entries.items()},
        lambda entries: {"epoch": 3, "state_dict": entries},
        lambda entries: {"state_dict": {f"module.{name}": entry for name, entry in entries.items()}},
        lambda entries: {name: entry for name, entry in entries.items() if "num_batches_tracked" not in name},
    ],
    ids=["data parallel", "nested", "both", "without batch counters"],
)
def test_wrapped_and_older_files_load_as_well(wrap):
    net = small()
    assert load_weights(net, wrap(paper())).complete
    assert torch.equal(net.conv1.weight, paper()["conv1.weight"])
    assert torch.equal(net.heads["2"].bias, paper()["intermediate_layers.1.bias"])


def test_a_head_for_other_joints_is_reported_and_not_loaded():
    net = small(12, (4,))
    before = net.heads["4"].weight.clone()
    report = load_weights(net, official(17))
    assert {m.name: (m.in_file, m.in_network) for m in report.mismatched} == {
        "heads.4.weight": ((17, 4, 1, 1), (12, 4, 1, 1)),
        "heads.4.bias": ((17,), (12,)),
    }
    assert not report.complete
    assert not report.missing
    assert torch.equal(net.heads["4"].weight, before)
    assert torch.equal(net.conv1.weight, official(17)["conv1.weight"])


def test_files_in_both_formats_load(tmp_path):
    torch.save({"state_dict": paper()}, tmp_path / "paper.pth.tar")
    save_file(paper(), tmp_path / "paper.safetensors")
    for path in (tmp_path / "paper.pth.tar", str(tmp_path / "paper.safetensors")):
        net = small()
        assert load_weights(net, path).complete
        assert same_as(net, paper())


def test_our_own_state_dict_loads():
    net, other = small(), fill(small(), "ours")
    assert load_weights(net, other.state_dict()).complete
    assert same_as(net, {reference_name(name): entry for name, entry in other.state_dict().items()})


class Harmful:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path):
    for name, save in (("zip.pth", torch.save), ("raw.pth", lambda thing, path: path.write_bytes(pickle.dumps(thing)))):
        save({"conv1.weight": torch.zeros(1), "x": Harmful(tmp_path / "proof")}, tmp_path / name)
        with pytest.raises(GreenPoseError, match=f"{name}: .*more than tensors"):
            load_weights(small(), tmp_path / name)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_absent_file_is_one_clear_error(tmp_path, suffix):
    with pytest.raises(GreenPoseError, match=f"none{suffix}: "):
        load_weights(small(), tmp_path / f"none{suffix}")


def test_a_folder_is_one_clear_error(tmp_path):
    with pytest.raises(GreenPoseError, match="cannot be read"):
        load_weights(small(), tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 100, 2000, -1, -300])
def test_a_cut_file_is_one_clear_error(tmp_path, suffix, keep):
    path = tmp_path / f"cut{suffix}"
    save_file(official(), path) if suffix == ".safetensors" else torch.save(official(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(GreenPoseError, match=f"cut{suffix}: "):
        load_weights(small(), path)


def test_an_old_format_file_cut_anywhere_is_one_clear_error(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"conv1.weight": torch.zeros(4, 3, 3, 3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for keep in range(0, len(content), 5):
        path.write_bytes(content[:keep])
        with pytest.raises(GreenPoseError, match=r"old\.pth: "):
            load_weights(small(exits=(1,)), path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_garbage_is_one_clear_error(tmp_path, suffix):
    path = tmp_path / f"noise{suffix}"
    for seed in range(16):
        noise = b"".join(zlib.crc32(f"{seed} {i}".encode()).to_bytes(4, "little") for i in range(40))
        path.write_bytes((b"\x80\x02" if seed % 2 else b"") + noise)
        with pytest.raises(GreenPoseError):
            load_weights(small(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no tensors by name"),
        ({"state_dict": [1]}, "holds list, not tensors by name"),
        ({"epoch": 3}, "it has epoch"),
        ({"backbone.conv1.weight": torch.zeros(1)}, "no entry belongs to this network; it starts with backbone.conv1"),
    ],
)
def test_a_state_dict_of_something_else_is_refused(content, message):
    with pytest.raises(GreenPoseError, match=message):
        load_weights(small(), content)


def test_nothing_is_loaded_from_a_refused_file(tmp_path):
    net = small()
    before = {name: entry.clone() for name, entry in net.state_dict().items()}
    path = tmp_path / "cut.pth"
    torch.save(official(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(GreenPoseError):
        load_weights(net, path)
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())
