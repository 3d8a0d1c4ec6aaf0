"""`manifest.json`: what a prepared data set was made from, how, and what was left out."""

from typing import Literal

from pydantic import Field

from greenpose.data.raw.splits import By, Rule
from greenpose.schema import Document


class SplitRule(Document):
    """Who is in which split, and why."""

    by: By
    """What was dealt out: `patient`, or `frame`, which leaks."""
    rule: Rule
    """`paper`: as its script draws it; `seed`: drawn likewise; `named`: on the command line; `file`: in a file."""
    seed: int | None
    """Seed of the draw; null where nothing was drawn."""
    note: str
    """The rule in words; patients of the paper that are not here are named."""
    patients: dict[str, list[str]]
    """Patients of each split."""


class Depth(Document):
    """What the images hold."""

    bits: Literal[8, 16]
    """Bits per channel as written: 16 is depth in mm, 8 grey or colour."""
    grey_of_depth_mm: tuple[float, float] | None
    """The window, near and far, through which 16-bit depth became grey 1 to 255, 0 staying "no return"; null where
    pixels are as in the raw files."""
    inside_share: float | None
    """Share of all returned depths inside that window; null without one."""


class Areas(Document):
    """What the area is that OKS divides by; figures of different kinds cannot be compared."""

    drawn_boxes: int
    """Annotations with an area of their own that is their box's, as of a rectangle drawn by hand."""
    drawn_silhouettes: int
    """Annotations with an area of their own that is another, as of an outline drawn by hand."""
    boxes: int
    """Annotations without one of their own, which got their box's."""


class Counts(Document):
    """How much there is of a split."""

    patients: int
    """Patients: the sample's size, since frames of one are nearly alike."""
    images: int
    """Images."""
    annotations: int
    """Annotated subjects, each with at least one labelled keypoint."""
    areas: Areas
    """What their areas are."""


class PatientNote(Document):
    """What became of one patient's export."""

    patient: str
    """pzN."""
    splits: list[str]
    """Where its frames are; more than one only where frames were dealt out."""
    export: str
    """Its export, below the raw folder."""
    export_sha256: str
    """SHA-256 of the export."""
    sources_sha256: str
    """SHA-256 of the lines that `sha256sum` prints of its used images, sorted by path below the raw folder."""
    images_listed: int
    """Images that the export lists."""
    images: int
    """Images that were written."""
    annotations: int
    """Annotations that were written."""
    missing: list[str]
    """Annotated images that were not there, as listed."""
    broken: list[str]
    """Annotated images that were no whole images, with the fault."""
    left_out: dict[str, int]
    """Annotations that were not used, by kind; see `docs/data.md`."""
    mended: dict[str, int]
    """Annotations that were used, but not quite as written, by kind; see `docs/data.md`."""


class Remark(Document):
    """One thing to know."""

    level: Literal["warning", "note"]
    """`warning`: look at it; `note`: handled, for the record."""
    where: str
    """File and field, below the raw folder."""
    message: str
    """What is there, how often, and what was done."""


class Manifest(Document):
    """What a prepared data set was made from, how, and what was left out; nothing in it depends on when or where."""

    schema_: Literal["greenpose.manifest/1"] = Field(default="greenpose.manifest/1", alias="schema")
    """Version of this layout."""
    made_by: str
    """The program and its version."""
    profile: str
    """Which keypoints were wanted."""
    rotated_deg: int
    """By how much images, joints and boxes were turned."""
    split: SplitRule
    """Who is in which split."""
    depth: Depth
    """What the images hold."""
    counts: dict[str, Counts]
    """How much there is of each split."""
    patients: list[PatientNote]
    """What became of each patient's export."""
    remarks: list[Remark]
    """What was found on the way."""
    sums_sha256: str
    """SHA-256 of `SHA256SUMS`, which holds that of every other file."""
