"""What the record says of one exit."""

from typing import Any

from pydantic import Field

from greenpose.record.numbers import Numbers


class Exit(Numbers):
    """One exit: its minimal sub-network's size, its accuracy on the test split, its cost per image."""

    exit: int
    """Exit number: the heatmap head after this stage of HRNet."""
    role: str
    """Place in the wiring: `final`, `student`, `teacher`, `student and teacher` or `side`."""
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
