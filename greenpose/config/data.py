"""The images of an experiment: where they come from, and how crops and their targets are made."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from greenpose.config.profile import Profile
from greenpose.schema import NO_TRUTH, Document, Place

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
    sigma: Annotated[float, Field(ge=0.1, le=100), NO_TRUTH] = 2.0
    """Standard deviation of a target's Gaussian, in heatmap pixels."""
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
        """Return width and height of a heatmap: a quarter of the input's."""
        return self.input_size[0] // 4, self.input_size[1] // 4
