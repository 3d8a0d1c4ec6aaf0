"""run.py, which holds no line of GreenPose, says what GreenPose says, and gives the AP of a trained run's record."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from greenpose.accuracy import detect, oks_ap
from greenpose.artefact import open_model, read_artefact
from greenpose.artefact.folder import read_card
from greenpose.config import Experiment
from greenpose.data import Framing, decode_heatmaps
from greenpose.data.crops import crop, frame_box, normalised
from greenpose.data.folders import write_coco
from greenpose.data.images import read_image
from greenpose.data.splits import load_splits
from greenpose.errors import GreenPoseError
from greenpose.export.card import card_text
from greenpose.export.folder import STANDALONE
from greenpose.run import execute
from greenpose.run.measure import trained_networks
from greenpose.run.retest import retest
from greenpose.run.setup import build_network
from greenpose.store import RunFolder, read_record
from tests.export.exporting import exported
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


BLOCKED = """
import runpy, sys
for name in ("torch", "greenpose", "pandas", "matplotlib"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def poses(script, *words):
    """Return what run.py prints in a process that has neither GreenPose nor torch, line by line."""
    call = [sys.executable, "-c", BLOCKED, *map(str, (script, *words))]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
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


def test_a_run_judged_anew_is_worth_what_its_record_says_and_what_its_heatmaps_decoded_otherwise_are(trained):
    record, config = read_record(trained.record), trained.experiment()
    (one,) = retest(config, trained, [2], "dark")
    assert one.before == record.exit(2).ap
    samples = load_splits(config.data, only=["test"])["test"]
    net = trained_networks(build_network(config)[0], trained, [2])[2]
    with torch.inference_mode():
        maps = net(torch.from_numpy(normalised(samples.crops(range(len(samples)))))).numpy()
    joints, peaks = decode_heatmaps(maps, samples.centers, samples.scales, decode="dark", sigma=config.data.sigma)
    assert one.after == pytest.approx(ap_of(joints, peaks, samples), abs=1e-9)
    assert one.interval[0] <= one.after - one.before <= one.interval[1]
    assert one.groups == 10


@pytest.mark.parametrize("spoilt", [False, True], ids=["as it is", "with another padding"])
def test_the_ap_of_run_py_on_a_runs_test_images_is_that_of_its_record(trained, spoilt):
    record, samples = read_record(trained.record), load_splits(trained.experiment().data, only=["test"])["test"]
    assert 0.05 < record.exit(2).ap < 1
    script = trained.path / "exported" / "run.py"
    if spoilt:
        script = script.with_name("spoilt.py")
        script.write_text(script.with_name("run.py").read_text().replace('["padding"]', '["padding"] / 1.02'))
    truth = json.loads((trained.path.parent / "lights/annotations/person_keypoints_test.json").read_text())
    people = truth["annotations"]
    boxes = [",".join(map(str, person["bbox"])) for person in people]
    lines = poses(script, trained.path.parent / "lights/images/test", *boxes)  # each box in each image
    said = {(Path(line["image"]).name, tuple(line["box"])): line["keypoints"] for line in lines}
    names = {image["id"]: Path(image["file_name"]).name for image in truth["images"]}
    found = np.array([said[names[person["image_id"]], tuple(person["bbox"])] for person in people])
    ap = ap_of(found[..., :2], found[..., 2], samples, truth)
    # two runtimes may put a peak on another pixel: 0.0013 on an AMD EPYC, spoilt 0.016
    assert (abs(ap - record.exit(2).ap) < 0.005) is not spoilt


def decoded_by(decode, run, tmp_path_factory):
    """An exit of a run that was trained for another decoding, which does not go into its model."""
    other, output = RunFolder(tmp_path_factory.mktemp("run") / decode), tmp_path_factory.mktemp("deploy") / decode
    shutil.copytree(run.path, other.path)
    cell = run.read_cell()
    cell["experiment"]["data"]["decode"] = decode
    other.write_cell(cell)
    with pytest.raises(GreenPoseError, match=f"--with-decoding: the run is decoded by {decode}, and only quarter's"):
        exported(other, "onnx", with_decoding=True, output=output)
    exported(other, "onnx", output=output)
    return output


@pytest.fixture(scope="module")
def dark(run, tmp_path_factory):
    return decoded_by("dark", run, tmp_path_factory)


@pytest.fixture(scope="module")
def udp(run, tmp_path_factory):
    return decoded_by("udp", run, tmp_path_factory)


def pictures(folder):
    """Write a colour photograph, a grey one and 16-bit depth of noise; return each with a box."""
    rng = np.random.default_rng(0)
    blurred = {
        "colour.png": cv2.blur(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8), (9, 9)),
        "depth.png": cv2.blur(rng.integers(300, 1000, (90, 120), dtype=np.uint16), (5, 5)),
        "grey.png": cv2.blur(rng.integers(0, 256, (90, 120), dtype=np.uint8), (9, 9)),
    }
    folder.mkdir()
    for name, pixels in blurred.items():
        assert cv2.imwrite(str(folder / name), pixels)
    return {name: box for name in blurred for box in [(20.0, -5.0, 60.0, 70.0)]}


def test_a_card_says_how_heatmaps_are_decoded_and_by_what_crops(udp, tmp_path):
    card = read_card(udp / "card.json")
    assert card.framing == Framing.of((32, 32), decode="udp")
    assert "heatmaps, decoded by udp, or" in card_text(card)
    told = json.loads((udp / "card.json").read_text())
    for change in ({"sigma": None}, {"method": "quarter"}, {"method": "darc"}, {"sigma": 0}):
        (tmp_path / "spoilt.json").write_text(json.dumps(told | {"decoding": told["decoding"] | change}))
        with pytest.raises(GreenPoseError, match="decoding"):
            read_card(tmp_path / "spoilt.json")


@pytest.mark.parametrize("which", ["whole", "decoding", "dark", "udp"])
def test_run_py_says_what_greenpose_says_without_it_and_without_torch(request, run, tmp_path, which):
    folder = request.getfixturevalue(which)
    assert len((folder / "run.py").read_text().splitlines()) <= 80
    boxes = pictures(tmp_path / "images")
    said = poses(folder / "run.py", tmp_path / "images", "20,-5,60,70")
    assert [Path(each["image"]).name for each in said] == list(boxes)
    artefact = read_artefact(folder)[0]
    assert artefact.file.file == ("exit2.onnx" if which in {"dark", "udp"} else "exit2-int8.xml")
    model, card = open_model(artefact), artefact.card
    for each in said:
        path = Path(each["image"])
        image = read_image(path, window=card.depth_window_mm if path.name == "depth.png" else None)
        size = (image.shape[1], image.shape[0])
        center, scale = frame_box(boxes[path.name], size, card.framing)
        cut = crop(image, card.framing.matrix(center, scale), card.framing.input_size)
        cut = cut if cut.ndim == 3 else np.repeat(cut[..., None], 3, -1)
        joints, peaks = artefact.places(model(normalised(cut[None])), center[None], scale[None])
        found = np.array(each["keypoints"])
        assert np.mean(np.abs(found[:, :2] - joints[0]).max(-1) < 0.01) > 0.9
        np.testing.assert_allclose(found[:, 2], peaks[0], atol=0.01)


def test_run_py_takes_int8_and_openvino_first_whatever_was_exported_first(whole):
    script, card = runpy.run_path(str(whole / "run.py")), json.loads((whole / "card.json").read_text())
    card["files"].sort(key=lambda each: (each["format"] != "onnx", each["precision"]))
    assert script["open_model"](card)[0]["file"] == "exit2-int8.xml"


WRONG = {
    "blue first": ("2::-1", ":3"),
    "another stride": ("place * reach", "place * 1.1 * reach"),
    "another shift": ("0.25", "2"),
}


def test_run_py_finds_lights_where_greenpose_does_and_elsewhere_by_other_channels_or_another_decoding(tmp_path):
    folder, box = planted.artefact(tmp_path / "lights"), (20.0, 15.0, 120.0, 90.0)
    joints = np.random.default_rng(0).uniform([30, 25], [130, 95], size=(12, 3, 2))
    images = [planted.lights(truth, radius=2) for truth in joints]
    files = [planted.write(tmp_path / f"{number}.png", image) for number, image in enumerate(images)]
    (opened,) = read_artefact(folder)
    framing = opened.card.framing
    center, scale = frame_box(box, (160, 120), framing)
    crops = np.stack([crop(image, framing.matrix(center, scale), framing.input_size) for image in images])
    maps = open_model(opened)(normalised(crops))
    expected, _ = opened.places(maps, np.tile(center, (12, 1)), np.tile(scale, (12, 1)))

    def pixels_off(changed="", to=""):
        assert changed in STANDALONE.read_text()
        (folder / "run.py").write_text(STANDALONE.read_text().replace(changed, to))
        script, card = runpy.run_path(str(folder / "run.py")), json.loads((folder / "card.json").read_text())
        model = script["open_model"](card)
        found = [script["keypoints"](script["read_image"](file, None), box, card, model) for file in files]
        return np.linalg.norm(np.array(found)[..., :2] - expected, axis=-1)

    assert pixels_off().max() < 0.001  # it prints thousandths
    assert {name: np.median(pixels_off(*wrong)) > 1 for name, wrong in WRONG.items()} == dict.fromkeys(WRONG, True)


def test_run_py_names_what_it_cannot_read(whole, tmp_path):
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(SystemExit, match=r"no\.png: is no image") as caught:
        runpy.run_path(str(whole / "run.py"))["read_image"](tmp_path / "no.png", None)
    assert isinstance(caught.value.code, str)  # which Python prints on stderr, ending with 1
