"""What freezing does to a network that grows, which no recipe does: `python -m benchmarks.tried`, five minutes.

The green recipe of `experiments/recipes.yaml` as it is, and with the weights of what is trained already frozen when
deeper stages join (norms go on following their statistics). Three seeds of each, the last validation's AP of every exit
and the CPU time of training with its validations. Nothing is promised.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import mean

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
from greenpose.training.fit import depth_schedule
from greenpose.training.step import Parted, Window, unmetered

SEEDS = (1, 2, 3)


def main() -> int:
    """Print a line for each choice."""
    start_again_pinned("benchmarks.tried")
    cells = expand(load_grid(GRID), where=GRID.name)
    config = next(cell.config for cell in cells if cell.experiment == "green")
    splits = load_splits(config.data, only=("train", "val"))
    for choice in ("green", "and frozen"):
        runs = [trained(config.model_copy(update={"seed": seed}), splits, frozen=choice != "green") for seed in SEEDS]
        shown = ", ".join(f"exit {exit_} {_percent([ap[exit_] for ap, _ in runs])}" for exit_ in runs[0][0])
        seconds = mean(spent for _, spent in runs)
        print(f"{choice}: validation AP {shown}; {seconds:.1f} s of CPU a training", flush=True)
    return 0


def trained(config: Experiment, splits: Mapping[str, Samples], *, frozen: bool) -> tuple[dict[int, float], float]:
    """Return the last validation's AP of each exit, and the CPU seconds of training."""
    seed_everything(config)
    net, _ = build_network(config)
    last = _Last()
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
            window=_freezing(net, config) if frozen else unmetered,
            ledger=last,
        )
    return last.ap, time.process_time() - began


def _freezing(net: HRNet, config: Experiment) -> Window:
    """Return what freezes, at the beginning of each epoch, the stages whose exits have been trained before."""
    schedule = depth_schedule(config.train, config.model.exits)

    def window(name: str, items: int) -> AbstractContextManager[Parted]:
        kind, _, number = name.partition("/epoch ")
        done = {depth for depth in schedule[: int(number) - 1] if depth < schedule[int(number) - 1]}
        if kind == "train" and done:
            shallow = net.truncate(max(done)).state_dict().keys()
            for parameter_name, parameter in net.named_parameters():
                parameter.requires_grad_(parameter_name not in shallow)
        return unmetered(name, items)

    return window


class _Last:
    """Keeps the last validation, and lets training go on."""

    ap: dict[int, float]

    def trained(self, epoch: int, done: int, loss: float) -> None:
        pass

    def enough(self) -> bool:
        return False

    def ended(self, epoch: Epoch) -> None:
        self.ap = epoch.ap

    def closed(self, epoch: Epoch) -> None:
        pass


def _percent(values: list[float]) -> str:
    return f"{100 * mean(values):.1f} % ({', '.join(f'{100 * value:.1f}' for value in values)})"


if __name__ == "__main__":
    sys.exit(main())
