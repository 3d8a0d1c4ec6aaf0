"""The exits of a record: what each takes and is worth, in bfloat16 too, and its part in what training cost."""

from dataclasses import replace
from operator import not_
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from greenpose.metrics import COUNTED, ENERGY, LATENCY, MACS, PERCENT, Metric
from greenpose.quantity import Quantity
from greenpose.record.numbers import Numbers
from greenpose.schema import Document

CONDITIONS = (
    *("items_per_call", "blocks", "calls", "window_seconds", "idle_watts", "between_runs", "converged", "agreement"),
    *("foreign_cpu_share", "steal_share", "involuntary_switches", "minor_faults", "resolution_share"),
)
"""What `measurement` says of how inference was measured, beside `warnings`: numbers, and whether it `converged`."""


class ExitInBf16(Numbers):
    """An exit's network with weights rounded to bfloat16: accuracy on the test split, cost per image."""

    ap: float | None = None
    """OKS average precision over thresholds .50:.05:.95, as a fraction; null where no test split was evaluated."""
    ap_change: float | None = None
    """AP less that of the same exit in float32, paired over the same patients; null likewise."""
    latency_s: float | None = None
    """Wall time of one image at the measured batch size (batch time / batch)."""
    cpu_s_per_image: float | None = None
    """CPU-seconds of one image, all threads."""
    energy_j_per_image: float | None = None
    """Gross energy of one image: everything the machine's metered components drew while it was computed."""
    co2eq_g_per_1000_images: float | None = None
    """Operational emissions of 1000 images, gross energy x PUE x grid intensity."""
    relative_to_float32: dict[str, float] = Field(default_factory=dict)
    """Within-block ratios to the same exit in float32: keys `latency_s`, `cpu_s_per_image`, `energy_j_per_image`."""

    def share(self, metric: Metric) -> Quantity:
        """Return what an image costs over what it costs in float32, in percent."""
        return self.quantity(f"relative_to_float32.{metric.name}", scale=PERCENT, unit="%")

    @property
    def ap_gained(self) -> Quantity:
        """Return by how many points its AP differs from that in float32."""
        return self.quantity("ap_change", scale=PERCENT, unit="points")

    @property
    def compared(self) -> Metric:
        """Return what it is judged by: energy, or where that was not metered latency."""
        return ENERGY if ENERGY.name in self.relative_to_float32 else LATENCY

    @property
    def cheaper(self) -> str:
        """Return the arithmetic that is shown to be the cheaper one, `bf16` or `float32`; `not shown` for neither."""
        ends = self.share(self.compared).type_a
        if ends is None or ends.low <= PERCENT <= ends.high:
            return "not shown"
        return "bf16" if ends.high < PERCENT else "float32"

    def __str__(self) -> str:
        """Return `83 % [81–85] of float32's energy, AP -0.1 points [-0.5–+0.2]`."""
        share = self.share(self.compared).text()
        said = f"{share.value} % {share.interval} of float32's {'energy' if self.compared is ENERGY else 'time'}"
        if self.ap_change is None:
            return said
        points = self.ap_gained.text(most_decimals=2)
        return f"{said}, AP {points.value} points {points.interval}"


def _once(passes: int) -> bool:
    return passes == 1


class _Exit(Numbers):
    """One exit: its minimal sub-network's size, its accuracy on the test split, its cost per image."""

    exit: int
    """Exit number: the heatmap head after this stage of HRNet."""
    role: str
    """Place in the wiring: `final`, `student`, `teacher`, `student and teacher` or `side`."""
    passes: int = Field(default=1, exclude_if=_once)
    """How often each image was computed in the test and in metering: 2 with `test.flip`, where accuracy, time, energy
    are of both passes, sizes and operations of one; left out where it is 1."""
    params: int
    """Parameters of the minimal sub-network that yields this exit."""
    macs: int
    """Multiply-accumulates of its convolutions for one image (1 MAC = 2 FLOPs), by torch's counter."""
    macs_by_counter: dict[str, int]
    """The same network and input by each counter under its own convention (`docs/method.md` explains them)."""
    activation_bytes: int | None = None
    """Bytes that a training step keeps for the backward pass, per image; null where it was not counted."""
    peak_bytes: int | None = None
    """Most bytes alive at once during inference of one image, without weights, by torch's allocations; null in records
    from before it was counted."""
    operations: dict[str, int] = Field(default_factory=dict)
    """Calls of each of torch's operators during inference, by name; empty in records from before they were counted."""
    ap: float | None = None
    """OKS average precision over thresholds .50:.05:.95, as a fraction; null where no test split was evaluated."""
    ap50: float | None = None
    """OKS average precision at threshold .50, as a fraction."""
    ap75: float | None = None
    """OKS average precision at threshold .75, as a fraction."""
    ar: float | None = None
    """OKS average recall over thresholds .50:.05:.95, as a fraction."""
    pck: float | None = None
    """PCK@0.5 as the paper's code computes it (a twentieth of the heatmap, axes swapped), as a fraction."""
    pck_corrected: float | None = None
    """PCK@0.5 with the axes the right way round, as a fraction."""
    metrics: dict[str, float] = Field(default_factory=dict, exclude_if=not_)
    """What the exit of an own loop reaches, by the metric's name, in the unit of its basis `metrics.NAME`; left out of
    records of pose, where `ap` and the others say it."""
    best_epoch: int | None = None
    """Epoch (from 1) whose weights this exit is evaluated with: the best AP on the validation split."""
    latency_s: float | None = None
    """Wall time of one image at the measured batch size (batch time / batch)."""
    latency_p95_s: float | None = None
    """95th percentile of the same over the calls."""
    cpu_s_per_image: float | None = None
    """CPU-seconds of one image, all threads."""
    energy_j_per_image: float | None = None
    """Gross energy of one image: everything the machine's metered components drew while it was computed."""
    net_energy_j_per_image: float | None = None
    """Net energy of one image: gross minus idle power times wall time."""
    co2eq_g_per_1000_images: float | None = None
    """Operational emissions of 1000 images, gross energy x PUE x grid intensity."""
    embodied_co2eq_g_per_1000_images: float | None = None
    """What making the hardware costs for the time of 1000 images: its part that is held, spread over its life."""
    sci_g_per_1000_images: float | None = None
    """Software Carbon Intensity (ISO/IEC 21031:2024) per 1000 images: operational and embodied emissions together."""
    break_even_images: float | None = None
    """Images after which reading this exit instead of the final one has paid for what distillation and deep supervision
    added to training; 0 where they added nothing; null for the final exit or where this exit saves nothing."""
    relative_to_final: dict[str, float] = Field(default_factory=dict)
    """Within-block ratios to the final exit: keys `latency_s`, `cpu_s_per_image`, `energy_j_per_image`.

    Their bases stand in `basis` under `relative_to_final.latency_s` and so on.
    """
    measurement: dict[str, Any] = Field(default_factory=dict)
    """How inference was measured: batch, blocks, window seconds, `converged`, contamination."""
    bf16: ExitInBf16 | None = Field(default=None, exclude_if=not_)
    """The same exit in bfloat16, in the same blocks; left out where `measure.precision` asked for float32 alone."""

    def of_image(self, name: str, *, scale: float = 1.0, unit: str | None = None, disturbed: bool = False) -> Quantity:
        """Return the same as `quantity`, but MACs of all passes that an image takes."""
        each = self.quantity(name, scale=scale, unit=unit, disturbed=disturbed)
        if name == MACS.name and self.passes > 1:
            return replace(each * self.passes, method=f"{each.method}; {self.passes} passes over each image")
        return each


if TYPE_CHECKING:

    class Exit(_Exit):
        """The same with every size that the catalogue has, whether it stands above or not."""

else:
    _ADDED = {
        size.name: (int | None, Field(default=None, description=size.method))
        for size in COUNTED
        if size.name not in _Exit.model_fields
    }
    Exit = create_model("Exit", __base__=_Exit, __doc__=_Exit.__doc__, __module__=__name__, **_ADDED)


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
