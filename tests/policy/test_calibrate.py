"""Thresholds against every other choice that there is, and laws that hold for all of them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenpose import accuracy
from greenpose.accuracy import oks_ap_difference_interval
from greenpose.errors import GreenPoseError
from greenpose.policy.calibrate import calibrate, cheapest, exit_accuracy, exit_ap, judge, mean_interval
from greenpose.training import score
from greenpose.training.evaluate import detections
from tests.policy.seeing import WAYS, outputs


def ap_of(split, exited):
    """AP of images that leave at the given exits, from the evaluator itself."""
    samples = split.samples
    results = []
    for i, k in enumerate(exited):
        joints, peaks = split.predictions[k].joints[i], split.predictions[k].peaks[i]
        results.append(
            {
                "image_id": int(samples.image_ids[i]),
                "category_id": samples.ground_truth["categories"][0]["id"],
                "keypoints": np.concatenate([joints, peaks[:, None]], -1).ravel().tolist(),
                "score": float(peaks[peaks > 0.2].mean()) if (peaks > 0.2).any() else 0.0,
            }
        )
    return accuracy.oks_ap(samples.ground_truth, results, samples.profile.sigmas)["ap"]


def every_choice(split):
    """MACs and AP under every combination of thresholds that tells images apart."""
    early = split.exits[:-1]
    values = [[math.inf, 0.0, *split.confidences[k].tolist()] for k in early]
    for thresholds in itertools.product(*values):
        exited = [
            next((k for k, t in zip(early, thresholds, strict=True) if split.confidences[k][i] >= t), split.exits[-1])
            for i in range(len(split.samples))
        ]
        asked = [k for k, t in zip(early, thresholds, strict=True) if t < math.inf]
        macs = np.mean([WAYS.alone[k] + WAYS.head * sum(each < k for each in asked) for k in exited])
        yield float(macs), tuple(exited)


@pytest.mark.parametrize("errors_px", [(6.0, 2.0), (9.0, 4.0, 2.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_choice_of_thresholds_holds_an_ap_at_less_cost(errors_px, seed):
    split = outputs(8, errors_px, seed=seed)
    found = calibrate(split, WAYS)
    known = {exited: ap_of(split, exited) for exited in {exited for _, exited in every_choice(split)}}
    for wanted in sorted(set(known.values())):
        least = min(macs for macs, exited in every_choice(split) if known[exited] >= wanted)
        setting = found[cheapest(found, wanted)]
        assert setting.ap >= wanted
        assert setting.macs == pytest.approx(least)


def test_what_is_found_dearer_is_better_and_is_what_it_says():
    split = outputs(30, (8.0, 2.0))
    found = calibrate(split, WAYS)
    assert len(found) > 3
    assert [each.macs for each in found] == sorted({each.macs for each in found})
    assert [each.ap for each in found] == sorted({each.ap for each in found})
    for each in found:
        exited = split.exits_of(each.thresholds)
        assert each.ap == pytest.approx(ap_of(split, exited))
        assert each.macs == pytest.approx(WAYS.of_each(exited, each.thresholds).mean())


def test_the_ends_are_the_shallowest_exit_and_if_it_is_best_the_deepest():
    split = outputs(30, (8.0, 0.0))
    found = calibrate(split, WAYS)
    assert found[0].macs == WAYS.alone[2]
    assert found[-1].ap == 1
    assert set(split.exits_of(found[0].thresholds)) == {2}


def test_more_than_there_is_cannot_be_held_and_the_most_is_named():
    split = outputs(20, (8.0, 4.0))
    found = calibrate(split, WAYS)
    most = max(each.ap for each in found)
    assert cheapest(found, most) == len(found) - 1
    with pytest.raises(GreenPoseError, match=f"an AP of 0.999 is out of reach: .* the most is {most:.4f}"):
        cheapest(found, 0.999)


SPLIT = outputs(25, (9.0, 5.0, 2.0))
THRESHOLDS = st.floats(0, 1, width=32)


@given(THRESHOLDS, THRESHOLDS, THRESHOLDS, THRESHOLDS)
@settings(max_examples=50, deadline=None)
def test_lower_thresholds_never_cost_more(a, b, c, d):
    low, high = ({2: min(a, b), 3: min(c, d)}, {2: max(a, b), 3: max(c, d)})
    costs = [WAYS.of_each(SPLIT.exits_of(each), each) for each in (low, high)]
    assert (costs[0] <= costs[1]).all()
    assert (SPLIT.exits_of(low) <= SPLIT.exits_of(high)).all()


def test_thresholds_of_zero_and_without_end_are_the_outermost_exits():
    for none in (None, math.inf):
        assert set(SPLIT.exits_of({2: none, 3: none})) == {4}
    assert set(SPLIT.exits_of({2: 0.0, 3: 0.9})) == {2}
    assert set(SPLIT.exits_of({2: None, 3: 0.0})) == {3}


def test_what_is_said_of_an_image_is_what_its_exit_says():
    exited = np.resize([2, 3, 4], 25)
    found = SPLIT.at(exited)
    for i, k in enumerate(exited):
        assert np.array_equal(found.joints[i], SPLIT.predictions[k].joints[i])
        assert np.array_equal(found.peaks[i], SPLIT.predictions[k].peaks[i])


def test_all_at_the_deepest_exit_is_that_exit_and_loses_nothing():
    split = outputs(12, (8.0, 3.0))
    found = judge(split, {2: None}, WAYS)
    scores = score(split.samples, split.predictions[3])
    ap, lost, macs = found.numbers.values()
    assert ap.value == exit_ap(split, 3) == pytest.approx(scores.values["ap"])
    assert ap == exit_accuracy(split, 3)
    assert ap.type_a == pytest.approx(scores.intervals["ap"])
    assert (lost.value, lost.type_a) == (0, (0, 0))
    assert (macs.value, macs.type_a) == (600, (600, 600))
    assert found.exited == {2: 0, 3: 1}


def test_what_is_lost_against_the_deepest_exit_is_judged_on_the_same_patients():
    split = outputs(40, (9.0, 2.0))
    found = judge(split, {2: 0.0}, WAYS)
    lost = found.numbers["ap_less_final"]
    assert lost.value == pytest.approx(exit_ap(split, 2) - exit_ap(split, 3))
    assert lost.type_a.low < lost.value < lost.type_a.high
    samples = split.samples
    expected = oks_ap_difference_interval(
        samples.ground_truth,
        *(detections(samples, split.predictions[k]) for k in (3, 2)),
        samples.profile.sigmas,
        groups=dict(zip(samples.image_ids.tolist(), samples.subjects, strict=True)),
    )
    assert lost.type_a == pytest.approx(expected["ap"])
    assert lost.value < 0
    assert found.exited == {2: 1, 3: 0}


def test_the_mean_of_costs_has_an_interval_over_whole_patients():
    costs = np.repeat([1.0, 3.0], 50)
    low, high = mean_interval(costs, ["a"] * 50 + ["b"] * 50)
    assert (low, high) == (1, 3)
    assert mean_interval(costs, ["a"] * 100) is None
    low, high = mean_interval(np.resize([1.0, 3.0], 400), [str(n) for n in range(400)])
    assert (low, high) == pytest.approx((1.9, 2.1), abs=0.03)  # 2 ± 1.96 / sqrt(400)
