"""run.py, which holds no line of GreenPose, gives the AP of the record on the images of a trained run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from greenpose.accuracy import detect, oks_ap
from greenpose.config import Experiment
from greenpose.data import decode_heatmaps
from greenpose.data.crops import normalised
from greenpose.data.folders import write_coco
from greenpose.data.splits import load_splits
from greenpose.run import execute
from greenpose.run.measure import trained_networks
from greenpose.run.retest import retest
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, read_record
from tests.export.exporting import exported
from tests.export.test_deploy import BLOCKED
from tests.predict import planted
from tests.run.tiny import Silent

NUMBERS = {"train": 48, "val": 6, "test": 10}
EXPERIMENT = {
    "name": "lights",
    "data": {"source": "coco", "root": "lights", "profile": "lights.yaml", "input_size": [64, 64]},
    "model": {"exits": [2], "width": 4, "stem_width": 8, "modules": [1, 1, 1], "blocks": 1},
    "wiring": {"supervise": [2]},
    "train": {"epochs": 6, "batch": 8, "lr": 5e-3, "milestones": [5], "validate_every": 6},
    "measure": {"batch": 2, "min_window_seconds": 0.01, "max_blocks": 2, "max_seconds": 0.2},
    "carbon": {"country": "ITA"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has learnt to tell red, green and blue lights, some of which it misses."""
    place = tmp_path_factory.mktemp("lights")
    joints = planted.some_joints(sum(NUMBERS.values()), seed=3)
    ends = np.cumsum([0, *NUMBERS.values()]).tolist()
    splits = {}
    for (split, number), first in zip(NUMBERS.items(), ends, strict=False):
        some = [planted.subject(first + n + 1, joints[first + n]) for n in range(number)]
        splits[split] = [(one, planted.lights(one.joints, radius=3)) for one in some]
    write_coco(place / "lights", splits, profile=planted.PROFILE)
    (place / "lights.yaml").write_text(planted.PROFILE.model_dump_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        folder = RunFolder(place / "lights-00c0ffee")
        folder.path.mkdir()
        experiment = Experiment.model_validate(EXPERIMENT).model_dump(mode="json")
        folder.write_cell({"name": "lights", "grid": "", "axes": {}, "config_hash": "", "experiment": experiment})
        execute(folder, observer=Silent())
        exported(folder, "onnx,openvino", output=folder.path / "exported")
        yield folder


def ap_of(joints, peaks, samples, truth=None):
    """AP of a pose for each person in the test images."""
    truth = truth or json.loads(Path("lights/annotations/person_keypoints_test.json").read_text())
    said = detect(
        joints,
        peaks,
        image_ids=[person["image_id"] for person in truth["annotations"]],
        areas=samples.crop_areas,
        sigmas=planted.PROFILE.sigmas,
        category_id=1,
    )
    return oks_ap(truth, said, planted.PROFILE.sigmas)["ap"]


def test_a_run_judged_anew_is_worth_what_its_record_says_and_what_its_heatmaps_decoded_otherwise_are(run):
    record, config = read_record(run.record), run.experiment()
    (one,) = retest(config, run, [2], "dark")
    assert one.before == record.exit(2).ap
    samples = load_splits(config.data, only=["test"])["test"]
    net = trained_networks(build_network(config)[0], run, [2])[2]
    with torch.inference_mode():
        maps = net(torch.from_numpy(normalised(samples.crops(range(len(samples)))))).numpy()
    joints, peaks = decode_heatmaps(maps, samples.centers, samples.scales, decode="dark", sigma=config.data.sigma)
    assert one.after == pytest.approx(ap_of(joints, peaks, samples), abs=1e-9)
    assert one.interval[0] <= one.after - one.before <= one.interval[1]
    assert one.groups == 10


@pytest.mark.parametrize("spoilt", [False, True], ids=["as it is", "with another padding"])
def test_the_ap_of_run_py_on_a_runs_test_images_is_that_of_its_record(run, spoilt):
    record, samples = read_record(run.record), load_splits(run.experiment().data, only=["test"])["test"]
    assert 0.05 < record.exit(2).ap < 1
    script = run.path / "exported" / "run.py"
    if spoilt:
        script = script.with_name("spoilt.py")
        script.write_text(script.with_name("run.py").read_text().replace('["padding"]', '["padding"] / 1.02'))
    truth = json.loads((run.path.parent / "lights/annotations/person_keypoints_test.json").read_text())
    people = truth["annotations"]
    boxes = [",".join(map(str, person["bbox"])) for person in people]
    call = [sys.executable, "-c", BLOCKED, str(script), str(run.path.parent / "lights/images/test"), *boxes]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]  # each box in each image
    poses = {(Path(line["image"]).name, tuple(line["box"])): line["keypoints"] for line in lines}
    names = {image["id"]: Path(image["file_name"]).name for image in truth["images"]}
    found = np.array([poses[names[person["image_id"]], tuple(person["bbox"])] for person in people])
    ap = ap_of(found[..., :2], found[..., 2], samples, truth)
    assert (abs(ap - record.exit(2).ap) < 1e-6) is not spoilt
