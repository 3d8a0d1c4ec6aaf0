"""The experiments that ship: complete, and wired as the paper's Table 1 says."""

from dataclasses import replace

import pytest

from greenpose.config import expand, load_experiment, load_grid, packaged_experiment
from greenpose.counting import architecture_of, count

# (network's exits, students and teachers, exits that see labels, temperature): Table 1 and its configurations
TABLE_1 = {
    "HRNet2": ((2,), (), (2,), 1),
    "HRNet3": ((3,), (), (3,), 1),
    "HRNet4": ((4,), (), (4,), 1),
    "HRNet3-OKD": ((2, 3), ((3, 2),), (3,), 1),
    "HRNet3-OKD-DS": ((2, 3), ((3, 2),), (2, 3), 1),
    "HRNet4-OKD": ((3, 4), ((4, 3),), (4,), 1),
    "HRNet4-OKD-DS": ((3, 4), ((4, 3),), (3, 4), 1),
    "HRNet4-MSOKD": ((2, 3, 4), ((4, 2), (4, 3)), (4,), 5),
    "HRNet4-MSOKD-DS": ((2, 3, 4), ((4, 2), (4, 3)), (2, 3, 4), 5),
    "HRNet4-COKD": ((2, 3, 4), ((3, 2), (4, 3)), (4,), 1),
    "HRNet4-COKD-DS": ((2, 3, 4), ((3, 2), (4, 3)), (2, 3, 4), 1),
}


def configs(name):
    return {cell.experiment: cell.config for cell in expand(load_grid(packaged_experiment(name)), where=name)}


@pytest.mark.parametrize("name", ["table1", "table1_small"])
def test_the_eleven_experiments_are_wired_as_in_table_1(name):
    found = {
        experiment: (config.model.exits, config.wiring.edges, config.supervised, config.loss.temperature)
        for experiment, config in configs(name).items()
    }
    assert found == TABLE_1


def test_table_1_is_trained_as_the_paper_did():
    for config in configs("table1").values():
        assert (config.model.width, config.model.stem_width, config.model.modules) == (32, 64, (1, 4, 3))
        assert (config.data.input_size, config.data.sigma, config.data.profile) == ((192, 256), 2, "babypose")
        recipe = config.train
        assert (recipe.epochs, recipe.batch, recipe.lr) == (60, 32, 7.5e-4)
        assert (recipe.milestones, recipe.gamma) == ((30, 50), 0.33)
        loss = config.loss
        assert (loss.kd_weight, loss.teacher_weight, loss.ds_weight) == (2000, 1, 1)
        assert (loss.detach_teacher, loss.temperature_squared, loss.use_target_weight) == (False, False, False)
        assert loss.normalise == "pixels"


@pytest.mark.parametrize("name", ["quick", "table1_small"])
def test_the_small_profile_keeps_the_shares_of_w32_and_scales_distillation_to_its_heatmaps(name):
    shapes = set()
    for config in configs(name).values():
        width, height = config.data.heatmap_size
        shapes.add((replace(architecture_of(config), exits=(2, 3, 4)), config.data.input_size))
        assert config.loss.kd_weight == pytest.approx(2000 * width * height / 3072, rel=0.01)
    ((shape, input_size),) = shapes
    counts = count(shape, input_size)
    shares = [100 * counts[exit_].macs / counts[4].macs for exit_ in (2, 3, 4)]
    assert shares == pytest.approx([24, 61, 100], abs=6)


def test_the_default_grid_has_the_four_experiments():
    assert list(configs("quick")) == ["HRNet2", "HRNet3", "HRNet4", "HRNet4-OKD-DS"]


def test_the_open_field_example_is_complete():
    (cell,) = expand(load_experiment(packaged_experiment("openfield")), where="openfield")
    assert cell.config.data.profile == "openfield"


def test_an_experiment_is_counted_like_its_network():
    config = configs("quick")["HRNet4-OKD-DS"]
    assert count(config) == count(architecture_of(config), (64, 64))
