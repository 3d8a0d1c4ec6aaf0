"""A run's own network, run by torch: one exit of it, or all with images leaving early."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32

from greenpose.config import Experiment
from greenpose.model import fold_batchnorm
from greenpose.policy.cascade import Cascade
from greenpose.policy.search import shared_network
from greenpose.record.policy import PolicyCurve
from greenpose.run.measure import as_tested, trained_networks
from greenpose.run.setup import build_network, channels_last, require_device
from greenpose.store import RunFolder

Network = Callable[[Float32[np.ndarray, "batch 3 height width"]], Float32[np.ndarray, "batch keypoint h w"]]


def runtime() -> str:
    """Return what runs the network, with its version."""
    return f"torch {torch.__version__}"


def of_exit(config: Experiment, folder: RunFolder, exit_: int, *, threads: int) -> Network:
    """Return an exit's network with its best weights, norms folded into convolutions as in the run's own test.

    Raises:
        GreenPoseError: there is no such device, or the weights are not this network's.
    """
    _prepare(config, threads)
    sub = trained_networks(build_network(config)[0], folder, [exit_])[exit_]
    return _on(config.process.device, as_tested(channels_last(fold_batchnorm(sub)), config))


def of_policy(config: Experiment, folder: RunFolder, curve: PolicyCurve, *, threads: int) -> "Parting":
    """Return the run's network that lets every image leave where the chosen thresholds of a policy let it.

    Raises:
        GreenPoseError: there is no such device, or the weights are not this network's.
    """
    _prepare(config, threads)
    exits = [entry.exit for entry in curve.exits]
    cascade = Cascade(
        shared_network(config, folder, exits).net, curve.points[curve.chosen].thresholds, confidence=curve.confidence
    )
    return Parting(cascade, config.process.device)


class Parting:
    """A cascade that counts where images leave it."""

    def __init__(self, cascade: Cascade, device: str) -> None:
        """Keep the cascade."""
        self.left: Counter[int] = Counter()
        """Crops that left at each exit."""
        self._cascade = cascade
        self._run = _on(device, self._heatmaps)

    def __call__(
        self, images: Float32[np.ndarray, "batch 3 height width"]
    ) -> Float32[np.ndarray, "batch keypoint h w"]:
        """Return the heatmaps of each crop at the exit where it left."""
        return self._run(images)

    def _heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        exited = self._cascade(images)
        self.left.update(exited.exits.tolist())
        return exited.heatmaps


def _prepare(config: Experiment, threads: int) -> None:
    require_device(config.process.device)
    torch.set_num_threads(threads)


def _on(device: str, net: Callable[[torch.Tensor], torch.Tensor]) -> Network:
    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            laid = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            outputs: np.ndarray = net(laid).float().cpu().numpy()
        return outputs

    return run
