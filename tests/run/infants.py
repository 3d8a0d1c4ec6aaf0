"""A folder with a few made-up infants in COCO's layout, and the experiment that trains on them."""

import json
from pathlib import Path
from typing import Any

from greenpose.config import SyntheticConfig
from greenpose.data import load_profile
from greenpose.data.folders import write_coco
from greenpose.data.splits import SYNTHETIC_WINDOW_MM
from greenpose.data.synthetic import generate

NUMBERS = {"train": 2, "val": 1, "test": 2}
"""Patients of each split, and images of each patient."""


def infants(folder: Path, name: str, *, exits: tuple[int, ...], **data: Any) -> dict[str, Any]:
    """Leave the data in `infants` and the experiment in a file of its name; return the experiment."""
    synthetic = SyntheticConfig.model_validate({"size": [160, 120], "patients": NUMBERS, "frames": NUMBERS})
    splits = {split: generate(synthetic, split) for split in NUMBERS}
    write_coco(folder / "infants", splits, profile=load_profile("babypose"), window=SYNTHETIC_WINDOW_MM)
    experiment = {
        "name": name,
        "data": {"source": "coco", "root": "infants", "input_size": [32, 32], **data},
        "model": {"exits": exits, "width": 4, "stem_width": 4, "modules": [1, 1, 1], "blocks": 1},
        "wiring": {"supervise": exits},
        "train": {"epochs": 1, "batch": 4},
        "measure": {"batch": 2, "min_window_seconds": 0.005, "max_blocks": 2, "max_seconds": 0.5},
        "carbon": {"country": "ITA"},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(experiment))
    return experiment


def annotations(folder: Path, split: str) -> Path:
    """Return the file of a split's labels."""
    return folder / "infants" / "annotations" / f"person_keypoints_{split}.json"
