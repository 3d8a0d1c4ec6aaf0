import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.config import Experiment, Grid, expand, load_experiment, load_grid, packaged_experiment
from greenpose.config.grid import assign, identity, merge, shuffled
from greenpose.errors import ConfigError
from tests.paper import lookup

BASE = {"carbon": {"country": "ITA"}}


def grid(**changes) -> Grid:
    return Grid(**({"name": "g", "base": BASE, "experiments": {"A": {}, "B": {"model.exits": [2]}}} | changes))


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 9), min_size=1, unique=True),
)
def test_a_grid_has_as_many_runs_as_the_product_of_its_axes(seeds, epochs):
    cells = expand(grid(axes={"seed": seeds, "train.epochs": epochs}), where="g")
    assert len(cells) == 2 * len(seeds) * len(epochs)
    assert len({cell.name for cell in cells}) == len(cells)


def test_a_run_is_named_after_what_it_is():
    (cell,) = expand(grid(experiments={"A": {}}, axes={"seed": [7]}), where="g")
    assert cell.name == f"A-seed=7-{cell.config_hash[:8]}"
    assert cell.config.seed == 7


def test_runs_that_differ_in_their_seed_are_what_each_is_alone():
    axes = {"seed": [3, 4, True, 5], "train.epochs": [20, 30]}
    with pytest.raises(ConfigError, match=r"seed: must be a number"):
        expand(grid(axes=axes), where="g")
    for cell in expand(grid(axes={**axes, "seed": [3, 4, 5]}), where="g"):
        alone = {**axes, "seed": [cell.config.seed], "train.epochs": [cell.config.train.epochs]}
        assert cell in expand(grid(axes=alone), where="g")
        assert cell.config_hash == identity(Experiment.model_validate(cell.config.model_dump()))


def test_a_run_keeps_its_name():
    names = {cell.name for cell in expand(load_grid(packaged_experiment("table1_small"), seeds=(1, 2)), where="g")}
    assert {"HRNet2-seed=1-dd494769", "HRNet2-seed=2-1303608a", "HRNet3-OKD-DS-seed=1-bfa31125"} < names


def test_the_name_depends_on_settings_but_not_on_where_files_lie():
    def name(root, sigma):
        changes = {"data": {"source": "coco", "root": root, "sigma": sigma}}
        (cell,) = expand(grid(experiments={"A": changes}), where="g")
        return cell.name

    assert name("/here/set", 2) == name("/there/set", 2.0)
    assert name("/here/set", 2) != name("/here/set", 3)
    assert name("/here/set", 2) != name("/here/other", 2)


def test_excluded_rows_are_left_out_and_included_ones_added():
    cells = expand(
        grid(
            axes={"seed": [1, 2]},
            exclude=[{"experiment": "A", "seed": 2}],
            include=[{"experiment": "B", "seed": 9, "train.epochs": 3}],
        ),
        where="g",
    )
    assert [(c.experiment, c.config.seed) for c in cells] == [("A", 1), ("B", 1), ("B", 2), ("B", 9)]
    assert cells[-1].config.train.epochs == 3


def test_overrides_win_over_experiments_and_axes_change_the_identity():
    first = expand(grid(), where="g")
    second = expand(grid().adjusted(overrides={"train.epochs": 2}, seeds=(5,)), where="g")
    assert [c.config.train.epochs for c in second] == [2, 2]
    assert [c.config.seed for c in second] == [5, 5]
    assert not {c.config_hash for c in first} & {c.config_hash for c in second}


def test_two_cells_that_are_the_same_run_are_refused():
    with pytest.raises(ConfigError, match="same run"):
        expand(grid(axes={"seed": [1, 1]}), where="g")


def test_rows_and_settings_that_miss_the_grid_are_refused_together():
    wrong = grid(
        axes={"seed": [1, 2]},
        exclude=[{"experimnt": "B"}, {"experiment": "C"}],
        include=[{"experiment": "D"}],
        overrides={"seed": 3},
    )
    with pytest.raises(ConfigError) as caught:
        expand(wrong, where="g")
    assert [fault.split(";")[0] for fault in caught.value.faults] == [
        "g: include[0].experiment is 'D'",
        "g: exclude[1].experiment is 'C'",
        "g: exclude[0].experimnt: is no axis",
        "g: seed is an axis",
    ]


def test_shuffling_stays_within_blocks_of_equal_axes_and_is_repeatable():
    cells = expand(grid(experiments={c: {} for c in "ABCDEFGH"}, axes={"seed": [1, 2]}), where="g")
    order = shuffled(cells, seed=3)
    assert [c.config.seed for c in order] == [1] * 8 + [2] * 8
    assert order == shuffled(cells, seed=3)
    assert order != cells


def test_all_faults_of_a_grid_are_reported_together_with_their_places(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        "name: bad\nbase: {carbon: {country: ITA}, train: {epoch: 3}, model: {width: wide}}\n"
        "experiments:\n  A: {wiring.teach: [5->3]}\n  B: {model.exits: [2], wiring.supervise: [3]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        expand(load_grid(file), where=str(file))
    text = str(caught.value)
    assert f"{file}: A: train.epoch: unknown key; did you mean epochs?" in text
    assert "model.width: must be a whole number (got 'wide')" in text
    assert "'wide'" in text
    assert "teach[0] is '5->3'" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n", "carbon: is missing"),
        ("name: x\ncarbon: {}\n", "give country"),
        ("name: a/b\ncarbon: {country: ITA}\n", "name:"),
        ("name: x\ncarbon: {country: ITA}\ndata: {input_size: [64, 48]}\n", "nearest: [64, 64]"),
        ("name: x\ncarbon: {country: ITA}\ndata: {source: coco}\n", "root"),
        ("base: {}\nexperiments: {}\n", "run it with --grid"),
    ],
)
def test_an_unusable_experiment_file_is_refused_in_words(tmp_path, text, message):
    file = tmp_path / "e.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_names_the_nearest_one_there_is(tmp_path):
    (tmp_path / "quick.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"did you mean quick\.yaml"):
        load_grid(tmp_path / "qick.yaml")


def test_settings_are_read_as_yaml_and_bad_ones_all_named(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text("carbon: {country: ITA}\n")
    grid = load_experiment(file, settings=["train.milestones=[3, 5]", "data.sigma=1.5", "name=e2"], seeds=[1, 2])
    cells = expand(grid, where="e")
    assert [c.name.split("-")[0] for c in cells] == ["e2", "e2"]
    assert cells[0].config.train.milestones == (3, 5)
    with pytest.raises(ConfigError) as caught:
        load_experiment(file, settings=["epochs", "=3"])
    assert len(caught.value.faults) == 2


KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)


@given(KEYS, st.integers(), st.dictionaries(st.sampled_from("abc"), st.none() | st.just({"a": {"b": {}}})))
def test_what_is_assigned_can_be_looked_up(key, value, base):
    assert lookup(assign(base, key, value), key) == value


def test_merging_keeps_what_is_not_named():
    merged = merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "c.d": 6})
    assert merged == {"a": {"x": 1, "y": 5}, "b": 3, "c": {"d": 6}}


def test_a_value_where_a_section_belongs_is_named_when_a_dotted_key_leads_below_it(tmp_path):
    file = tmp_path / "g.yaml"
    file.write_text(
        "name: g\nbase: {carbon: {country: ITA}, model: small.yaml}\nexperiments: {A: {model.exits: [3]}, B: {}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        expand(load_grid(file), where="g")
    assert caught.value.faults == (
        "g: A: model: is 'small.yaml', so that model.exits has no place; write its settings below model",
        "g: B: model: is 'small.yaml'; it takes keys and values, or {} for none",
    )


def test_a_setting_given_nested_and_dotted_in_one_place_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"experiments.A: train.epochs is given twice"):
        expand(grid(experiments={"A": {"train.epochs": 3, "train": {"epochs": 4}}}), where="g")
    file = tmp_path / "e.yaml"
    file.write_text("carbon: {country: ITA}\ntrain.epochs: 3\ntrain: {epochs: 4}\n")
    with pytest.raises(ConfigError, match=r"train.epochs: is given twice"):
        load_experiment(file)


def test_rows_are_compared_as_settings_are_parsed():
    cells = expand(
        grid(axes={"train.lr": ["1e-3", 0.01], "seed": [1, "2"]}, exclude=[{"train.lr": 0.001}, {"seed": 2}]), where="g"
    )
    assert [(c.experiment, c.config.train.lr, c.config.seed) for c in cells] == [("A", 0.01, 1), ("B", 0.01, 1)]


def test_a_list_in_a_row_names_several():
    cells = expand(
        grid(
            axes={"seed": [1, 2, 3], "train.milestones": [[3], [3, 5]]},
            exclude=[{"experiment": ["A", "B"], "seed": [1, 2]}, {"experiment": "A", "train.milestones": [3, 5]}],
            include=[{"experiment": ["A", "B"], "seed": 9}],
        ),
        where="g",
    )
    assert [(c.experiment, c.config.seed, len(c.config.train.milestones)) for c in cells] == [
        *(("A", 3, 1), ("B", 3, 1), ("B", 3, 2)),
        *(("A", 9, 2), ("B", 9, 2)),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"seed": 4}, "exclude[0].seed: 4 is none of 1, 2: this row leaves nothing out"),
        ({"seed": []}, "exclude[0].seed: [] is none of 1, 2"),
        ({}, "exclude[0]: is empty, and would leave out every run"),
        ({"experiment": ["A", "C"]}, "exclude[0].experiment is 'C'; "),
        ({"experiment": True}, "exclude[0].experiment is true, not text (put it in quotes)"),
    ],
)
def test_a_row_that_leaves_nothing_out_is_an_error(row, message):
    with pytest.raises(ConfigError) as caught:
        expand(grid(axes={"seed": [1, 2]}, exclude=[row]), where="g")
    assert f"g: {message}" in str(caught.value)


def test_a_row_of_seeds_that_the_command_line_takes_away_is_no_error():
    some = grid(axes={"seed": [1, 2]}, exclude=[{"experiment": "A", "seed": 2}])
    assert len(expand(some.adjusted(overrides={}, seeds=(5,)), where="g")) == 2
    assert len(expand(some.adjusted(overrides={}, seeds=(2, 5)), where="g")) == 3


def test_an_empty_axis_is_named():
    with pytest.raises(ConfigError, match=r"axes.seed: is empty"):
        expand(grid(axes={"seed": []}), where="g")


def test_one_fault_of_many_experiments_is_one_line():
    experiments = {name: {} for name in "ABCDEFGHIJK"}
    with pytest.raises(ConfigError) as in_file:
        expand(grid(base={**BASE, "model": {"width": "abc"}}, experiments=experiments), where="g")
    assert in_file.value.faults == ("g: A: model.width: must be a whole number (got 'abc') (and in 10 others)",)
    with pytest.raises(ConfigError) as on_line:
        expand(grid(experiments=experiments).adjusted(overrides={"model.width": "abc"}, seeds=()), where="g")
    assert on_line.value.faults == ("--set model.width: must be a whole number (got 'abc')",)
