"""The whole way, on a run that looks finished."""

import json

import numpy as np
import pytest
import torch

from greenpose.errors import GreenPoseError, RecordError
from greenpose.intervals import Bounds
from greenpose.model import HRNet
from greenpose.policy import compose_policy, find_policy
from greenpose.policy.document import widened
from greenpose.policy.search import Energies, mix, shared_network
from greenpose.quantity import Quantity
from greenpose.record import dumps
from greenpose.record.policy import PolicyCurve
from greenpose.schema import loaded
from greenpose.store import read_document
from greenpose.training.checkpoint import save_best
from tests.metering.test_inference import Bench
from tests.run.measuring import finished_run, network


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("policy")
        patch.setenv("GREENPOSE_CACHE", str(place / "cache"))
        torch.manual_seed(5)
        yield finished_run(place / "tiny-00c0ffee")


@pytest.fixture(scope="module")
def found(run):
    config, folder = run.experiment(), run
    return find_policy(config, folder, exits=(2, 3))


@pytest.fixture(scope="module")
def curve(run, found):
    config, folder = run.experiment(), run
    return compose_policy(found, config, read_document(folder.record), confidence="peak")


def test_thresholds_are_from_the_validation_split_and_judged_on_the_test_split(found, curve):
    assert curve.images == {"val": len(found.val.samples), "test": len(found.test.samples)}
    assert curve.subjects == {"val": 2, "test": 3}
    assert curve.resampled == "patients"
    assert len(curve.points) == len(found.settings)
    assert curve.points[curve.chosen].ap_val >= curve.wanted_ap
    assert curve.exits[-1].ap_val - 0.01 == pytest.approx(curve.wanted_ap)


def test_what_is_written_reads_back_as_it_was(curve):
    assert loaded(PolicyCurve, dumps(curve), where="here", error=RecordError) == curve
    broken = json.loads(dumps(curve)) | {"confidence": "hope"}
    with pytest.raises(GreenPoseError, match="here: confidence"):
        loaded(PolicyCurve, json.dumps(broken), where="here", error=RecordError)
    with pytest.raises(GreenPoseError, match="here: not JSON that anybody reads: it is nested too deeply"):
        loaded(PolicyCurve, "[" * 50_000, where="here", error=RecordError)
    twice = dumps(curve).replace('"confidence": "peak"', '"confidence": "entropy", "confidence": "peak"')
    with pytest.raises(GreenPoseError, match=r"here: line \d+, column \d+: confidence is given twice"):
        loaded(PolicyCurve, twice, where="here", error=RecordError)


def test_every_number_says_how_it_was_obtained(curve):
    for entry in (*curve.exits, *curve.points, curve.trial):
        numbers = [name for name, value in entry if isinstance(value, float) or name.startswith("energy")]
        for name in numbers:
            basis = entry.quantity(name)
            assert basis.method, name
            assert basis.unit, name
    for entry in curve.exits:
        assert entry.basis["energy_j_per_image"].kind == "modelled" or entry.energy_j_per_image is not None
    assert all(part == pytest.approx(1) for part in (sum(point.left.values()) for point in curve.points))


def test_energy_of_a_choice_is_the_mean_of_the_ways_that_its_images_take(curve):
    second, third = curve.exits
    for point in curve.points:
        asked = bool(point.thresholds[2])  # with one exit to ask at, images are asked there or nowhere
        costs = [each.energy_j_on_way if asked else each.energy_j_per_image for each in (second, third)]
        expected = sum(part * each for part, each in zip(point.left.values(), costs, strict=True))
        assert point.energy_j_per_image == pytest.approx(expected)
        interval = point.basis["energy_j_per_image"].type_a
        assert interval.low <= point.energy_j_per_image <= interval.high


@pytest.mark.parametrize(
    ("thresholds", "exit_", "expected"),
    [
        ({2: None, 3: None}, 4, 100),
        ({2: 0.5, 3: 0.5}, 4, 120),
        ({2: 0.5, 3: None}, 4, 110),
        ({2: None, 3: 0.5}, 4, 110),
        ({2: None, 3: 0.0}, 3, 60),
        ({2: 0.5, 3: 0.0}, 3, 70),
        ({2: 0.5, 3: None}, 2, 30),
        ({2: 0.0, 3: None}, 2, 20),
    ],
)
def test_an_image_pays_for_being_asked_where_it_is_asked(thresholds, exit_, expected):
    """Each question takes 10 J; exits 2, 3 and 4 alone take 20, 60 and 100 J."""
    alone = {k: measured(joules) for k, joules in ((2, 20), (3, 60), (4, 100))}
    cumulative = {k: measured(joules) for k, joules in ((2, 30), (3, 80), (4, 120))}
    energies = Energies(alone=alone, cumulative=cumulative, policy=cumulative[4])
    left = {k: float(k == exit_) for k in (2, 3, 4)}
    assert energies.of_point(left, thresholds).value == pytest.approx(expected)


def test_independent_causes_widen_an_interval_in_quadrature_and_systematic_error_stays():
    each = Quantity(value=10.0, repeats=8, type_a=Bounds(7.0, 14.0), type_b=Bounds(5.0, 20.0))
    assert widened(each, Bounds(6.0, 13.0)) == Quantity(
        value=10.0, repeats=8, type_a=Bounds(5.0, 15.0), type_b=Bounds(5.0, 20.0)
    )
    assert widened(each, None) == each
    alone = Quantity(value=10.0, repeats=1, type_a=None)
    assert widened(alone, Bounds(6.0, 13.0)).type_a == Bounds(6.0, 13.0)
    assert widened(alone, None) == alone


def measured(joules):
    """An exit that was found to cost so much, on a machine where nothing varies."""
    return Bench().measure({1: joules / 5})[1]  # 20 W for 4 images a call


def test_an_image_is_charged_for_the_heads_on_its_way(curve):
    second, third = curve.exits
    assert second.macs_on_way == second.macs
    head = 4 * 12 * 8 * 8  # width x joints x a quarter of each side
    assert third.macs_on_way == third.macs + head


def test_the_policy_at_work_leaves_where_it_was_expected_to(curve):
    assert curve.trial.images == 8
    assert curve.trial.elsewhere <= 1
    assert set(curve.trial.relative_to_final) == {"latency_s", "cpu_s_per_image", "energy_j_per_image"}
    assert curve.trial.expected_j_per_image > 0


def test_without_measuring_there_is_compute_and_a_reason(run):
    config, folder = run.experiment(), run
    found = find_policy(config, folder, exits=(2, 3), wanted=0.0, confidence="entropy", measured=False)
    curve = compose_policy(found, config, read_document(folder.record), confidence="entropy")
    assert curve.trial is None
    assert curve.grade is None
    for point in curve.points:
        assert point.energy_j_per_image is None
        assert "--no-measure" in point.basis["energy_j_per_image"].missing
        assert point.macs_per_image > 0


def test_one_network_serves_all_exits_and_says_which_have_weights_of_their_own(run):
    config, folder = run.experiment(), run
    shared = shared_network(config, folder, (2, 3))
    assert shared.own == {2: True, 3: True}
    assert "all are of one epoch" in shared.sentence
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        for k, heatmaps in shared.net(x).items():
            assert torch.equal(heatmaps, shared.subs[k](x))


def test_weights_of_another_epoch_are_named(tmp_path):
    folder = finished_run(tmp_path / "tiny-00c0ffee")
    config = folder.experiment()
    save_best(folder.best(2), network(config).truncate(2).state_dict())
    shared = shared_network(config, folder, (2, 3))
    assert shared.own == {2: False, 3: True}
    assert shared.sentence.startswith("exit 2: head of an epoch of its own on the trunk of exit 3")
    assert torch.equal(shared.net.heads["2"].weight, shared.subs[2].heads["2"].weight)
    assert torch.equal(shared.net.conv1.weight, shared.subs[3].conv1.weight)
    assert isinstance(shared.net, HRNet)


def test_one_exit_is_not_enough(run):
    config, folder = run.experiment(), run
    with pytest.raises(GreenPoseError, match="two exits at least, and here there is 1"):
        find_policy(config, folder, exits=(3,))


def test_errors_of_ways_move_together():
    first = Quantity(value=1.0, repeats=8, type_a=Bounds(0.9, 1.2), type_b=Bounds(0.5, 2.0))
    second = Quantity(value=3.0, repeats=6, type_a=Bounds(2.7, 3.3), type_b=None)
    both = mix([(0.5, first), (0.5, second)])
    assert (both.value, both.repeats, both.type_b) == (2.0, 6, None)
    assert both.type_a == pytest.approx((1.8, 2.25))
    assert mix([(0.5, first), (0.5, None)]) is None
    assert np.isclose(mix([(1.0, first)]).type_b.high, 2.0)
