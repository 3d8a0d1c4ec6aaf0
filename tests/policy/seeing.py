"""A made-up split that exits see with errors that are known, and the smallest run that looks finished."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from greenpose.config import Experiment
from greenpose.policy import ExitOutputs, Ways
from greenpose.store import RunFolder
from greenpose.training import ExitPredictions, save_best
from tests.report.records import record
from tests.run.measuring import EXPERIMENT, network
from tests.training.samples import dots

WAYS = Ways(alone={2: 200, 3: 600, 4: 1000}, head=10)
SMALL: dict[str, Any] = EXPERIMENT | {
    "data": {
        "input_size": [32, 32],
        "synthetic": {
            "size": [160, 120],
            "patients": {"train": 1, "val": 2, "test": 3},
            "frames": {"train": 1, "val": 3, "test": 3},
        },
    }
}


def seen(num: int, errors_px: Sequence[float], *, seed: int = 0) -> ExitOutputs:
    """Return what exits 2, 3 and so on see of `num` images, each with errors of a size of its own.

    An exit is the surer, the nearer its joints are, with some chance in it.
    """
    samples, rng = dots(num, seed=seed), np.random.default_rng(seed)
    truth = np.stack([instance.joints for instance in samples.instances])
    said, sure = {}, {}
    for exit_, error in enumerate(errors_px, start=2):
        apart = rng.exponential(error, size=(num, 1, 1)) * rng.standard_normal(truth.shape)
        trust = np.exp(-np.abs(apart).mean((1, 2)) / 4) * rng.uniform(0.7, 1, num)
        said[exit_] = ExitPredictions(
            joints=truth + apart, peaks=np.tile(trust[:, None], (1, truth.shape[1])), places=np.zeros_like(truth)
        )
        sure[exit_] = trust.astype(np.float32)
    return ExitOutputs(samples=samples, said=said, sure=sure)


def finished(path: Path, **sections: Any) -> tuple[Experiment, RunFolder]:
    """Return a folder as a run with exits 2 and 3 leaves it, its weights drawn anew, and its configuration."""
    folder, settings = RunFolder(path), SMALL | sections
    config = Experiment.model_validate(settings)
    folder.write_cell(
        {"name": path.name, "grid": "tiny", "axes": {}, "config_hash": "00c0ffee" * 8, "experiment": settings}
    )
    net = network(config)
    for number in net.exits:
        save_best(folder.best(number), net.truncate(number).state_dict())
    folder.write_record(record("tiny", exits=(2, 3)))
    return config, folder
