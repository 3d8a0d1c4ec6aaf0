"""Settings of one experiment: data, network, who teaches whom, how it is trained, measured and accounted for.

Defaults are what the paper's training really did, wherever the paper says or its code shows it (Cacciatore et al. 2025,
section 3 and the official configurations).
"""

import re
from collections.abc import Mapping
from math import isclose
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from greenpose.config.accounting import CarbonConfig, MeasureConfig
from greenpose.config.own_network import OwnNetworkConfig
from greenpose.config.profile import Profile
from greenpose.config.training import TrainConfig, with_green_recipe
from greenpose.config.wiring import Exit, LossConfig, Wiring, WiringConfig, paper_weight, wiring_faults
from greenpose.schema import NO_TRUTH, Document, Place

Repeats = Annotated[int, Field(ge=1, le=64), NO_TRUTH]
"""How often a part of the network is repeated."""


def _for_each_stage(modules: Any) -> Any:
    if isinstance(modules, list | tuple) and len(modules) != 3:
        raise ValueError(f"{list(modules)} is not one count for each of stages 2, 3 and 4, such as [1, 4, 3]")
    return modules


class HRNetConfig(Document):
    """The numbers that define a multi-exit HRNet, but for its keypoints."""

    exits: tuple[Exit, ...] = (4,)
    """Stages after which a heatmap is read; the network ends with the deepest."""
    width: Annotated[int, Field(ge=1, le=512), NO_TRUTH] = 32
    """Channels of the highest-resolution branch (W in HRNet-W32); branches have W, 2W, 4W, 8W."""
    stem_width: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 64
    """Channels of the stem, and a quarter of layer1's output; 64 in the official networks."""
    modules: Annotated[tuple[Repeats, Repeats, Repeats], BeforeValidator(_for_each_stage)] = (1, 4, 3)
    """Multi-resolution modules in stages 2, 3 and 4."""
    blocks: Repeats = 4
    """Residual blocks in each branch of a module, and bottlenecks in layer1."""

    @model_validator(mode="after")
    def _distinct_exits(self) -> "HRNetConfig":
        if not self.exits or len(set(self.exits)) != len(self.exits):
            raise ValueError(f"exits {list(self.exits)} must be distinct and at least one, e.g. [3, 4]")
        return self


class ModelConfig(HRNetConfig):
    """The network: HRNet of any width, with the exits that the experiment needs."""

    init: Literal["default", "normal", "torch"] = "default"
    """Weights before training: `default` = torch's own, heads N(0, 0.001); `normal` = every convolution N(0, 0.001)
    (INIT_WEIGHTS of the official code); `torch` = torch's own everywhere ("scratch" there)."""
    weights: Place | None = None
    """File of pretrained weights to start from: official HRNet pose format or the paper's."""
    partial: bool = False
    """True: such weights may fill less than 90 % of the tensors before the heads; the others stay random."""


def _which_network(model: Any) -> str:
    is_own = "factory" in model if isinstance(model, Mapping) else isinstance(model, OwnNetworkConfig)
    return "[own]" if is_own else "[hrnet]"


Network = Annotated[
    Annotated[ModelConfig, Tag("[hrnet]")] | Annotated[OwnNetworkConfig, Tag("[own]")], Discriminator(_which_network)
]
"""HRNet, or with a `factory` a network of one's own."""


class JudgeConfig(Document):
    """How the test split is judged."""

    flip: bool = False
    """True: each image is computed twice, as it is and mirrored, and the heatmaps are averaged (HRNet's `FLIP_TEST`);
    time and energy of an image are those of both. Validation computes it once."""

    @property
    def passes(self) -> int:
        """Return how often each image is computed."""
        return 2 if self.flip else 1


Seed = Annotated[int, Field(ge=0, le=2**32 - 1), NO_TRUTH]
"""Seed of random numbers: what every generator takes."""
Count = Annotated[int, Field(ge=1, le=100_000), NO_TRUTH]
"""How many patients or frames."""
InputPixels = Annotated[int, Field(ge=32, le=4096), NO_TRUTH]
"""Side of the network's input."""
FramePixels = Annotated[int, Field(ge=16, le=8192), NO_TRUTH]
"""Side of a synthetic frame."""
Depth = Annotated[float, Field(ge=0, le=65_535), NO_TRUTH]
"""Depth that a 16-bit image can hold."""


STRIDE: Literal[4] = 4
"""Pixels of the input for one of HRNet's heatmaps."""


def _is_usual(stride: int) -> bool:
    return stride == STRIDE


Stride = Annotated[
    Literal[1, 2, 4, 8, 16, 32],
    NO_TRUTH,
    Field(json_schema_extra={"minimum": 1, "maximum": 32}, exclude_if=_is_usual),
]
"""Pixels of the input for one of a heatmap; the usual one is not written down: runs that had no such setting stay."""


Decode = Literal["quarter", "dark", "udp"]
"""Names of the ways from joints to heatmaps and back (`greenpose.data.heatmaps`)."""


def _is_papers(decode: str) -> bool:
    return decode == "quarter"


def _name_or_own(profile: Any) -> Any:
    if isinstance(profile, str | dict | Profile):
        return profile
    raise ValueError("must be the name of a profile, such as babypose, or the path of one's own YAML")


class SplitNumbers(Document):
    """One number for each split."""

    train: Count
    """For training."""
    val: Count
    """For validation: choosing the best epoch and stopping."""
    test: Count
    """For testing, once, at the end."""


class SyntheticConfig(Document):
    """Synthetic depth infants: how many, how often seen, how hard."""

    seed: Seed = 0
    """Seed of bodies, cameras and motion; patients of different splits are always different."""
    patients: SplitNumbers = SplitNumbers(train=48, val=8, test=12)
    """Patients in each split."""
    frames: SplitNumbers = SplitNumbers(train=30, val=12, test=16)
    """Frames of each patient in each split."""
    frame_step: Annotated[int, Field(ge=1, le=10_000), NO_TRUTH] = 7
    """Every n-th frame of a patient is taken (10 are a second); wider apart is more varied."""
    size: tuple[FramePixels, FramePixels] = (640, 480)
    """Width and height of a frame, in pixels."""
    yaw_spread_deg: Annotated[float, Field(ge=0, le=180), NO_TRUTH] = 180.0
    """The camera looks from anywhere within plus or minus this angle around the crib; wide is hard."""


class DataConfig(Document):
    """Where images and joints come from, and how a crop and its targets are made."""

    source: Literal["synthetic", "coco"] = "synthetic"
    """`synthetic`: generated depth infants; `coco`: a folder with COCO keypoint annotations."""
    profile: Annotated[str | Profile, BeforeValidator(_name_or_own)] = "babypose"
    """Joints, skeleton and OKS sigmas: `babypose`, `coco`, `openfield`, or the path of one's own YAML, beside the
    file that names it; a run keeps its contents."""
    input_size: tuple[InputPixels, InputPixels] = (192, 256)
    """Width and height of the network's input, in pixels; multiples of 32."""
    stride: Stride = STRIDE
    """Pixels of the input for one of a heatmap, in width and in height; 4 is HRNet's."""
    sigma: Annotated[float, Field(ge=0.1, le=100), NO_TRUTH] = 2.0
    """Standard deviation of a target's Gaussian, in heatmap pixels."""
    decode: Annotated[Decode, Field(exclude_if=_is_papers)] = "quarter"
    """How joints become heatmaps, and these become joints. `quarter`: targets on whole pixels, peaks moved by a quarter
    of one, as the paper; `dark`: targets between pixels, peaks moved to the maximum of the Gaussian (Zhang et al.
    2020); `udp`: the same, and crops and heatmaps reckoned from the middle of their first pixel to that of their last
    (Huang et al. 2020)."""
    padding: Annotated[float, Field(ge=0.1, le=10), NO_TRUTH] = 1.25
    """A crop is the subject's box times this."""
    depth_window_mm: tuple[Depth, Depth] | None = None
    """Nearest and farthest depth between which a 16-bit image is mapped to grey levels; null for 8-bit images (and for
    synthetic ones: 350 to 900)."""
    root: Place | None = None
    """Folder of a `coco` data set."""
    images: str = "images"
    """Folder of the images, below `root`."""
    annotations: dict[Literal["train", "val", "test"], str] = Field(default_factory=dict)
    """Annotation file of each split, below `root`; those not named are found under `annotations/` by their names."""
    detections: str | None = None
    """File of detected boxes, below `root`, in which the test split is searched, such as
    `person_detection_results/results_test.json` (COCO results: image_id, category_id, bbox, score); null = annotated
    boxes, which training and validation always take."""
    synthetic: SyntheticConfig = SyntheticConfig()
    """Settings of the `synthetic` source."""

    @model_validator(mode="after")
    def _consistent(self) -> "DataConfig":
        if self.source == "coco" and not self.root:
            raise ValueError("source is coco, but root (the folder with images and annotations) is not given")
        if self.source != "coco" and self.detections is not None:
            raise ValueError(f"detections {self.detections!r} belong to a coco folder, but source is {self.source}")
        if any(side % 32 for side in self.input_size):
            width, height = (max(32, round(side / 32) * 32) for side in self.input_size)
            raise ValueError(
                f"input_size {list(self.input_size)} must be multiples of 32; nearest: [{width}, {height}]"
            )
        if self.sigma > min(self.heatmap_size) / 2:
            width, height = self.heatmap_size
            raise ValueError(f"sigma {self.sigma:g} is more than half a heatmap of {width}x{height} pixels; 2 is usual")
        if self.depth_window_mm and not self.depth_window_mm[0] < self.depth_window_mm[1]:
            raise ValueError("depth_window_mm must be [nearest, farthest] with nearest < farthest")
        return self

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """Return width and height of a heatmap: of HRNet's a quarter of the input's."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride


NEAR = 0.05
"""How far a weight of distillation may lie from the paper's before somebody is told."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"
DEVICE = r"^(cpu|cuda(:\d{1,4})?)$"


def _named(name: str) -> str:
    if not re.match(NAME, name) or name.endswith("\n"):
        better = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_.+-") or "mine"
        raise ValueError(
            f"{name!r} cannot name a folder: take letters, digits, . _ + and -, a letter or digit first, e.g. {better}"
        )
    return name


def _known_device(device: str) -> str:
    if not re.match(DEVICE, device) or device.endswith("\n"):
        raise ValueError(f"{device!r} is no device; write cpu, cuda or cuda:N")
    return device


Name = Annotated[
    str, StringConstraints(max_length=80), AfterValidator(_named), Field(json_schema_extra={"pattern": NAME})
]
"""A name that is also a folder's: letters, digits, `.`, `_`, `+`, `-`."""


class ProcessConfig(Document):
    """The process that trains and measures."""

    device: Annotated[str, AfterValidator(_known_device), Field(json_schema_extra={"pattern": DEVICE})] = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    threads: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 1
    """Threads of torch and OpenMP; one is the most repeatable."""
    replicas: Annotated[int, Field(ge=1, le=1024), NO_TRUTH] = 1
    """Processes that train together on this machine, each with a part of every batch and, from `device` on, a GPU of
    its own; `torchrun` sets it. Test and inference are the first one's alone."""


class Experiment(Document):
    """One run's complete description."""

    name: Name
    """Name of the experiment."""
    seed: Seed = 1
    """Seed of initial weights, of the order of batches, and of what is mirrored and augmented."""
    data: DataConfig = DataConfig()
    """Images, joints, crops."""
    model: Network = ModelConfig()
    """The network: HRNet, or with a `factory` one of one's own."""
    wiring: WiringConfig = WiringConfig()
    """Teachers, students, supervision."""
    loss: LossConfig = LossConfig()
    """Loss weights and conventions."""
    train: TrainConfig = TrainConfig()
    """The recipe."""
    test: Annotated[JudgeConfig, Field(exclude_if=lambda given: not given.flip)] = JudgeConfig()
    """The test."""
    measure: MeasureConfig = MeasureConfig()
    """Metering of inference."""
    carbon: CarbonConfig
    """Place and building."""
    process: ProcessConfig = ProcessConfig()
    """Device and threads."""

    @model_validator(mode="before")
    @classmethod
    def _green(cls, given: Any) -> Any:
        return with_green_recipe(given)

    @model_validator(mode="after")
    def _weight_of_distillation(self) -> "Experiment":
        if self.loss.kd_weight == "auto":
            if self.wiring.teach and self.loss.normalise == "keypoints":
                raise ValueError(
                    "loss.kd_weight: auto follows the size of heatmaps, which normalise: keypoints leaves out; write a"
                    " number: 2000 x keypoints / 3072 is as strong as the paper's"
                )
            weight = paper_weight(self.data.heatmap_size)
            self.__dict__["loss"] = self.loss.model_copy(update={"kd_weight": weight})
        return self

    @model_validator(mode="after")
    def _stride_of_its_own(self) -> "Experiment":
        if isinstance(self.model, ModelConfig) and self.data.stride != STRIDE:
            raise ValueError(f"data.stride: is {self.data.stride}, and HRNet's heatmaps have {STRIDE}; leave it out")
        return self

    @model_validator(mode="after")
    def _every_exit_learns(self) -> "Experiment":
        faults = wiring_faults(sorted(self.model.exits), self.wiring.edges, self.supervised, loss=self.loss)
        if faults:
            raise ValueError(faults[0])
        if self.train.grow and not self.loss.teacher_weight:
            raise ValueError(
                "train.grow: an exit that is the last one for a while learns nothing, since loss.teacher_weight is 0"
            )
        return self

    @model_validator(mode="after")
    def _grows_towards_the_last_exit(self) -> "Experiment":
        *shallow, final = sorted(self.model.exits)
        for exit_ in self.train.grow:
            if exit_ not in shallow:
                have = ", ".join(map(str, shallow)) or "none"
                raise ValueError(f"train.grow: exit {exit_} is not one before the last, {final}; those are: {have}")
        parts = [self.train.grow[exit_] for exit_ in sorted(self.train.grow)]
        if parts != sorted(set(parts)):
            raise ValueError(f"train.grow: parts must rise from exit to exit, e.g. {{2: 0.3, 3: 0.5}}, not {parts}")
        return self

    @model_validator(mode="after")
    def _an_image_each(self) -> "Experiment":
        if self.train.batch < self.process.replicas:
            raise ValueError(
                f"process.replicas: a batch of {self.train.batch} has no image for each of {self.process.replicas}"
                " processes; enlarge train.batch, or take fewer"
            )
        return self

    @property
    def doubts(self) -> list[str]:
        """Return what is allowed and hardly meant, each as a sentence that begins with its setting."""
        width, height = self.data.heatmap_size
        balanced, weight = paper_weight((width, height)), self.loss.kd_weight
        if not self.wiring.teach or self.loss.normalise != "pixels" or balanced == paper_weight((48, 64)):
            return []
        if isclose(float(weight), balanced, rel_tol=NEAR):
            return []
        return [
            f"loss.kd_weight is {weight:g} on heatmaps of {width}x{height}, where {balanced:.3g} weighs as much as the"
            " paper's 2000 on 48x64; auto gives that"
        ]

    @property
    def wired(self) -> Wiring:
        """Return who learns from whom in this network."""
        exits = tuple(sorted(self.model.exits))
        return Wiring(exits=exits, edges=self.wiring.edges, supervised=self.supervised)

    @property
    def supervised(self) -> tuple[int, ...]:
        """Return the exits that see labels."""
        return self.wiring.supervise if self.wiring.supervise is not None else (max(self.model.exits),)
