"""What each part of a training step costs: the trunk up to each exit, each exit's own head and losses.

Measured on real steps with the run's own objective, optimizer and images, on networks with fresh weights (cost does not
depend on their values). `alone` is the step of the network that ends with an exit and learns from the labels only, as
in a stand-alone training; without the exit's own head and loss it is the trunk that the exit shares with deeper ones.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor, nn

from greenpose.config import Experiment, ModelConfig
from greenpose.counting import architecture_of
from greenpose.data import Batch, Samples, batches
from greenpose.losses import Edge, Objective, Wiring, heatmap_mse
from greenpose.metering import Meter, MicroCosts, MicroPlan, measure_pieces
from greenpose.metering.inference import Currency
from greenpose.model import Network, build
from greenpose.quantity import Quantity, median, missing
from greenpose.record import StepExit, TrainingStep, with_bases
from greenpose.run.setup import build_objective, channels_last
from greenpose.training.step import Adam, to_images

LONGEST_STEP_SECONDS = 1.0
"""Steps longer than this are measured on fewer images."""
FEWEST_IMAGES = 2
"""Batch normalisation in training needs more than one value a channel."""
Piece = Callable[[], object]
JOINT, LABELS = "joint step", "labels only"
UNITS: Mapping[Currency, str] = {"joules": "J", "cpu_seconds": "CPU s", "seconds": "s"}
RATIOS = {
    "explained": "deepest trunk and private parts over the whole step",
    "overhead": "the run's step over the final exit's alone with labels only",
    "ds_overhead": "labels at every supervised exit over labels at the final one",
    "kd_overhead": "with distillation over the same supervision without",
    "joint_saving": "the exits' stand-alone steps together over the run's step",
}


def measure_step(
    config: Experiment, samples: Samples, meter: Meter, *, plan: MicroPlan | None = None
) -> TrainingStep | None:
    """Return the costs of a training step's parts; None for a network with a single exit, which shares nothing."""
    if len(config.model.exits) == 1:
        return None
    with torch.random.fork_rng():
        batch = _batch(config, samples)
        pieces = _Pieces(config, batch)
        measured = measure_pieces(pieces.all(), meter, phase="segments", plan=plan, seed=config.seed)
    return _training_step(config, measured, images=len(batch.indices))


def _batch(config: Experiment, samples: Samples) -> Batch:
    """Return images to measure with: a batch of the recipe, or as many as a step of a second bears."""
    batch = next(batches(samples, config.train.batch))
    few = next(batches(samples, FEWEST_IMAGES))
    step = _step(_network(config, config.model.exits), build_objective(config), few, config)
    step()
    began = time.monotonic()
    step()
    per_image = (time.monotonic() - began) / len(few.indices)
    bearable = max(FEWEST_IMAGES, int(LONGEST_STEP_SECONDS / per_image))
    return batch if bearable >= len(batch.indices) else next(batches(samples, bearable))


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The pieces of work that are measured beside one another."""

    config: Experiment
    batch: Batch

    def all(self) -> dict[str, Piece]:
        """Return every piece by its name."""
        config, objective = self.config, build_objective(self.config)
        exits, labelled = objective.wiring.exits, objective.wiring.labelled
        pieces: dict[str, Piece] = {JOINT: _step(_network(config, exits), objective, self.batch, config)}
        pieces |= {_alone(k): self._labels_only((k,)) for k in exits}
        if objective.wiring.edges and len(labelled) > 1:
            pieces[LABELS] = self._labels_only(labelled)
        pieces |= {_head(k): self._head(labelled=k in labelled) for k in exits}
        return pieces | {_edge(edge): self._edge(objective, edge) for edge in objective.wiring.edges}

    def _labels_only(self, exits: tuple[int, ...]) -> Piece:
        objective = replace(build_objective(self.config), wiring=Wiring(exits=exits, supervised=exits))
        return _step(_network(self.config, exits), objective, self.batch, self.config)

    def _head(self, *, labelled: bool) -> Piece:
        """Return forward and backward of one head, with its supervised loss where it has one.

        Of a network of one's own nobody here knows which layers are the head: the loss alone, the rest is the trunk's.
        """
        model, device = self.config.model, self.config.process.device
        target, weight = _targets(self.batch, device)
        if not isinstance(model, ModelConfig):
            return self._loss(target, weight, labelled=labelled)
        num_images, num_joints, height, width = target.shape
        head = channels_last(nn.Conv2d(model.width, num_joints, 1).to(device))
        feature = torch.randn(num_images, model.width, height, width, device=device)
        feature = feature.contiguous(memory_format=torch.channels_last).requires_grad_()
        used = weight if self.config.loss.use_target_weight else None

        def run() -> None:
            heatmaps = head(feature)
            loss = heatmap_mse(heatmaps, target, used) if labelled else heatmaps.sum()
            loss.backward()

        return run

    def _loss(self, target: Tensor, weight: Tensor, *, labelled: bool) -> Piece:
        heatmaps = torch.rand_like(target).requires_grad_()
        used = weight if self.config.loss.use_target_weight else None

        def run() -> None:
            loss = heatmap_mse(heatmaps, target, used) if labelled else heatmaps.sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's

        return run

    def _edge(self, objective: Objective, edge: Edge) -> Piece:
        """Return forward and backward of one distillation loss."""
        target, weight = _targets(self.batch, self.config.process.device)
        outputs = {number: torch.rand_like(target).requires_grad_() for number in (edge.teacher, edge.student)}

        def run() -> None:
            objective.divergence(edge, outputs, weight).backward()  # type: ignore[no-untyped-call]

        return run


def _network(config: Experiment, exits: Sequence[int]) -> Network:
    net = build(architecture_of(config).at(exits))
    return channels_last(net.to(config.process.device)).train()


def _step(net: Network, objective: Objective, batch: Batch, config: Experiment) -> Piece:
    """Return a call that does one whole training step."""
    device = config.process.device
    optimizer = Adam(net.parameters(), lr=config.train.lr, fused=True)
    images = to_images(batch.images, torch.device(device))
    target, weight = _targets(batch, device)

    def run() -> None:
        terms = objective(net(images), target, weight)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def _targets(batch: Batch, device: str) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(batch.heatmaps).to(device), torch.from_numpy(batch.weights).to(device)[..., None]


def _training_step(config: Experiment, measured: MicroCosts, *, images: int) -> TrainingStep:
    wiring = build_objective(config).wiring
    costs = {piece: [cost / images for cost in each] for piece, each in measured.costs.items()}
    final, plain = wiring.final, _alone(wiring.final)
    own = {k: [_head(k), *(_edge(edge) for edge in wiring.edges if edge.student == k)] for k in wiring.exits}
    private = {k: _sums([costs[name] for name in own[k]]) for k in own}
    trunk = {k: [a - b for a, b in zip(costs[_alone(k)], costs[_head(k)], strict=True)] for k in wiring.exits}
    deep = len(wiring.labelled) > 1
    labels = LABELS if LABELS in costs else JOINT if deep else plain
    alone = _sums([costs[_alone(k)] for k in wiring.exits])
    numbers = {
        "explained": _ratio(_sums([trunk[final], *private.values()]), costs[JOINT]),
        "joint_saving": _ratio(alone, costs[JOINT]),
        "overhead": median(measured.ratio(JOINT, plain)),
        "ds_overhead": median(measured.ratio(labels, plain)) if deep else missing("the run has none"),
        "kd_overhead": median(measured.ratio(JOINT, labels)) if wiring.edges else missing("the run has none"),
    }
    how = f"median over {measured.blocks} interleaved blocks of steps on {images} images"
    unit = UNITS[measured.currency]
    joint = replace(median(costs[JOINT]), unit=unit, kind="estimated", method=how)
    ratios = {name: replace(numbers[name], unit="ratio", method=f"{said}; {how}") for name, said in RATIOS.items()}
    reach = accumulate((max(0.0, median(trunk[k]).known) for k in wiring.exits), max)
    return TrainingStep(
        unit=unit,
        images=images,
        blocks=measured.blocks,
        exits=[
            StepExit(exit=k, alone=median(costs[_alone(k)]).known, trunk=far, private=median(private[k]).known)
            for k, far in zip(wiring.exits, reach, strict=True)
        ],
        **with_bases({"cost_per_image": joint} | ratios),
    )


def _sums(series: Sequence[Sequence[float]]) -> list[float]:
    """Return the sums block by block."""
    return [sum(parts) for parts in zip(*series, strict=True)]


def _ratio(over: Sequence[float], under: Sequence[float]) -> Quantity:
    return median([a / b for a, b in zip(over, under, strict=True)])


def _alone(number: int) -> str:
    return f"exit {number} alone"


def _head(number: int) -> str:
    return f"head {number}"


def _edge(edge: Edge) -> str:
    return f"teaching {edge}"
