"""What `greenpose policy` finds out about a run: when images may leave early, and what that costs and loses."""

from typing import Any, Literal

from pydantic import Field

from greenpose.formatting import plural
from greenpose.quantity import Grade
from greenpose.record.numbers import Numbers

POLICY_SCHEMA: Literal["greenpose.policy/1"] = "greenpose.policy/1"


class PolicyExit(Numbers):
    """One exit: for every image as a network of its own, and as the place where some images leave."""

    exit: int
    """Exit number."""
    own_weights: bool
    """Whether it works with the weights that its figures in the record belong to; false: trunk and head are of
    different epochs, since exits share the trunk of the deepest one."""
    ap_val: float
    """AP on the validation split if every image leaves here, as a fraction."""
    ap: float
    """The same on the test split."""
    macs: int
    """Multiply-accumulates of its minimal sub-network, one image."""
    macs_on_way: int
    """Multiply-accumulates of an image that was asked at every exit up to here and leaves."""
    energy_j_per_image: float | None = None
    """Gross energy of one image in its minimal sub-network."""
    energy_j_on_way: float | None = None
    """Gross energy of one image that was asked at every exit up to here and leaves."""


class PolicyPoint(Numbers):
    """One choice of thresholds, and what it comes to."""

    thresholds: dict[int, float | None]
    """Least confidence with which an image leaves, for every exit but the deepest; null: the exit is not even read, 0:
    all leave without being asked."""
    left_val: dict[int, float]
    """Part of the validation images that leaves at each exit."""
    left: dict[int, float]
    """Part of the test images that leaves at each exit."""
    ap_val: float
    """AP on the validation split, which thresholds are chosen by: the best of many, so that it flatters."""
    ap: float
    """AP on the test split."""
    ap_less_final: float
    """AP on the test split less that of the deepest exit for every image."""
    macs_per_image: float
    """Mean multiply-accumulates of a test image, heads on the way included."""
    energy_j_per_image: float | None = None
    """Mean gross energy of a test image: the energies of the ways, weighted by the images that take them."""


class PolicyTrial(Numbers):
    """The chosen point at work on test images, in batches of which fewer and fewer images go on."""

    images: int
    """Test images that it was tried on."""
    elsewhere: int
    """Images of them that left at another exit than they had done in one batch with all others: rounding at most."""
    energy_j_per_image: float | None = None
    """Mean gross energy of these images."""
    expected_j_per_image: float | None = None
    """The same from the energies of the ways, as the point's own is obtained."""
    relative_to_final: dict[str, float] = Field(default_factory=dict)
    """Within-block ratios to the deepest exit's own network on the same images: `latency_s`, `cpu_s_per_image`,
    `energy_j_per_image`."""


class PolicyCurve(Numbers):
    """Early exit at run time: thresholds from the validation split, accuracy and cost on the test split."""

    schema_: Literal["greenpose.policy/1"] = Field(default=POLICY_SCHEMA, alias="schema")
    """Version of this layout."""
    run: str
    """Name of the run."""
    config_hash: str
    """SHA-256 of the run's configuration."""
    run_finished_at: str
    """When the run finished, as its record says: the curve belongs to this record and no other."""
    made_at: str
    """UTC time, ISO 8601."""
    confidence: Literal["peak", "entropy"]
    """`peak`: mean of the heatmaps' maxima; `entropy`: 1 less their mean entropy over its largest value."""
    wanted_ap: float
    """AP that the validation split was to hold, as a fraction."""
    chosen: int
    """Place in `points` of the cheapest one that holds it."""
    images: dict[str, int]
    """Images of `val` and `test`."""
    subjects: dict[str, int]
    """Subjects (patients) of `val` and `test`; 0 where they are not known."""
    resampled: Literal["patients", "images"]
    """What intervals of the test split are bootstrapped over."""
    weights: str
    """Whose weights the network has, in a sentence."""
    exits: list[PolicyExit]
    """One entry per exit, shallow to deep."""
    points: list[PolicyPoint]
    """The choices that no other beats on the validation split, cheapest first."""
    trial: PolicyTrial | None = None
    """The chosen point at work; null where nothing was measured."""
    grade: Grade | None = None
    """A: every material component measured; B: mixed; C: modelled; null where nothing was measured."""
    converged: bool | None = None
    """Whether blocks agree on every energy and ratio to within `measure.rel_ci`; null where nothing was measured."""
    warnings: list[str] = Field(default_factory=list)
    """What to mind, and what to try next."""
    host: dict[str, Any] = Field(default_factory=dict)
    """Fingerprint of the machine; empty where nothing was measured."""
    process: dict[str, Any] = Field(default_factory=dict)
    """Threads, allocator, environment and device of the measured process; empty where nothing was measured."""
    software: dict[str, str] = Field(default_factory=dict)
    """Versions of Python, GreenPose and the packages that matter."""

    def size(self, split: str) -> str:
        """Return how many images `val` or `test` has, and of how many patients."""
        patients = f" of {plural(self.subjects[split], 'patient')}" if self.subjects[split] else ""
        return f"{plural(self.images[split], 'image')}{patients}"
