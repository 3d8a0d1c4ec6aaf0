"""The network of an experiment, and how it learns: who teaches whom, by which losses, by which recipe."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from greenpose.schema import NO_TRUTH, Document, Place, shown

Exit = Annotated[int, Field(ge=1, le=4), NO_TRUTH]
"""Number of the stage after which a heatmap is read."""

Repeats = Annotated[int, Field(ge=1, le=64), NO_TRUTH]
"""How often a part of the network is repeated."""
Epochs = Annotated[int, Field(ge=1, le=100_000), NO_TRUTH]
"""A number of epochs."""
HEAVIEST = 1e9
"""Largest weight of a loss."""
Weight = Annotated[float, Field(ge=0, le=HEAVIEST), NO_TRUTH]
"""Weight of a loss."""

TEACHES = re.compile(r"^\s*([1-4])\s*->\s*([1-4])\s*$")


class ModelConfig(Document):
    """The network: HRNet of any width, with the exits that the experiment needs."""

    exits: tuple[Exit, ...] = (4,)
    """Stages after which a heatmap is read; the network ends with the deepest."""
    width: Annotated[int, Field(ge=1, le=512), NO_TRUTH] = 32
    """Channels of the highest-resolution branch (W in HRNet-W32); branches have W, 2W, 4W, 8W."""
    stem_width: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 64
    """Channels of the stem, and a quarter of layer1's output; 64 in the official networks."""
    modules: tuple[Repeats, Repeats, Repeats] = (1, 4, 3)
    """Multi-resolution modules in stages 2, 3 and 4."""
    blocks: Repeats = 4
    """Residual blocks in each branch of a module, and bottlenecks in layer1."""
    init: Literal["default", "normal", "torch"] = "default"
    """Weights before training: `default` = torch's own, heads N(0, 0.001); `normal` = every convolution N(0, 0.001)
    (INIT_WEIGHTS of the official code); `torch` = torch's own everywhere ("scratch" there)."""
    weights: Place | None = None
    """File of pretrained weights to start from: official HRNet pose format or the paper's."""
    partial: bool = False
    """True: such weights may fill less than 90 % of the tensors before the heads; the others stay random."""

    @model_validator(mode="after")
    def _distinct_exits(self) -> "ModelConfig":
        if not self.exits or len(set(self.exits)) != len(self.exits):
            raise ValueError(f"exits {list(self.exits)} must be distinct and at least one, e.g. [3, 4]")
        return self


class WiringConfig(Document):
    """Which exit teaches which, and which exits see the labels."""

    teach: tuple[str, ...] = ()
    """Online distillation: edges such as `4->3` (exit 4 teaches exit 3)."""
    supervise: tuple[Exit, ...] | None = None
    """Exits that see the labels; null = only the deepest. More than one is deep supervision."""

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Return (teacher, student) of each edge."""
        return tuple((int(match[1]), int(match[2])) for match in map(TEACHES.match, self.teach) if match)

    @model_validator(mode="after")
    def _arrows(self) -> "WiringConfig":
        for index, arrow in enumerate(self.teach):
            match = TEACHES.match(arrow)
            if not match or match[1] == match[2]:
                raise ValueError(f"teach[{index}] is {arrow!r}; write teacher->student with two exits, e.g. 4->3")
        return self


def paper_weight(heatmap_size: tuple[int, int]) -> float:
    """Return the weight that balances distillation and labels on heatmaps of a size as the paper's does on its own."""
    width, height = heatmap_size
    return 2000 * width * height / (48 * 64)


def _weight_or_auto(value: Any) -> Any:
    """Return a weight as a number, or `auto`; one sentence says what is wrong with anything else."""
    try:
        if value == "auto" or 0 <= float(value) <= HEAVIEST:
            return value
    except (TypeError, ValueError):
        pass
    raise ValueError(f"must be auto, or a number from 0 to {HEAVIEST:g} (got {shown(value)})")


class LossConfig(Document):
    """Weights and conventions of the supervised and the distillation loss."""

    teacher_weight: Weight = 1.0
    """Weight of the deepest exit's supervised loss."""
    ds_weight: Weight = 1.0
    """Weight of each other supervised exit's loss (deep supervision)."""
    kd_weight: Annotated[Weight | Literal["auto"], BeforeValidator(_weight_or_auto), NO_TRUTH] = "auto"
    """Weight of each distillation loss. Its effect scales with 1 / heatmap pixels: `auto` is 2000 x pixels / 3072, the
    paper's 2000 at its 48x64, and is kept as that number."""
    temperature: Annotated[float, Field(ge=0.01, le=1000), NO_TRUTH] = 1.0
    """Temperature that softens both heatmaps of a distillation edge."""
    detach_teacher: bool = False
    """True: the distillation loss does not move the teacher. The paper's training did not detach it."""
    temperature_squared: bool = False
    """True: multiply the distillation loss by the squared temperature (Hinton et al. 2015). The paper's did not."""
    normalise: Literal["pixels", "keypoints"] = "pixels"
    """Divisor of the distillation loss: heatmap pixels (the paper's) or keypoints."""
    use_target_weight: bool = False
    """True: unlabelled keypoints drop out of the supervised loss. The paper trained them towards empty heatmaps."""


class TrainConfig(Document):
    """The recipe."""

    recipe: Literal["paper", "green", "other"] = "paper"
    """What the settings below are. `paper`: the paper's, at whatever size, which others are held against; `green`: one
    that takes less energy (docs/recipe.md), in those that are not given; `other`."""
    epochs: Epochs = 60
    """Most epochs to train."""
    batch: Annotated[int, Field(ge=1, le=65_536), NO_TRUTH] = 32
    """Images per step."""
    lr: Annotated[float, Field(ge=1e-10, le=10), NO_TRUTH] = 7.5e-4
    """Adam's learning rate."""
    milestones: tuple[Epochs, ...] = (30, 50)
    """Epochs after which the learning rate is multiplied by `gamma`."""
    gamma: Annotated[float, Field(ge=1e-6, le=10), NO_TRUTH] = 0.33
    """Factor of the learning rate at each milestone."""
    schedule: Literal["steps", "one-cycle"] = "steps"
    """`steps`: the milestones, as the paper; `one-cycle`: up to `lr` over `warmup`, then down to 0 along a cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1), NO_TRUTH] = 0.0
    """Part of all epochs over which `one-cycle` rises."""
    grow: dict[Exit, Annotated[float, Field(gt=0, lt=1), NO_TRUTH]] = Field(default_factory=dict)
    """Until which part of all epochs the network is trained only as far as an exit, which sees the labels meanwhile,
    e.g. `{2: 0.3, 3: 0.5}`; empty: the whole network from the first step on, as the paper."""
    average: Annotated[float, Field(ge=0, lt=1), NO_TRUTH] = 0.0
    """Decay, per step, of the moving average of the weights that is validated, tested and kept; 0: the weights as they
    are, as the paper."""
    mirror: Annotated[float, Field(ge=0, le=1), NO_TRUTH] = 0.0
    """Part of an epoch's images, drawn anew for each, that is mirrored, left and right keypoints changing places; 0:
    none, as the paper."""
    patience: Epochs = 13
    """Stop after this many validations in a row in which no exit reached its own best AP."""
    validate_every: Epochs = 1
    """Validate after every n-th epoch, and after the last."""
    selection: Literal["per-exit", "any-exit"] = "per-exit"
    """`per-exit`: each exit is tested with its own best epoch; `any-exit`: with the last epoch in which any exit tied
    or beat its best (the official code's rule)."""
    precision: Literal["float32", "bf16"] = "float32"
    """Arithmetic of the network's forward and backward pass in training: `bf16` on GPUs and CPUs that have units for
    it, refused elsewhere. Weights, norms, losses and all evaluation stay in float32."""
