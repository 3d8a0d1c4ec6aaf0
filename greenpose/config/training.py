"""Training's settings: the recipe, what the green one fills in, what each epoch trains, and how its images may differ.

Defaults are what the paper's training really did (Cacciatore et al. 2025, section 3 and the official configurations).
An image is changed within a range by a normal distribution around its middle, which has its ends one standard deviation
away and stops there, as mmpose's.

Sources of the ranges: HRNet's configurations for COCO (Sun et al. 2019, `w32_256x192_adam_lr1e-3.yaml`) and mmpose's
`RandomBBoxTransform` (OpenMMLab Pose Estimation Toolbox, 2023), which refines them.
"""

from collections.abc import Collection, Mapping, Sequence
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from greenpose.config.wiring import Exit
from greenpose.schema import NO_TRUTH, Document

Epochs = Annotated[int, Field(ge=1, le=100_000), NO_TRUTH]
"""A number of epochs."""


def _pair(ends: Any) -> Any:
    if isinstance(ends, list | tuple) and len(ends) == 2:
        return ends
    raise ValueError(f"{ends} is no range; write two numbers, the least and the greatest, e.g. [0.8, 1.2]")


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if low > high:
        raise ValueError(f"[{low:g}, {high:g}] is the wrong way round; write [{high:g}, {low:g}]")
    return ends


RANGE = (BeforeValidator(_pair), AfterValidator(_rising))
"""What two numbers are marked with that are the ends of a range."""
Turn = Annotated[float, Field(ge=0, le=180), NO_TRUTH]
"""Degrees of an angle."""
Part = Annotated[float, Field(ge=0, le=1), NO_TRUTH]
"""A part of a whole."""
Zoom = Annotated[float, Field(ge=0.1, le=10), NO_TRUTH]
"""A factor that neither empties a crop nor lets it shrink to a point."""
Light = Annotated[float, Field(ge=-1, le=1), NO_TRUTH]
"""A part of the grey levels, taken away or added."""
Spread = Annotated[float, Field(ge=0, le=50), NO_TRUTH]
"""Standard deviation of a blur, in pixels."""
Millimetres = Annotated[float, Field(ge=-65_535, le=65_535), NO_TRUTH]
"""A difference of depth."""


class AugmentConfig(Document):
    """How training images are changed, each anew in every epoch."""

    rotation: Turn = 40.0
    """Most degrees that a crop is turned by, either way, about its middle, in 60 % of the images, as mmpose's."""
    scale: Annotated[tuple[Zoom, Zoom], *RANGE] = (0.65, 1.35)
    """Least and greatest factor of a crop's size, as HRNet's for COCO; above 1 the subject becomes smaller."""
    shift: Part = 0.16
    """Farthest that a crop is moved, in width and in height, of its own, in 30 % of the images, as mmpose's."""
    half_body: Part = 0.0
    """Part of the images with more than half of the joints labelled of which the upper or the lower half of the body is
    cropped; needs the profile's `upper_body`. 0.3 is HRNet's for COCO."""
    contrast: Annotated[tuple[Zoom, Zoom], *RANGE] = (1.0, 1.0)
    """Least and greatest factor of the distance of grey levels or colours from mid-grey; 8-bit images only."""
    brightness: Annotated[tuple[Light, Light], *RANGE] = (0.0, 0.0)
    """Least and most that is added to them, of their range; 8-bit images only."""
    blur: Annotated[tuple[Spread, Spread], *RANGE] = (0.0, 0.0)
    """Least and greatest standard deviation of a Gaussian blur, in pixels of the crop; 8-bit images only."""
    depth_noise_mm: Annotated[float, Field(ge=0, le=1000), NO_TRUTH] = 0.0
    """Greatest standard deviation of noise that is added to every pixel of a depth image; depth only."""
    depth_dropout: Part = 0.0
    """Greatest part of a depth image that is lost, in patches of 4 x 4 pixels of the crop; depth only."""
    depth_shift_mm: Annotated[tuple[Millimetres, Millimetres], *RANGE] = (0.0, 0.0)
    """Least and greatest distance that everything is moved from the camera by; depth only."""

    @property
    def of_light(self) -> list[str]:
        """Return the settings that change grey levels or colours of 8-bit images."""
        plain = {"contrast": (1.0, 1.0), "brightness": (0.0, 0.0), "blur": (0.0, 0.0)}
        return [name for name, ends in plain.items() if getattr(self, name) != ends]

    @property
    def of_depth(self) -> list[str]:
        """Return the settings that change what a depth sensor says."""
        plain = {"depth_noise_mm": 0.0, "depth_dropout": 0.0, "depth_shift_mm": (0.0, 0.0)}
        return [name for name, value in plain.items() if getattr(self, name) != value]


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
    whole_steps: Annotated[int, Field(ge=0, le=10**9, exclude_if=lambda given: given == 0), NO_TRUTH] = 0
    """Steps that `grow` leaves to the whole network at least: its parts shrink alike until there are as many, to
    nothing where the training has no more; 0: they are kept."""
    average: Annotated[float, Field(ge=0, lt=1), NO_TRUTH] = 0.0
    """Decay, per step, of the moving average of the weights that is validated, tested and kept; 0: the weights as they
    are, as the paper."""
    mirror: Annotated[float, Field(ge=0, le=1), NO_TRUTH] = 0.0
    """Part of an epoch's images, drawn anew for each, that is mirrored, left and right keypoints changing places; 0:
    none, as the paper."""
    augment: Annotated[AugmentConfig | None, Field(exclude_if=lambda given: given is None)] = None
    """How an epoch's images are turned, scaled and otherwise changed, within ranges by a normal distribution that ends
    one standard deviation from their middle: `{}` turns, scales and shifts as HRNet and mmpose do, and leaves grey
    levels as they are; null: nothing, as the paper."""
    patience: Epochs = 13
    """Stop after this many validations in a row in which no exit reached its own best AP."""
    validate_every: Epochs = 1
    """Validate after every n-th epoch, and after the last."""
    selection: Literal["per-exit", "any-exit"] = "per-exit"
    """`per-exit`: each exit is tested with its own best epoch; `any-exit`: with the last epoch in which any exit tied
    or beat its best (the official code's rule)."""
    precision: Literal["float32", "bf16", "auto"] = "float32"
    """Arithmetic of the network's forward and backward pass in training: `bf16` on GPUs and CPUs that have units for
    it, refused elsewhere; `auto`: where there are units, what a second of the run's own steps shows to be faster, which
    the record says. Weights, norms, losses and all evaluation stay in float32."""


GREEN: Mapping[str, Any] = {"schedule": "one-cycle", "warmup": 0.4, "lr": 2.25e-3, "epochs": 36, "precision": "auto"}
"""Beside the paper's 60 epochs at 7.5e-4: 0.6 times as many, at three times the rate when the whole network begins."""
GROW: Mapping[int, float] = {2: 0.3, 3: 0.45}
"""When the network grows beyond an exit, as a part of all epochs."""
WHOLE_STEPS = 400
"""What the green recipe leaves to the whole network: of 390 steps in all it had 275, and its exits never caught up."""
OFTEN = 60
"""Epochs from which on its images are seen so often that mirrors are too little change."""
SELDOM_SEEN: Mapping[str, Any] = {"mirror": 0.5}
OFTEN_SEEN: Mapping[str, Any] = {"augment": {"rotation": 30, "scale": [0.8, 1.25], "shift": 0.1}}
"""Less than HRNet's augmentation."""
_FILLED_IN_FIRST = {"schedule", "warmup", "lr", "epochs", "mirror", "grow"}


def with_green_recipe(given: Any) -> Any:
    """Return an experiment as it was written, and where its recipe is green, with what its `train` leaves open.

    One that gives all that was filled in at first is a run's own, and is left as it is.
    """
    train = given.get("train") if isinstance(given, Mapping) else None
    if not isinstance(train, Mapping) or train.get("recipe") != "green" or {*train} >= _FILLED_IN_FIRST:
        return given
    model = given.get("model")
    exits = model.get("exits", ()) if isinstance(model, Mapping) else ()
    exits = exits if isinstance(exits, list | tuple) else ()
    shallow = sorted(number for number in exits if isinstance(number, int))[:-1]
    grow = {exit_: part for exit_, part in GROW.items() if exit_ in shallow}
    floor = {"whole_steps": WHOLE_STEPS} if grow and "grow" not in train else {}
    epochs = train.get("epochs", GREEN["epochs"])
    often = isinstance(epochs, int) and epochs >= OFTEN
    changes = {} if {"mirror", "augment"} & {*train} else OFTEN_SEEN if often else SELDOM_SEEN
    return {**given, "train": {**GREEN, **changes, "grow": grow, **floor, **train}}


def depth_schedule(recipe: TrainConfig, exits: Collection[int], *, images: int) -> tuple[int, ...]:
    """Return as far as which exit each epoch of so many `images` trains, from the first one on.

    A part of all epochs is rounded. Where `whole_steps` would not be left, the last part is what they leave.
    """
    room = recipe.epochs - ceil(recipe.whole_steps / max(1, ceil(images / recipe.batch)))
    whole = min(recipe.epochs, max(0, room) / max(recipe.grow.values(), default=1.0))
    ends = {exit_: round(part * whole) for exit_, part in recipe.grow.items()}
    return tuple(
        min((exit_ for exit_, last in ends.items() if epoch <= last), default=max(exits))
        for epoch in range(1, recipe.epochs + 1)
    )


def growth_in_words(recipe: TrainConfig, exits: Collection[int], *, images: int) -> str:
    """Return how many steps are trained as far as each exit."""
    schedule, steps = depth_schedule(recipe, exits, images=images), ceil(images / recipe.batch)
    parts = [f"{schedule.count(exit_) * steps} steps as far as exit {exit_}" for exit_ in sorted({*schedule})]
    if len(parts) > 1:
        return "grows: " + ", then ".join(parts)
    floor = f"train.whole_steps: {recipe.whole_steps}"
    return f"does not grow: all {recipe.epochs * steps} steps are the whole network's ({floor})"


def parts_trained(trained: Sequence[int], exits: Collection[int]) -> dict[int, float]:
    """Return for each exit the part of all epochs that trained as far as it or further."""
    return {exit_: sum(depth >= exit_ for depth in trained) / len(trained) for exit_ in exits}


def whole_epochs_worth(trained: Sequence[int], macs: Mapping[int, float]) -> float:
    """Return how many epochs of the whole network cost as much; `macs` are those of each exit's own network."""
    return sum(macs[depth] for depth in trained) / max(macs.values())


def num_validations(recipe: TrainConfig, *, after: int = 0) -> int:
    """Return how many validations follow an epoch, if no early stop ends training."""
    return sum(
        number % recipe.validate_every == 0 or number == recipe.epochs for number in range(after + 1, recipe.epochs + 1)
    )


def earliest_end(recipe: TrainConfig) -> int | None:
    """Return the epoch with which early stopping may end training at the earliest; None where it cannot."""
    epoch = (1 + recipe.patience) * recipe.validate_every
    return epoch if epoch < recipe.epochs else None
