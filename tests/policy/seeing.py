"""A made-up split that exits see with errors that are known."""

from collections.abc import Sequence

import numpy as np

from greenpose.policy.calibrate import SplitOutputs
from greenpose.policy.cascade import PathCosts
from greenpose.training import ExitPredictions
from tests.training.samples import dots

WAYS = PathCosts(alone={2: 200, 3: 600, 4: 1000}, head=10)


def outputs(num: int, errors_px: Sequence[float], *, seed: int = 0) -> SplitOutputs:
    """Return what exits 2, 3 and so on see of `num` images, each with errors of a size of its own.

    An exit is the surer, the nearer its joints are, with some chance in it.
    """
    samples, rng = dots(num, seed=seed), np.random.default_rng(seed)
    truth = np.stack([instance.joints for instance in samples.instances])
    predictions, confidences = {}, {}
    for exit_, error in enumerate(errors_px, start=2):
        apart = rng.exponential(error, size=(num, 1, 1)) * rng.standard_normal(truth.shape)
        trust = np.exp(-np.abs(apart).mean((1, 2)) / 4) * rng.uniform(0.7, 1, num)
        predictions[exit_] = ExitPredictions(
            joints=truth + apart, peaks=np.tile(trust[:, None], (1, truth.shape[1])), places=np.zeros_like(truth)
        )
        confidences[exit_] = trust.astype(np.float32)
    return SplitOutputs(samples=samples, predictions=predictions, confidences=confidences)
