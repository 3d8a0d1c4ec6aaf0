import pickle
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from greenpose.errors import GreenPoseError
from greenpose.model import HRNet, load_weights
from tests.model.filling import fill, reference_name

TALLIES = ("total_ops", "total_params")
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
        lambda entries: {"model": entries, "optimizer": {"state": {}}},
        lambda entries: {"model_state_dict": entries},
        lambda entries: {"model": "pose_hrnet", "state_dict": entries, "best_state_dict": official(17)},
        lambda entries: {name: entry for name, entry in entries.items() if "num_batches_tracked" not in name},
    ],
    ids=["data parallel", "nested", "both", "model", "model state", "official checkpoint", "without batch counters"],
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


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_checkpoint_that_tells_its_ap_as_a_number_of_numpys_loads(tmp_path, module):
    """The official code saves it so; numpy 2 calls the module otherwise than numpy 1."""
    path = tmp_path / "checkpoint.pth"
    torch.save({"perf": np.float64(0.5), "state_dict": paper()}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", module))
    assert load_weights(small(), path).complete


def test_what_thop_leaves_in_a_network_is_ignored_and_told():
    tallies = {f"{name}{what}": torch.ones(1, dtype=torch.float64) for name in ("", "layer1.0.") for what in TALLIES}
    net = small(exits=(4,))
    report = load_weights(net, {f"module.{name}": entry for name, entry in (official() | tallies).items()})
    assert report.complete
    assert report.tallies == tuple(tallies)
    assert not report.unexpected
    assert str(report).endswith("; 4 counts of operations by thop ignored")
    assert same_as(net, official())


def test_the_report_says_in_one_line_what_was_loaded_and_what_not():
    whole = len(small().state_dict())
    assert str(load_weights(small(), paper())) == (
        f"{whole} of {whole} entries of the network loaded;"
        " 2 of the file unused (intermediate_layers.3.weight, intermediate_layers.3.bias)"
    )
    assert str(load_weights(small(), official(17))) == (
        f"{whole - 8} of {whole} entries of the network loaded;"
        " head of exit 4 left as it was (17 joints in the file, 12 here);"
        " 6 missing in the file (heads.1.weight, heads.1.bias, heads.2.weight, heads.2.bias, heads.3.weight, ...)"
    )


def test_weights_of_another_width_are_told_by_their_shapes():
    narrow = {name: entry for name, entry in official().items() if name.startswith(("conv1.", "final_layer."))}
    report = load_weights(HRNet(**SMALL | {"width": 8}, exits=(4,)), narrow)
    assert len(report.matched) == 2
    assert "1 of another shape (heads.4.weight 12x4x1x1 for 12x8x1x1)" in str(report)
    assert "joints" not in str(report)


@pytest.mark.parametrize("wrap", [dict, lambda entries: {"net": entries, "optimizer": {"state": {}}, "epoch": 3}])
def test_our_own_state_dict_and_checkpoint_load(wrap):
    net, other = small(), fill(small(), "ours")
    assert load_weights(net, wrap(other.state_dict())).complete
    assert same_as(net, {reference_name(name): entry for name, entry in other.state_dict().items()})


class Harmful:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors", ""])
def test_an_absent_file_and_a_folder_are_one_clear_error(tmp_path, name):
    with pytest.raises(GreenPoseError, match=f"{name}: cannot be read"):
        load_weights(small(), tmp_path / name)


def test_a_file_that_would_run_code_is_refused_unrun(tmp_path):
    for name, save in (("zip.pth", torch.save), ("raw.pth", lambda thing, path: path.write_bytes(pickle.dumps(thing)))):
        save({"conv1.weight": torch.zeros(1), "x": Harmful(tmp_path / "proof")}, tmp_path / name)
        with pytest.raises(GreenPoseError, match=f"{name}: not loaded, .*more than tensors.*save its state dict alone"):
            load_weights(small(), tmp_path / name)
    with pytest.raises(GreenPoseError, match=r"reading it would run \S*open, which may do anything"):
        load_weights(small(), tmp_path / "zip.pth")
    assert not (tmp_path / "proof").exists()


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
        ({"state_dict": [1]}, "holds no tensors by name; it has state_dict"),
        ({"epoch": 3}, "it has epoch"),
        ({"backbone.conv1.weight": torch.zeros(1)}, "no entry belongs to this network; it starts with backbone.conv1"),
    ],
)
def test_a_state_dict_of_something_else_is_refused(content, message):
    with pytest.raises(GreenPoseError, match=message):
        load_weights(small(), content)


def test_a_file_of_something_else_than_names_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(GreenPoseError, match="holds list, not tensors by name"):
        load_weights(small(), tmp_path / "list.pth")


def test_nothing_is_loaded_from_a_refused_file(tmp_path):
    net = small()
    before = {name: entry.clone() for name, entry in net.state_dict().items()}
    path = tmp_path / "cut.pth"
    torch.save(official(), path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(GreenPoseError):
        load_weights(net, path)
    assert all(torch.equal(entry, before[name]) for name, entry in net.state_dict().items())
