"""An exit in bfloat16, the arithmetic that it may run in: what it costs and is worth beside float32."""

from pydantic import Field

from greenpose.metrics import ENERGY, LATENCY, PERCENT, Metric
from greenpose.quantity import Quantity
from greenpose.record.numbers import Numbers


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
