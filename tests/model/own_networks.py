"""Networks of somebody's own: a file with functions that give good ones and bad ones, written where a test wants it."""

from pathlib import Path

import yaml

from greenpose.config import Cell, OwnNetworkConfig, expand
from greenpose.config.load import load_file
from greenpose.config.own_network import with_source
from greenpose.model import OwnShape

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_joints, width=4, stride=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=stride, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.final_layer, self.side = nn.Conv2d(width, num_joints, 1), nn.Conv2d(width, num_joints, 1)

    def forward(self, images):
        x = self.stem(images)
        return [self.side(x), self.final_layer(self.deep(x))]


class Asked(Net):
    def forward(self, images, exits=(1, 2)):
        x = self.stem(images)
        found = {1: self.side(x)} if 1 in exits else {}
        return found | {2: self.final_layer(self.deep(x))} if 2 in exits else found


class Cut(Net):
    def truncate(self, exit):
        deep = [self.deep, self.final_layer]
        return nn.Sequential(self.stem, *([self.side] if exit == 1 else deep))


class Same(nn.Module):
    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, images):
        return self.change(self.net(images))


def whole(num_joints, width=4):
    return Net(num_joints, width)
def asked(num_joints, width=4):
    return Asked(num_joints, width)
def cut(num_joints, width=4):
    return Cut(num_joints, width)
def one(num_joints):
    return Same(Net(num_joints), lambda found: found[1])
def coarse(num_joints):
    return Asked(num_joints, stride=8)
def seventeen():
    return Net(17)
def odd(num_joints):
    return Same(Net(num_joints), lambda found: [each[..., :-1] for each in found])
def flat(num_joints):
    return Same(Net(num_joints), lambda found: [each.mean((2, 3)) for each in found])
def third(num_joints):
    return Same(Net(num_joints), lambda found: {1: found[0], 2: found[1], 3: found[1]})
def lacking(num_joints):
    return Same(Net(num_joints), lambda found: {2: found[1]})
def short(num_joints):
    return Same(Net(num_joints), lambda found: found[:1])
def words(num_joints):
    return Same(Net(num_joints), lambda found: {1: "left", 2: found[1]})
def number(num_joints):
    return Same(Net(num_joints), lambda found: 3.0)
def changing(num_joints):
    return Same(Net(num_joints), lambda found: [nn.functional.dropout(each) for each in found])
def endless(num_joints):
    return Same(Net(num_joints), lambda found: [each / 0 for each in found])
def unmoved(num_joints):
    return Same(Net(num_joints), lambda found: [found[0].detach(), found[1]])
def frozen(num_joints):
    return Net(num_joints).requires_grad_(False)
def nothing(num_joints):
    pass
def failing(num_joints):
    raise RuntimeError("the lab's own\\n  reason")
def crashing(num_joints):
    return Same(Net(num_joints), lambda found: [each.view(-1, 7, 7) for each in found])
class Wrong(Net):
    def truncate(self, exit):
        return nn.Sequential(self.stem, self.final_layer if exit == 1 else self.side)
def wrong_cut(num_joints):
    return Wrong(num_joints)
class Uncut(Cut):
    def truncate(self, exit):
        return super().truncate(1) if exit == 1 else self
def uncut(num_joints):
    return Uncut(num_joints)
constant = 3
"""


def experiment(factory: str = "net:asked", *, run: dict | None = None, **model: object) -> str:
    """Return an experiment of seconds with such a network."""
    settings = {
        "data": {
            "input_size": [32, 64],
            "synthetic": {
                "size": [160, 120],
                "patients": {"train": 3, "val": 2, "test": 2},
                "frames": {"train": 4, "val": 2, "test": 2},
            },
        },
        "model": {"factory": factory, "exits": [1, 2], **model},
        "wiring": {"teach": ["2->1"], "supervise": [1, 2]},
        "train": {"epochs": 2, "batch": 4, "lr": 2e-3, "milestones": [1], "patience": 9},
        "measure": {"batch": 2, "min_window_seconds": 0.005, "max_blocks": 3, "max_seconds": 0.5, "step_blocks": 3},
        "carbon": {"country": "ITA"},
    }
    return yaml.safe_dump(settings | (run or {}))


def leave(folder: Path, factory: str = "net:asked", *, run: dict | None = None, **model: object) -> Path:
    """Write the networks as net.py and an experiment as own.yaml beside it; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(NETS)
    file = folder / "own.yaml"
    file.write_text(experiment(factory, run=run, **model))
    return file


def cell_of(file: Path) -> Cell:
    """Return the one run of an experiment."""
    (cell,) = expand(load_file(file), where=str(file))
    return cell


def shape(
    folder: Path, function: str, *, exits: tuple[int, ...] = (1, 2), stride: int = 4, **settings: object
) -> OwnShape:
    """Return the shape of one of the networks, for 12 keypoints and images of 32 x 64 px."""
    leave(folder)
    given = with_source({"factory": f"net:{function}", "exits": exits, "settings": settings}, folder)
    config = OwnNetworkConfig.model_validate(given)
    return OwnShape.of(config, num_joints=12, input_size=(32, 64), stride=stride)
