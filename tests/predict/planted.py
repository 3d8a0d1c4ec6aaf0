"""Subjects whose pose anybody can see: a red, a green and a blue dot; and an artefact that finds the brightest of each.

The artefact's network is an average over 4 x 4 pixels of each channel: its heatmaps are known without any network, and
a wrong order of channels, a wrong crop or a wrong decoding puts joints elsewhere.
"""

import hashlib
import json

import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from greenpose.artefact.card import Card, CardFile, CardNumber
from greenpose.config.profile import Profile
from greenpose.data import MEAN, STD, Framing
from greenpose.data.folders import write_coco
from greenpose.data.instances import Instance
from greenpose.quantity import missing
from greenpose.record import dumps

PROFILE = Profile(
    name="lights",
    category="lights",
    keypoints=("red", "green", "blue"),
    skeleton=((0, 1), (1, 2)),
    sigmas=(0.1, 0.1, 0.1),
    sigma_source="assumed",
)
SIDE = 64
FRAMING = Framing.of((SIDE, SIDE))
NOTHING = CardNumber.of("ap", missing("nobody measured it"))


def artefact(folder, *, window=None, outputs="heatmaps", profile=PROFILE):
    """Write the artefact into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "exit1.onnx"
    path.write_bytes(_network().SerializeToString())
    content = path.read_bytes()
    number = {"value": None, "basis": NOTHING.basis.model_dump(mode="json")}
    file = CardFile(
        file=path.name,
        format="onnx",
        precision="fp32",
        runtime="onnxruntime",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        outputs=outputs,
        accuracy={},
        accuracy_change={},
    )
    card = Card.model_validate(
        {
            "run": "planted",
            "exit": 1,
            "config_hash": "0" * 64,
            "trained_at": "2026-01-01T00:00:00+00:00",
            "files": [file.model_dump()],
            "folded": False,
            "folding_error": None,
            "profile": profile.model_dump(mode="json"),
            "input": {"name": "images", "shape": ["batch", 3, SIDE, SIDE]},
            "normalisation": {},
            "crop": {"aspect": 1.0, "padding": FRAMING.padding, "as_given": False},
            "depth_window_mm": window,
            "output": {"name": "heatmaps", "shape": ["batch", 3, SIDE // 4, SIDE // 4]},
            "decoding": {},
            "numbers": {},
            "train_energy_kwh": {"name": "train_energy_kwh", **number},
            "train_co2eq_g": {"name": "train_co2eq_g", **number},
            "grade": "C",
            "measured_on": {},
            "software": {},
        }
    )
    (folder / "card.json").write_text(dumps(card))
    return folder


def _network():
    """Return the mean brightness of 4 x 4 pixels from 0 to 1, channel by channel, for batches of any size."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    heatmaps = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["batch", 3, SIDE // 4, SIDE // 4])
    share = np.tile(np.array(STD, dtype=np.float32)[:, None, None, None] / 16, (1, 1, 4, 4))
    given = [numpy_helper.from_array(share, "share"), numpy_helper.from_array(np.array(MEAN, dtype=np.float32), "dark")]
    mean = helper.make_node("Conv", ["images", "share", "dark"], ["heatmaps"], strides=[4, 4], group=3)
    graph = helper.make_graph([mean], "lights", [images], [heatmaps], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def lights(joints, size=(160, 120), *, radius=5):
    """Return an RGB image with a red, a green and a blue dot at each of some subjects' joints."""
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for subject in np.asarray(joints).reshape(-1, 3, 2):
        for channel, (x, y) in enumerate(subject):
            colour = [0, 0, 0]
            colour[channel] = 255
            cv2.circle(image, (round(x), round(y)), radius, colour, -1)
    return image


def write(path, image):
    """Write an RGB or grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)
    return path


def subject(number, joints, *, image_id=None, size=(160, 120)):
    """Return the instance of a subject with its box."""
    joints = np.asarray(joints, dtype=np.float64)
    low, high = joints.min(0) - 10, joints.max(0) + 10
    return Instance(
        id=number,
        image_id=image_id or number,
        image=f"frame{image_id or number}",
        subject="",
        image_size=size,
        box=(*map(float, low), *map(float, high - low)),
        area=float(np.prod(high - low)),
        joints=joints,
        visibility=np.full(3, 2),
    )


def some_joints(number, *, seed=0, size=(160, 120)):
    """Return joints of so many subjects, far enough from each other and from the image's edge."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < number:
        joints = rng.uniform((20, 20), (size[0] - 20, size[1] - 20), (3, 2)).round()
        apart = np.linalg.norm(joints[:, None] - joints[None], axis=-1)[np.triu_indices(3, 1)]
        if apart.min() > 15:
            found.append(joints)
    return np.array(found)


def coco(root, joints):
    """Write a COCO folder with one subject an image, and return its annotation file."""
    instances = [subject(number, each) for number, each in enumerate(joints, start=1)]
    pairs = [(one, lights(one.joints)) for one in instances]
    return write_coco(root, {"test": pairs}, profile=PROFILE)["test"]


def results(folder):
    """Return the poses that were written."""
    return json.loads((folder / "poses.json").read_text())


def joints_of(pose):
    """Return x and y of each keypoint of a result."""
    return np.array(pose["keypoints"]).reshape(-1, 3)[:, :2]
