""""""

import pytest

from greenpose.config import expand, load_grid
from greenpose.errors import GreenPoseError
from greenpose.run import paired_worker
from greenpose.subject import read_networks, shape_of

GRID = """
name: g
base: {carbon: {country: ITA}, model: {width: 4, stem_width: 4, modules: [1, 1, 1], blocks: 1}}
experiments:
  A: {model.exits: [2]}
  B: {model.exits: [2, 3], wiring.supervise: [2, 3]}
  wide: {model.exits: [4], model.width: 8}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def test_the_network_of_some_runs_has_all_their_exits(file):
    config, exits = paired_worker._network_of({"file": str(file), "only": ["A", "B"]})
    assert (config.model.width, exits) == (4, (2, 3))
    assert paired_worker._network_of({"file": str(file), "only": ["A", "B"], "exits": [3, 4]})[1] == (3,)


def test_runs_of_several_networks_or_of_none_are_refused(file):
    for only in ([], ["A", "wide"], ["C"]):
        with pytest.raises(GreenPoseError, match="it holds A, B, wide"):
            paired_worker._network_of({"file": str(file), "only": only})


def test_settings_change_what_a_side_runs(file):
    config, _ = paired_worker._network_of({"file": str(file), "only": ["A"], "settings": ["measure.batch=3"]})
    assert config.measure.batch == 3


def test_both_ends_group_runs_into_the_same_networks(file, tmp_path):
    cells = expand(load_grid(file), where="g")
    assert [paired_worker._shape(cell.config) for cell in cells] == [shape_of(cell.config) for cell in cells]
    for network in read_networks(file, tmp_path):
        assert paired_worker._network_of(network.request())[1] == network.exits


def test_a_revision_without_the_helpers_of_a_run_builds_the_same_networks_by_public_names(file):
    config, exits = paired_worker._network_of({"file": str(file), "only": ["A", "B"]})
    own, built_by = paired_worker._build(config, exits)
    public = paired_worker._build_from_public_names(config, exits)
    assert built_by == "greenpose.run.setup"
    for exit_ in exits:
        assert not own[exit_].training
        assert not public[exit_].training
        shapes = [
            {name: (t.shape, t.stride()) for name, t in net.state_dict().items()} for net in (own[exit_], public[exit_])
        ]
        assert shapes[0] == shapes[1]


def test_a_window_counts_its_calls_and_times_them():
    called = []
    window = paired_worker._window(lambda: called.append(sum(range(100_000))), 7, None)
    assert len(called) == window["calls"] == 7
    assert window["cpu_s"] > 0
    assert window["gpu_s"] is None


def test_a_run_of_an_exit_builds_no_graph(file):
    config, exits = paired_worker._network_of({"file": str(file), "only": ["A"]})
    subs, _ = paired_worker._build(config, exits)
    small = config.model_copy(update={"data": config.data.model_copy(update={"input_size": (32, 32)})})
    heatmaps = paired_worker._runner(subs[2], paired_worker._images(small))()
    assert heatmaps.is_inference()
    assert heatmaps.shape == (config.measure.batch, 12, 8, 8)


def test_the_cpu_clock_s_step_is_seen_by_watching_it():
    assert 0 < paired_worker._tick() < 0.1
