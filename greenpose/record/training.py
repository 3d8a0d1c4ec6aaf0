"""What the record says of training: its phases, the parts of a step, their split over exits, what was expected."""

from pydantic import Field

from greenpose.record.numbers import Numbers
from greenpose.schema import Document


class Allocation(Document):
    """The training footprint split over the exits that share it; an allocation by a rule, not a measurement."""

    rule: str
    """Name of the rule: `airport` (Shapley value of the airport game, Littlechild & Owen 1973), `macs` (proportional to
    the MACs of each exit's network), `incremental` (what an exit adds to the next shallower one) or `deepest` (all)."""
    cost: str
    """What the shares are computed from: measured segments of the training step, or MACs."""
    energy_kwh: dict[int, float]
    """Training energy of each exit; sums to the run's total."""
    co2eq_g: dict[int, float]
    """Training emissions of each exit; sums to the run's total."""
    shares_by_rule: dict[str, dict[int, float]] = Field(default_factory=dict)
    """Each exit's part under every rule, as fractions that sum to 1: how much the choice of a rule matters."""


class StepExit(Document):
    """One exit's part in a training step, per image."""

    exit: int
    """Exit number."""
    alone: float
    """The step of its stand-alone training: its minimal network, labels only, weights updated."""
    trunk: float
    """The same without its head and loss: the segments that it needs and that deeper exits share."""
    private: float
    """Its head and losses, distillation that teaches it included."""


class TrainingStep(Numbers):
    """What a training step is made of, from interleaved micro-windows on real steps after training.

    Ratios and the step as a whole have bases, with intervals; `exits` are medians over the same blocks.
    """

    unit: str
    """Unit of every cost, per image: `J` from a counter; `CPU s` where energy is a model of them; `s` (wall) where a
    counter is too slow or the device's CPU time says little."""
    images: int
    """Images in a measured step."""
    blocks: int
    """Interleaved blocks."""
    cost_per_image: float
    """The run's own step."""
    exits: list[StepExit]
    """Each exit's part, shallow to deep."""
    explained: float
    """Deepest trunk and all private parts over the whole step: near 1 if the parts account for it."""
    overhead: float
    """The run's step over the plain one (the final exit alone, labels only): what KD and DS cost together."""
    ds_overhead: float | None = None
    """What deep supervision adds to the plain step, as a ratio; null without it."""
    kd_overhead: float | None = None
    """What distillation adds to the same step without it, as a ratio; null without it."""
    joint_saving: float
    """The exits' stand-alone steps together over the run's step: above 1 where joint training saves."""


class Forecast(Numbers):
    """What the run was expected to cost in all, early in training, by itself; to be held against the truth."""

    epoch: int
    """Epochs that had been trained."""
    energy_kwh: float
    """Expected energy of training, all epochs."""
    seconds: float
    """Expected wall time of training, all epochs."""


class Validation(Document):
    """How accurate every exit was at one moment of training, and what training had used by then."""

    epoch: int
    """Epochs trained."""
    energy_kwh: float
    """Energy of training up to then, of every attempt; obtained as `train_energy_kwh` is."""
    cpu_seconds: float
    """CPU time of training up to then, of every attempt."""
    seconds: float
    """Wall time of training up to then, of every attempt."""
    ap: dict[int, float]
    """Validation AP of each exit."""


class Phase(Numbers):
    """What one phase of the run cost (sum of its metered windows)."""

    name: str
    """`data`, `count`, `train`, `validate`, `checkpoint`, `test`, `inference`, `segments` (the training step's
    parts, measured after it); `other`: between them, last attempt."""
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """CPU time of the process and its children."""
    energy_kwh: float
    """Energy of all metered components."""
    energy_kwh_by_component: dict[str, float]
    """The same for `cpu`, `gpu`, `ram` apart."""
    windows: int
    """Number of metered windows."""
    co2eq_g: float | None = None
    """Operational emissions, with hourly data by the hours of these windows; null for parts of a phase, and in records
    from before it was kept."""
