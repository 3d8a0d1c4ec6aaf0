"""A run's own exits and its policy say to files what they said in the run's own test."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from greenpose.accuracy import oks_ap
from greenpose.config.experiment import JudgeConfig
from greenpose.data import Framing, Samples, image_reader, load_profile
from greenpose.data.coco import inspect_split
from greenpose.data.crops import flip_partners
from greenpose.data.folders import write_coco
from greenpose.data.splits import SYNTHETIC_WINDOW_MM, load_splits, window_of_run
from greenpose.data.synthetic import generate
from greenpose.errors import ConfigError, GreenPoseError
from greenpose.metering import Meter
from greenpose.policy import compose_policy, find_policy
from greenpose.policy.search import shared_network
from greenpose.predict import find_poses, of_run
from greenpose.predict.network import of_exit
from greenpose.record import dumps
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network
from greenpose.store import read_record
from greenpose.subject import read_subject
from greenpose.training.evaluate import averaged, detections, oks, predict
from tests.predict.planted import results
from tests.predict.running import Silent
from tests.run.measuring import EXPERIMENT, experiment, finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("predict")
        patch.setenv("GREENPOSE_CACHE", str(place / "cache"))
        torch.manual_seed(5)
        yield finished_run(place / "tiny-00c0ffee")


@pytest.fixture(scope="module")
def judged(run, tmp_path_factory):
    """The run's test images as a folder that anybody could have, and their annotation file."""
    config, root = run.experiment(), tmp_path_factory.mktemp("data") / "coco"
    source = {"test": generate(config.data.synthetic, "test")}
    return write_coco(root, source, profile=load_profile("babypose"), window=SYNTHETIC_WINDOW_MM)["test"]


def poses(run, named, output, *, boxes=None, **options):
    subject, faults = read_subject(run.path, settings=())
    assert not faults
    with Meter([]) as meter:
        return find_poses(
            partial(of_run, subject, **options), [str(named)], output, meter=meter, watcher=Silent(), boxes=boxes
        )


def told(run, number):
    """What the run's own evaluation says of its test split: another way to crops, batches and results."""
    samples = load_splits(run.experiment().data, only=["test"])["test"]
    net = trained_networks(build_network(run.experiment())[0], run, [number])[number]
    return samples, predict(net, samples, batch=5)[number]


@pytest.mark.parametrize("number", [2, 3])
def test_an_exit_says_of_files_what_it_said_in_the_test_of_its_run(run, judged, tmp_path, number):
    samples, expected = told(run, number)
    account, _ = poses(run, judged, tmp_path / "poses", exit_=number)
    found = results(tmp_path / "poses")
    assert account.images == len(samples)
    wanted = detections(samples, expected)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one["keypoints"] == pytest.approx(other["keypoints"], abs=1e-3)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    scored = oks_ap(json.loads(judged.read_text()), found, samples.profile.sigmas)
    assert scored == pytest.approx(oks(samples, expected))


def test_the_exit_of_highest_ap_is_taken_where_none_is_named(run, judged, tmp_path):
    record = read_record(run.record)
    best = max(record.exits, key=lambda entry: entry.ap)
    _, bill = poses(run, judged, tmp_path / "poses")
    assert bill.model["exit"] == best.exit
    assert bill.model["config_hash"] == record.config_hash
    assert bill.model["runtime"].startswith("torch ")


def test_detected_boxes_are_cropped_as_they_are_and_scored_as_they_say(run, judged, tmp_path):
    """As `data.detections` of an experiment would have them."""
    split = inspect_split(judged, judged.parent.parent / "images", load_profile("babypose"))
    scores = np.linspace(0.1, 1, len(split.instances))
    entries = [
        {"image_id": one.image_id, "category_id": 1, "bbox": [side * 1.1 for side in one.box], "score": score}
        for one, score in zip(split.instances, scores.tolist(), strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(entries))
    poses(run, judged, tmp_path / "poses", exit_=3, boxes=str(tmp_path / "boxes.json"))
    samples = Samples.build(
        [replace(one, box=tuple(entry["bbox"])) for one, entry in zip(split.instances, entries, strict=True)],
        image_reader(window=SYNTHETIC_WINDOW_MM),
        profile=load_profile("babypose"),
        framing=replace(Framing.of((32, 32)), as_given=True),
        box_scores=scores.tolist(),
    )
    net = trained_networks(build_network(run.experiment())[0], run, [3])[3]
    wanted = detections(samples, predict(net, samples, batch=5)[3])
    for one, other in zip(results(tmp_path / "poses"), wanted, strict=True):
        assert one["keypoints"] == pytest.approx(other["keypoints"], abs=1e-3)
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_run_that_was_tested_with_mirrored_images_predicts_by_both_passes(run):
    images = torch.rand(2, 3, 32, 32)
    own = run.experiment()
    mirrored = own.model_copy(update={"test": JudgeConfig(flip=True)})
    (seen, both), turned = (
        [of_exit(config, run, 3, threads=1)(images.numpy()) for config in (own, mirrored)],
        of_exit(own, run, 3, threads=1)(images.flip(-1).numpy()),
    )
    sides = flip_partners(load_profile(own.data.profile))
    wanted = averaged(torch.from_numpy(seen), torch.from_numpy(turned), sides, Framing.of_data(own.data))
    np.testing.assert_allclose(both, wanted.numpy(), rtol=1e-5, atol=1e-8)
    with pytest.raises(GreenPoseError, match=r"test\.flip: the run was tested with mirrored images"):
        shared_network(mirrored, run, (2, 3))


def test_a_policy_lets_images_leave_where_its_thresholds_say(run, judged, tmp_path):
    config = run.experiment()
    found = find_policy(config, run, exits=(2, 3), measured=False)
    curve = compose_policy(found, config, read_record(run.record), confidence="peak")
    outputs = predict(shared_network(config, run, (2, 3)).net, found.test.samples, batch=5)
    confidences = outputs[2].peaks.clip(0).mean(1)
    middle = float(np.median(confidences))
    points = [curve.points[curve.chosen].model_copy(update={"thresholds": {2: middle}})]
    own = tmp_path / "policy.json"
    own.write_text(dumps(curve.model_copy(update={"points": points, "chosen": 0})))
    _, bill = poses(run, judged, tmp_path / "poses", policy=own)
    early = confidences >= middle
    assert bill.left == {2: int(early.sum()), 3: int((~early).sum())}
    joints = np.where(early[:, None, None], outputs[2].joints, outputs[3].joints)
    for one, other in zip(results(tmp_path / "poses"), joints, strict=True):
        assert np.array(one["keypoints"]).reshape(-1, 3)[:, :2] == pytest.approx(other, abs=1e-3)


def test_a_policy_of_another_run_and_a_policy_beside_an_exit_are_refused(run, tmp_path):
    config = run.experiment()
    found = find_policy(config, run, exits=(2, 3), measured=False)
    curve = compose_policy(found, config, read_record(run.record), confidence="peak")
    (tmp_path / "policy.json").write_text(dumps(curve.model_copy(update={"config_hash": "f" * 64})))
    subject, _ = read_subject(run.path, settings=())
    with pytest.raises(ConfigError, match="is another run; find its own with greenpose policy"):
        of_run(subject, policy=tmp_path / "policy.json")
    with pytest.raises(ConfigError, match="--exit 2: with --policy every image leaves at the exit that suits it"):
        of_run(subject, policy=tmp_path / "policy.json", exit_=2)
    with pytest.raises(GreenPoseError, match=r"none\.json: cannot be read"):
        of_run(subject, policy=tmp_path / "none.json")


def test_the_window_of_a_run_is_its_settings_its_generators_or_its_annotation_files(judged):
    assert window_of_run(experiment().data) == SYNTHETIC_WINDOW_MM
    own = experiment(data=EXPERIMENT["data"] | {"depth_window_mm": [300, 800]})
    assert window_of_run(own.data) == (300, 800)
    coco = {"source": "coco", "root": str(judged.parent.parent)}
    assert window_of_run(experiment(data=coco).data) == SYNTHETIC_WINDOW_MM
    assert window_of_run(experiment(data=coco | {"root": "/nowhere"}).data) is None
