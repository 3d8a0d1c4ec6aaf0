"""What each part of a training step costs: the trunk up to each exit, each exit's own head and losses.

Measured on real steps with the run's own objective, optimizer and images, on networks with fresh weights (cost does not
depend on their values). `alone` is the step of the network that ends with an exit and learns from the labels only, as
in a stand-alone training; without the exit's own head and loss it is the trunk that the exit shares with deeper ones.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor, nn

from greenpose.config import Experiment
from greenpose.counting import architecture_of
from greenpose.data import Batch, Samples, batches
from greenpose.losses import Edge, Objective, Wiring, heatmap_mse
from greenpose.metering import Meter, MicroCosts, MicroPlan, measure_pieces
from greenpose.metering.inference import Currency
from greenpose.model import HRNet
from greenpose.quantity import Quantity, median
from greenpose.run.setup import build_objective, channels_last
from greenpose.training.step import to_images

LONGEST_STEP_SECONDS = 1.0
"""Steps longer than this are measured on fewer images."""
FEWEST_IMAGES = 2
"""Batch normalisation in training needs more than one value a channel."""
Piece = Callable[[], object]
JOINT, LABELS = "joint step", "labels only"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """What a training step and its parts cost for one image."""

    currency: Currency
    """What all costs are in, per image."""
    images: int
    """Images in a measured step."""
    blocks: int
    """Interleaved blocks that the estimates are over."""
    joint: Quantity
    """The run's own step."""
    alone: Mapping[int, Quantity]
    """For each exit, the step of its stand-alone training."""
    private: Mapping[int, Quantity]
    """For each exit, its own head and losses, distillation that teaches it included."""
    trunk: Mapping[int, float]
    """For each exit, the segments that it needs and shares; does not fall with depth."""
    explained: Quantity
    """Trunk and all private parts over the joint step: 1 if the parts account for the whole."""
    overhead: Quantity
    """The run's own step over the plain one: the final exit alone, labels only."""
    ds_overhead: Quantity | None
    """What more supervised exits add to the plain step, as a ratio; None without deep supervision."""
    kd_overhead: Quantity | None
    """What distillation adds to the same step without it, as a ratio; None without distillation."""
    joint_saving: Quantity
    """The exits' stand-alone steps together over the run's own step: what training them jointly saves, as a ratio."""


def measure_step(
    config: Experiment, samples: Samples, meter: Meter, *, plan: MicroPlan | None = None
) -> StepCosts | None:
    """Return the costs of a training step's parts; None for a network with a single exit, which shares nothing."""
    if len(config.model.exits) == 1:
        return None
    with torch.random.fork_rng():
        batch = _batch(config, samples)
        pieces = _Pieces(config, batch)
        measured = measure_pieces(pieces.all(), meter, phase="segments", plan=plan, seed=config.seed)
    return _step_costs(config, measured, images=len(batch.indices))


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
        """Return forward and backward of one head, with its supervised loss where it has one."""
        model, device = self.config.model, self.config.process.device
        target, weight = _targets(self.batch, device)
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

    def _edge(self, objective: Objective, edge: Edge) -> Piece:
        """Return forward and backward of one distillation loss."""
        target, weight = _targets(self.batch, self.config.process.device)
        outputs = {number: torch.rand_like(target).requires_grad_() for number in (edge.teacher, edge.student)}

        def run() -> None:
            objective.divergence(edge, outputs, weight).backward()  # type: ignore[no-untyped-call]

        return run


def _network(config: Experiment, exits: Sequence[int]) -> HRNet:
    net = HRNet(**asdict(replace(architecture_of(config), exits=tuple(sorted(exits)))))
    return channels_last(net.to(config.process.device)).train()


def _step(net: HRNet, objective: Objective, batch: Batch, config: Experiment) -> Piece:
    """Return a call that does one whole training step."""
    device = config.process.device
    optimizer = torch.optim.Adam(net.parameters(), lr=config.train.lr, fused=True)
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


def _step_costs(config: Experiment, measured: MicroCosts, *, images: int) -> StepCosts:
    wiring = build_objective(config).wiring
    costs = measured.costs
    final, plain = wiring.final, _alone(wiring.final)
    own = {k: [_head(k), *(_edge(edge) for edge in wiring.edges if edge.student == k)] for k in wiring.exits}
    private = {k: [sum(parts) for parts in zip(*(costs[name] for name in own[k]), strict=True)] for k in own}
    trunk = {k: _difference(costs[_alone(k)], costs[_head(k)]) for k in wiring.exits}
    whole = [sum(parts) for parts in zip(trunk[final], *private.values(), strict=True)]
    alone = [sum(parts) for parts in zip(*(costs[_alone(k)] for k in wiring.exits), strict=True)]
    deep = len(wiring.labelled) > 1
    labels = LABELS if LABELS in costs else JOINT if deep else plain
    medians = [max(0.0, median(trunk[k]).known) / images for k in wiring.exits]
    return StepCosts(
        currency=measured.currency,
        images=images,
        blocks=measured.blocks,
        joint=_per_image(costs[JOINT], images),
        alone={k: _per_image(costs[_alone(k)], images) for k in wiring.exits},
        private={k: _per_image(private[k], images) for k in wiring.exits},
        trunk=dict(zip(wiring.exits, accumulate(medians, max), strict=True)),
        explained=_ratio(whole, costs[JOINT]),
        overhead=median(measured.ratio(JOINT, plain)),
        ds_overhead=median(measured.ratio(labels, plain)) if deep else None,
        kd_overhead=median(measured.ratio(JOINT, labels)) if wiring.edges else None,
        joint_saving=_ratio(alone, costs[JOINT]),
    )


def _per_image(values: Sequence[float], images: int) -> Quantity:
    return median([value / images for value in values])


def _ratio(over: Sequence[float], under: Sequence[float]) -> Quantity:
    return median([a / b for a, b in zip(over, under, strict=True)])


def _difference(values: Sequence[float], less: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(values, less, strict=True)]


def _alone(number: int) -> str:
    return f"exit {number} alone"


def _head(number: int) -> str:
    return f"head {number}"


def _edge(edge: Edge) -> str:
    return f"teaching {edge}"
