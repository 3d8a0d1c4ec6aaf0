"""The experiments that ship: complete, and wired as the paper's Table 1 says."""

import pytest

from greenpose.config import expand, load_experiment, packaged_experiment
from greenpose.counting import architecture_of, count
from tests.shipped import shipped

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


@pytest.mark.parametrize("name", ["table1", "table1_small"])
def test_the_eleven_experiments_are_wired_as_in_table_1(name):
    found = {
        experiment: (config.model.exits, config.wiring.edges, config.supervised, config.loss.temperature)
        for experiment, config in shipped(name).items()
    }
    assert found == TABLE_1


@pytest.mark.parametrize("name", ["quick", "table1_small"])
def test_the_small_profile_keeps_the_shares_of_w32_and_scales_distillation_to_its_heatmaps(name):
    shapes = set()
    for config in shipped(name).values():
        width, height = config.data.heatmap_size
        shapes.add((architecture_of(config).at((2, 3, 4)), config.data.input_size))
        assert config.loss.kd_weight == pytest.approx(2000 * width * height / 3072, rel=0.01)
    ((shape, input_size),) = shapes
    counts = count(shape, input_size)
    shares = [100 * counts[exit_].macs / counts[4].macs for exit_ in (2, 3, 4)]
    assert shares == pytest.approx([24, 61, 100], abs=6)


# What a word in the name of an entry of teachers.yaml changes in the loss of the experiment that it is a variant of.
WORDS = {
    "T1": {},
    "T2": {"temperature": 2},
    "T5": {"temperature": 5},
    "squared": {"temperature_squared": True},
    "detached": {"detach_teacher": True},
    "keypoints": {"normalise": "keypoints", "kd_weight": 0.3125},
}


def test_the_variants_of_teaching_differ_from_the_small_table_as_they_are_named_and_in_nothing_else():
    table, variants = shipped("table1_small"), shipped("teachers")
    for name, config in variants.items():
        experiment, words = name.split("-T", 1)
        changes = {key: value for word in f"T{words}".split("-") for key, value in WORDS[word].items()}
        expected = table[experiment].loss.model_copy(update=changes)
        assert config == table[experiment].model_copy(update={"name": name, "loss": expected})
    collapsed = ("HRNet3-OKD", "HRNet3-OKD-DS", "HRNet4-COKD", "HRNet4-COKD-DS")
    assert {f"{one}-{end}" for one in collapsed for end in ("T1", "T1-detached", "T5")} < set(variants)


def test_the_variant_normalised_by_keypoints_is_as_weak_as_temperature_5_makes_it():
    variants = shipped("teachers")
    weak, usual = (variants[f"HRNet3-OKD-T1{end}"].loss.kd_weight for end in ("-keypoints", ""))
    assert weak / 12 == pytest.approx(usual / (16 * 16) / 5**2, rel=0.01)


def test_the_default_grid_has_the_four_experiments():
    assert list(shipped("quick")) == ["HRNet2", "HRNet3", "HRNet4", "HRNet4-OKD-DS"]


def test_the_open_field_example_is_complete():
    (cell,) = expand(load_experiment(packaged_experiment("openfield")), where="openfield")
    assert cell.config.data.profile == "openfield"


def test_an_experiment_is_counted_like_its_network():
    config = shipped("quick")["HRNet4-OKD-DS"]
    assert count(config) == count(architecture_of(config), (64, 64))
