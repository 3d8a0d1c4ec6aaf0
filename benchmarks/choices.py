"""What choices of the machinery save of a training step: `python -m benchmarks.choices`.

The step is that of `experiments/recipes.yaml`. Sides take turns in one process with one thread; only the allocator
needs processes of its own, which are started in turn. Every choice is compared with what GreenPose does by default; a
ratio above 1 says that the default is faster. Nothing is promised. Choices that change what is learnt (schedule, rate,
average, batches, growth) are that grid's own, since they are paid for in accuracy.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.job import start_again_pinned
from benchmarks.race import Claim, Side, race
from greenpose.config import Experiment
from greenpose.config.grid import expand
from greenpose.config.load import load_grid
from greenpose.data import Batch, Samples, batches
from greenpose.data.splits import load_splits
from greenpose.metering import pinned_environment
from greenpose.model import HRNet
from greenpose.quantity import median
from greenpose.run.setup import build_network, build_objective, seed_everything
from greenpose.training.step import Step

GRID = Path(__file__).parent.parent / "experiments" / "recipes.yaml"
FEW = ("data.synthetic.patients.train=2", "data.synthetic.frames.train=8")
SECONDS = 60.0
PAIRS, STEPS = 8, 60
"""Pairs of processes for the allocator, and steps of each."""
NAMED = {
    "contiguous": "images and weights channel by channel, not channels last",
    "loops": "Adam parameter by parameter, not fused",
    "bf16": "bfloat16 arithmetic",
    "frozen": "stem and stage 2 frozen (default: all of it learns)",
    "shallow": "as far as exit 2 only (grow)",
}


def main() -> int:
    """Print each choice's ratio to the default."""
    if sys.argv[1:] == ["steps"]:
        print(_steps_alone())
        return 0
    start_again_pinned("benchmarks.choices")
    config = _config()
    batch = next(batches(_few(config), config.train.batch))
    names = {"default": _usual, "contiguous": _contiguous, "loops": _loops, "bf16": _bf16, "frozen": _frozen}
    sides = {name: build(config, batch) for name, build in (names | {"shallow": _shallow}).items()}
    found = race(sides, seconds=SECONDS)
    found.show(len(batch.indices))
    for name, what in NAMED.items():
        print(found.claim(f"{what}, over the default", name, "default"))
    print(_allocator())
    return 0


def _config() -> Experiment:
    cells = expand(load_grid(GRID, settings=FEW), where=GRID.name)
    config = next(cell.config for cell in cells if cell.experiment == "paper")
    seed_everything(config)
    return config


def _few(config: Experiment) -> Samples:
    return load_splits(config.data, only=("train",))["train"]


def _network(config: Experiment) -> HRNet:
    net, _ = build_network(config)
    assert isinstance(net, HRNet)
    return net.train()


def _stepping(net: HRNet, config: Experiment, batch: Batch, *, fused: bool = True) -> Side:
    adam = torch.optim.Adam(net.parameters(), lr=config.train.lr, fused=fused, foreach=None if fused else False)
    step = Step(net, build_objective(config), adam)
    return lambda: step(batch)


def _usual(config: Experiment, batch: Batch) -> Side:
    return _stepping(_network(config), config, batch)


def _contiguous(config: Experiment, batch: Batch) -> Side:
    # Images come in channels last; the first convolution's weights decide what the network goes on with.
    return _stepping(_network(config).to(memory_format=torch.contiguous_format), config, batch)  # type: ignore[call-overload]


def _loops(config: Experiment, batch: Batch) -> Side:
    return _stepping(_network(config), config, batch, fused=False)


def _bf16(config: Experiment, batch: Batch) -> Side:
    net = _network(config)
    step = Step(net, build_objective(config), torch.optim.Adam(net.parameters(), fused=True), precision="bf16")
    return lambda: step(batch)


def _frozen(config: Experiment, batch: Batch) -> Side:
    net = _network(config)
    shallow = net.truncate(2).state_dict().keys()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in shallow)
    return _stepping(net, config, batch)


def _shallow(config: Experiment, batch: Batch) -> Side:
    net = _network(config)
    step = Step(net, build_objective(config), torch.optim.Adam(net.parameters(), fused=True))
    step.reach(2)
    return lambda: step(batch)


def _steps_alone() -> float:
    """Return the CPU time of some steps in this process, as it was started."""
    config = _config()
    batch = next(batches(_few(config), config.train.batch))
    side = _usual(config, batch)
    for _ in range(5):
        side()
    began = time.process_time()
    for _ in range(STEPS):
        side()
    return time.process_time() - began


def _allocator() -> Claim:
    """Return how many times as long steps take with the C library's own settings."""
    pinned = os.environ | pinned_environment()
    plain = {name: value for name, value in pinned.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-m", "benchmarks.choices", "steps"]

    def seconds(environ: dict[str, str]) -> float:
        return float(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)

    turns: list[Callable[[], float]] = [lambda: seconds(plain), lambda: seconds(pinned)]
    ratios = []
    for pair in range(PAIRS):
        first, second = turns if pair % 2 else turns[::-1]
        one, other = first(), second()
        ratios.append(one / other if pair % 2 else other / one)
    return Claim(what="the allocator's own settings, over the default", ratio=median(ratios))


if __name__ == "__main__":
    sys.exit(main())
