"""What an experiment's network learns from, and how heavily each loss weighs."""

import pytest

from greenpose.config import Experiment
from greenpose.config.grid import identity
from greenpose.schema import parse, shown

TEACHING = {"model": {"exits": [3, 4]}, "wiring": {"teach": ["4->3"], "supervise": [3, 4]}}


def written(**sections):
    return {"name": "x", "carbon": {"country": "ITA"}, **sections}


def faults(**sections):
    return parse(Experiment, written(**sections), where="x.yaml")[1]


@pytest.mark.parametrize(
    ("input_size", "weight"),
    [([192, 256], 2000), ([128, 128], 2000 * 32 * 32 / 3072), ([96, 128], 500), ([64, 64], 166.67)],
)
@pytest.mark.parametrize("given", [{}, {"kd_weight": "auto"}])
def test_without_a_number_distillation_weighs_as_in_the_paper_whatever_the_size(input_size, weight, given):
    config = Experiment.model_validate(written(**TEACHING, data={"input_size": input_size}, loss=given))
    assert config.loss.kd_weight == pytest.approx(weight, rel=1e-4)
    assert config.doubts == []
    kept = Experiment.model_validate(config.model_dump(mode="json"))
    assert kept == config
    assert isinstance(kept.loss.kd_weight, float)


def test_at_the_papers_size_auto_is_the_same_run_as_its_number():
    by_hand = Experiment.model_validate(written(**TEACHING, loss={"kd_weight": 2000}))
    assert identity(Experiment.model_validate(written(**TEACHING))) == identity(by_hand)


def test_auto_has_no_number_for_a_divergence_by_keypoints():
    (fault,) = faults(**TEACHING, loss={"normalise": "keypoints"})
    assert "loss.kd_weight: auto follows the size of heatmaps" in fault
    assert faults(**TEACHING, loss={"normalise": "keypoints", "kd_weight": 8}) == []


@pytest.mark.parametrize("wrong", ["much", -1, [2], float("inf"), None])
def test_a_weight_that_is_none_is_one_fault(wrong):
    (fault,) = faults(**TEACHING, loss={"kd_weight": wrong})
    assert fault == f"x.yaml: loss.kd_weight: must be auto, or a number from 0 to 1e+09 (got {shown(wrong)})"


def test_a_weight_by_hand_on_another_size_is_doubted():
    config = Experiment.model_validate(written(**TEACHING, data={"input_size": [128, 128]}, loss={"kd_weight": 2000}))
    (doubt,) = config.doubts
    assert doubt.startswith("loss.kd_weight is 2000 on heatmaps of 32x32, where 667 weighs as much")


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"input_size": [192, 256]}, "loss": {"kd_weight": 2}},
        {"data": {"input_size": [64, 64]}, "loss": {"kd_weight": 167}},
        {"data": {"input_size": [64, 64]}, "loss": {"kd_weight": 2000}, "wiring": {"supervise": [3, 4]}},
    ],
    ids=["the paper's size", "rounded", "nobody teaches"],
)
def test_a_weight_on_the_papers_size_or_near_to_it_or_without_teachers_is_not_doubted(change):
    assert Experiment.model_validate(written(**{**TEACHING, **change})).doubts == []


@pytest.mark.parametrize(
    ("wiring", "loss", "said"),
    [
        ({"supervise": [3, 4]}, {"teacher_weight": 0}, "exit 4 learns nothing, since loss.teacher_weight is 0"),
        ({"supervise": [3, 4]}, {"ds_weight": 0}, "exit 3 learns nothing, since loss.ds_weight is 0"),
        ({"teach": ["4->3"]}, {"kd_weight": 0}, "exit 3 learns nothing, since loss.kd_weight is 0"),
        (
            {"teach": ["4->3"], "supervise": [3, 4]},
            {"kd_weight": 0, "ds_weight": 0},
            "exit 3 learns nothing, since loss.ds_weight and loss.kd_weight are 0",
        ),
        ({"teach": ["4->3"]}, {"teacher_weight": 0}, "exit 3 learns nothing"),
        ({"teach": ["4->3", "3->4"], "supervise": []}, {}, "exit 3 learns nothing; supervise it"),
    ],
)
def test_an_exit_that_nothing_teaches_is_refused(wiring, loss, said):
    (fault,) = faults(model={"exits": [3, 4]}, wiring=wiring, loss=loss)
    assert said in fault


def test_an_exit_may_learn_from_its_teacher_alone():
    for wiring, loss in (
        ({"teach": ["4->3"]}, {"ds_weight": 0}),
        ({"teach": ["3->4"], "supervise": [3]}, {"teacher_weight": 0}),
    ):
        assert faults(model={"exits": [3, 4]}, wiring=wiring, loss=loss) == []


def test_growing_needs_the_weight_of_whatever_exit_is_last():
    wiring = {"teach": ["3->4"], "supervise": [3]}
    (fault,) = faults(model={"exits": [3, 4]}, wiring=wiring, loss={"teacher_weight": 0}, train={"grow": {3: 0.5}})
    assert "train.grow" in fault
