"""The card of an artefact: which files there are, how each is fed and read, what it is worth and what it costs."""

from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, field_validator, model_validator

from greenpose.config.experiment import STRIDE, Decode
from greenpose.config.profile import Profile
from greenpose.data import MEAN, STD, Framing
from greenpose.formatting import ends, repeated
from greenpose.metrics import PERCENT
from greenpose.quantity import Grade, Quantity
from greenpose.record import Basis, basis_of
from greenpose.record.artefacts import Arithmetic
from greenpose.record.numbers import quantity_of
from greenpose.schema import Document

CARD_SCHEMA: Literal["greenpose.card/2"] = "greenpose.card/2"
Format: TypeAlias = Literal["openvino", "onnx", "pt2", "safetensors"]
Outputs: TypeAlias = Literal["heatmaps", "keypoints"]
JUDGED = ("ap", "ar", "pck")
"""Accuracies that are said of each file."""
GREATEST_SIDE = 4096
"""Pixels of a crop's side beyond which a card is refused."""


class CardNumber(Document):
    """A number with its basis, as readers of records pass it around."""

    __qualname__ = "Quantity"  # its name in the published schema
    model_config = ConfigDict(title=__qualname__)

    name: str
    """Field name in the record."""
    value: float | None
    """The number, or null where it was not obtained."""
    basis: Basis
    """How it was obtained."""

    @classmethod
    def of(cls, name: str, quantity: Quantity) -> "CardNumber":
        """Return a number as it stands on a card."""
        return cls(name=name, value=quantity.value, basis=basis_of(quantity))

    @property
    def quantity(self) -> Quantity:
        """Return the number as every room passes it around."""
        return quantity_of(self.value, self.basis)

    def in_points(self) -> str:
        """Return a difference of two shares in percentage points, with its interval: `-0.11 points (95 %: ...)`."""
        change = self.quantity * PERCENT
        if change.value is None:
            return f"not known: {change.missing}"
        within = repeated(ends(*(f"{end:+.2f}" for end in change.type_a))) if change.type_a else "no interval"
        return f"{change.value:+.2f} points ({within})"


class CalibratedOn(Document):
    """What an int8 file took its ranges from."""

    images: int = Field(ge=1)
    """Crops that were run."""
    patients: int = Field(ge=0)
    """Patients that they show; 0 where the data name none."""
    split: Literal["train"] = "train"
    """Split that they come from: never the one that accuracy is judged on."""
    method: str
    """The quantiser, its version and what it does."""
    kept_in_float: list[str]
    """Layers that were left in float, by their names in the network."""


class Validated(Document):
    """What a file did to the validation patients: it was chosen, or would have been refused, by these and no others."""

    images: int = Field(ge=1)
    """Annotated boxes of the validation split."""
    patients: int = Field(ge=0)
    """Patients that they show; 0 where the data name none."""
    ap_change: float
    """AP minus that of the trained network in float32, as a fraction."""
    peaks_same: float
    """Share of keypoints whose heatmap peaks at the same pixel as the network's."""
    peaks_near: float
    """Share of keypoints whose peak is within one pixel of it, in x and in y."""


class CardFile(Document):
    """One exported model, in a file or two."""

    file: str
    """Name, in the card's folder."""
    format: Format
    """Kind of file."""
    precision: Arithmetic
    """Numbers that its convolutions are meant to be computed in; of `safetensors`, that the weights are kept in."""
    runtime: str
    """Package that runs it; empty for `safetensors`, which GreenPose's own network is filled from."""
    bytes: int = Field(ge=0)
    """Size, of both files where there are two."""
    sha256: str
    """Digest of the file."""
    weights: str | None = None
    """Name of the second file, which holds OpenVINO's weights; null where there is none."""
    weights_sha256: str | None = None
    """Digest of the second file."""
    outputs: Outputs = "heatmaps"
    """What comes out: heatmaps, or for each keypoint x, y in pixels of the crop and its confidence."""
    arithmetic: str = ""
    """What the runtime said that it computed in, on the machine of the export, and how that was found out."""
    error: float | None = None
    """Of float32 files: largest difference of the heatmaps from the network's, over the largest output, on real crops;
    null for other arithmetic, whose `accuracy_change` counts."""
    accuracy: dict[str, CardNumber]
    """AP, AR and PCK of this file on the run's test split."""
    accuracy_change: dict[str, CardNumber]
    """The same minus those of the trained network in float32, paired over the same patients."""
    peaks_same: float | None = None
    """Share of keypoints whose heatmap peaks at the same pixel as the network's in float32."""
    peaks_near: float | None = None
    """Share of keypoints whose peak is within one pixel of it, in x and in y."""
    calibration: CalibratedOn | None = None
    """What int8 took its ranges from; null for other arithmetic."""
    validation: Validated | None = None
    """What the file was decided on; null for float32, which is held to the network's own output."""


class CropRule(Document):
    """How a box in an image becomes the network's input."""

    aspect: float = Field(gt=0)
    """Width over height that the box is grown to, around its middle."""
    padding: float = Field(gt=0)
    """The grown box times this is the crop."""
    as_given: bool
    """False: the box is first cut as the reference code does, its far corner counted as the last pixel inside."""
    interpolation: Literal["linear"] = "linear"
    """How pixels between pixels are made."""
    border: Literal[0] = 0
    """What lies outside the image."""
    order: Literal["RGB"] = "RGB"
    """Order of the channels. Grey is repeated in all three."""


def _is_none(value: float | None) -> bool:
    return value is None


class Decoding(Document):
    """How heatmaps become places and confidences."""

    method: Decode = "quarter"
    """`quarter`: the highest pixel, moved a quarter of a pixel towards its higher neighbour in x and in y, unless it
    lies at the first two columns or rows or the last ones; a map without a positive value is at (0, 0). `dark`: the
    highest pixel, moved to the maximum of the Gaussian of `sigma` (Zhang et al. 2020). `udp`: the same, and sides of
    boxes, crops and heatmaps are reckoned between the middles of their first and last pixels (Huang et al. 2020)."""
    sigma: float | None = Field(default=None, gt=0, exclude_if=_is_none)
    """Of the Gaussian, in heatmap pixels; null, and not written down, where the method knows none."""
    stride: Literal[4] = STRIDE
    """Pixels of the crop for one of a heatmap: x of the crop is 4 times x of the heatmap; by `udp`, sides less a pixel
    are each other's multiples."""
    confidence: Literal["peak"] = "peak"
    """The confidence of a keypoint is the value of its heatmap's highest pixel."""

    @model_validator(mode="after")
    def _whose_gaussian(self) -> "Decoding":
        if (self.sigma is None) is not (self.method == "quarter"):
            raise ValueError(f"sigma is {self.sigma} for {self.method}; dark and udp have one, and quarter has none")
        return self


class Normalisation(Document):
    """What is done to a crop's pixels: (pixel x scale - mean) / std, channel by channel."""

    scale: float = 1 / 255
    """Factor of a pixel's value, 0 to 255."""
    mean: tuple[float, float, float] = MEAN
    """Of red, green and blue."""
    std: tuple[float, float, float] = STD
    """Of red, green and blue."""
    grey: Literal["repeated in 3 channels"] = "repeated in 3 channels"
    """What is done with grey images."""

    @field_validator("scale", "mean", "std")
    @classmethod
    def _known(cls, value: Any, info: Any) -> Any:
        meant = cls.model_fields[info.field_name].default
        if value != meant:
            raise ValueError(f"is {value}; every network here takes {meant}")
        return value


class Port(Document):
    """What goes into a network, or comes out of it."""

    name: str
    """Name in the file."""
    shape: list[str | int]
    """Length of each axis, or its name where it may have any."""
    dtype: Literal["float32"] = "float32"
    """Type of its numbers."""


class Card(Document):
    """What somebody needs to know who finds the files without the run."""

    schema_: Literal["greenpose.card/2"] = Field(default=CARD_SCHEMA, alias="schema")
    """Version of this layout."""
    run: str
    """Name of the run."""
    exit: int = Field(ge=1)
    """Exit of the network; nothing behind it is in the files."""
    config_hash: str
    """SHA-256 of the run's configuration."""
    trained_at: str
    """When the run finished."""
    files: list[CardFile] = Field(min_length=1)
    """What was written."""
    folded: bool
    """Whether norms are part of the convolutions in torch's files; in those of ONNX and OpenVINO they always are."""
    folding_error: float | None
    """Largest change of an output by folding, over the largest output, on noise; null where nothing was folded."""
    profile: Profile
    """Keypoints in the order of the outputs, skeleton, pairs that change places in a mirror, OKS spreads."""
    input: Port
    """The images: batch, channel, height, width."""
    normalisation: Normalisation
    """What a crop's pixels are made into."""
    crop: CropRule
    """How a box becomes a crop."""
    depth_window_mm: tuple[float, float] | None
    """Nearest and farthest depth, in mm, that 16-bit images are seen through: nearest and nearer is 1, farthest and
    farther 255, no return 0; null for a network that was trained on 8-bit images."""
    output: Port
    """The heatmaps: batch, keypoint, height, width."""
    decoding: Decoding
    """How heatmaps become places; already done in files whose `outputs` are keypoints."""
    numbers: dict[str, CardNumber]
    """The record's numbers of this exit, each with unit, method and intervals. They are those of the network before it
    was folded or converted."""
    train_energy_kwh: CardNumber
    """Energy of the whole training, which all exits of the run came out of."""
    train_co2eq_g: CardNumber
    """Its operational emissions."""
    grade: Grade
    """A: every material component of energy measured; B: mixed; C: modelled."""
    measured_on: dict[str, Any]
    """Machine and process that latency and energy belong to."""
    software: dict[str, str]
    """Versions that the files were written with."""

    @field_validator("input")
    @classmethod
    def _images(cls, given: Port) -> Port:
        sides = given.shape[2:]
        whole = [side for side in sides if isinstance(side, int) and 32 <= side <= GREATEST_SIDE and not side % 32]
        if len(given.shape) != 4 or given.shape[1] != 3 or len(whole) != 2:
            raise ValueError(f"shape is {given.shape}; it must be batch, 3, height, width, both multiples of 32")
        return given

    @property
    def framing(self) -> Framing:
        """Return how boxes become crops, as everything that cuts them takes it."""
        height, width = (int(side) for side in self.input.shape[2:])
        return Framing(
            input_size=(width, height),
            heatmap_size=(width // STRIDE, height // STRIDE),
            padding=self.crop.padding,
            as_given=self.crop.as_given,
            decode=self.decoding.method,
            sigma=self.decoding.sigma or 2.0,
        )
