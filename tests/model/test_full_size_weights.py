"""Files of the official release and of the paper, at full size, fill a network as filling it by hand does."""

import math

import numpy as np
import pytest
import torch

from greenpose.model import HRNet, load_weights
from tests.model.filling import reference_name
from tests.model.test_hrnet import images, num_params, official_entries

pytestmark = pytest.mark.slow
WIDTHS = (32, 48)  # files of 114 and 254 MB


def blank(width, num_joints, exits):
    """A network without any weights yet."""
    with torch.device("meta"):
        return HRNet(width, num_joints, exits)


def drawn(net, seed=0):
    """Random weights of every entry of a network, by the reference's names, in sizes that keep outputs finite."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {reference_name(name): tuple(entry.shape) for name, entry in net.state_dict().items()}
    return {name: _entry(name, shape, generator) for name, shape in shapes.items()}


def _entry(name, shape, generator):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 4:
        return noise / math.sqrt(math.prod(shape[1:]))
    return 0.1 * noise if name.endswith(("bias", "running_mean")) else 0.5 + noise.abs()


def by_hand(net, entries):
    """The network filled entry by entry, without the code under test."""
    net.load_state_dict({name: entries[reference_name(name)] for name in net.state_dict()}, assign=True)
    return net


def outputs(net):
    with torch.inference_mode():
        found = net.eval()(images(1, 64, 64))
    assert all(heatmap.isfinite().all() and heatmap.std() > 0 for heatmap in found.values())
    return found


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[exit_], second[exit_]) for exit_ in first)


@pytest.fixture
def path(tmp_path):
    """Where a large file lies as long as its test takes."""
    path = tmp_path / "weights.pth"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_official_file_for_17_joints_fills_the_trunk_of_a_network_for_12(path, width):
    entries = drawn(blank(width, 17, (4,)))
    assert entries.keys() == official_entries().keys()
    torch.save(entries, path)
    net = HRNet(width, 12, (2, 4))
    heads = {
        reference_name(name): entry.clone() for name, entry in net.state_dict().items() if name.startswith("heads.")
    }
    report = load_weights(net, path)
    assert str(report) == (
        "1752 of 1756 entries of the network loaded; head of exit 4 left as it was (17 joints in the file, 12 here);"
        " 2 missing in the file (heads.2.weight, heads.2.bias)"
    )
    assert same(outputs(net), outputs(by_hand(blank(width, 12, (2, 4)), entries | heads)))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_checkpoint_of_the_papers_training_fills_every_exit(path, width):
    net = HRNet(width)
    assert num_params(net) == {32: 28_535_948 + 3 * 396, 48: 63_595_500 + 3 * 588}[width]  # 28.5 M and 63.6 M
    entries = drawn(net, seed=1)
    dead = {f"intermediate_layers.3.{part}": torch.ones(1) for part in ("weight", "bias")}
    tallies = {f"{name}total_ops": torch.zeros(1, dtype=torch.float64) for name in ("", "layer1.", "stage2.0.")}
    state = {f"module.{name}": entry for name, entry in (entries | dead | tallies).items()}
    torch.save({"epoch": 60, "model": "multi_out_pose_hrnet", "state_dict": state, "perf": np.float64(0.94)}, path)
    report = load_weights(net, path)
    assert report.complete
    assert str(report).endswith(
        "; 2 of the file unused (intermediate_layers.3.weight, intermediate_layers.3.bias);"
        " 3 counts of operations by thop ignored"
    )
    assert same(outputs(net), outputs(by_hand(blank(width, 12, (1, 2, 3, 4)), entries)))
