"""What the paper's official code does in an epoch, told again with its loops: what `benchmarks.speed` runs against.

Written from facts about that code (which figures come out, and which of them a Python loop makes), not from the code
itself; `tests/benchmarks/test_reference_loop.py` holds every figure against golden ones that the official code gave.

Left out is what would only make it slower: plots, a checkpoint every epoch, log lines, meters that keep the autograd
graph, decoding of exits that the experiment does not name. Ratios against this are cautious.
"""

import contextlib
import copy
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from greenpose.data import MEAN, STD, Framing, Instance
from greenpose.data.crops import frame_box
from greenpose.model import HRNet
from greenpose.model.hrnet import advance

LAST_STAGE = 4
SCALE_UNIT_PX = 200
CONFIDENT_ABOVE = 0.2
SAME_ABOVE = 0.9
Peaks = tuple[np.ndarray, np.ndarray]


# The network


class WholeNetwork(nn.Module):
    """All four stages are held; the first `stages` run, with every branch and every head on the way."""

    def __init__(self, net: HRNet, stages: int) -> None:
        super().__init__()
        assert net.exits == (1, 2, 3, 4)
        self.net, self.stages = net, stages

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the heatmaps of exits 1 to `stages`."""
        net = self.net
        x = net.relu(net.bn1(net.conv1(images)))
        x = net.layer1(net.relu(net.bn2(net.conv2(x))))
        features = advance(net.transition1, [x])
        outputs = [net.heads["1"](features[0])]
        for stage in range(2, self.stages + 1):
            features = net.get_submodule(f"stage{stage}")(features)
            if stage < LAST_STAGE:
                features = advance(cast("nn.ModuleList", net.get_submodule(f"transition{stage}")), features)
            outputs.append(net.heads[str(stage)](features[0]))
        return outputs


# Losses, joint by joint


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return half the mean squared difference: one loss for each joint, then their mean."""
    maps, wanted = _by_joint(output), _by_joint(target)
    total = torch.zeros((), dtype=output.dtype)
    for one, other in zip(maps, wanted, strict=True):
        total = total + 0.5 * functional.mse_loss(one.squeeze(), other.squeeze())
    return total / len(maps)


def divergence(student: Tensor, teacher: Tensor, weight: Tensor, *, temperature: float) -> Tensor:
    """Return KL(teacher || student): one for each joint, their sum over images and pixels."""
    height, width = student.shape[2:]
    total = torch.zeros((), dtype=student.dtype)
    for joint, (one, other) in enumerate(zip(_by_joint(student), _by_joint(teacher), strict=True)):
        counts = weight[:, joint]
        learner = functional.log_softmax(counts * one.squeeze(1) / temperature, dim=1)
        wanted = functional.softmax(counts * other.squeeze(1) / temperature, dim=1)
        total = total + functional.kl_div(learner, wanted, reduction="sum")
    return total / len(student) / (height * width)


def _by_joint(maps: Tensor) -> tuple[Tensor, ...]:
    return torch.split(maps.flatten(2), 1, dim=1)


# Targets, joint by joint


def draw_targets(joints: np.ndarray, visible: np.ndarray, framing: Framing) -> tuple[np.ndarray, np.ndarray]:
    """Return one image's heatmaps [joint, height, width] and weights [joint, 1]."""
    width, height = framing.heatmap_size
    stride = np.array(framing.input_size) / np.array(framing.heatmap_size)
    maps = np.zeros((len(joints), height, width), dtype=np.float32)
    weight = np.array(visible, dtype=np.float32).reshape(-1, 1)
    reach = int(framing.sigma * 3)
    for joint in range(len(joints)):
        column = int(joints[joint][0] / stride[0] + 0.5)
        row = int(joints[joint][1] / stride[1] + 0.5)
        left, top, right, bottom = column - reach, row - reach, column + reach + 1, row + reach + 1
        if left >= width or top >= height or right < 0 or bottom < 0:
            weight[joint] = 0
            continue
        side = 2 * reach + 1
        x = np.arange(0, side, 1, dtype=np.float32)
        y = x[:, np.newaxis]
        patch = np.exp(-((x - side // 2) ** 2 + (y - side // 2) ** 2) / (2 * framing.sigma**2))
        columns = slice(max(0, left), max(0, min(right, width)))
        rows = slice(max(0, top), max(0, min(bottom, height)))
        if weight[joint] > 0.5:
            maps[joint][rows, columns] = patch[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
    return maps, weight


# Images, one at a time


def three_point_matrix(
    center: np.ndarray, scale: np.ndarray, size: tuple[int, int], *, back: bool = False
) -> np.ndarray:
    """Return the matrix from image to crop, or `back`, from three pairs of points."""
    width_px = scale[0] * SCALE_UNIT_PX
    there = _three_points(center, np.array([0, -width_px / 2], np.float32))
    here = _three_points(np.array([size[0] / 2, size[1] / 2], np.float32), np.array([0, -size[0] / 2], np.float32))
    pair = (here, there) if back else (there, here)
    return np.asarray(cv2.getAffineTransform(*pair))


def _three_points(first: np.ndarray, step: np.ndarray) -> np.ndarray:
    points = np.zeros((3, 2), dtype=np.float32)
    points[0] = first
    points[1] = first + step
    points[2] = points[1] + np.array([step[1], -step[0]], dtype=np.float32)
    return points


def move_point(point: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return one point on the matrix's other side."""
    return np.asarray(np.dot(matrix, np.array([point[0], point[1], 1.0])))[:2]


class ReferenceSet(Dataset[tuple[Tensor, Tensor, Tensor, dict[str, Any]]]):
    """A split whose images are read in colour, cut, normalised and given targets one by one, at every use."""

    def __init__(self, instances: Sequence[Instance], framing: Framing) -> None:
        self.framing = framing
        self.entries = [_entry(instance, framing) for instance in instances]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """Return image, heatmaps, weights and where they come from."""
        entry = copy.deepcopy(self.entries[index])
        image = cv2.imread(entry["image"], cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert image is not None
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        matrix = three_point_matrix(entry["center"], entry["scale"], self.framing.input_size)
        cut = cv2.warpAffine(image, matrix, self.framing.input_size, flags=cv2.INTER_LINEAR)
        joints = entry["joints"]
        for joint in range(len(joints)):
            if entry["visible"][joint] > 0:
                joints[joint] = move_point(joints[joint], matrix)
        maps, weight = draw_targets(joints, entry["visible"], self.framing)
        return as_network_input(cut), torch.from_numpy(maps), torch.from_numpy(weight), entry


def _entry(instance: Instance, framing: Framing) -> dict[str, Any]:
    center, scale = frame_box(instance.box, instance.image_size, framing)
    return {
        "image": instance.image,
        "center": center,
        "scale": scale,
        "joints": instance.joints.astype(np.float64),
        "visible": np.minimum(instance.visibility, 1),
        "image_id": instance.image_id,
        "area": instance.area,
        "score": 1.0,
    }


def as_network_input(image: np.ndarray) -> Tensor:
    """Return one RGB image as channels of normalised floats, step by step."""
    tensor = torch.from_numpy(image.transpose(2, 0, 1)).contiguous().to(torch.float32).div(255)
    mean, std = (torch.tensor(figures).view(3, 1, 1) for figures in (MEAN, STD))
    return tensor.sub_(mean).div_(std)


# Decoding and PCK


def highest(maps: np.ndarray) -> Peaks:
    """Return where each map is highest [image, joint, 2], (0, 0) where nothing is positive, and how high."""
    images, joints, _, width = maps.shape
    flat = maps.reshape((images, joints, -1))
    index, value = np.argmax(flat, 2).reshape((images, joints, 1)), np.amax(flat, 2).reshape((images, joints, 1))
    places = np.tile(index, (1, 1, 2)).astype(np.float32)
    places[:, :, 0] = places[:, :, 0] % width
    places[:, :, 1] = np.floor(places[:, :, 1] / width)
    places *= np.tile(np.greater(value, 0.0), (1, 1, 2)).astype(np.float32)
    return places, value


def accuracy(output: np.ndarray, target: np.ndarray, threshold: float = 0.5) -> tuple[list[float], float, int]:
    """Return each joint's share of near peaks (-1: never counted), their mean, and how many joints it is over."""
    found, wanted = highest(output)[0], highest(target)[0]
    height, width = output.shape[2:]
    unit = np.array([height, width]) / 10
    shares = []
    for joint in range(output.shape[1]):
        distances = []
        for image in range(len(output)):
            if wanted[image, joint, 0] > 1 and wanted[image, joint, 1] > 1:
                gap = found[image, joint] / unit - wanted[image, joint] / unit
                distances.append(float(np.linalg.norm(gap)))
        near = sum(distance < threshold for distance in distances)
        shares.append(near / len(distances) if distances else -1.0)
    counted = [share for share in shares if share >= 0]
    return shares, sum(counted) / len(counted) if counted else 0.0, len(counted)


def final_places(maps: np.ndarray, centers: np.ndarray, scales: np.ndarray, *, shift: bool = True) -> Peaks:
    """Return each joint in image pixels, moved a quarter of a pixel towards its higher neighbour, and its peak."""
    places, values = highest(maps)
    height, width = maps.shape[2:]
    for image in range(len(maps)) if shift else ():
        for joint in range(maps.shape[1]):
            one = maps[image][joint]
            x, y = (int(np.floor(places[image][joint][axis] + 0.5)) for axis in (0, 1))
            if 1 < x < width - 1 and 1 < y < height - 1:
                slope = np.array([one[y][x + 1] - one[y][x - 1], one[y + 1][x] - one[y - 1][x]])
                places[image][joint] += np.sign(slope) * 0.25
    moved = places.astype(np.float64)
    for image in range(len(maps)):
        matrix = three_point_matrix(centers[image], scales[image], (width, height), back=True)
        for joint in range(maps.shape[1]):
            moved[image, joint] = move_point(places[image, joint], matrix)
    return moved, values


# Evaluation


class Evaluation:
    """AP by way of a file of results, as a tool of its own would read it."""

    def __init__(self, ground_truth: Mapping[str, Any], sigmas: Sequence[float], folder: Path) -> None:
        from pycocotools.coco import COCO

        self.sigmas, self.folder = np.asarray(sigmas), folder
        with contextlib.redirect_stdout(io.StringIO()):
            self.wanted = COCO()
            self.wanted.dataset = copy.deepcopy(dict(ground_truth))
            self.wanted.createIndex()
        self.category = int(ground_truth["categories"][0]["id"])

    def __call__(self, places: np.ndarray, values: np.ndarray, entries: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return pycocotools' ten figures for poses [image, joint, 2] with peaks [image, joint, 1]."""
        by_image: dict[int, list[dict[str, Any]]] = {}
        for number, entry in enumerate(entries):
            joints = np.concatenate([places[number], values[number]], axis=1)
            pose = {"joints": joints, "score": entry["score"], "area": entry["area"]}
            by_image.setdefault(int(entry["image_id"]), []).append(pose)
        results = []
        for image, poses in by_image.items():
            for pose in poses:
                pose["score"] *= self._confidence(pose["joints"])
            for pose in self._distinct(poses):
                keypoints = [float(number) for number in pose["joints"].reshape(-1)]
                answer = {"image_id": image, "category_id": self.category, "keypoints": keypoints}
                results.append(answer | {"score": float(pose["score"])})
        return self._by_file(results)

    def _confidence(self, joints: np.ndarray) -> float:
        total, count = 0.0, 0
        for joint in range(len(joints)):
            if joints[joint][2] > CONFIDENT_ABOVE:
                total, count = total + float(joints[joint][2]), count + 1
        return total / count if count else 0.0

    def _distinct(self, poses: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the poses that no better one resembles."""
        waiting = sorted(poses, key=lambda pose: -pose["score"])
        kept = []
        while waiting:
            best = waiting.pop(0)
            kept.append(best)
            waiting = [pose for pose in waiting if self._similarity(best, pose) <= SAME_ABOVE]
        return kept

    def _similarity(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        gaps = ((one["joints"][:, :2] - other["joints"][:, :2]) ** 2).sum(1)
        spread = (2 * self.sigmas) ** 2 * ((one["area"] + other["area"]) / 2 + np.spacing(1)) * 2
        return float(np.exp(-gaps / spread).mean())

    def _by_file(self, results: list[dict[str, Any]]) -> list[float]:
        from pycocotools.cocoeval import COCOeval

        file = self.folder / "keypoints_results.json"
        file.write_text(json.dumps(results, sort_keys=True, indent=4), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOeval(self.wanted, self.wanted.loadRes(str(file)), "keypoints")
            evaluator.params.kpt_oks_sigmas = self.sigmas
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        return [float(figure) for figure in evaluator.stats]


# The loop itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One experiment of Table 1."""

    stages: int
    """Stages that run; the last one's exit is the teacher of squared errors."""
    couples: tuple[tuple[int, int], ...] = ()
    """Student and teacher of each distillation."""
    labels_students: bool = False
    """Deep supervision: whether students learn from the labels too."""
    temperature: float = 1.0
    """Softening of distillation."""
    kd_weight: float = 2000.0
    """Weight of distillation."""

    @property
    def exits(self) -> tuple[int, ...]:
        """Return the exits that are followed: the students and the last one."""
        return (*dict.fromkeys(student for student, _ in self.couples), self.stages)


Collated = tuple[Tensor, Tensor, Tensor, Mapping[str, Any]]
"""Images, heatmaps, weights, and where they come from, as a loader collates them."""


class ReferenceLoop:
    """Training and validation with the official code's steps, one batch at a time."""

    def __init__(self, net: HRNet, recipe: Recipe, *, lr: float = 7.5e-4) -> None:
        self.recipe = recipe
        self.network = WholeNetwork(net, recipe.stages)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)

    def train(self, images: Tensor, target: Tensor, weight: Tensor) -> dict[str, float]:
        """Return the losses of a step, which is taken; every followed exit's accuracy is computed on the way."""
        self.network.train()
        outputs = self.network(images)
        losses = self.losses(outputs, target, weight)
        self.optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        for number in self.recipe.exits:
            accuracy(outputs[number - 1].detach().cpu().numpy(), target.detach().cpu().numpy())
        return {name: loss.item() for name, loss in losses.items()}

    def losses(self, outputs: Sequence[Tensor], target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Return the total and its parts, named as the golden figures name them."""
        recipe, nothing = self.recipe, torch.zeros((), dtype=target.dtype)
        parts = {"teacher_loss": squared_error(outputs[recipe.stages - 1], target)}
        students = recipe.exits[:-1] if recipe.labels_students else ()
        parts["hard_loss"] = sum((squared_error(outputs[number - 1], target) for number in students), nothing)
        soft = nothing
        for student, teacher in recipe.couples:
            one, other = outputs[student - 1], outputs[teacher - 1]
            soft = soft + recipe.kd_weight * divergence(one, other, weight, temperature=recipe.temperature)
        return parts | {"soft_loss": soft, "loss": parts["teacher_loss"] + parts["hard_loss"] + soft}

    def validate(self, stream: Iterable[Collated], evaluation: Evaluation) -> dict[int, list[float]]:
        """Return AP figures of every followed exit; all exits of the network are computed for them."""
        self.network.eval()
        found: dict[int, list[Peaks]] = {number: [] for number in self.recipe.exits}
        entries: list[dict[str, Any]] = []
        with torch.no_grad():
            for images, target, weight, about in stream:
                outputs = self.network(images)
                losses = self.losses(outputs, target, weight)
                _ = {name: loss.item() for name, loss in losses.items()}
                for number in self.recipe.exits:
                    maps = outputs[number - 1].cpu().numpy()
                    accuracy(maps, target.cpu().numpy())
                    found[number].append(final_places(maps, about["center"].numpy(), about["scale"].numpy()))
                entries += _apart(about, len(images))
        return {
            number: evaluation(
                np.concatenate([places for places, _ in parts]), np.concatenate([value for _, value in parts]), entries
            )
            for number, parts in found.items()
        }


def _apart(about: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Return what a loader collated, image by image, as far as evaluation asks for it."""
    return [{name: float(about[name][number]) for name in ("score", "area", "image_id")} for number in range(count)]
