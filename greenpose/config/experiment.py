"""One experiment: the data, the network, who teaches whom, how it is trained, measured and accounted for.

Defaults are what the paper's training really did, wherever the paper says or its code shows it (Cacciatore et al. 2025,
section 3 and the official configurations).
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, model_validator

from greenpose.config.green import with_green_recipe
from greenpose.schema import Document

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]
"""A name that is also a folder's: letters, digits, `.`, `_`, `+`, `-`."""

Exit = Annotated[int, Field(ge=1, le=4)]
"""Number of the stage after which a heatmap is read."""

TEACHES = re.compile(r"^\s*([1-4])\s*->\s*([1-4])\s*$")


class SplitNumbers(Document):
    """One number for each split."""

    train: PositiveInt
    """For training."""
    val: PositiveInt
    """For validation: choosing the best epoch and stopping."""
    test: PositiveInt
    """For testing, once, at the end."""


class SyntheticConfig(Document):
    """Synthetic depth infants: how many, how often seen, how hard."""

    seed: int = 0
    """Seed of bodies, cameras and motion; patients of different splits are always different."""
    patients: SplitNumbers = SplitNumbers(train=48, val=8, test=12)
    """Patients in each split."""
    frames: SplitNumbers = SplitNumbers(train=30, val=12, test=16)
    """Frames of each patient in each split."""
    frame_step: PositiveInt = 7
    """Every n-th frame of a patient is taken (10 are a second); wider apart is more varied."""
    size: tuple[PositiveInt, PositiveInt] = (640, 480)
    """Width and height of a frame, in pixels."""
    yaw_spread_deg: Annotated[float, Field(ge=0, le=180)] = 180.0
    """The camera looks from anywhere within plus or minus this angle around the crib; wide is hard."""


class DataConfig(Document):
    """Where images and joints come from, and how a crop and its targets are made."""

    source: Literal["synthetic", "coco"] = "synthetic"
    """`synthetic`: generated depth infants; `coco`: a folder with COCO keypoint annotations."""
    profile: str = "babypose"
    """Joints, skeleton and OKS sigmas: `babypose`, `coco`, `openfield`, or the path of a profile's YAML."""
    input_size: tuple[PositiveInt, PositiveInt] = (192, 256)
    """Width and height of the network's input, in pixels; multiples of 32."""
    sigma: PositiveFloat = 2.0
    """Standard deviation of a target's Gaussian, in heatmap pixels."""
    padding: PositiveFloat = 1.25
    """A crop is the subject's box times this."""
    depth_window_mm: tuple[float, float] | None = None
    """Nearest and farthest depth between which a 16-bit image is mapped to grey levels; null for 8-bit images (and for
    synthetic ones: 350 to 900)."""
    root: str | None = None
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
        if self.depth_window_mm and not self.depth_window_mm[0] < self.depth_window_mm[1]:
            raise ValueError("depth_window_mm must be [nearest, farthest] with nearest < farthest")
        return self

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """Return width and height of a heatmap: a quarter of the input's."""
        return self.input_size[0] // 4, self.input_size[1] // 4


class ModelConfig(Document):
    """The network: HRNet of any width, with the exits that the experiment needs."""

    exits: tuple[Exit, ...] = (4,)
    """Stages after which a heatmap is read; the network ends with the deepest."""
    width: PositiveInt = 32
    """Channels of the highest-resolution branch (W in HRNet-W32); branches have W, 2W, 4W, 8W."""
    stem_width: PositiveInt = 64
    """Channels of the stem, and a quarter of layer1's output; 64 in the official networks."""
    modules: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 4, 3)
    """Multi-resolution modules in stages 2, 3 and 4."""
    blocks: PositiveInt = 4
    """Residual blocks in each branch of a module, and bottlenecks in layer1."""
    init: Literal["default", "normal", "torch"] = "default"
    """Weights before training: `default` = torch's own, heads N(0, 0.001); `normal` = every convolution N(0, 0.001)
    (INIT_WEIGHTS of the official code); `torch` = torch's own everywhere ("scratch" there)."""
    weights: str | None = None
    """File of pretrained weights to start from: official HRNet pose format or the paper's."""

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


class LossConfig(Document):
    """Weights and conventions of the supervised and the distillation loss."""

    teacher_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the deepest exit's supervised loss."""
    ds_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of each other supervised exit's loss (deep supervision)."""
    kd_weight: Annotated[float, Field(ge=0)] = 2000.0
    """Weight of each distillation loss; its effect scales with 1 / heatmap pixels (2000 belongs to 48x64)."""
    temperature: PositiveFloat = 1.0
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
    epochs: PositiveInt = 60
    """Most epochs to train."""
    batch: PositiveInt = 32
    """Images per step."""
    lr: PositiveFloat = 7.5e-4
    """Adam's learning rate."""
    milestones: tuple[PositiveInt, ...] = (30, 50)
    """Epochs after which the learning rate is multiplied by `gamma`."""
    gamma: PositiveFloat = 0.33
    """Factor of the learning rate at each milestone."""
    schedule: Literal["steps", "one-cycle"] = "steps"
    """`steps`: the milestones, as the paper; `one-cycle`: up to `lr` over `warmup`, then down to 0 along a cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of all epochs over which `one-cycle` rises."""
    grow: dict[Exit, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """Until which part of all epochs the network is trained only as far as an exit, which sees the labels meanwhile,
    e.g. `{2: 0.3, 3: 0.5}`; empty: the whole network from the first step on, as the paper."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay, per step, of the moving average of the weights that is validated, tested and kept; 0: the weights as they
    are, as the paper."""
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Part of an epoch's images, drawn anew for each, that is mirrored, left and right keypoints changing places; 0:
    none, as the paper."""
    patience: PositiveInt = 13
    """Stop after this many validations in a row in which no exit reached its own best AP."""
    validate_every: PositiveInt = 1
    """Validate after every n-th epoch, and after the last."""
    selection: Literal["per-exit", "any-exit"] = "per-exit"
    """`per-exit`: each exit is tested with its own best epoch; `any-exit`: with the last epoch in which any exit tied
    or beat its best (the official code's rule)."""
    precision: Literal["float32", "bf16"] = "float32"
    """Arithmetic of the network's forward and backward pass in training: `bf16` on GPUs and CPUs that have units for
    it, refused elsewhere. Weights, norms, losses and all evaluation stay in float32."""


class MeasureConfig(Document):
    """How inference is metered, exit by exit, on truncated networks."""

    batch: PositiveInt = 8
    """Images per call; latency and energy are per image."""
    min_window_seconds: PositiveFloat = 0.5
    """A window lasts at least this long: the call is repeated inside it."""
    rel_ci: PositiveFloat = 0.05
    """Stop when the 95 % half-width, over this run's blocks, of every exit's energy and of its ratio to the final
    exit's is below this fraction."""
    max_blocks: PositiveInt = 12
    """Stop after this many interleaved blocks in any case."""
    max_seconds: PositiveFloat = 60.0
    """Stop after this many seconds in any case."""
    step_blocks: PositiveInt = 12
    """Interleaved blocks in which the parts of a training step are measured, for networks with several exits."""
    allocation: Literal["airport", "macs", "incremental", "deepest"] = "airport"
    """Rule by which training is split over the exits that share it: `airport` divides each segment equally among the
    exits that need it; `macs` is proportional to each exit's MACs; `incremental` charges what an exit adds to the next
    shallower one; `deepest` charges the deepest exit everything."""


class CarbonConfig(Document):
    """What turns joules, and the making of the machine, into grams."""

    country: str | None = None
    """ISO 3166 alpha-3 code of the grid, e.g. ITA; its annual mean intensity is looked up offline."""
    intensity_g_per_kwh: PositiveFloat | None = None
    """Your own intensity instead, in gCO2eq per kWh."""
    hourly: str | None = None
    """Your own file of hourly intensities instead: a CSV with the columns `datetime` (ISO 8601, UTC unless it has an
    offset) and `g_per_kwh`, or an export of Electricity Maps."""
    label: str | None = None
    """What to call the grid of your own intensity or file."""
    pue: Annotated[float, Field(ge=1)] = 1.0
    """Power usage effectiveness: the building's energy over the machine's. It applies to energy only."""
    embodied_kg: Annotated[float, Field(ge=0)] | None = None
    """What it took to make the machine that you see (on a virtual machine: your part of its host), in kgCO2eq; null =
    modelled from its parts, 0 = left out."""
    lifetime_years: PositiveFloat = 4.0
    """Years that the machine is used, over which making it is spread (the SCI specification's example)."""

    @model_validator(mode="after")
    def _one_grid(self) -> "CarbonConfig":
        grids = [name for name in ("country", "intensity_g_per_kwh", "hourly") if getattr(self, name) is not None]
        faults = []
        if not grids:
            faults.append(
                "give country (e.g. ITA), intensity_g_per_kwh or hourly (a CSV file): emissions depend on where you are"
            )
        if len(grids) > 1:
            faults.append(f"{' and '.join(grids)} are given; keep one, and set the others to null")
        if self.label is not None and self.country is not None:
            faults.append(f"label {self.label!r} belongs to intensity_g_per_kwh or hourly; a country has its own name")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class ProcessConfig(Document):
    """The process that trains and measures."""

    device: Annotated[str, StringConstraints(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    threads: PositiveInt = 1
    """Threads of torch and OpenMP; one is the most repeatable."""
    replicas: PositiveInt = 1
    """Processes that train together on this machine, each with a part of every batch and, from `device` on, a GPU of
    its own; `torchrun` sets it. Test and inference are the first one's alone."""


class Experiment(Document):
    """One run's complete description."""

    name: Name
    """Name of the experiment."""
    seed: int = 1
    """Seed of initial weights, of the order of batches, and of what is mirrored."""
    data: DataConfig = DataConfig()
    """Images, joints, crops."""
    model: ModelConfig = ModelConfig()
    """The network."""
    wiring: WiringConfig = WiringConfig()
    """Teachers, students, supervision."""
    loss: LossConfig = LossConfig()
    """Loss weights and conventions."""
    train: TrainConfig = TrainConfig()
    """The recipe."""
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
    def _wiring_fits_network(self) -> "Experiment":
        exits = sorted(self.model.exits)
        have = "this network has exits " + ", ".join(map(str, exits))
        for index, edge in enumerate(self.wiring.edges):
            for exit_ in edge:
                if exit_ not in exits:
                    raise ValueError(f"wiring.teach[{index}]: exit {exit_} does not exist; {have}")
        for index, exit_ in enumerate(self.supervised):
            if exit_ not in exits:
                raise ValueError(f"wiring.supervise[{index}]: exit {exit_} does not exist; {have}")
        taught = {student for _, student in self.wiring.edges}
        idle = [exit_ for exit_ in exits if exit_ not in taught and exit_ not in self.supervised]
        if idle:
            raise ValueError(f"wiring: exit {idle[0]} learns nothing; supervise it or let an exit teach it ({have})")
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
    def supervised(self) -> tuple[int, ...]:
        """Return the exits that see labels."""
        return self.wiring.supervise if self.wiring.supervise is not None else (max(self.model.exits),)
