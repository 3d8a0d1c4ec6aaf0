import numpy as np
import pytest

from greenpose.accuracy import oks_ap_difference_interval
from greenpose.policy.calibrate import exit_ap, exit_interval, judge, mean_interval
from greenpose.training import score
from greenpose.training.evaluate import detections
from tests.policy.seeing import WAYS, seen


def test_all_at_the_deepest_exit_is_that_exit_and_loses_nothing():
    split = seen(12, (8.0, 3.0))
    found = judge(split, {2: None}, WAYS)
    scores = score(split.samples, split.said[3])
    assert found.ap == exit_ap(split, 3) == pytest.approx(scores.values["ap"])
    assert found.ap_interval == exit_interval(split, 3) == pytest.approx(scores.intervals["ap"])
    assert (found.less_final, found.less_final_interval) == (0, (0, 0))
    assert (found.macs, found.macs_interval) == (600, (600, 600))
    assert found.left == {2: 0, 3: 1}


def test_what_is_lost_against_the_deepest_exit_is_judged_on_the_same_patients():
    split = seen(40, (9.0, 2.0))
    found = judge(split, {2: 0.0}, WAYS)
    low, high = found.less_final_interval
    assert found.less_final == pytest.approx(exit_ap(split, 2) - exit_ap(split, 3))
    assert low < found.less_final < high
    samples = split.samples
    expected = oks_ap_difference_interval(
        samples.ground_truth,
        *(detections(samples, split.said[k]) for k in (3, 2)),
        samples.profile.sigmas,
        groups=dict(zip(samples.image_ids.tolist(), samples.subjects, strict=True)),
    )
    assert (low, high) == pytest.approx(expected["ap"])
    assert found.less_final < 0
    assert found.left == {2: 1, 3: 0}


def test_the_mean_of_costs_has_an_interval_over_whole_patients():
    costs = np.repeat([1.0, 3.0], 50)
    low, high = mean_interval(costs, ["a"] * 50 + ["b"] * 50)
    assert (low, high) == (1, 3)
    assert mean_interval(costs, ["a"] * 100) is None
    low, high = mean_interval(np.resize([1.0, 3.0], 400), [str(n) for n in range(400)])
    assert (low, high) == pytest.approx((1.9, 2.1), abs=0.03)  # 2 ± 1.96 / sqrt(400)
