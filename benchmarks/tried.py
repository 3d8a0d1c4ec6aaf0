"""What was tried for the green recipe and is not offered: `python -m benchmarks.tried`, ten minutes.

The green recipe of `experiments/recipes.yaml` as it is; with images mirrored at random, left and right joints changing
places; and with what is trained already frozen when deeper stages join. Three seeds of each, the last validation's AP
of every exit and the CPU time of training. Nothing is promised.
"""

import sys
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from statistics import mean

import numpy as np
from jaxtyping import Float32, Int, UInt8

from benchmarks.choices import GRID
from benchmarks.job import start_again_pinned
from greenpose.config import Experiment
from greenpose.config.grid import expand
from greenpose.config.load import load_grid
from greenpose.data import Samples
from greenpose.data.splits import load_splits
from greenpose.model import HRNet
from greenpose.run.setup import build_network, build_objective, seed_everything
from greenpose.training import Epoch, Files, fit
from greenpose.training.growth import depths
from greenpose.training.window import Parted, Window, unmetered

SEEDS = (1, 2, 3)


class Mirrored(Samples):
    """Samples of which a random half is mirrored, another one after each `shuffle`."""

    @classmethod
    def of(cls, plain: Samples) -> "Mirrored":
        """Return the samples with none mirrored yet."""
        return cls(**{field.name: getattr(plain, field.name) for field in fields(plain)})

    @cached_property
    def flipped(self) -> np.ndarray:
        """Return which samples are mirrored now."""
        return np.zeros(len(self), dtype=bool)

    def shuffle(self, rng: np.random.Generator) -> None:
        """Draw anew which samples are mirrored."""
        self.flipped[:] = rng.random(len(self)) < 0.5

    def crops(self, indices: "list[int] | Int[np.ndarray, ' some']") -> UInt8[np.ndarray, "some height width *channel"]:
        """Return the crops, the mirrored ones turned."""
        images = super().crops(indices).copy()
        turned = self.flipped[np.asarray(indices)]
        images[turned] = images[turned][:, :, ::-1]
        return images

    @cached_property
    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        """Return joints as they are and in the mirror, where left and right change places."""
        plain = Samples.joints.func(self)
        turned = plain.copy()
        turned[..., 0] = self.input_size[0] - 1 - plain[..., 0]
        return plain, turned[:, _other_side(self)]

    @property
    def joints(self) -> Float32[np.ndarray, "sample keypoint 2"]:  # type: ignore[override]
        """Return the joints of what is mirrored now and of what is not."""
        plain, turned = self._both
        return np.where(self.flipped[:, None, None], turned, plain)

    @property
    def visibility(self) -> Int[np.ndarray, "sample keypoint"]:  # type: ignore[override]
        """Return which joints are labelled, likewise."""
        plain = Samples.visibility.func(self)
        return np.where(self.flipped[:, None], plain[:, _other_side(self)], plain)


def _other_side(samples: Samples) -> list[int]:
    """Return for each joint the one that it becomes in a mirror."""
    order = list(range(samples.profile.num_keypoints))
    for left, right in samples.profile.flip_pairs:
        order[left], order[right] = right, left
    return order


def _mirroring(samples: Samples, seed: int) -> tuple[Samples, Window]:
    """Return samples that are mirrored at random, and what draws anew at each epoch."""
    mirrored, rng = Mirrored.of(samples), np.random.default_rng(seed)

    def window(name: str, items: int) -> AbstractContextManager[Parted]:
        if name.startswith("train"):
            mirrored.shuffle(rng)
        return unmetered(name, items)

    return mirrored, window


def _freezing(net: HRNet, config: Experiment) -> Window:
    """Return what freezes, at the beginning of each epoch, the stages whose exits have been trained before."""
    growth = depths(config.train, config.model.exits)

    def window(name: str, items: int) -> AbstractContextManager[Parted]:
        kind, _, number = name.partition("/epoch ")
        done = {depth for depth in growth[: int(number) - 1] if depth < growth[int(number) - 1]}
        if kind == "train" and done:
            frozen = net.truncate(max(done)).state_dict().keys()
            for parameter_name, parameter in net.named_parameters():
                parameter.requires_grad_(parameter_name not in frozen)
        return unmetered(name, items)

    return window


def trained(config: Experiment, splits: dict[str, Samples], choice: str) -> tuple[dict[int, float], float]:
    """Return the last validation's AP of each exit, and the CPU seconds of training."""
    seed_everything(config)
    net, _ = build_network(config)
    window: Window = unmetered
    if choice == "mirrored":
        train, window = _mirroring(splits["train"], config.seed)
        splits = splits | {"train": train}
    elif choice == "frozen":
        window = _freezing(net, config)
    seen = _Last()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(checkpoint=Path(folder, "state.pt"), best=lambda exit_: Path(folder, f"{exit_}.safetensors"))
        began = time.process_time()
        fit(
            net,
            build_objective(config),
            splits,
            recipe=config.train,
            seed=config.seed,
            files=files,
            window=window,
            ledger=seen,
        )
    return seen.ap, time.process_time() - began


class _Last:
    """Keeps the last validation."""

    ap: dict[int, float]

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """Hear nothing of it."""

    def enough(self) -> bool:
        """Never have enough."""
        return False

    def ended(self, epoch: Epoch) -> None:
        """Keep an epoch's accuracy."""
        self.ap = epoch.ap

    def closed(self, epoch: Epoch) -> None:
        """Hear nothing of it."""


def main() -> int:
    """Print a line for each choice."""
    start_again_pinned("benchmarks.tried")
    cells = expand(load_grid(GRID), where=GRID.name)
    config = next(cell.config for cell in cells if cell.experiment == "green")
    splits = load_splits(config.data, only=("train", "val"))
    for choice in ("green", "mirrored", "frozen"):
        runs = [trained(config.model_copy(update={"seed": seed}), splits, choice) for seed in SEEDS]
        seconds = mean(spent for _, spent in runs)
        shown = ", ".join(f"exit {exit_} {_percent([ap[exit_] for ap, _ in runs])}" for exit_ in runs[0][0])
        print(f"{choice}: validation AP {shown}; {seconds:.1f} s of CPU a training", flush=True)
    return 0


def _percent(values: list[float]) -> str:
    return f"{100 * mean(values):.1f} % ({', '.join(f'{100 * value:.1f}' for value in values)})"


if __name__ == "__main__":
    sys.exit(main())
