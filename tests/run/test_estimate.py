"""What runs will cost: one calibration of a tiny grid, and how its numbers hang together. No number is absolute."""

import math
from dataclasses import replace

import pytest

from greenpose.config import CarbonConfig, Cell, DataConfig, Experiment, expand, load_grid
from greenpose.config.load import read_yaml
from greenpose.data.splits import Preview
from greenpose.errors import GreenPoseError
from greenpose.ledger.phases import Cost
from greenpose.run.calibrate import MeasuredWork, Setup, spread
from greenpose.run.estimate import (
    LIKE_ERROR,
    SCALED_ERROR,
    GridEstimate,
    RunEstimate,
    estimate,
    scaled_work,
    scaling_error,
)
from tests.run.measuring import counts_of
from tests.run.tiny import write_grid
from tests.training.samples import dots

FREE = "carbon.intensity_g_per_kwh=200"
SETTINGS = ("carbon.country=null", FREE, "carbon.pue=1.5", "train.patience=1")


def cells_of(folder, **axes) -> list[Cell]:
    """The runs of the tiny grid, with axes added."""
    write_grid(folder)
    grid = load_grid(folder / "tiny.yaml", settings=SETTINGS)
    assert read_yaml(folder / "tiny.yaml")["name"] == grid.name
    return expand(grid.model_copy(update={"axes": {**grid.axes, **axes}}), where="tiny")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> GridEstimate:
    """The tiny grid for 2 and 8 epochs, validated each epoch and each fourth, on data that are not made yet."""
    folder = tmp_path_factory.mktemp("estimate")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GREENPOSE_CACHE", str(folder / "cache"))
        return estimate(cells_of(folder, **{"train.epochs": [2, 8], "train.validate_every": [1, 4]}), seconds=1.0)


def run(found: GridEstimate, experiment: str, *, epochs: int, every: int) -> RunEstimate:
    (one,) = (
        run
        for run in found.runs
        if run.cell.experiment == experiment
        and (run.cell.config.train.epochs, run.cell.config.train.validate_every) == (epochs, every)
    )
    return one


def test_runs_that_differ_in_epochs_are_calibrated_once(found):
    assert len(found.runs) == 8
    assert found.setups == 2
    assert found.blocks >= 3


def test_four_times_the_epochs_cost_four_times_as_much(found):
    for experiment in ("HRNet2", "HRNet3-OKD-DS"):
        short, long = (run(found, experiment, epochs=epochs, every=1).training for epochs in (2, 8))
        assert long["seconds"].value == pytest.approx(4 * short["seconds"].value)
        assert long["energy_kwh"].value == pytest.approx(4 * short["energy_kwh"].value)
        assert long["energy_kwh"].type_a.high == pytest.approx(4 * short["energy_kwh"].type_a.high)


def test_epochs_as_far_as_a_shallow_exit_are_charged_by_its_compute(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path / "cache"))
    (plain,) = [
        cell
        for cell in cells_of(tmp_path, **{"train.epochs": [10], "train.validate_every": [10]})
        if cell.experiment == "HRNet3-OKD-DS"
    ]

    def growing(**settings) -> Cell:
        train = plain.config.train.model_copy(update={"grow": {2: 0.5}, **settings})
        return replace(plain, config=plain.config.model_copy(update={"train": train}))

    runs = estimate([plain, growing(), growing(whole_steps=10**9)], seconds=0.5).runs
    whole, grown, too_short = (run.training["seconds"].value for run in runs)
    assert too_short == whole
    macs = {number: found.macs for number, found in counts_of((2, 3)).items()}
    most = 0.5 * (1 - macs[2] / macs[3])  # validations and checkpoints are not shortened
    assert 0.5 * most < 1 - grown / whole < most


def test_validations_left_out_are_not_charged(found):
    """Of 8 epochs, 8 or 2 are validated; of 2, 2 or 1, which is the last."""
    costs = {
        (epochs, every): run(found, "HRNet2", epochs=epochs, every=every).training["seconds"].value
        for epochs in (2, 8)
        for every in (1, 4)
    }
    one = costs[2, 1] - costs[2, 4]
    assert one > 0
    assert costs[8, 1] - costs[8, 4] == pytest.approx(6 * one, rel=0.2)  # blocks are weighted, so not to the last digit


def test_a_whole_run_is_training_and_more_and_the_deeper_network_is_dearer(found):
    for one in found.runs:
        assert one.whole["seconds"].value > one.training["seconds"].value
        assert one.whole["energy_kwh"].value > one.training["energy_kwh"].value
    shallow, deep = (run(found, name, epochs=8, every=1) for name in ("HRNet2", "HRNet3-OKD-DS"))
    assert deep.training["seconds"].value > shallow.training["seconds"].value


def test_every_number_has_its_intervals(found):
    for one in found.runs:
        for footprint in (one.training, one.whole):
            assert [*footprint] == ["seconds", "energy_kwh", "co2eq_g"]
            for amount in footprint.values():
                assert 0 < amount.type_a.low < amount.value < amount.type_a.high
                assert amount.type_b.low <= amount.value <= amount.type_b.high


def test_grams_are_energy_times_the_building_times_the_grid(found):
    for one in found.runs:
        assert one.training["co2eq_g"].value == pytest.approx(one.training["energy_kwh"].value * 1.5 * 200)
        assert one.training["co2eq_g"].type_a.high == pytest.approx(one.training["energy_kwh"].type_a.high * 1.5 * 200)


def test_the_grid_is_the_sum_of_its_runs_end_by_end(found):
    for which in ("training", "whole"):
        total = getattr(found, which)["energy_kwh"]
        each = [getattr(one, which)["energy_kwh"] for one in found.runs]
        assert total.value == pytest.approx(sum(amount.value for amount in each))
        assert total.type_a.low == pytest.approx(sum(amount.type_a.low for amount in each))
        assert total.type_a.high == pytest.approx(sum(amount.type_a.high for amount in each))


def test_data_are_made_by_the_first_run_that_needs_them(found):
    first, *others = [one for one in found.runs if one.cell.experiment == "HRNet2"]
    extra = [one.whole["seconds"].value - one.training["seconds"].value for one in (first, *others)]
    assert all(extra[0] > later for later in extra[1:])


def test_parameters_and_multiply_accumulates_are_those_of_the_final_exit(found):
    for one in found.runs:
        exits = tuple(one.cell.config.model.exits)
        final = counts_of(exits)[max(exits)]
        assert (one.params, one.macs) == (final.params, final.macs)


def test_early_stopping_is_named_where_it_may_come(found):
    assert run(found, "HRNet2", epochs=8, every=1).earliest_end == 2
    assert run(found, "HRNet2", epochs=8, every=4).earliest_end is None


def test_what_the_time_does_not_allow_is_scaled_and_less_sure(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENPOSE_CACHE", str(tmp_path / "cache"))
    found = estimate(cells_of(tmp_path), seconds=0.01)
    assert (found.setups, found.measured) == (2, 1)
    tried, scaled = sorted(found.runs, key=lambda one: not one.is_measured)
    assert (tried.is_measured, scaled.is_measured) == (True, False)

    def width(one: RunEstimate) -> float:
        return one.training["seconds"].type_a.high / one.training["seconds"].value

    assert width(scaled) > width(tried)
    assert scaled.training["seconds"].value > tried.training["seconds"].value


def test_runs_on_different_numbers_of_threads_are_refused_in_words(tmp_path):
    one, other = cells_of(tmp_path)
    data = other.config.model_dump(mode="json")
    data["process"]["threads"] = 2
    changed = Cell(
        name=other.name,
        experiment=other.experiment,
        grid=other.grid,
        axes={},
        config=Experiment.model_validate(data),
        config_hash="",
    )
    with pytest.raises(GreenPoseError, match="with --only"):
        estimate([one, changed])


MACS = {"a": 1e6, "b": 4e6, "c": 1e7, "d": 1e8}


def setup(macs: float) -> Setup:
    seen = Preview(counts={}, searched=0, few=dots(1), to_make=0)
    config = Experiment(name="x", data=DataConfig(), carbon=CarbonConfig(country="ITA"))
    return Setup(config=config, preview=seen, image=Cost(), params=1, macs={4: 1}, step_macs=macs, counting=Cost())


SETUPS = {name: setup(macs) for name, macs in MACS.items()}


def measured(macs: float, *, power: float = 0.8, off: float = 1.0) -> MeasuredWork:
    """Two blocks whose costs grow with a power of the compute."""
    cost = Cost(seconds=off * macs**power, joules=3 * off * macs**power)
    return MeasuredWork(
        train=[cost, cost * 1.1], validate=[cost] * 2, checkpoint=[cost] * 2, test=cost, whole_batches=True
    )


def test_costs_that_follow_a_power_of_compute_are_found_again():
    known = {name: measured(MACS[name]) for name in ("a", "d")}
    for name in ("b", "c"):
        found, truth = scaled_work(SETUPS[name], SETUPS, known), measured(MACS[name])
        for part in ("train", "validate", "checkpoint"):
            pairs = zip(getattr(found, part), getattr(truth, part), strict=True)
            assert all(a.seconds == pytest.approx(b.seconds) and a.joules == pytest.approx(b.joules) for a, b in pairs)
        assert found.test.seconds == pytest.approx(truth.test.seconds)


def test_beyond_what_was_measured_costs_grow_with_compute():
    found = scaled_work(SETUPS["c"], SETUPS, {"a": measured(1e6), "b": measured(4e6)})
    assert found.train[0].seconds == pytest.approx(measured(4e6).train[0].seconds * 2.5)
    below = scaled_work(SETUPS["a"], SETUPS, {"b": measured(4e6)})
    assert below.train[0].seconds == pytest.approx(measured(4e6).train[0].seconds / 4)


def test_the_error_is_a_default_unless_what_was_measured_contradicts_it():
    other = setup(2e6)
    known = {name: measured(macs) for name, macs in MACS.items()}
    assert scaling_error(other, SETUPS, known) == SCALED_ERROR
    assert scaling_error(other, SETUPS, {"a": known["a"]}) == SCALED_ERROR
    odd = known | {"b": measured(MACS["b"], off=2.0)}
    assert scaling_error(other, SETUPS, odd) >= math.log(2) - 0.1


def test_the_same_network_under_other_losses_is_nearly_known():
    known = {name: measured(macs) for name, macs in MACS.items()}
    assert scaling_error(setup(MACS["b"] * 1.001), SETUPS, known) == LIKE_ERROR


def test_steps_on_fewer_images_stay_known_as_such():
    known = {"a": measured(1e6), "d": replace(measured(1e8), whole_batches=False)}
    assert not scaled_work(SETUPS["b"], SETUPS, known).whole_batches


def test_the_first_few_setups_to_measure_lie_far_apart():
    order = spread(SETUPS)
    assert order[:2] == ["a", "d"]
    assert order[2] == "c"
    assert sorted(order) == sorted(SETUPS)
    assert spread({"b": SETUPS["b"]}) == ["b"]
