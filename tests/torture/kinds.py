"""Every kind of file that a command reads: a sound one, its form, and who reads it."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.torture.nursery import GRID

EXPERIMENT = GRID.split("base:")[1].split("experiments:")[0].replace("\n  ", "\n") + "wiring: {supervise: [4]}\n"
PROFILE = """
name: stick
category: stick
keypoints: [head, left, right]
skeleton: [[0, 1], [0, 2]]
flip_pairs: [[1, 2]]
sigmas: [0.05, 0.05, 0.05]
sigma_source: assumed
area: box
"""
BUDGETS = """
budgets:
  - exit2.macs <= 1.9e12
  - {budget: exit3.params <= 1e9, level: warn, until: 2030-01-31, reason: as agreed, ratchet: true}
  - final.energy_j_per_image <= 4e9
  - exit2/final energy <= 45
  - train.energy_kwh <= 9
"""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    file: str
    form: str
    readers: tuple
    """Command lines, or functions that are called with the folder."""
    share: float = 1.0
    refused: bool = False
    """A run for a device that is not here: what is sound is refused too, in words, before anything is trained."""


def kinds(run):
    """Return all kinds by name; `run` is the finished run among the sound files."""
    check = ("check", f"{run}/record.json", "--baseline")
    page = ("report", run, "-o", "page.md")
    data = ("data", "check", "coco")
    return {
        "experiment": Kind("e.yaml", "yaml", (("run", "e.yaml", "--dry-run"),), 4),
        "grid": Kind("t.yaml", "yaml", (("run", "--grid", "t.yaml", "--dry-run"),), 4),
        "profile": Kind("p.yaml", "yaml", ((*data, "--profile", "p.yaml"),), 3),
        "baseline": Kind("b.json", "json", ((*check, "b.json"),), 4),
        "budgets": Kind("u.yaml", "yaml", (("check", f"{run}/record.json", "--budgets", "u.yaml"),), 3),
        "history": Kind("past/B.jsonl", "jsonl", (("check", "--history", "past", "-o", "past.html"),), 2),
        "verdict": Kind("v.json", "json", ((*page, "--verdict", "v.json"),), 2),
        "record": Kind(f"{run}/record.json", "json", (page, (*check, "b.json")), 4),
        "failure": Kind("lost/failure.json", "json", (("report", "lost", "-o", "page.md"),), 2),
        "policy": Kind(f"{run}/policy.json", "json", (page,), 2),
        "config": Kind(f"{run}/config.yaml", "yaml", (("run", "--grid", "t.yaml", "--dry-run"), subject), 4),
        "config at work": Kind("cuda/config.yaml", "yaml", (("worker", "cuda"), lost), 2, refused=True),
        "windows": Kind("part/windows.jsonl", "jsonl", (windows, lost_part), 4),
        "resumed windows": Kind("part/windows.jsonl", "jsonl", (("worker", "part"),), 0.1),
        "resumed epochs": Kind("part/epochs.jsonl", "jsonl", (("worker", "part"),), 0.1),
        "resumed checkpoint": Kind("part/checkpoint.pt", "state", (("worker", "part"),), 0.1),
        "checkpoint": Kind("part/checkpoint.pt", "state", (resume,), 2),
        "weights": Kind(f"{run}/best-exit2.safetensors", "tensors", (weights,), 2),
        "initial weights": Kind("initial.pth", "state", (initial_weights,), 2),
        "annotations": Kind("coco/annotations/keypoints_test.json", "json", (data,), 4),
        "detections": Kind("coco/seen.json", "json", (boxes,), 2),
        "png": Kind("coco/images/test-a.png", "png", (data,), 3),
        "jpeg": Kind("coco/images/test-b.jpg", "jpeg", (data,), 3),
        "hourly": Kind("hours.csv", "csv", (carbon,), 3),
    }


def make(folder):
    """Leave a sound file of each kind in the folder that this process is in; return the finished run's folder."""
    import torch
    from safetensors.torch import load_file

    from tests.torture.nursery import command

    Path("t.yaml").write_text(GRID)
    Path("e.yaml").write_text("name: e\n" + EXPERIMENT)
    Path("p.yaml").write_text(PROFILE)
    Path("u.yaml").write_text(BUDGETS)
    rows = [f"2025-01-{1 + n // 24:02}T{n % 24:02}:00Z,{200 + n}" for n in range(30)]
    Path("hours.csv").write_text("\n".join(["datetime,g_per_kwh", *rows, ""]))
    _coco(Path("coco"))
    assert command("run", "--grid", "t.yaml", "--no-report")[0] == 0
    run = str(next(Path("runs/t").glob("B-*")))
    _attempts(Path(run))
    torch.save(load_file(f"{run}/best-exit2.safetensors"), "initial.pth")
    for arguments in (
        ("check", run, "--baseline", "b.json", "--update", "--reason", "as it is"),
        ("check", run, "--baseline", "b.json", "--history", "past", "--name", "B", "--format", "json", "-o", "v.json"),
        ("policy", run, "--no-measure"),
    ):
        code, said, _ = command(*arguments)
        assert code in (0, 3), said
    return run


def _attempts(run):
    """Leave a run that was ended after its first epoch, one that was lost, and one for another machine."""
    import shutil

    import yaml

    cell = yaml.safe_load((run / "config.yaml").read_text())
    for name, device in (("part", "cpu"), ("cuda", "cuda")):
        shutil.copytree(run, name)
        cell["experiment"]["process"]["device"] = device
        (Path(name) / "config.yaml").write_text(yaml.safe_dump(cell))
        (Path(name) / "record.json").unlink()
    lines = (run / "windows.jsonl").read_text().splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines) if '"validate/epoch 2"' in line)
    (Path("part") / "windows.jsonl").write_text("".join(lines[: end + 1]))
    from greenpose.store import RunFolder
    from greenpose.store.records import note_lost

    note_lost(RunFolder(Path("part")), code=-9)
    shutil.copytree("part", "lost")
    (Path("part") / "failure.json").unlink()
    resume(Path(), epochs=1)


def _coco(root):
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    categories = [{"id": 1, "name": "stick", "keypoints": ["head", "left", "right"], "skeleton": [[1, 2], [1, 3]]}]
    joints = [10, 10, 2, 15, 20, 1, 20, 12, 2]
    person = {
        "category_id": 1,
        "bbox": [5, 6, 20, 18],
        "area": 360,
        "iscrowd": 0,
        "num_keypoints": 3,
        "keypoints": joints,
    }
    for first, split in ((1, "test"), (3, "train"), (5, "val")):
        names = {first: f"{split}-a.png", first + 1: f"{split}-b.jpg"}
        for number, name in names.items():
            pixels = np.random.default_rng(number).integers(0, 256, (30, 40), dtype=np.uint8)
            cv2.imwrite(str(root / "images" / name), pixels)
        sizes = {"width": 40, "height": 30}
        images = [{"id": n, "file_name": name, **sizes, "patient": split} for n, name in names.items()]
        people = [{"id": n, "image_id": n, **person} for n in names]
        document = {"images": images, "annotations": people, "categories": categories}
        (root / "annotations" / f"keypoints_{split}.json").write_text(json.dumps(document, indent=1))
    seen = [{"image_id": n, "category_id": 1, "bbox": [5, 6, 20, 18], "score": 0.9} for n in (1, 2)]
    (root / "seen.json").write_text(json.dumps(seen, indent=1))


def subject(folder):
    from greenpose.cli.subject import find_subject

    find_subject(next(folder.glob("runs/t/B-*")), settings=[])


def windows(folder):
    from greenpose.metering import read_windows
    from greenpose.store.records import outermost

    outermost(read_windows(folder / "part" / "windows.jsonl"))


def lost(folder, name="cuda"):
    from greenpose.store import RunFolder
    from greenpose.store.records import note_lost

    note_lost(RunFolder(folder / name), code=-9)


def lost_part(folder):
    lost(folder, "part")


def resume(folder, epochs=0):
    """Take up a training's state, and train a first epoch to have one."""
    from greenpose.config import Experiment
    from greenpose.data.splits import load_splits
    from greenpose.run.setup import build_network, build_objective
    from greenpose.store import RunFolder
    from greenpose.training import Files, fit

    part = RunFolder(folder / "part")
    config = Experiment.model_validate(part.read_cell()["experiment"])
    recipe = config.train.model_copy(update={"epochs": 1})
    fit(
        build_network(config)[0], build_objective(config), load_splits(config.data) if epochs else {},
        recipe=recipe, seed=1, files=Files(checkpoint=part.checkpoint, best=part.best),
    )  # fmt: skip


def initial_weights(folder):
    weights(folder, folder / "initial.pth")


def weights(folder, file=None):
    from greenpose.config import Experiment
    from greenpose.model import load_weights
    from greenpose.run.setup import build_network
    from greenpose.store import RunFolder

    run = RunFolder(next(folder.glob("runs/t/B-*")))
    config = Experiment.model_validate(run.read_cell()["experiment"])
    load_weights(build_network(config)[0], file or run.best(2))


def boxes(folder):
    from greenpose.config import DataConfig
    from greenpose.data.boxes import num_boxes

    num_boxes(
        DataConfig(source="coco", root=str(folder / "coco"), profile=str(folder / "p.yaml"), detections="seen.json")
    )


def carbon(folder):
    from greenpose.metering import carbon_of

    carbon_of(hourly=str(folder / "hours.csv")).describe_grid(timed=True)
